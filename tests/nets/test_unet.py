"""The encoder-decoder: shapes, parameters, and how far a score looks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.specs import NetSpec
from napari_unet.nets import build, halo, multiple

KINDS = [("plain", "concat"), ("plain", "add"), ("residual", "concat"), ("residual", "add")]
SPECS = st.builds(
    NetSpec,
    inputs=st.integers(1, 3),
    outputs=st.integers(1, 2),
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    block=st.sampled_from(["plain", "residual"]),
    skip=st.sampled_from(["concat", "add"]),
    convolutions=st.integers(1, 3),
)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(("block", "skip"), KINDS)
def test_shape(ndim, block, skip):
    spec = NetSpec(ndim=ndim, inputs=3, outputs=5, widths=(4, 6, 8), block=block, skip=skip)
    shape = (4, 8, 12)[-ndim:]
    network = build(spec).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, *shape)).shape == (2, 5, *shape)
    assert multiple(spec) == 4


@pytest.mark.parametrize("ndim", [2, 3])
def test_parameters_are_those_of_the_paper(ndim):
    spec = NetSpec(ndim=ndim, inputs=2, outputs=3, widths=(4, 8))
    kernel, double = 3**ndim, 2**ndim
    levels = [(2, 4), (4, 4), (4, 8), (8, 8), (8, 4), (4, 4)]  # the last two after the skip: 4 + 4 channels in
    expected = sum(a * b * kernel + 2 * b for a, b in levels) + (8 * 4 * double + 4) + (4 * 3 + 3)
    assert sum(p.numel() for p in build(spec).parameters()) == expected


def test_added_skips_and_shortcuts_are_counted():
    def size(**more):
        return sum(p.numel() for p in build(NetSpec(widths=(4, 8), **more)).parameters())

    assert size() - size(skip="add") == 4 * 4 * 9
    # Shortcuts where the channels change: 1 -> 4, 4 -> 8 and 8 -> 4, with biases.
    assert size(block="residual") - size() == (4 + 4) + (32 + 8) + (32 + 4)


def test_the_start_depends_on_the_seed_alone():
    def first(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in build(NetSpec(widths=(4, 8))).parameters()])

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


@pytest.mark.parametrize("widths", [(16,), (16, 32), (16, 32, 64, 192)])
def test_halo_of_the_classic(widths):
    # 2 convolutions a level: 2, then (2 + 1) // 2 + 2 = 3 one level down, 2 * 3 + 1 + 2 = 9 back up, and so on.
    assert halo(NetSpec(widths=widths)) == {1: 2, 2: 9, 4: 53}[len(widths)]
    assert halo(NetSpec(widths=widths, ndim=3)) == halo(NetSpec(widths=widths))


def positive(spec):
    """A network in which nothing cancels: every pixel that can have a say has one."""
    network = build(spec).double().eval()
    with torch.no_grad():
        for name, values in network.named_parameters():
            values.copy_(values.abs() + 0.1 if name.endswith("weight") else values.abs())
    return network


def reach(spec):
    """Measure how far away a changed pixel changes scores, wherever it lies on the grid."""
    step = multiple(spec)
    far = -(-(halo(spec) + 2) // step) * step
    image = torch.rand(1, spec.inputs, step, 2 * far + step, dtype=torch.float64)
    network, found = positive(spec), 0
    with torch.inference_mode():
        before = network(image)
        for at in range(far, far + step):
            changed = image.clone()
            changed[..., step // 2, at] += 1e6
            where = (network(changed) != before).any(2).any(1).any(0).nonzero()
            found = max(found, int((where - at).abs().max()))
    return found


@settings(max_examples=10, deadline=None)
@given(SPECS)
def test_halo_is_what_a_score_sees(spec):
    seen = reach(spec)
    assert seen <= halo(spec) <= 2 * seen


@settings(max_examples=10, deadline=None)
@given(SPECS, st.integers(0, 2**16))
def test_tiles_on_the_grid_give_the_scores_of_the_whole(spec, seed):
    torch.manual_seed(seed)
    network, step = build(spec), multiple(spec)
    margin = -(-halo(spec) // step) * step
    image = torch.randn(1, spec.inputs, 2 * margin + 4 * step, 2 * margin + 6 * step)
    network.train()(image)
    network.eval()
    with torch.inference_mode():
        whole = network(image)
        y, x = (int(torch.randint(0, n, ())) * step for n in (3, 4))
        tile = network(image[..., y : y + 2 * margin + step, x : x + 2 * margin + 2 * step])
    inner = tile[..., margin : margin + step, margin : margin + 2 * step]
    wanted = whole[..., y + margin : y + margin + step, x + margin : x + margin + 2 * step]
    torch.testing.assert_close(inner, wanted, rtol=1e-5, atol=1e-5)


def test_tiles_on_the_grid_give_the_scores_of_the_whole_in_3d():
    torch.manual_seed(0)
    spec = NetSpec(ndim=3, widths=(2, 3, 4), convolutions=1, block="residual")
    network, step = build(spec), multiple(spec)
    margin = -(-halo(spec) // step) * step
    image = torch.randn(1, 1, *[2 * margin + 2 * step] * 3)
    network.train()(image)
    network.eval()
    tile = (..., *[slice(step, None)] * 3)
    with torch.inference_mode():
        whole, part = network(image), network(image[tile])
    inner = (..., *[slice(margin, margin + step)] * 3)
    torch.testing.assert_close(part[inner], whole[tile][inner], rtol=1e-5, atol=1e-5)
