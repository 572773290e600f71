"""Channels by number and by name."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.bands import MISSING, band_names, channel_suffixes, choose_bands, told_names
from napari_unet.core.errors import ImageError
from napari_unet.core.place import Band, GeoReference


def raster(*names):
    geo = GeoReference(bands=tuple(map(Band, names)))
    return Image(np.zeros((len(names), 4, 5), np.uint16), "cyx", name="tile", geo=geo)


def test_names_are_those_of_the_image():
    assert band_names(raster("red", "nir")) == ("red", "nir")
    assert band_names(raster("", "")) == ()
    assert band_names(Image(np.zeros((4, 5)), "yx")) == ()


def test_columns_bear_the_names_of_channels_or_their_numbers():
    two = Image(np.zeros((2, 4, 5)), "cyx", channel_names=("T1", "post_T1"))
    assert channel_suffixes(two) == ("_T1", "_post_T1")
    assert channel_suffixes(raster("red", "nir")) == ("_red", "_nir")
    assert channel_suffixes(Image(np.zeros((4, 5)), "yx")) == ("",)
    assert channel_suffixes(Image(np.zeros((1, 4, 5)), "cyx")) == ("_c0",)
    for names in (("", ""), ("red", ""), ("red", "red")):  # no two columns may have one name
        assert channel_suffixes(raster(*names)) == ("_c0", "_c1")


def test_bands_are_chosen_by_number_and_by_name_in_any_case():
    image = raster("blue", "green", "Red", "NIR")
    assert choose_bands(image, None) is None
    assert choose_bands(image, (2, 0)) == (2, 0)
    assert choose_bands(image, ("red", "nir", "0", "none")) == (2, 3, 0, MISSING)
    with pytest.raises(ImageError, match=r"'tile' has no band named swir.*0 blue, 1 green, 2 Red, 3 NIR"):
        choose_bands(image, ("red", "swir"))
    with pytest.raises(ImageError, match="names no bands"):
        choose_bands(Image(np.zeros((4, 5)), "yx"), ("red",))


def test_a_model_that_knows_names_finds_its_bands():
    known = ("red", "green", "blue")
    assert choose_bands(raster("blue", "green", "red", "nir"), None, known) == (2, 1, 0)
    assert choose_bands(raster("B4", "B3", "B2"), None, known) is None  # other words, as many bands
    assert choose_bands(Image(np.zeros((3, 4, 5)), "cyx"), None, known) is None
    with pytest.raises(ImageError, match=r"lacks bands that the model has learned from: 'green', 'blue'"):
        choose_bands(raster("red", "nir", "swir"), None, known)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["DAPI", " actin  2 "], ("DAPI", "actin 2")),
        (["488", "561"], ("488", "561")),
        (["Ch1-T1", "Ch2-T2"], ("Ch1-T1", "Ch2-T2")),
        (["Channel:0:0", "Channel:0:1"], ()),
        (["C1", "C2"], ()),
        (["channel_0", "channel_1"], ()),
        (["Red", "Green", "Blue"], ()),
        (["DAPI", "dapi"], ()),
        (["DAPI", ""], ()),
        ([], ()),
    ],
)
def test_names_of_a_microscope_that_say_something(names: list[str], told: tuple[str, ...]) -> None:
    assert told_names(names) == told
