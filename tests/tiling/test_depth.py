"""Objects through depth: outlines of neighboring planes that are one thing get one id."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.axes import as_image
from napari_unet.core.errors import SpecError
from napari_unet.core.specs import TilingSpec
from napari_unet.core.steps import Progress, finish
from napari_unet.tiling.depth import Depth, areas, link, overlaps, planes_above, summed
from napari_unet.tiling.run import Plan, segment_planes
from napari_unet.tiling.statistics import Statistics

ALONE = np.zeros(2, np.int32)


def plane(*rows: str) -> np.ndarray:
    return np.array([[int(c) if c != "." else 0 for c in row] for row in rows], np.int32)


def linked(upper: np.ndarray, lower: np.ndarray, threshold: float = 0.5) -> list[int]:
    tables = (areas(labels, int(labels.max())) for labels in (upper, lower))
    return link(overlaps(upper, lower), *tables, threshold).tolist()


def planes_as_scored(data: np.ndarray, axes: str, link_z: float, **tiling: int) -> tuple[np.ndarray, int]:
    plan = Plan((1.0, 1.0), Statistics((0.0,), (1.0,)), 2, 4, tiling=TilingSpec(**tiling), link_z=link_z)

    def decode(scores: np.ndarray) -> np.ndarray:
        return ndimage.label(scores[0] > 127)[0].astype(np.int32)

    return finish(segment_planes(as_image(data.astype(np.float32), axes), plan, lambda batch: batch, decode))


def ball(shape: tuple[int, ...], middle: tuple[float, ...], radius: float) -> np.ndarray:
    grids = np.ogrid[tuple(slice(n) for n in shape)]
    return sum((g - m) ** 2 for g, m in zip(grids, middle, strict=True)) <= radius**2


# Tables


def test_common_pixels_are_counted_by_ids():
    upper, lower = plane("11.2", "11.2", "...."), plane("1.33", "1.33", "2222")
    assert overlaps(upper, lower).tolist() == [[1, 1, 2], [2, 3, 2]]
    assert overlaps(upper[:0], lower[:0]).shape == overlaps(upper, 0 * lower).shape == (0, 3)
    assert areas(lower, 4).tolist() == [2, 2, 4, 4, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint32, np.int64])
def test_many_ids_of_any_kind(dtype):
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max if np.dtype(dtype).itemsize == 1 else 2**31 - 1
    ids = rng.integers(1, top, 5000).astype(dtype)
    upper, lower = rng.choice(ids, (2, 90, 90)) * (rng.random((2, 90, 90)) < 0.7).astype(dtype)
    pairs = np.stack([upper[(upper > 0) & (lower > 0)], lower[(upper > 0) & (lower > 0)]], 1).astype(np.int64)
    rows, counts = np.unique(pairs, axis=0, return_counts=True)
    np.testing.assert_array_equal(overlaps(upper, lower), np.column_stack([rows, counts]))
    np.testing.assert_array_equal(overlaps(upper.T, lower.T), np.column_stack([rows, counts]))


def test_windows_of_different_shape_have_nothing_in_common():
    with pytest.raises(SpecError, match="same window"):
        overlaps(np.zeros((3, 4), np.int32), np.zeros((4, 3), np.int32))


@pytest.mark.parametrize("labels", [plane("12"), -plane("1")])
def test_ids_that_cannot_be(labels):
    with pytest.raises(SpecError, match="above 1"):
        areas(labels, 1)


def test_nothing_adds_up_to_nothing():
    assert summed([]).shape == summed([np.zeros((0, 3), np.int64)]).shape == (0, 3)
    assert summed([np.array([[2, 1, 5]]), np.array([[1, 7, 1], [2, 1, 3]])]).tolist() == [[1, 7, 1], [2, 1, 8]]


# Links


def test_an_outline_goes_on_in_its_best_partner():
    assert linked(plane("1111.22."), plane("1112.33.")) == [0, 1, 0, 2]


def test_both_must_be_each_others_best():
    # 1 below lies within 1 above, which has a better partner: an object begins.
    assert linked(plane("111111"), plane("122222")) == [0, 0, 1]
    assert linked(plane("122222"), plane("111111")) == [0, 2]


def test_of_equals_the_lower_id_counts():
    assert linked(plane("1122"), plane("1111")) == [0, 1]
    assert linked(plane("1111"), plane("1122")) == [0, 1, 0]
    assert linked(plane("2211"), plane("1111")) == [0, 1]
    # Whatever the order of the rows.
    rows = overlaps(plane("1122"), plane("1111"))
    sizes = areas(plane("1122"), 2), areas(plane("1111"), 1)
    assert link(rows[::-1], *sizes, 0.5).tolist() == [0, 1]


@pytest.mark.parametrize(("threshold", "expected"), [(0.01, 1), (2 / 3, 1), (0.67, 0), (1.0, 0)])
def test_enough_of_the_smaller_one_must_lie_within_the_larger(threshold, expected):
    assert linked(plane("111111..."), plane("....111.."), threshold) == [0, expected]
    assert linked(plane("....111.."), plane("111111..."), threshold) == [0, expected]


def test_a_cap_belongs_to_its_object_however_small():
    assert linked(plane("." * 4 + "1" + "." * 95), plane("1" * 100), 1.0) == [0, 1]


# Numbers


def test_chains_are_numbered_where_they_begin():
    depth = Depth([None, 0, 1])
    assert depth.number(0, np.zeros(3, np.int32), np.ones(3, np.int64)).tolist() == [0, 1, 2]
    assert depth.number(1, np.array([0, 0, 2, 0, 1], np.int32), np.ones(5, np.int64)).tolist() == [0, 3, 2, 4, 1]
    assert depth.number(2, np.array([0, 3, 0], np.int32), np.ones(3, np.int64)).tolist() == [0, 4, 5]
    assert (depth.objects, depth.ids, depth.courses) == (5, {}, {})


def test_planes_apart_are_numbered_one_after_the_other():
    depth = Depth([None, None])
    assert [depth.number(k, ALONE, ALONE.astype(np.int64)).tolist() for k in (0, 1)] == [[0, 1], [0, 2]]
    assert (depth.objects, depth.ids, depth.joins(0)) == (2, {}, False)


def chain(*pixels: int) -> list[int]:
    """Return the ids of outlines one above the other, each of so many pixels."""
    depth, found = Depth([None, *range(len(pixels) - 1)]), []
    for k, n in enumerate(pixels):
        here = np.array([0, n], np.int64)
        links = depth.cut(k, np.array([0, int(k > 0)], np.int32), here)
        found.append(int(depth.number(k, links, here)[1]))
    return found


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ((10, 50, 100, 70, 84), [1, 1, 1, 1, 2]),  # 7 tenths of the largest, then 12 tenths of that
        ((10, 50, 100, 71, 99), [1] * 5),  # not narrow enough
        ((10, 50, 100, 70, 83), [1] * 5),  # not wider enough
        ((100, 60, 30, 33, 37, 60), [1, 1, 1, 1, 2, 2]),  # slowly wider
        ((100, 30, 100, 30, 100), [1, 1, 2, 2, 3]),
        ((100, 30, 90, 70, 84), [1, 1, 2, 2, 2]),  # the next object has a largest of its own
        ((5, 20, 80, 100, 80, 20, 5), [1] * 7),
    ],
)
def test_an_object_begins_where_outlines_widen_again(pixels, expected):
    assert chain(*pixels) == expected


def test_balls_that_touch_in_depth_are_two():
    data = ball((24, 30, 30), (7, 15, 15), 6.2) | ball((24, 30, 30), (17, 15, 15), 6.2)
    labels, objects = planes_as_scored(data, "zyx", 0.7)
    assert objects == 2
    assert labels[7, 15, 15] == 1
    assert labels[17, 15, 15] == 2
    # The plane of the neck, and the next where the second one is not clearly wider yet, stay with the first.
    assert set(np.unique(labels[:11])) == {0, 1}
    assert set(np.unique(labels[15:])) == {0, 2}


@pytest.mark.parametrize(
    ("axes", "ndim", "expected"),
    [
        ("zyx", 2, [None, 0, 1]),
        ("zyx", 3, [None]),
        ("tyx", 2, [None, None, None]),
        ("tzyx", 2, [None, 0, 1, None, 3, 4]),
        ("ztyx", 2, [None, None, 0, 1, 2, 3]),
        ("xtyz", 2, [None, 0, 1, None, 3, 4]),
    ],
)
def test_which_plane_lies_above(axes, ndim, expected):
    image = as_image(np.zeros([{"t": 2 if "z" in axes else 3, "z": 3}.get(a, 4) for a in axes]), axes)
    assert planes_above(image.planes(ndim), 0.5) == expected
    assert planes_above(image.planes(ndim), 0) == [None] * len(expected)


# Whole images


def test_balls_are_whole_and_every_time_point_is_by_itself():
    one, two = ball((9, 24, 24), (4, 8, 8), 4.2), ball((9, 24, 24), (5, 17, 15), 3.6)
    data = np.stack([one | two, one, np.zeros_like(one), two])
    labels, objects = planes_as_scored(data, "tzyx", 0.7)
    assert objects == 4
    np.testing.assert_array_equal(labels[0], one + 2 * two)
    np.testing.assert_array_equal(labels[1], 3 * one)
    np.testing.assert_array_equal(labels[3], 4 * two)
    apart, many = planes_as_scored(data, "tzyx", 0)
    assert many == sum(ndimage.label(p)[1] for volume in data for p in volume) == len(np.unique(apart)) - 1


def test_objects_one_above_the_other_with_a_plane_between_stay_two():
    data = ball((9, 20, 20), (2, 10, 10), 1.5) | ball((9, 20, 20), (6, 10, 10), 1.5)
    assert data.any((1, 2)).tolist() == [False, True, True, True, False, True, True, True, False]
    assert planes_as_scored(data, "zyx", 0.7)[1] == 2


@pytest.mark.parametrize("axes", ["tzyx", "ztyx", "yxtz", "xtyz", "zytx"])
@pytest.mark.parametrize("tiling", [{}, {"tile": 8, "batch": 3, "workers": 3}])
def test_nothing_depends_on_tiles_or_on_how_axes_lie(axes, tiling):
    data = ndimage.gaussian_filter(np.random.default_rng(5).random((2, 5, 30, 26)), (0, 1, 2, 2))
    data = data > np.quantile(data, 0.6)
    expected, count = planes_as_scored(data, "tzyx", 0.6, workers=1)
    found, objects = planes_as_scored(np.einsum(f"tzyx->{axes}", data), axes, 0.6, **tiling)
    found = np.einsum(f"{axes}->tzyx", found)
    assert objects == count > 10
    if axes.index("t") < axes.index("z") and axes.index("y") < axes.index("x"):
        np.testing.assert_array_equal(found, expected)
    else:  # the same objects, numbered in the order in which the image is stored
        pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
        assert pairs.shape[1] == objects + 1 == len(np.unique(pairs[0])) == len(np.unique(pairs[1]))


def test_pieces_of_planes_have_their_final_ids():
    data = ndimage.gaussian_filter(np.random.default_rng(1).random((6, 30, 26)), 1.5)
    plan = Plan((1.0, 1.0), Statistics((0.0,), (1.0,)), 2, 4, tiling=TilingSpec(workers=2), link_z=0.5)
    steps: list[Progress] = []

    def decode(scores: np.ndarray) -> np.ndarray:
        return ndimage.label(scores[0] > 127)[0].astype(np.int32)

    image = as_image((data > np.median(data)).astype(np.float32), "zyx")
    labels, _ = finish(segment_planes(image, plan, lambda batch: batch, decode), steps.append)
    shown = [step.payload for step in steps if step.note.startswith("Outlining")]
    assert [piece.index[0] for piece in shown] == list(range(6))
    for piece in shown:
        np.testing.assert_array_equal(piece.labels, labels[piece.index])
