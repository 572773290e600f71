"""Bricks joined to objects: cases by hand, tables by counting. Any cutting is tried in ``tests/properties``."""

from __future__ import annotations

import itertools
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from napari_unet.core.errors import ImageError, SpecError
from napari_unet.core.forest import Forest, Rim
from napari_unet.targets._basins import basins
from napari_unet.targets._forest import explore, explore_parts
from napari_unet.tiling.bricks import Bricks
from napari_unet.tiling.stitch import Stitch, relabel


def explored(potential, mask, bricks):
    """Yield position, trees and forest of every brick."""
    for position in bricks:
        read = bricks.widened(position)
        yield position, *explore(potential[read], mask[read], bricks.window(position), bricks.shape)


def decode(potential, mask, edges, persistence=0, smallest=0):
    """Return the labels and the objects of an image that is decoded brick by brick."""
    bricks = Bricks.cut(potential.shape, edges)
    stitch, trees = Stitch(bricks), {}
    for position, found, forest in explored(potential, mask, bricks):
        trees[position] = found
        stitch.add(position, forest)
    objects = stitch.finish(persistence, smallest)
    labels = np.full(potential.shape, -1, np.int32)
    for position, found in trees.items():
        relabel(found, objects.numbers[position], labels[bricks.window(position)])
    return labels, objects


def hills(shape, seed=0, levels=40):
    """A smooth random potential, and its foreground."""
    rng = np.random.default_rng(seed)
    field = rng.normal(size=shape)
    for axis in range(len(shape)):
        for _ in range(6):
            field = (np.roll(field, 1, axis) + 2 * field + np.roll(field, -1, axis)) / 4
    field = field / field.std()
    return np.clip(field * levels / 4 + levels / 2, 0, 255).astype(np.uint8), field > -0.5


def spiral(n):
    """A path one pixel wide that winds through the whole image."""
    path, y, x = np.zeros((n, n), bool), 0, 0
    path[0, 0] = True
    for k, length in enumerate(itertools.chain([n - 1], *((s, s) for s in range(n - 1, 0, -2)))):
        for _ in range(length):
            y, x = y + (0, 1, 0, -1)[k % 4], x + (1, 0, -1, 0)[k % 4]
            path[y, x] = True
    return path


@pytest.mark.parametrize("edges", [(1, 1), (1, 23), (3, 2), (5, 7), (23, 23), (99, 99)])
def test_one_object_through_all_bricks(edges):
    path = spiral(23)
    # All of one height: the pointers wind through the bricks, into and out of them, again and again.
    for potential in (path * np.uint8(7), (path.cumsum().reshape(path.shape) % 251).astype(np.uint8)):
        labels, objects = decode(potential, path, edges, 255)
        np.testing.assert_array_equal(labels, path)
        assert len(objects) == 1
        assert objects.table["area_px"].tolist() == [path.sum()]


