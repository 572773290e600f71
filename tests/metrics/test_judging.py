"""Labels that are compared as images: with their axes, time point by time point."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_unet.core.axes import Image
from napari_unet.metrics._judging import conclude, judge

FRAMES = np.zeros((3, 20, 24), np.int32)
for number, (y, x) in enumerate([(1, 2), (9, 3), (2, 14), (12, 13)], 1):
    for t in range(3):
        FRAMES[t, y + t : y + t + 5, x : x + 6 + t] = number  # numbers begin again in every frame
UNIQUE = np.where(FRAMES > 0, FRAMES + 10 * np.arange(3)[:, None, None], 0).astype(np.int32)


def scored(truth, found):
    return conclude(("matching",), [judge(truth, found, ("matching",), {})])


@pytest.mark.parametrize("axes", [("tyx", "tyx"), ("tyx", "zyx"), ("zyx", "tyx"), ("tyx", None), (None, "tyx")])
def test_objects_of_different_times_are_different_ones(axes):
    truth, found = (
        data if letters is None else Image(data, letters) for data, letters in zip((FRAMES, UNIQUE), axes, strict=True)
    )
    assert scored(truth, found)["AP50"] == 1.0
    assert scored(truth, found)["mAP"] == 1.0


def test_each_time_point_adds_its_objects():
    found = UNIQUE.copy()
    found[1][found[1] == 11 + 1] = 0  # one of twelve is missed
    found[2, 18:, :2] = 99  # and one invented
    for kind in (
        np.asarray,
        lambda data: da.from_array(data, chunks=(2, 8, 8)),
        lambda data: zarr.array(data, chunks=(2, 8, 8)),
    ):
        scores = scored(Image(kind(FRAMES), "tyx"), Image(kind(found), "tyx"))
        assert scores["AP50"] == pytest.approx(11 / 13)
        assert scores["recall_50"] == pytest.approx(11 / 12)
        assert scores["precision_50"] == pytest.approx(11 / 12)


def test_time_may_be_any_axis():
    truth, found = (Image(data.transpose(1, 0, 2), "ytx") for data in (FRAMES, UNIQUE))
    assert scored(truth, found)["mAP"] == 1.0


def test_without_time_all_pixels_of_a_number_are_one_object():
    assert scored(Image(FRAMES, "zyx"), Image(UNIQUE, "zyx"))["AP50"] == 0.0
    assert scored(FRAMES, FRAMES)["AP50"] == 1.0


def test_the_order_of_axes_makes_no_difference():
    square = FRAMES[0, :20, :20]
    assert scored(Image(square, "yx"), Image(square.T, "xy"))["mAP"] == 1.0
