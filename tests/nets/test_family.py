"""Every member of the family, in 2D and 3D: it learns, it folds, its options work, and tiles do not show."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_unet.core.errors import SpecError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.networks import NetSpec, list_networks
from napari_unet.core.specs import TargetSpec
from napari_unet.models.model import Model, bfloat16_is_fast
from napari_unet.nets import build, multiple, patch
from napari_unet.nets._norm import Affine, BatchRenorm, fold
from napari_unet.tiling.grid import per_axis
from napari_unet.training.fit import supervised

PRESETS = [preset.name for preset in list_networks()]
EVERY = [(name, ndim) for name in PRESETS for ndim in (2, 3)]
ARCHITECTURES = ["unet", "dense", "nested"]


def warmed(spec):
    """Return a network with statistics, weights and biases of its own."""
    network = build(spec)
    edge = patch(spec, 12)
    with torch.no_grad():
        for _ in range(3):
            network.train()(torch.randn(2, spec.inputs, *(edge,) * spec.ndim))
        for module in network.modules():
            if isinstance(module, BatchRenorm):
                module.weight.uniform_(0.5, 2)
                module.bias.uniform_(-1, 1)
    return network.eval()


def two_images(spec):
    """Two noisy images with a disk each, and what is to be learned of them."""
    edge = {2: 16, 3: 12}[spec.ndim] if spec.padding == "same" else patch(spec, {2: 52, 3: 24}[spec.ndim])
    grid = torch.stack(torch.meshgrid(*[torch.arange(edge)] * spec.ndim, indexing="ij")) - (edge - 1) / 2
    disks = torch.stack([(grid - by).norm(dim=0) < 3.6 for by in (-1.5, 1.5)]).float()
    image = disks[:, None] + 0.1 * torch.randn(2, spec.inputs, *(edge,) * spec.ndim)
    return image, disks[:, None].expand(-1, spec.outputs, *(edge,) * spec.ndim)


def overlap_learned(spec, wanted=0.95, steps=100):
    """Train on two images until scores and truth overlap as much as wanted; return their best intersection over union.

    A loss would not do: scores that are low everywhere have a low one, as most of an image is background.
    """
    image, truth = two_images(spec)
    network = build(spec).train()
    optimizer, best = torch.optim.AdamW(network.parameters(), lr=0.02 if spec.norm == "none" else 0.05), 0.0

    def middle(scores):
        rims = [(n - m) // 2 for n, m in zip(truth.shape[2:], scores.shape[2:], strict=True)]
        return truth[(..., *(slice(r, n - r) for r, n in zip(rims, truth.shape[2:], strict=True)))]

    for _ in range(steps):
        scores = network(image)
        finest = scores[0] if isinstance(scores, list) else scores
        found, there = finest > 0, middle(finest) > 0
        best = max(best, float((found & there).sum() / (found | there).sum()))
        if best > wanted:
            break
        optimizer.zero_grad()
        supervised(scores, lambda each: functional.binary_cross_entropy_with_logits(each, middle(each))).backward()
        optimizer.step()
    return best, network


@pytest.mark.parametrize(("name", "ndim"), EVERY)
def test_two_images_are_learned(tiny, name, ndim):
    # Three levels, so that gates and nodes in between have something to do; unpadded volumes would be large.
    levels = 2 if (name, ndim) == ("unet-2015", 3) else 3
    more = {"growth": 3} if "dense" in name else {}
    best, network = overlap_learned(tiny(name, ndim, levels, widths=(8,) * levels, dropout=0.0, **more))
    assert best > 0.95
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(("name", "ndim"), EVERY)
def test_shapes(tiny, name, ndim):
    spec = tiny(name, ndim)
    shape = [2 * s for s in per_axis(multiple(spec), ndim)]
    with torch.inference_mode():
        assert build(spec).eval()(torch.zeros(2, 2, *shape)).shape == (2, 3, *shape)


@pytest.mark.parametrize(
    "more", [{}, {"deep_supervision": True, "heads": (2, 1), "dropout": 0.3}], ids=["plain", "all"]
)
@pytest.mark.parametrize(("name", "ndim"), EVERY)
def test_folded_is_unfolded(tiny, name, ndim, more):
    spec = tiny(name, ndim, **more)
    network = warmed(spec)
    x = torch.randn(2, 2, *[2 * s for s in per_axis(multiple(spec), ndim)])
    with torch.inference_mode():
        before = network(x)
        after = fold(network)(x)
    assert not [m for m in network.modules() if isinstance(m, BatchRenorm)]
    # Only dense blocks normalize before they convolve.
    assert bool([m for m in network.modules() if isinstance(m, Affine)]) == (spec.architecture == "dense")
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("block", ["plain", "residual", "separable"])
@pytest.mark.parametrize("down", ["pool", "stride"])
@pytest.mark.parametrize("skip", ["concat", "add", "attention"])
def test_all_blocks_with_all_skips_fold(block, down, skip):
    spec = NetSpec(inputs=2, outputs=2, widths=(3, 4, 5), block=block, down=down, skip=skip, decoder=1)
    network, x = warmed(spec), torch.randn(1, 2, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(fold(copy.deepcopy(network))(x), network(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_deep_supervision_is_a_list_in_training_only(architecture, ndim):
    spec = NetSpec(architecture=architecture, ndim=ndim, widths=(2, 3, 4, 5), deep_supervision=True, growth=12)
    network, x = build(spec), torch.randn(2, 1, *(16,) * ndim)
    scores = network.train()(x)
    # A U-Net has a finer and a coarser score for every level but the last; U-Net++ one for every depth.
    assert [s.shape for s in scores] == [(2, 1, *(16,) * ndim)] * 3
    assert not torch.equal(scores[0], scores[1])
    with torch.inference_mode():
        alone = network.eval()(x)
    assert alone.shape == scores[0].shape
    bare = build(spec.model_copy(update={"deep_supervision": False}))
    shared = {k: v for k, v in network.state_dict().items() if k in bare.state_dict()}
    if architecture != "nested":
        assert shared.keys() == bare.state_dict().keys()
        bare.load_state_dict(shared)
        torch.testing.assert_close(bare.eval()(x), alone)


def test_levels_weigh_half_as_much_each():
    parts = [torch.tensor(float(n)) for n in (3, 5, 7)]
    assert float(supervised(parts, lambda each: each)) == pytest.approx((3 + 5 / 2 + 7 / 4) / (1 + 1 / 2 + 1 / 4))
    assert float(supervised(parts[0], lambda each: each * 2)) == 6


def test_coarse_scores_are_compared_where_they_lie():
    from napari_unet.nets._heads import enlarged

    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    finest = ramp[..., 4:12, 4:12]
    coarse = ramp.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    same, cropped = enlarged(finest, [coarse, coarse[..., 1:7, 1:7]], [(2, 2), (2, 2)])[1:]
    torch.testing.assert_close(same, finest)
    torch.testing.assert_close(cropped, finest)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("depth", [0, 2])
def test_heads_have_blocks_of_their_own(architecture, depth):
    spec = NetSpec(architecture=architecture, widths=(3, 4, 5)[: depth + 1], outputs=4, heads=(1, 3))
    network, x = build(spec).eval(), torch.randn(1, 1, 16, 16)
    with torch.inference_mode():
        before = network(x)
        for parameter in network.head.branches[1].parameters():
            parameter.add_(0.3)
        after = network(x)
    assert before.shape == (1, 4, 16, 16)
    torch.testing.assert_close(after[:, :1], before[:, :1])
    assert float((after[:, 1:] - before[:, 1:]).abs().min()) > 0
    assert len(list(network.head.branches[0].parameters())) > 2


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_options_together_learn(architecture, ndim):
    spec = NetSpec(
        architecture=architecture, ndim=ndim, inputs=1, outputs=3, widths=(6, 8, 8), heads=(2, 1), growth=12,
        deep_supervision=True, dropout=0.1, convolutions=1,
    )  # fmt: skip
    assert overlap_learned(spec, 0.9)[0] > 0.9


def test_pruned_is_that_head_of_the_whole():
    spec = NetSpec(architecture="nested", inputs=2, outputs=3, widths=(3, 4, 5, 6), deep_supervision=True)
    network, x = warmed(spec), torch.randn(1, 2, 24, 24)
    network.train()
    for module in network.modules():
        if isinstance(module, BatchRenorm):
            module.eval()
    with torch.inference_mode():
        heads = network(x)
    assert len(heads) == 3
    for depth in (1, 2, 3):
        pruned = build(spec.model_copy(update={"prune": depth}))
        pruned.load_state_dict(network.state_dict())
        calls = []
        for key, node in pruned.node.items():
            node.register_forward_hook(lambda *_, key=key, calls=calls: calls.append(key))
        with torch.inference_mode():
            torch.testing.assert_close(pruned.eval()(x), heads[3 - depth])
        assert calls == [f"{i}_{j}" for j in range(1, depth + 1) for i in range(depth - j + 1)]


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"heads": (2,)}, "put out 2 channels"),
        ({"prune": 1}, "prune means nothing"),
        ({"growth": 3}, "growth means nothing"),
        ({"architecture": "nested", "prune": 1}, "deep supervision"),
        ({"architecture": "nested", "doubling": True}, "doubling means nothing"),
        ({"architecture": "dense", "block": "residual"}, "block means nothing"),
        ({"doubling": True, "block": "residual"}, "double their width"),
        ({"doubling": True, "widths": (1, 2)}, "has no half width"),
        ({"architecture": "nested", "skip": "attention"}, "has no gates"),
        ({"padding": "valid", "down": "stride"}, "Unpadded networks"),
        ({"padding": "valid", "skip": "attention"}, "Unpadded networks"),
    ],
)
def test_what_does_not_go_together_is_refused(choice, text):
    with pytest.raises(SpecError, match=text):
        build(NetSpec(**{"widths": (2, 3)} | choice))


def model(spec, precision):
    card = ModelCard(name="tiny", net=spec, target=TargetSpec(name="heat"))
    made = Model(card, warmed(spec), "cpu")
    made._engine._place(precision)
    return made


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize(("name", "ndim"), EVERY)
def test_tiles_are_bit_identical(tiny, name, ndim, precision):
    wide = {2: {"widths": (16, 32, 16)}, 3: {"widths": (16, 16)}}[ndim]
    more = {"growth": 16} if "dense" in name else {}
    spec = tiny(name, ndim, len(wide["widths"]), **wide, **more)
    if precision == torch.bfloat16 and not bfloat16_is_fast("cpu"):
        pytest.skip("this machine has no fast bfloat16")
    made, rng = model(spec, precision), np.random.default_rng(0)
    step = made.multiple
    rim = -(-made.halo // step) * step
    inner = {2: 32, 3: 4}[ndim]
    image = rng.normal(0.5, 0.5, (1, 2, *(inner + 2 * rim,) * ndim)).astype(np.float32)
    whole = made.predict(image)
    for _ in range(2):
        size = [int(n) * step for n in rng.integers(1, inner // step + 1, ndim)]
        start = [int(rng.integers(0, (inner - n) // step + 1)) * step for n in size]
        tile = image[(..., *(slice(a, a + n + 2 * rim) for a, n in zip(start, size, strict=True)))]
        scores = made.predict(np.concatenate([tile] * int(rng.integers(1, 3))))[:1]
        where = (..., *(slice(rim + a, rim + a + n) for a, n in zip(start, size, strict=True)))
        assert scores[(..., *(slice(rim, rim + n) for n in size))].tobytes() == whole[where].tobytes()
