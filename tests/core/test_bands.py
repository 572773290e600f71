"""Channels by number and by name."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.bands import MISSING, band_names, choose_bands
from napari_unet.core.errors import ImageError
from napari_unet.core.place import Band, GeoReference


def raster(*names):
    geo = GeoReference(bands=tuple(map(Band, names)))
    return Image(np.zeros((len(names), 4, 5), np.uint16), "cyx", name="tile", geo=geo)


def test_names_are_those_of_the_image():
    assert band_names(raster("red", "nir")) == ("red", "nir")
    assert band_names(raster("", "")) == ()
    assert band_names(Image(np.zeros((4, 5)), "yx")) == ()


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
