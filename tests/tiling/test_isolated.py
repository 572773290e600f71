"""Hot and dead pixels: what is isolated goes, what is not stays, and it does not matter how an image is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import napari_unet
from napari_unet.core.axes import as_image
from napari_unet.core.specs import NormalizeSpec
from napari_unet.metrics.matching import count, scores
from napari_unet.samples.simulated import nuclei
from napari_unet.tiling.isolated import read_steady, steady
from napari_unet.tiling.statistics import Statistics, measure_statistics

Block = npt.NDArray[Any]


def slowly(block: Block, limit: float) -> Block:
    """Pixel by pixel, with Python's own numbers."""
    height, width = block.shape[-2:]
    found = block.copy()
    for *rest, y, x in np.ndindex(block.shape):
        around = {
            (dy, dx): float(block[(*rest, reflected(y + dy, height), reflected(x + dx, width))])
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        }
        own = around.pop((0, 0))
        pairs = [(around[-1, 0], around[1, 0]), (around[0, -1], around[0, 1])]
        if any(own > max(pair) + limit or own < min(pair) - limit for pair in pairs):
            ordered = sorted(around.values())
            found[(*rest, y, x)] = min(max(own, ordered[1] - limit), ordered[-2] + limit)
    return found


def reflected(at: int, size: int) -> int:
    return -at if at < 0 else 2 * (size - 1) - at if at >= size else at


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(st.sampled_from([np.uint8, np.uint16, np.int32]), (2, 7, 6), elements=st.integers(0, 40)),
    st.integers(1, 30),
)
def test_the_same_as_pixel_by_pixel(block: Block, limit: int) -> None:
    expected = np.stack([slowly(channel[None], limit)[0] for channel in block])
    np.testing.assert_array_equal(steady(block, [limit, limit]), expected)
    np.testing.assert_array_equal(steady(block.astype(np.float32), [limit, 0])[1], block[1].astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_windows_fit_together(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    values = data.draw(arrays.arrays(np.uint16, shape, elements=st.integers(0, 1000)))
    plane = as_image(values).planes(2)[0]
    whole = read_steady(plane, (slice(0, shape[0]), slice(0, shape[1])), [200.0])
    np.testing.assert_array_equal(whole, steady(values[None], [200.0]))
    window = tuple(slice(start, data.draw(st.integers(start + 1, n))) for n in shape for start in [
        data.draw(st.integers(0, n - 1))
    ])  # fmt: skip
    np.testing.assert_array_equal(read_steady(plane, window, [200.0]), whole[(slice(None), *window)])


def test_what_goes_and_what_stays() -> None:
    picture = np.full((20, 20), 100, np.uint16)
    picture[3, 3] = 60000  # a hot pixel,
    picture[8, 8] = picture[8, 9] = 60000  # two side by side,
    picture[0, 0] = 60000  # one in the corner,
    picture[12, 4] = 0  # a dead one,
    picture[15:18, 3:6] = 60000  # an object of nine pixels,
    picture[:, 14] = 60000  # a line of one pixel
    found = steady(picture[None], [50.0])[0]
    assert found[3, 3] == found[8, 8] == found[8, 9] == found[0, 0] == 150
    assert found[12, 4] == 50
    assert (found[15:18, 3:6] == 60000).sum() >= 5, "corners of so small a square are a little lower"
    assert (found[:, 14] == 60000).all()
    untouched = picture != found
    assert untouched.sum() <= 5 + 4


def test_a_flat_picture_is_not_copied() -> None:
    picture = np.zeros((1, 30, 30), np.uint8)
    assert steady(picture, [1.0]) is picture
    assert steady(picture, []) is picture
    assert steady(picture > 0, [0.5]).dtype == bool
    assert steady(np.zeros((1, 1, 9), np.uint8), [1.0]).shape == (1, 1, 9)


def test_holes_stay_and_do_no_harm() -> None:
    picture = np.ones((1, 9, 9), np.float32)
    picture[0, 4, 4] = 1000
    picture[0, 4, 5] = picture[0, 3, 3] = np.nan
    picture[0, 7, 7] = np.inf
    found = steady(picture, [0.5])
    np.testing.assert_array_equal(np.isnan(found), np.isnan(picture))
    assert found[0, 4, 4] == found[0, 7, 7] == 1.5
    assert np.nanmax(found) == 1.5


@pytest.mark.parametrize("dtype", ["i1", "i8", "u8", "f8"])
def test_the_ends_of_a_dtype(dtype: str) -> None:
    most = np.finfo(dtype).max if dtype == "f8" else np.iinfo(dtype).max
    picture = np.zeros((1, 9, 9), dtype)
    picture[0, 4, 4] = most
    assert steady(picture, [10.0])[0, 4, 4] == 10
    assert (steady(picture, [float("inf")]) == picture).all()


def test_limits_are_in_the_unit_of_the_image() -> None:
    picture = np.random.default_rng(0).integers(0, 1000, (3, 40, 40))
    planes = as_image(picture, "cyx").planes(2)
    found = measure_statistics(planes, NormalizeSpec(isolated=0.25, joint=False))
    assert found.isolated == tuple(0.25 * (high - low) for low, high in zip(found.low, found.high, strict=True))
    assert Statistics.from_dict(found.to_dict()) == found
    plain = measure_statistics(planes, NormalizeSpec(joint=False))
    assert plain.isolated == ()
    assert plain.to_dict().keys() == {"low", "high"}


def test_nuclei_are_found_in_the_picture_of_a_bad_camera() -> None:
    picture, truth = nuclei((192, 192), count=25, diameter=20.0, seed=3)
    picture = picture.astype(np.uint16)
    rng = np.random.default_rng(0)
    bad = picture.copy()
    bad[rng.random(bad.shape) < 1e-3] = 65535
    bad[rng.random(bad.shape) < 1e-3] = 0
    clean, found = (np.asarray(napari_unet.segment(each, model="nuclei").labels.data) for each in (picture, bad))
    one, other = (scores(count(truth, labels))["AP50"] for labels in (clean, found))
    assert one > 0.8
    assert other > one - 0.05
    tiled = napari_unet.segment(bad, model="nuclei", tiling={"tile": 64, "workers": 2})
    assert (np.asarray(tiled.labels.data) == found).all()