@pytest.mark.parametrize("shape", [(8, 8), (4, 4, 4)])
def test_a_plateau_over_corners_is_one_object(shape):
    potential, mask = np.full(shape, 255, np.uint8), np.zeros(shape, bool)
    half = tuple(n // 2 for n in shape)
    mask[tuple(slice(h - 1, h + 1) for h in half)] = True
    for edges in (half, (1,) * len(shape), shape):
        np.testing.assert_array_equal(decode(potential, mask, edges)[0], mask)
    # Only a corner in common.
    mask[:] = False
    mask[tuple(h - 1 for h in half)] = mask[half] = True
    np.testing.assert_array_equal(decode(potential, mask, half)[0], mask)


def test_a_saddle_on_a_border_counts_like_any_other():
    row = np.array([[10, 50, 90, 40, 70, 20]], np.uint8)
    for at in range(1, 7):
        assert len(decode(row, row > 0, (1, at), 29)[1]) == 2
        assert len(decode(row, row > 0, (1, at), 30)[1]) == 1


@pytest.mark.parametrize("shape", [(70, 90), (17, 30, 40)])
@pytest.mark.parametrize("edge", [7, 16, 64])
def test_labels_are_those_of_the_whole(shape, edge):
    potential, mask = hills(shape)
    for persistence, smallest in ((0, 0), (2, 30), (6, 7.5)):
        expected = basins(potential, mask, persistence, smallest)
        labels, objects = decode(potential, mask, (edge,) * len(shape), persistence, smallest)
        np.testing.assert_array_equal(labels, expected)
        assert len(objects) == expected.max() > 3


@pytest.mark.parametrize("shape", [(60, 70), (14, 30, 33)])
def test_the_table_says_what_can_be_counted_in_the_labels(shape):
    potential, mask = hills(shape, seed=1)
    labels, objects = decode(potential, mask, (13,) * len(shape), 3, 5)
    table, sizes = objects.table, np.bincount(labels.ravel())
    assert {len(column) for column in table.values()} == {len(objects)}
    for i, index in enumerate(table["index"].tolist()):
        where = np.nonzero(labels == index)
        flat = np.ravel_multi_index(where, shape)
        assert index == i + 1
        assert table["area_px" if len(shape) == 2 else "volume_px"][i] == sizes[index]
        assert table["first_pixel"][i] == flat.min()
        assert table["peak"][i] == potential[where].max() == potential.ravel()[table["peak_pixel"][i]]
        assert table["peak_pixel"][i] in flat
        for axis, at in zip("zyx"[-len(shape) :], where, strict=True):
            assert table[f"bbox_{axis}0"][i] == at.min()
            assert table[f"bbox_{axis}1"][i] == at.max() + 1
        edge = any(at.min() == 0 or at.max() == n - 1 for at, n in zip(where, shape, strict=True))
        assert table["touches_border"][i] == edge
    assert 0 < table["touches_border"].sum() < len(objects)


def test_nothing_is_found_where_nothing_is():
    potential = np.zeros((5, 9), np.uint8)
    labels, objects = decode(potential, potential > 0, (2, 4))
    assert not labels.any()
    assert len(objects) == 0
    assert objects.table["touches_border"].dtype == bool


def test_a_zero_in_the_foreground_is_foreground():
    potential = np.zeros((3, 5, 6), np.uint8)
    np.testing.assert_array_equal(decode(potential, potential == 0, (2, 2, 4))[0], potential == 0)


def test_other_settings_need_no_other_pass():
    potential, mask = hills((50, 60))
    bricks = Bricks.cut(mask.shape, (20, 33))
    stitch, trees = Stitch(bricks), {}
    for position, found, forest in explored(potential, mask, bricks):
        trees[position] = found
        stitch.add(position, forest)
    for persistence, smallest in ((5, 0), (0, 20), (5, 0)):
        objects, expected = stitch.finish(persistence, smallest), basins(potential, mask, persistence, smallest)
        for position, found in trees.items():
            window = bricks.window(position)
            np.testing.assert_array_equal(relabel(found, objects.numbers[position]), expected[window])


def test_exploring_again_gives_the_same_trees_in_any_thread():
    potential, mask = hills((64, 80))
    bricks = Bricks.cut(mask.shape, (20, 20))
    once = {position: (trees, forest) for position, trees, forest in explored(potential, mask, bricks)}

    def again(position):
        read = bricks.widened(position)
        return explore(np.asfortranarray(potential[read]), mask[read], bricks.window(position), bricks.shape)

    with ThreadPoolExecutor(4) as pool:
        for position, (trees, forest) in zip(bricks, pool.map(again, bricks), strict=True):
            np.testing.assert_array_equal(trees, once[position][0])
            np.testing.assert_array_equal(forest.peaks, once[position][1].peaks)
            np.testing.assert_array_equal(forest.exits, once[position][1].exits)


def test_borders_are_let_go_when_both_sides_are_known():
    potential, mask = hills((12, 40))
    stitch, kept = Stitch(Bricks.cut(mask.shape, (12, 10))), []
    for position, _, forest in explored(potential, mask, stitch.bricks):
        kept += [weakref.ref(rim) for rim in forest.rims.values()]
        stitch.add(position, forest)
        del forest
        # Of all that came, only the last side still waits.
        assert sum(ref() is not None for ref in kept) == (position != (0, 3))


def empty(bricks, position):
    """Return the forest of a brick without foreground, without an array of its size."""
    none = np.zeros(0, np.int64)
    window, rims = bricks.window(position), {}
    for side, way in enumerate(itertools.product((-1, 0, 1), repeat=3)):
        if way[0] == 0 and way != (0, 0, 0) and tuple(np.add(position, way[1:])) in bricks:
            size = [1, *(s.stop - s.start if w == 0 else 1 for s, w in zip(window, way[1:], strict=True))]
            rims[side] = Rim(np.zeros(size, np.int32), np.zeros(size, np.uint8))
    rows = none.astype(np.int32)
    wide = [rows.reshape(0, k) for k in (3, 3, 3, 2)]
    return Forest(none, none.astype(np.uint8), none, none, *wide, none.astype(np.uint8), rims)


def test_pixels_are_counted_in_64_bits():
    n, edge = 100_000, 40
    potential, mask = hills((edge, edge))
    borders = (0, n - edge, n - edge + 13, n)
    bricks = Bricks((n, n), (borders, borders))
    stitch, trees, first = Stitch(bricks), {}, n - edge
    for position in bricks:
        if 0 in position:
            stitch.add(position, empty(bricks, position))
            continue
        # The image around the corner is background.
        read = tuple(slice(s.start - first, s.stop - first) for s in bricks.widened(position))
        corner = [
            np.pad(a, ((1, 0), (1, 0)))[tuple(slice(s.start + 1, s.stop + 1) for s in read)] for a in (potential, mask)
        ]
        trees[position], forest = explore(*corner, bricks.window(position), bricks.shape)
        stitch.add(position, forest)
    objects, expected = stitch.finish(2, 4), basins(potential, mask, 2, 4)
    for position, found in trees.items():
        window = tuple(slice(s.start - first, s.stop - first) for s in bricks.window(position))
        np.testing.assert_array_equal(relabel(found, objects.numbers[position]), expected[window])
    y, x = np.divmod(objects.table["first_pixel"], n)
    assert objects.table["first_pixel"].min() > 2**33
    assert expected[y - first, x - first].tolist() == list(range(1, len(objects) + 1))
    assert objects.table["bbox_y1"].max() == n


def two_halves():
    """Return a plateau in two bricks, and the forests of both."""
    potential, mask = np.full((4, 6), 9, np.uint8), np.ones((4, 6), bool)
    bricks = Bricks.cut((4, 6), (4, 3))
    left, right = (forest for _, _, forest in explored(potential, mask, bricks))
    return bricks, left, right


def test_a_brick_comes_once():
    bricks, left, _ = two_halves()
    stitch = Stitch(bricks)
    stitch.add((0, 0), left)
    for position in ((0, 0), (0, 2), (-1, 0), (0, 0, 1)):
        with pytest.raises(SpecError, match="unknown or came twice"):
            stitch.add(position, left)
    with pytest.raises(ImageError, match=r"1 of 2 bricks are missing, the first of them \(0, 1\)"):
        stitch.finish(0, 0)


def test_a_brick_of_another_cutting_is_refused():
    bricks, left, _ = two_halves()
    stitch = Stitch(bricks)
    stitch.add((0, 0), left)
    other = explore(np.ones((3, 4), np.uint8), np.ones((3, 4), bool), (slice(0, 3), slice(3, 6)), (3, 6))[1]
    with pytest.raises(SpecError, match="common border"):
        stitch.add((0, 1), other)


def test_bricks_of_different_scores_are_refused():
    bricks, left, right = two_halves()
    stitch = Stitch(bricks)
    stitch.add((0, 0), left)
    side = next(iter(right.rims))
    gone = Rim(np.zeros_like(right.rims[side].trees), right.rims[side].potential)
    with pytest.raises(SpecError, match="differ about the pixels"):
        stitch.add((0, 1), replace(right, rims={side: gone}))
    # A tree that leaves where no neighbor is known.
    stitch = Stitch(bricks)
    stitch.add((0, 0), replace(left, rims={}))
    stitch.add((0, 1), replace(right, rims={}))
    with pytest.raises(SpecError, match="end nowhere"):
        stitch.finish(0, 0)
    # Each half sees the other as the higher one.
    stitch = Stitch(bricks)
    for position in bricks:
        read, window = bricks.widened(position), bricks.window(position)
        potential = np.full((4, 6), 200, np.uint8)
        potential[window] = 100
        stitch.add(position, explore(potential[read], potential[read] > 0, window, bricks.shape)[1])
    with pytest.raises(SpecError, match="in a ring"):
        stitch.finish(0, 0)


def test_numbers_of_another_brick_are_refused():
    trees = np.array([[0, 3]], np.int32)
    with pytest.raises(SpecError, match="numbers of 1 trees"):
        relabel(trees, np.zeros(2, np.int32))
    with pytest.raises(SpecError, match="does not fit labels"):
        relabel(trees, np.zeros(4, np.int32), np.zeros((2, 1), np.int32))


def test_bricks_cover_the_plane_once():
    bricks = Bricks((5, 7), ((0, 2, 5), (0, 6, 7)))
    count = np.zeros(bricks.shape, int)
    for position in bricks:
        count[bricks.window(position)] += 1
    assert (count == 1).all()
    assert len(bricks) == len(list(bricks)) == 4
    assert bricks.widened((1, 0)) == (slice(1, 5), slice(0, 7))
    assert Bricks.cut((5, 7), (2, 9)).borders == ((0, 2, 4, 5), (0, 7))
    assert (1, 1) in bricks
    assert (2, 0) not in bricks
    assert [0, 0] not in bricks


@pytest.mark.parametrize("read", [(slice(0, 4), slice(0, 3)), (slice(0, 3), slice(0, 4)), (slice(0, 4), slice(0, 5))])
def test_a_brick_is_read_with_what_is_around_it(read):
    potential = np.ones((4, 6), np.uint8)
    with pytest.raises(SpecError, match=r"where \(1, 4, 4\) are looked at"):
        explore(potential[read], potential[read] > 0, (slice(0, 4), slice(0, 3)), (4, 6))
    with pytest.raises(SpecError, match="are looked at"):
        explore(
            potential[:, :4], potential[:, :4] > 0, (slice(0, 4), slice(0, 3)), (4, 6), np.zeros((3, 1, 4, 3), np.int16)
        )
    with pytest.raises(SpecError, match=r"where \(1, 4, 3\) are looked at"):
        explore_parts(potential[:, :4] > 0, (slice(0, 4), slice(0, 3)), (4, 6))


def test_bricks_have_pixels():
    with pytest.raises(SpecError, match="at least 1"):
        Bricks.cut((5, 7), (2, 0))


@pytest.mark.parametrize("cuts", [(0,), (0, 4), (1, 5), (0, 3, 3, 5), (0, 4, 2, 5)])
def test_borders_must_cut_the_whole_axis(cuts):
    with pytest.raises(SpecError, match="do not cut an axis of 5 pixels"):
        Bricks((5,), (cuts,))
