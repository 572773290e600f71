"""How far a score looks: the halo is enough for every member, and not much more than enough."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.errors import ModelError
from napari_unet.core.networks import NetSpec, list_networks, load_network
from napari_unet.nets import build, halo, multiple
from napari_unet.nets._blocks import Pool
from napari_unet.nets._reach import reach as counted
from napari_unet.tiling.grid import cut_axis, per_axis

PRESETS = [preset.name for preset in list_networks()]
OTHERS = [
    NetSpec(ndim=3, widths=(2, 3, 4), strides=((1, 2, 2), (1, 2, 2)), kernels=((1, 3, 3), (1, 3, 3), (3, 3, 3))),
    NetSpec(ndim=3, widths=(2, 2, 3), strides=((1, 2, 2), (2, 3, 1)), skip="attention", convolutions=1),
    NetSpec(
        ndim=3, widths=(2, 2), strides=((1, 2, 2),), kernels=((1, 1, 1), (3, 3, 3)), down="stride", block="residual"
    ),
    NetSpec(architecture="dense", ndim=3, widths=(2, 3), strides=((4, 3, 2),), growth=2, convolutions=1, skip="add"),
    NetSpec(architecture="nested", widths=(2, 2, 3, 2), deep_supervision=True, prune=2, skip="add", heads=(1,)),
    NetSpec(widths=(2, 3), kernels=((5, 3), (3, 7)), heads=(1, 1), outputs=2, block="separable", down="stride"),
    NetSpec(widths=(3,), heads=(2, 1), outputs=3),
]


def sides(value, spec):
    return per_axis(value, spec.ndim)


def transparent(spec):
    """A network in which nothing cancels or is switched off: scores tell of every pixel that they can see."""
    network = build(spec).double().eval()
    with torch.no_grad():
        for values in network.parameters():
            values.abs_().add_(0.1)
            if values.ndim > 1:
                values.div_(values[0].numel())
    for module in network.modules():
        if isinstance(module, Pool):
            module.mean = True  # the same pixels, but each of them counts
    return network


def seen(spec, axis):
    """Measure how far away lie the pixels that a score depends on, wherever it lies on the grid: where its slope is."""
    steps, rims = sides(multiple(spec), spec), sides(halo(spec), spec)
    axis %= spec.ndim
    step = steps[axis]
    far = -(-(rims[axis] + 2) // step) * step
    shape = [2 * s for s in steps]
    shape[axis] = 2 * far + step
    image = torch.ones(1, spec.inputs, *shape, dtype=torch.float64, requires_grad=True)
    scores, found = transparent(spec)(image), 0
    for at in range(far, far + step):
        (slope,) = torch.autograd.grad(scores.select(axis + 2, at).sum(), image, retain_graph=True)
        where = slope.movedim(axis + 2, 0).flatten(1).any(1).nonzero()
        found = max(found, int((where - at).abs().max()))
    return found


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("name", PRESETS)
def test_halo_is_what_a_score_sees(tiny, name, ndim):
    # With one pooling the count is exact, so a pixel less would be too little; dense blocks meet at odd places.
    two, three = tiny(name, ndim, 2), tiny(name, ndim, 3)
    assert seen(two, 0) == seen(two, -1)
    assert 0 <= halo(two) - seen(two, -1) <= (two.architecture == "dense" or two.down == "stride")
    assert 0.9 * halo(three) <= seen(three, -1) <= halo(three)


@pytest.mark.parametrize("spec", OTHERS, ids=str)
def test_halo_along_every_axis(spec):
    for axis, wide in enumerate(sides(halo(spec), spec)):
        assert 0.65 * wide <= seen(spec, axis) <= wide


@pytest.mark.parametrize(("name", "counted", "true"), [("unet", 109, 107), ("attention-unet", 125, 121)])
def test_what_the_page_says_of_true_radii(name, counted, true):
    narrow = load_network(name, 2, 1, 1, widths=(1,) * 5)
    assert halo(narrow) == halo(load_network(name, 2, 3, 4)) == counted
    assert seen(narrow, 0) == true
    page = (Path(__file__).resolve().parents[2] / "docs" / "networks.md").read_text("utf-8")
    assert f"{true} of {counted} for" in page


def test_one_number_where_axes_are_alike():
    flat = {"strides": ((1, 2, 2),), "kernels": ((1, 3, 3), (3, 3, 3))}
    assert (halo(NetSpec(ndim=3, widths=(2, 3))), multiple(NetSpec(ndim=3, widths=(2, 3)))) == (9, 2)
    assert halo(NetSpec(ndim=3, widths=(2, 3), **flat)) == (2, 9, 9)
    assert multiple(NetSpec(ndim=3, widths=(2, 3), **flat)) == (1, 2, 2)


def test_pruning_needs_less():
    spec = NetSpec(architecture="nested", widths=(2, 3, 4, 5), deep_supervision=True)
    found = [(halo(s), multiple(s)) for s in (spec.model_copy(update={"prune": d}) for d in (1, 2, 3, 0))]
    assert found == [(9, 2), (25, 4), (53, 8), (53, 8)]


def test_what_nothing_is_known_of_is_refused():
    with pytest.raises(ModelError, match="InstanceNorm2d"):
        counted(torch.nn.Sequential(torch.nn.InstanceNorm2d(3)), 0, 0)


def lively(spec, seed):
    """A random network with statistics of its own, in double precision, so that only true differences show."""
    torch.manual_seed(seed)
    network = build(spec).double()
    for module in network.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def tile_and_whole(spec, seed, less=0):
    """Return the scores of what a tile writes, read with its halo on the grid, and those of the untiled image."""
    rng = torch.Generator().manual_seed(seed)
    network, steps, rims = lively(spec, seed), sides(multiple(spec), spec), sides(halo(spec), spec)
    shape = [3 * step + 1 for step in steps]
    margins = [-(-rim // step) * step + step for rim, step in zip(rims, steps, strict=True)]
    lengths = [-(-(n + 2 * m) // s) * s for n, m, s in zip(shape, margins, steps, strict=True)]
    image = torch.randn(1, spec.inputs, *lengths, dtype=torch.float64, generator=rng)
    tile, inner, crop = [], [], []
    for n, margin, step, rim in zip(shape, margins, steps, rims, strict=True):
        cuts = cut_axis(n, 1, step, rim - less, step)
        cut = cuts[int(torch.randint(len(cuts), (), generator=rng))]
        tile.append(slice(cut.read.start + margin, cut.read.stop + margin))
        inner.append(slice(cut.write.start + margin, cut.write.stop + margin))
        crop.append(cut.crop.slice)
    with torch.inference_mode():
        return network(image[(..., *tile)])[(..., *crop)], network(image)[(..., *inner)]


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(PRESETS), st.integers(2, 3), st.integers(0, 2**16))
def test_a_tile_with_its_halo_is_the_whole_in_2d(tiny, name, levels, seed):
    tile, whole = tile_and_whole(tiny(name, 2, levels), seed)
    torch.testing.assert_close(tile, whole, rtol=1e-9, atol=1e-9)


@settings(max_examples=6, deadline=None)
@given(st.sampled_from(PRESETS), st.integers(0, 2**16))
def test_a_tile_with_its_halo_is_the_whole_in_3d(tiny, name, seed):
    tile, whole = tile_and_whole(tiny(name, 3, 2), seed)
    torch.testing.assert_close(tile, whole, rtol=1e-9, atol=1e-9)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(OTHERS), st.integers(0, 2**16))
def test_a_tile_with_its_halo_is_the_whole_along_every_axis(spec, seed):
    tile, whole = tile_and_whole(spec, seed)
    torch.testing.assert_close(tile, whole, rtol=1e-9, atol=1e-9)


def test_a_pixel_less_of_halo_shows():
    # Without pooling reads are exactly as wide as asked for.
    spec = NetSpec(widths=(4,), convolutions=5, inputs=2)
    assert halo(spec) == 5
    tile, whole = tile_and_whole(spec, 0, less=1)
    assert float((tile - whole).abs().max()) > 1e-6


@pytest.mark.parametrize("name", PRESETS)
def test_a_step_less_of_halo_shows(tiny, name):
    # With pooling reads are rounded outward to the grid, which can make up for less than a step.
    spec = tiny(name, 2, 2)
    pairs = (tile_and_whole(spec, seed, less=multiple(spec) + 1) for seed in range(4))
    assert max(float((tile - whole).abs().max()) for tile, whole in pairs) > 1e-6
