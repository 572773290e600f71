"""Areas and darkness: which pixels are looked at, and that windows are cut from the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import draw

from napari_unet.core.axes import as_image
from napari_unet.core.errors import ImageError
from napari_unet.core.rasterize import Polygons
from napari_unet.core.specs import SegmentSpec, TilingSpec
from napari_unet.core.steps import finish
from napari_unet.tiling import _background
from napari_unet.tiling._background import Background
from napari_unet.tiling.run import Plan, segment_planes
from napari_unet.tiling.statistics import Statistics, normalize
from napari_unet.tiling.where import Where, choose_where

UNIT = Statistics((0.0,), (1.0,))
quick = settings(deadline=None, max_examples=80)
WHOLE_NUMBERS = st.integers(-6, 36).map(float)
HALVES = st.integers(-12, 72).map(lambda n: n / 2)
# Not so near to a whole number that another order of additions decides.
ANY = st.integers(-600, 3600).filter(lambda n: n % 100 not in (0, 50)).map(lambda n: n / 100 + 0.00317)


@st.composite
def polygons(draw_, corners=None):
    corners = corners or draw_(st.sampled_from([WHOLE_NUMBERS, HALVES, ANY]))
    return draw_(st.lists(st.tuples(corners, corners), min_size=3, max_size=9))


def drawn(polygon: list[tuple[float, float]], shape: tuple[int, int]) -> np.ndarray:
    expected = np.zeros(shape, bool)
    expected[draw.polygon(*np.array(polygon).T, shape)] = True
    return expected


@quick
@given(st.lists(st.tuples(st.integers(-6, 36), st.integers(-6, 36)), min_size=3, max_size=3, unique=True))
def test_a_triangle_is_that_of_scikit_image(corners):
    (a, b), (c, d), (e, f) = corners
    if (c - a) * (f - b) == (d - b) * (e - a):
        return  # without an inside
    found = Polygons([corners]).mask(slice(0, 30), slice(0, 28))
    np.testing.assert_array_equal(found, drawn(corners, (30, 28)))


@quick
@given(st.lists(st.tuples(ANY, ANY), min_size=3, max_size=9, unique=True))
def test_any_polygon_is_that_of_scikit_image_but_for_pixels_on_its_outline(corners):
    found = Polygons([corners]).mask(slice(0, 30), slice(0, 28))
    expected = drawn(corners, (30, 28))
    for y, x in zip(*np.nonzero(found != expected), strict=True):
        assert distance((y, x), corners) < 1e-6


def distance(point: tuple[float, float], corners: list[tuple[float, float]]) -> float:
    found = []
    p = np.array(point)
    for a, b in np.stack([corners, [*corners[1:], corners[0]]], axis=1):
        share = np.clip(np.dot(p - a, b - a) / max(np.dot(b - a, b - a), 1e-12), 0, 1)
        found.append(np.hypot(*(p - a - share * (b - a))))
    return min(found)


@quick
@given(st.lists(polygons(), max_size=4), st.lists(st.integers(0, 40), min_size=4, max_size=4))
def test_windows_are_cut_from_the_whole(areas, ends):
    rows, columns = slice(min(ends[:2]), max(ends[:2]) + 1), slice(min(ends[2:]), max(ends[2:]) + 1)
    drawing = Polygons(areas)
    whole = drawing.mask(slice(0, 41), slice(0, 41))
    window = drawing.mask(rows, columns)
    np.testing.assert_array_equal(window, whole[rows, columns])
    assert drawing.meet(rows, columns) or not window.any()


@quick
@given(polygons(), polygons())
def test_areas_are_united(one, two):
    window = slice(0, 31), slice(0, 31)
    both = Polygons([one, two]).mask(*window)
    np.testing.assert_array_equal(both, Polygons([one]).mask(*window) | Polygons([two]).mask(*window))


def test_the_outline_belongs_to_the_area_and_a_hole_reached_from_outside_does_not() -> None:
    square = [(2.0, 3.0), (2.0, 8.0), (6.0, 8.0), (6.0, 3.0)]
    expected = np.zeros((10, 12), bool)
    expected[2:7, 3:9] = True
    window = slice(0, 10), slice(0, 12)
    np.testing.assert_array_equal(Polygons([square]).mask(*window), expected)
    hole = [(2.5, 4.5), (5.5, 4.5), (5.5, 6.5), (2.5, 6.5)]
    expected[3:6, 5:7] = False
    around = [*square, square[0], *hole, hole[0]]
    np.testing.assert_array_equal(Polygons([around]).mask(*window), expected)


def test_a_polygon_far_larger_than_the_window_takes_no_memory() -> None:
    corners = [(-1e9, -1e9), (-1e9, 1e9), (1e9, 1e9), (1e9, -1e9)]
    assert Polygons([corners]).mask(slice(5, 9), slice(10**6, 10**6 + 4)).all()
    assert not Polygons([]).meet(slice(0, 9), slice(0, 9))
    assert not Polygons([[(1.0, 1.0), (1.0, 5.0), (1.0, 3.0)]]).meet(slice(0, 9), slice(0, 9))


def test_a_region_beside_the_image_is_refused() -> None:
    spec = SegmentSpec(region=(((50.0, 0.0), (60.0, 0.0), (60.0, 9.0)),))
    with pytest.raises(ImageError, match="beside 'image', which has 40 x 30 pixels"):
        choose_where(spec, as_image(np.zeros((40, 30))), Plan((1.0, 1.0), UNIT, 2, 2))


def test_where_says_everything_and_nothing_without_a_mask() -> None:
    (plane,) = as_image(np.zeros((3, 40, 40)), "zyx").planes(3)
    where = Where(Polygons([[(0.0, 0.0), (0.0, 19.0), (39.0, 19.0), (39.0, 0.0)]]))
    assert where.wanted(plane, (slice(0, 3), slice(0, 40), slice(0, 20))) is True
    assert where.wanted(plane, (slice(0, 3), slice(0, 40), slice(20, 40))) is False
    mask = where.wanted(plane, (slice(1, 3), slice(0, 40), slice(10, 30)))
    assert mask.shape == (2, 40, 20)
    assert mask[:, :, :10].all()
    assert not mask[:, :, 10:].any()


def coarse(data: np.ndarray, level: float, statistics: Statistics) -> np.ndarray:
    """The same, told from the whole plane: data is (c, y, x)."""
    bright = (normalize(data, statistics) >= level).any(axis=0)
    expected = np.zeros(bright.shape, bool)
    for y, x in {(y // 64, x // 64) for y, x in zip(*np.nonzero(bright), strict=True)}:
        expected[max(0, 64 * (y - 1)) : 64 * (y + 2), max(0, 64 * (x - 1)) : 64 * (x + 2)] = True
    return expected


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("most", [2**22, 5000])
def test_darkness_is_that_of_the_whole_plane_and_is_read_once(dtype, most, monkeypatch) -> None:
    monkeypatch.setattr(_background, "_MOST", most)
    rng = np.random.default_rng(0)
    data = rng.integers(0, 40, (2, 400, 333)).astype(dtype)
    for c, y, x in [(0, 70, 80), (1, 399, 332), (0, 255, 200)]:
        data[c, y, x] = 100
    if dtype == "f4":
        data[0, :9, :9] = np.nan
        data[1, 300:310, 20] = np.inf
    statistics = Statistics((0.0, 10.0), (100.0, 110.0))

    class Read:
        shape, dtype, pixels = data.shape, data.dtype, 0

        def __getitem__(self, index: object) -> np.ndarray:
            block = data[index]
            Read.pixels += block[0].size
            return block

    (plane,) = as_image(Read(), "cyx").planes(2)
    expected = coarse(data, 0.8, statistics)
    assert 0.1 < expected.mean() < 0.9
    dark = Background(0.8, statistics)
    for y in range(0, 400, 90):
        for x in range(0, 333, 111):
            window = slice(y, min(y + 90, 400)), slice(x, x + 111)
            np.testing.assert_array_equal(dark.mask(plane, window), expected[window])
    seen = Read.pixels
    np.testing.assert_array_equal(dark.mask(plane, (slice(0, 400), slice(0, 333))), expected)
    assert Read.pixels == seen


@pytest.mark.parametrize("shape", [(320, 513), (67, 66), (128, 1)])
@pytest.mark.parametrize("most", [2**22, 3000])
def test_darkness_is_told_from_the_version_that_the_network_sees(shape, most, monkeypatch) -> None:
    monkeypatch.setattr(_background, "_MOST", most)
    full = np.zeros(shape, np.uint8)
    full[shape[0] // 2, shape[1] // 2] = 200
    small = np.zeros((shape[0] // 4, max(1, shape[1] // 4)), np.uint8)
    small[-1, -1] = 200
    image = as_image(full, "yx", levels=(small,))
    (plane,) = image.planes(2)
    if image.levels:
        found = Background(0.5, Statistics((0.0,), (255.0,)), (0.2, 0.2)).mask(plane, tuple(slice(0, n) for n in shape))
        enlarged = small.repeat(4, axis=0).repeat(4, axis=1)
        enlarged = np.pad(
            enlarged, [(0, max(0, n - m)) for n, m in zip(shape, enlarged.shape, strict=True)], mode="edge"
        )
        expected = coarse(enlarged[None, : shape[0], : shape[1]], 0.5, Statistics((0.0,), (255.0,)))
        np.testing.assert_array_equal(found, expected)
    fine = Background(0.5, Statistics((0.0,), (255.0,)), (0.9, 0.9)).mask(plane, tuple(slice(0, n) for n in shape))
    np.testing.assert_array_equal(fine, coarse(full[None], 0.5, Statistics((0.0,), (255.0,))))


def test_darkness_of_volumes_is_a_plane_thick() -> None:
    data = np.zeros((7, 200, 200), np.uint8)
    data[3, 100, 100] = 255
    (plane,) = as_image(data, "zyx").planes(3)
    found = Background(0.5, Statistics((0.0,), (255.0,))).mask(plane, (slice(0, 7), slice(0, 200), slice(0, 200)))
    expected = np.zeros(data.shape, bool)
    expected[2:5, :192, :192] = True
    np.testing.assert_array_equal(found, expected)


class Watched:
    """An image that says what was read of it."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.read = np.zeros(data.shape, int)

    def __getitem__(self, index: object) -> np.ndarray:
        self.read[index] += 1
        return self.data[index]


def test_a_tile_outside_is_neither_read_nor_predicted_and_batches_stay_full() -> None:
    data = np.random.default_rng(1).random((96, 96))
    image = Watched(data)
    where = Where(Polygons([[(35.0, 5.0), (35.0, 90.0), (60.0, 90.0), (60.0, 5.0)]]))
    batches: list[int] = []

    def predict(batch: np.ndarray) -> np.ndarray:
        batches.append(len(batch))
        return batch

    tiling = TilingSpec(tile=16, batch=3, workers=1)
    how = Plan((1.0, 1.0), UNIT, 2, 2, tiling=tiling, where=where)
    labels, _ = finish(segment_planes(as_image(image), how, predict, lambda s: (s[0] > 99).astype(np.int32)))
    assert labels[35:61, 5:91].any()
    labels[35:61, 5:91] = 0
    assert not labels.any()
    assert not image.read[:30].any()
    assert not image.read[66:].any()
    assert image.read[35:61].all()
    assert sum(batches) == 12
    assert max(batches) == 3
    assert len(batches) <= 6
