"""Where an image has nothing to be seen, nothing is found, and what lies beside it does not depend on tiles."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet import segment
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError


class Stored:
    """An array in chunks, as a file would have it."""

    def __init__(self, data, edge=32):
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.chunks = (edge,) * data.ndim

    def __getitem__(self, index):
        return self.data[index]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.data, dtype)


@pytest.fixture
def holed(disks):
    picture = (disks[0] // 20).astype(np.uint8)
    valid = np.ones(picture.shape, bool)
    valid[:20], valid[40:60, 50:70] = False, False
    picture[~valid] = 255  # what fills a hole is bright, and must not count
    return picture, valid


@pytest.mark.parametrize("stored", [False, True])
def test_nothing_is_found_in_holes_and_tiles_change_nothing(bright, holed, stored):
    picture, valid = holed
    data, mask = (Stored(picture), Stored(valid)) if stored else (picture, valid)
    image = Image(data, "yx", valid=(mask,))
    found = [segment(image, model=str(bright), diameter=12, tiling={"tile": tile}) for tile in (16, 64, 512)]
    labels = np.asarray(found[0].labels.data)
    assert found[0].objects > 10
    assert not labels[~valid].any()
    assert found[0].manifest["not_a_number"] == np.count_nonzero(~valid)
    assert len({each.hash for each in found}) == 1
    # The same as if the file had said so itself.
    floats = np.where(valid, picture.astype(np.float32), np.nan)
    assert segment(Image(floats, "yx"), model=str(bright), diameter=12).hash == found[0].hash


def test_a_hole_that_is_the_whole_image_is_empty(bright, holed):
    picture, valid = holed
    found = segment(Image(picture, "yx", valid=(np.zeros_like(valid),)), model=str(bright), tiling={"tile": 32})
    assert found.objects == 0
    assert not np.asarray(found.labels.data).any()


def test_holes_of_coarser_levels(holed):
    picture, valid = holed
    own = np.ones((48, 56), bool)
    own[5, 5] = False
    for masks, expected in (((valid,), valid[::2, ::2]), ((valid, own), own)):
        image = Image(picture, "yx", levels=(picture[::2, ::2],), valid=masks)
        seen = image.planes(2)[0].read((slice(0, 48), slice(0, 56)), 1)
        np.testing.assert_array_equal(np.isfinite(seen[0]), expected)


def test_numbers_beside_holes_are_exact():
    values = np.array([[2**24 + 1, 2**31 - 1], [-5, 0]], np.int32)
    image = Image(values, "yx", valid=(np.array([[True, True], [True, False]]),))
    seen = image.planes(2)[0].read((slice(0, 2), slice(0, 2)))[0]
    assert seen[0, 0] == 2**24 + 1
    assert seen[0, 1] == 2**31 - 1
    assert np.isnan(seen[1, 1])


def test_holes_that_cannot_be_read_are_named():
    class Broken:
        shape = (4, 4)

        def __getitem__(self, index):
            raise OSError("the disk is gone")

    image = Image(np.zeros((4, 4)), "yx", name="tile", valid=(Broken(),))
    with pytest.raises(ImageError, match=r"'tile'.*the disk is gone"):
        image.planes(2)[0].read((slice(0, 4), slice(0, 4)))
