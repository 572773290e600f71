"""Overlays show the image and outline its objects."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, OutputError
from napari_unet.io.overlay import write_overlay

YELLOW = (255, 217, 0)


def square(shape=(20, 30)):
    labels = np.zeros(shape, np.int32)
    labels[..., 5:15, 8:18] = 3
    return labels


def written(tmp_path, data, axes, labels, label_axes="yx"):
    write_overlay(tmp_path / "a.png", Image(data, axes), Image(labels, label_axes))
    return np.asarray(PIL.Image.open(tmp_path / "a.png"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64, bool])
def test_gray_is_stretched(tmp_path, dtype):
    labels = square()
    picture = written(tmp_path, (labels > 0).astype(dtype), "yx", labels)
    assert picture.shape == (20, 30, 3)
    assert tuple(picture[5, 8]) == tuple(picture[14, 12]) == YELLOW
    assert tuple(picture[10, 12]) == (255, 255, 255)
    assert tuple(picture[4, 8]) == (0, 0, 0)
    assert (picture == YELLOW).all(-1).sum() == 36


def test_color_is_kept(tmp_path):
    labels = square()
    color = np.random.default_rng(0).integers(0, 255, (20, 30, 4), np.uint8)
    picture = written(tmp_path, color, "yxc", labels)
    np.testing.assert_array_equal(picture[labels == 0], color[..., :3][labels == 0])


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_channels_become_colors(tmp_path, channels):
    data = np.random.default_rng(0).normal(size=(channels, 20, 30))
    assert written(tmp_path, data, "cyx", square()).shape == (20, 30, 3)


def test_the_middle_of_a_stack(tmp_path):
    labels = np.zeros((5, 3, 20, 30), np.int32)
    labels[2, 1] = square()
    picture = written(tmp_path, (labels > 0).astype(np.uint16), "tzyx", labels, "tzyx")
    assert (picture == YELLOW).all(-1).sum() == 36


def test_large_planes_are_thinned_out(tmp_path):
    picture = written(tmp_path, np.zeros((10, 5000), np.uint8), "yx", np.zeros((10, 5000), np.int32))
    assert picture.shape == (4, 1667, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308, 0])
def test_strange_values(tmp_path, value):
    data = np.full((20, 30), value, np.float64)
    data[0, 0] = -1e308
    assert written(tmp_path, data, "yx", square()).shape == (20, 30, 3)


def test_labels_of_another_image(tmp_path):
    with pytest.raises(ImageError, match="Choose labels of this image"):
        written(tmp_path, np.zeros((20, 31)), "yx", square())
    with pytest.raises(OutputError):
        written(tmp_path / "none", np.zeros((20, 30)), "yx", square())
    assert not list(tmp_path.iterdir())
