"""Batch renormalization, and folding it away."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from napari_unet.core.specs import NetSpec
from napari_unet.nets import build
from napari_unet.nets._norm import BatchRenorm, fold


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(features=4):
    norm = BatchRenorm(features)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    return norm


@pytest.mark.parametrize("shape", [(3, 4, 6, 5), (2, 4, 3, 6, 5)])
def test_the_first_step_is_batch_normalization(shape):
    norm, x = make(), 3 + 2 * torch.randn(shape)
    expected = functional.batch_norm(x, None, None, norm.weight, norm.bias, True, 0.0, norm.eps)
    torch.testing.assert_close(norm(x), expected)
    # The running statistics start as those of the first batch, not as an average with nothing.
    axes = [d for d in range(x.ndim) if d != 1]
    torch.testing.assert_close(norm.running_mean, x.mean(axes))
    torch.testing.assert_close(norm.running_var, x.var(axes, unbiased=False), rtol=1e-4, atol=1e-4)
    assert int(norm.seen) == 1


@pytest.mark.parametrize("shift", [0.5, 100.0])
def test_later_steps_are_algorithm_1_of_the_paper(shift):
    norm, x = make(), shift + 2 * torch.randn(3, 4, 6, 5)
    norm.seen.fill_(norm.warmup)
    spread = (x.var([0, 2, 3], unbiased=False) + norm.eps).sqrt()
    sigma = (norm.running_var + norm.eps).sqrt()
    r = (spread / sigma).clamp(1 / 3, 3)
    d = ((x.mean([0, 2, 3]) - norm.running_mean) / sigma).clamp(-5, 5)

    def sides(v):
        return v[:, None, None]

    y = (x - sides(x.mean([0, 2, 3]))) / sides(spread) * sides(r) + sides(d)
    expected = y * sides(norm.weight) + sides(norm.bias)
    torch.testing.assert_close(norm(x), expected, rtol=1e-4, atol=1e-4)


def test_evaluation_uses_the_running_statistics_and_changes_nothing():
    norm = make().eval()
    norm.running_mean.fill_(2)
    norm.running_var.fill_(9)
    before = {k: v.clone() for k, v in norm.state_dict().items()}
    x = torch.randn(1, 4, 5, 5)
    expected = (x - 2) / (9 + norm.eps) ** 0.5 * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(x), expected)
    # One pixel does not feel the others.
    torch.testing.assert_close(norm(x[..., :1, :1]), norm(x)[..., :1, :1], rtol=1e-6, atol=1e-6)
    assert all(torch.equal(v, before[k]) for k, v in norm.state_dict().items())


def test_training_comes_to_what_is_run():
    norm = BatchRenorm(2)
    for _ in range(600):
        norm(torch.tensor([3.0, -1.0])[:, None, None] + 2 * torch.randn(4, 2, 8, 8))
    torch.testing.assert_close(norm.running_mean, torch.tensor([3.0, -1.0]), rtol=0, atol=0.1)
    torch.testing.assert_close(norm.running_var, torch.tensor([4.0, 4.0]), rtol=0.1, atol=0)
    x = torch.tensor([3.0, -1.0])[:, None, None] + 2 * torch.randn(4, 2, 8, 8)
    trained = norm(x)
    torch.testing.assert_close(trained, norm.eval()(x), rtol=0, atol=0.02)


def test_corrections_are_constants_for_the_gradient():
    norm, x = make(), torch.randn(3, 4, 6, 5, requires_grad=True)
    norm.seen.fill_(norm.warmup)
    norm.running_mean.fill_(0.3)
    # With r and d constant the batch's own mean has no gradient.
    norm(x).sum().backward()
    assert float(x.grad.abs().max()) < 1e-4
    assert norm.weight.grad is not None
    assert norm.running_mean.grad is None


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("block", ["plain", "residual"])
@pytest.mark.parametrize("skip", ["concat", "add"])
def test_folded_is_unfolded(ndim, block, skip):
    network = build(NetSpec(ndim=ndim, inputs=2, outputs=3, widths=(4, 6, 8), block=block, skip=skip))
    shape = (4, 16, 16)[-ndim:]
    for _ in range(4):
        network.train()(torch.randn(2, 2, *shape))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchRenorm):
                module.weight.uniform_(0.5, 2)
                module.bias.uniform_(-1, 1)
    x = torch.randn(2, 2, *shape)
    with torch.inference_mode():
        before = network.eval()(x)
        after = fold(network)(x)
    assert not [m for m in network.modules() if isinstance(m, BatchRenorm)]
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_statistics_keep_up_with_weights_that_grow():
    norm, x = make(), torch.randn(2, 4, 16, 16)
    for step in range(40):
        norm(1.1**step * x)
    last = (1.1**39 * x).var([0, 2, 3], unbiased=False)
    assert ((norm.running_var / last) > 0.4).all()
    for _ in range(400):
        norm(x)
    # Later on it is a long mean, which a single batch hardly changes.
    before = norm.running_var.clone()
    norm(3 * x)
    torch.testing.assert_close(norm.running_var, before, rtol=0.2, atol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_those_of_the_formula(layout):
    norm = make()
    norm.seen.fill_(norm.warmup // 2)
    norm.running_mean.uniform_(0, 4)
    running = norm.running_mean.double(), norm.running_var.double()
    x = (3 + 2 * torch.randn(3, 4, 6, 5)).contiguous(memory_format=layout).requires_grad_()
    slope = torch.randn(3, 4, 6, 5)
    norm(x).backward(slope)

    def sides(v):
        return v[:, None, None]

    values, weight, bias = (each.detach().double().requires_grad_() for each in (x, norm.weight, norm.bias))
    mean, spread = values.mean([0, 2, 3]), (values.var([0, 2, 3], unbiased=False) + norm.eps).sqrt()
    sigma = (running[1] + norm.eps).sqrt()
    r = (spread / sigma).detach().clamp(1 / 2, 2)
    d = ((mean - running[0]) / sigma).detach().clamp(-2.5, 2.5)
    y = ((values - sides(mean)) / sides(spread) * sides(r) + sides(d)) * sides(weight) + sides(bias)
    y.backward(slope.double())
    for found, expected in ((x, values), (norm.weight, weight), (norm.bias, bias)):
        torch.testing.assert_close(found.grad.double(), expected.grad, rtol=1e-4, atol=1e-5)


def test_statistics_of_16_bit_values_are_of_32():
    norm, x = make(), (3 + 2 * torch.randn(2, 4, 16, 16)).bfloat16()
    norm(x)
    torch.testing.assert_close(norm.running_mean, x.float().mean([0, 2, 3]), rtol=1e-5, atol=1e-5)
