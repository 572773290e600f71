"""Pictures in colors, given to models of one or three channels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import as_image
from napari_unet.core.errors import ImageError
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import finish
from napari_unet.models._pictures import picture_channels
from napari_unet.models.segment import segment_image
from napari_unet.models.zoo import load_model

GRAY = np.random.default_rng(0).integers(0, 255, (90, 110), np.uint8)
SAME = np.stack([GRAY] * 3, -1)
OPAQUE = np.dstack([SAME, np.full_like(GRAY, 255)])
COLORED = np.dstack([GRAY, GRAY, 255 - GRAY])


def test_gray_saved_in_colors_is_gray():
    assert picture_channels(as_image(SAME, "yxc"), 1) == (0,)
    assert picture_channels(as_image(OPAQUE, "yxc"), 1) == (0,)
    assert picture_channels(as_image(COLORED, "yxc"), 1) is None
    assert picture_channels(as_image(SAME.astype(np.uint16), "yxc"), 1) is None
    assert picture_channels(as_image(GRAY, "yx"), 1) is None


def test_a_spot_of_color_is_seen():
    marked = SAME.copy()
    marked[50, 60] = 255, 255, 0
    assert picture_channels(as_image(marked, "yxc"), 1) is None


def test_transparency_is_no_color():
    assert picture_channels(as_image(OPAQUE, "yxc"), 3) == (0, 1, 2)
    assert picture_channels(as_image(SAME, "yxc"), 3) is None
    assert picture_channels(as_image(OPAQUE, "yxc"), 4) is None


def test_of_four_stains_none_is_transparency():
    stains = as_image(np.stack([GRAY] * 4).astype(np.uint16), "cyx")
    assert picture_channels(stains, 3) is None
    with pytest.raises(ImageError, match="takes one gray channel or three of color, but 'image' has 4 channels, which"):
        finish(segment_image(stains, SegmentSpec(), load_model("nuclei", "cpu"), preview=False))


def test_neither_gray_nor_colors_says_how_to_choose():
    model = load_model("nuclei", "cpu")
    two = as_image(np.stack([GRAY] * 2), "cyx")
    words = (
        r"one gray channel or three of color, but 'image' has 2 channels, .* --channels 0 on .* 'Channels' \(Advanced\)"
    )
    with pytest.raises(ImageError, match=words):
        finish(segment_image(two, SegmentSpec(), model, preview=False))
    named = as_image(np.stack([GRAY] * 4), "cyx", channel_names=("DAPI", "b", "actin", "d"))
    words = r"'image' is to be seen with 2 of its channels \(DAPI, b, actin, d\)\. .* --channels 'DAPI' on"
    with pytest.raises(ImageError, match=words):
        finish(segment_image(named, SegmentSpec(channels=("b", "d")), model, preview=False))


def test_gray_pictures_give_the_labels_of_their_gray():
    spec = SegmentSpec.of(model="breast-ultrasound", diameter=None)
    model = load_model("breast-ultrasound", "cpu")
    found = [
        np.asarray(finish(segment_image(as_image(pixels, axes), spec, model, preview=False)).labels.data)
        for pixels, axes in ((GRAY, "yx"), (SAME, "yxc"), (OPAQUE, "yxc"))
    ]
    assert found[0].any()
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])
    with pytest.raises(ImageError, match="takes 1 channel"):
        finish(segment_image(as_image(COLORED, "yxc"), spec, model, preview=False))


def test_stains_with_names_are_no_colors():
    model, named = (
        load_model("nuclei", "cpu"),
        as_image(np.stack([GRAY] * 3), "cyx", channel_names=("DAPI", "b", "actin")),
    )
    with pytest.raises(ImageError, match=r"channels DAPI, b, actin, .* Choose the one .* --channels 'DAPI'"):
        finish(segment_image(named, SegmentSpec(), model, preview=False))
    chosen = finish(segment_image(named, SegmentSpec(channels=("DAPI",)), model, preview=False))
    alone = finish(segment_image(as_image(GRAY, "yx"), SegmentSpec(), model, preview=False))
    np.testing.assert_array_equal(np.asarray(chosen.labels.data), np.asarray(alone.labels.data))
    plain = as_image(np.stack([GRAY] * 3), "cyx", channel_names=("red", "green", "blue"))
    finish(segment_image(plain, SegmentSpec(), model, preview=False))
