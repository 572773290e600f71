"""The inside of a tile is computed from the same values, bit for bit, and with less work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from napari_unet.core.specs import NetSpec
from napari_unet.models.devices import one_thread
from napari_unet.nets import _inner, build, halo, multiple, patch
from napari_unet.nets._inner import Inner
from napari_unet.nets._norm import fold

CROPPED = {
    "plain": NetSpec(inputs=2, outputs=3, widths=(16, 32, 64)),
    "deep": NetSpec(inputs=1, outputs=3, widths=(8, 8, 16, 16), convolutions=1),
    "residual": NetSpec(outputs=3, widths=(8, 16), block="residual", skip="add"),
    "3d": NetSpec(ndim=3, outputs=3, widths=(8, 16), convolutions=1),
    "flat": NetSpec(ndim=3, outputs=3, widths=(8, 16), strides=((1, 2, 2),), kernels=((1, 3, 3), (3, 3, 3))),
    "heads": NetSpec(outputs=3, widths=(8, 16), heads=(1, 2)),
    "unpadded": NetSpec(outputs=3, widths=(8, 16), padding="valid"),
    "strided": NetSpec(outputs=3, widths=(8, 16), down="stride"),
}
WHOLE = {
    "attention": NetSpec(outputs=3, widths=(8, 16, 16), skip="attention"),
    "dense": NetSpec(architecture="dense", outputs=3, widths=(8, 8), blocks=(1, 1)),
    "nested": NetSpec(architecture="nested", outputs=3, widths=(8, 8, 8)),
    "one level": NetSpec(outputs=3, widths=(8,)),
}


def sides(value, ndim):
    return (value,) * ndim if isinstance(value, int) else value


def made(spec, cells=2, more=0):
    torch.manual_seed(0)
    network = build(spec)
    network.train()(torch.randn(2, spec.inputs, *(patch(spec, 16),) * spec.ndim))
    margin, steps = (sides(value(spec), spec.ndim) for value in (halo, multiple))
    margin = tuple(n + more for n in margin)
    sizes = [(2 * rim // step + 1 + cells) * step for rim, step in zip(margin, steps, strict=True)]
    return fold(network), margin, torch.randn(2, spec.inputs, *sizes)


@torch.inference_mode()
def compared(network, margin, x):
    inner = Inner(network, margin)
    with one_thread("cpu"):
        wanted = network(x)[(..., *(slice(n, -n or None) for n in margin))]
        return inner, inner(x), wanted


@pytest.mark.parametrize("more", [0, 3])
@pytest.mark.parametrize("spec", [*CROPPED.values(), *WHOLE.values()], ids=[*CROPPED, *WHOLE])
def test_inside_is_bit_identical(spec, more):
    inner, scores, wanted = compared(*made(spec, more=more))
    assert scores.numel() > 0
    assert torch.equal(scores, wanted)
    assert (spec in CROPPED.values()) == any(any(rim) for rim in inner.rims)


@pytest.mark.parametrize("band", [300, 700, 2000])
@pytest.mark.parametrize("spec", [*CROPPED.values(), *WHOLE.values()], ids=[*CROPPED, *WHOLE])
def test_bands_are_bit_identical(spec, band, monkeypatch):
    network, margin, x = made(spec, cells=3)
    if spec.ndim == 2:
        network, x = network.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    # Two images together: torch convolves a single small one in another way.
    monkeypatch.setattr(_inner, "_BAND", band)
    entering = []
    for part in getattr(network, "down", [])[:1]:
        part.register_forward_pre_hook(lambda module, values: entering.append(values[0].shape[2]))
    inner, scores, wanted = compared(network, margin, x)
    assert torch.equal(scores, wanted)
    if spec.ndim == 2 and inner.rims and band < 1000 and spec.down != "stride":
        # Once the whole, then bands that overlap.
        assert entering[0] == x.shape[2] < sum(entering[1:])
        assert len(entering) > 2


def test_tiles_of_any_size_share_the_memory_of_a_worker(monkeypatch):
    monkeypatch.setattr(_inner, "_BAND", 300)
    network, margin, x = made(CROPPED["deep"], cells=4)
    network = network.to(memory_format=torch.channels_last)
    tiles = [x, x[:, :, 16:, 32:], 2 * x, x.repeat(2, 1, 1, 1), x[:, :, :-16]]
    tiles = [tile.contiguous(memory_format=torch.channels_last) for tile in tiles]

    @torch.inference_mode()
    def work():
        inner = Inner(network, margin)
        with one_thread("cpu"):
            return [inner(tile) for tile in tiles], len(_inner._HELD.parts)

    with ThreadPoolExecutor(1) as pool:
        found, held = pool.submit(work).result()
    assert held > len(CROPPED["deep"].widths)
    for tile, scores in zip(tiles, found, strict=True):
        assert torch.equal(scores, compared(network, margin, tile)[2])
    assert not _inner._HELD.parts  # here, where nothing is computed tile after tile


@pytest.mark.parametrize("spec", CROPPED.values(), ids=CROPPED)
def test_less_is_computed(spec):
    network, margin, x = made(spec)
    entering = []
    for part in (*network.merge, network.head):
        part.register_forward_pre_hook(lambda module, values: entering.append(values[0].shape[2:].numel()))
    compared(network, margin, x)
    whole, inside = entering[: len(entering) // 2], entering[len(entering) // 2 :]
    assert len(whole) == len(inside)
    assert sum(inside) < sum(whole)
    assert all(a <= b for a, b in zip(inside, whole, strict=True))
