"""Geometry that can be checked by counting."""

from __future__ import annotations

import math

import pytest

from napari_unet.tiling.grid import Grid, Span, choose_grid, cut_axis, net_position, per_axis


@pytest.mark.parametrize("factor", [0.07, 0.23, 0.5, 0.999, 1, 1.7, 3, 10.5])
@pytest.mark.parametrize("n", [1, 2, 17, 100])
@pytest.mark.parametrize("tile", [1, 16, 33])
def test_cuts_cover_the_axis_and_read_enough(n: int, factor: float, tile: int) -> None:
    halo, multiple = 5, 8
    cuts = cut_axis(n, factor, tile, halo, multiple)
    assert [i for cut in cuts for i in range(cut.write.start, cut.write.stop)] == list(range(n))
    for cut in cuts:
        assert cut.read.start % multiple == 0
        assert cut.read.stop % multiple == 0
        low = math.floor(net_position(cut.write.start, factor))
        high = math.floor(net_position(cut.write.stop - 1, factor)) + (factor != 1)
        assert cut.read.start + cut.crop.start == low
        assert cut.read.start + cut.crop.stop == high + 1
        assert low - cut.read.start >= halo
        assert cut.read.stop - 1 - high >= halo


def test_without_resampling_the_crop_is_what_is_written() -> None:
    for cut in cut_axis(100, 1, 32, 9, 16):
        assert cut.crop.size == cut.write.size
        assert cut.read.start + cut.crop.start == cut.write.start


def test_tiles_are_even() -> None:
    cuts = cut_axis(520, 1, 512, 32, 16)
    assert [cut.write.size for cut in cuts] == [272, 248]
    assert {cut.read.size for cut in cut_axis(1024, 1, 256, 32, 16)} == {320}


def test_grid_counts_and_multiplies_out() -> None:
    grid = Grid((40, 50), (1, 0.5), (16, 16), 4, 4)
    tiles = list(grid)
    assert len(tiles) == len(grid) == 3 * 2
    assert grid.reads == sum(math.prod(t.read_shape) for t in tiles)
    assert grid.ratio == grid.reads / (40 * 25)
    assert tiles[0].window == (slice(0, 16), slice(0, 33))


def test_span_as_slice() -> None:
    assert list(range(10))[Span(2, 5).slice] == [2, 3, 4]


def test_a_small_image_is_shared_between_workers_where_it_costs_little() -> None:
    grid = Grid((512, 512), (1, 1), (512, 512), 92, 16)
    finer = choose_grid(grid, 2)
    assert len(grid) == 1
    assert len(finer) == 2
    assert finer.reads < 1.3 * grid.reads
    assert choose_grid(grid, 1) is grid
    tiny = Grid((200, 200), (1, 1), (512, 512), 92, 16)
    assert choose_grid(tiny, 8) is tiny
    many = choose_grid(Grid((4096, 4096), (1, 1), (4096, 4096), 16, 16), 64)
    assert len(many) == 64


def test_halo_and_multiple_may_differ_between_axes() -> None:
    grid = Grid((20, 60), (1, 1), (8, 16), (3, 9), (1, 4))
    alone = [cut_axis(20, 1, 8, 3, 1), cut_axis(60, 1, 16, 9, 4)]
    assert list(grid.cuts) == alone
    assert Grid((20, 60), (1, 1), (8, 16), (9, 9), (4, 4)).cuts == Grid((20, 60), (1, 1), (8, 16), 9, 4).cuts
    assert (per_axis(3, 2), per_axis((1, 2), 2)) == ((3, 3), (1, 2))


def test_an_axis_that_is_hardly_larger_than_its_halos_does_not_stop_the_others() -> None:
    flat = Grid((40, 1024, 1024), (1, 1, 1), (1024,) * 3, (64, 8, 8), (1, 8, 8))
    finer = choose_grid(flat, 4)
    assert len(finer) == 4
    assert finer.reads < 1.3 * flat.reads
    assert len(finer.cuts[0]) == 1
    assert choose_grid(Grid((40, 80), (1, 1), (99, 99), (64, 8), 1), 4).edges == (99, 99)
