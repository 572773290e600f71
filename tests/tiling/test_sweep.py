"""The order of tiles: each once, and few chunks are decoded twice."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.axes import as_image
from napari_unet.core.specs import TilingSpec
from napari_unet.core.steps import finish
from napari_unet.tiling.chunks import cached
from napari_unet.tiling.grid import Grid
from napari_unet.tiling.run import segment_planes
from napari_unet.tiling.statistics import Statistics
from napari_unet.tiling.stream import Plan, read_net
from napari_unet.tiling.sweep import bundle, share_chunks, sweep


class Blank:
    """An array in chunks with nothing in it."""

    def __init__(self, shape, chunks, dtype=np.uint16):
        self.shape, self.chunks, self.dtype = shape, chunks, np.dtype(dtype)

    def __getitem__(self, index):
        return np.broadcast_to(self.dtype.type(0), [s.stop - s.start for s in index])

    @property
    def count(self):
        return math.prod(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))


def decoded(shape, chunks, *, axes, ndim, tile, halo=10, limit=2**18, order=sweep):
    """How often a chunk is decoded on average when all tiles are read."""
    image = cached(as_image(Blank(shape, chunks), axes), limit)
    planes = image.planes(ndim)
    plan = Plan((1.0,) * ndim, Statistics((0.0,), (1.0,)), halo, 4, tiling=TilingSpec(tile=tile, workers=1))
    grid = plan.grid(planes[0].shape)
    for number, each in order(grid, planes, range(len(planes))):
        read_net(planes[number], each.read, plan)
    return image.data.decoded / image.data.source.count


def rows(grid, planes, numbers):
    return ((number, tile) for number in numbers for tile in grid)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(1, 200), min_size=2, max_size=3),
    st.lists(st.integers(1, 64), min_size=3, max_size=3),
    st.integers(8, 60),
    st.sampled_from([2**10, 2**13, 2**20]),
    st.sampled_from([0.4, 1.0, 1.7]),
)
def test_each_tile_comes_once(shape, chunks, tile, limit, factor):
    ndim = len(shape)
    image = cached(as_image(Blank(tuple(shape), tuple(chunks[:ndim])), "zyx"[-ndim:]), limit)
    grid = Grid(tuple(shape), (factor,) * ndim, (tile,) * ndim, 5, 4)
    found = [each for _, each in sweep(grid, image.planes(ndim), range(1))]
    assert len(found) == len(grid)
    assert {*found} == {*grid}


def test_a_small_image_is_decoded_once():
    assert decoded((300, 300), (32, 32), axes="yx", ndim=2, tile=64) == 1
    assert decoded((70, 70, 70), (16, 16, 16), axes="zyx", ndim=3, tile=24, limit=2**22) == 1


def test_a_wide_image_is_gone_through_in_strips():
    how = {"axes": "yx", "ndim": 2, "tile": 64, "limit": 2**17}
    assert decoded((150, 3000), (32, 32), **how) < 1.05
    assert decoded((3000, 150), (32, 32), **how) == 1
    assert decoded((150, 3000), (32, 32), **how, order=rows) > 1.2


def test_a_deep_image_is_gone_through_in_columns():
    how = {"axes": "zyx", "ndim": 3, "tile": 24, "halo": 4, "limit": 10**6}
    assert decoded((128, 128, 128), (16, 16, 16), **how) < 1.4
    assert decoded((128, 128, 128), (16, 16, 16), **how, order=rows) > 1.6
    assert decoded((32, 32, 400), (16, 16, 16), **how) == 1


def test_rows_that_are_one_chunk_are_not_cut():
    assert decoded((400, 2000), (8, 2000), axes="yx", ndim=2, tile=64, limit=2**19) == 1


def test_planes_that_share_chunks_are_gone_through_together():
    how = {"axes": "zyx", "ndim": 2, "tile": 64, "limit": 2**19}
    assert decoded((16, 200, 200), (8, 32, 32), **how) == 1
    assert decoded((16, 200, 200), (8, 32, 32), **how, order=rows) > 5
    image = cached(as_image(Blank((40, 300, 300), (16, 32, 32)), "zyx"), 2**20)
    planes, grid = image.planes(2), Grid((300, 300), (1.0, 1.0), (64, 64), 10, 4)
    assert share_chunks(planes, grid) == 16
    assert list(bundle(planes, grid, 1, 20)) == [range(16), range(16, 32), range(32, 40)]
    assert list(bundle(planes, grid, 18, 40)) == [range(32), range(32, 40)]
    assert list(bundle(planes, grid, 1, 10)) == [range(10), range(10, 16), range(16, 26), range(26, 32), range(32, 40)]
    plain = as_image(np.zeros((40, 3, 3)), "zyx").planes(2)
    assert share_chunks(plain, grid) == 1
    assert list(bundle(plain, grid, 15, 20)) == [range(15), range(15, 30), range(30, 40)]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("axes", "chunks"), [("zyx", (16, 16, 16)), ("tyx", (1, 32, 32)), ("yxz", (16, 16, 16))])
def test_a_run_decodes_each_chunk_once_and_finds_the_same(axes, chunks, workers):
    rng = np.random.default_rng(0)
    values = (rng.random([{"y": 120, "x": 130}.get(a, 20) for a in axes]) > 0.9).astype(np.uint8)

    class Stored(Blank):
        def __getitem__(self, index):
            return values[index]

    plan = Plan((1.0, 1.0), Statistics((0.0,), (1.0,)), 4, 2, tiling=TilingSpec(tile=40, workers=workers))
    image = as_image(Stored(values.shape, chunks, np.uint8), axes)
    image = cached(image, 2**18)

    def decode(scores):
        return (scores[0] > 127).astype(np.int32)

    found, _ = finish(segment_planes(image, plan, lambda batch: batch, decode))
    expected, _ = finish(segment_planes(as_image(values, axes), plan, lambda batch: batch, decode))
    np.testing.assert_array_equal(found, expected)
    assert image.data.decoded == image.data.source.count
