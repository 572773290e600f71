"""What images of the same places are called, and where they lie."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.place import GeoReference
from napari_unet.core.sequences import check_sequences, name_sequences, shared_place


@pytest.mark.parametrize(
    ("names", "case", "channels"),
    [
        (["T1", "FLAIR"], "", ("T1", "FLAIR")),
        (["BraTS_001_t1", "BraTS_001_t1ce"], "BraTS_001", ("t1", "t1ce")),
        (["a_T1_reg", "a_T2_reg"], "a", ("T1", "T2")),
        (["CASE_0000", "CASE_0001"], "CASE", ("channel 0000", "channel 0001")),
        (["sub", "sub_flair"], "", ("sub", "sub_flair")),
        (["img", "img"], "img", ()),
    ],
)
def test_channels_are_called_what_differs_between_the_names(names, case, channels):
    assert name_sequences(names) == (case, channels)


def image(name, **more):
    return Image(np.zeros((8, 9)), "yx", name=name, **more)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"units": ("millimeter", "millimeter")}, "its pixels are 1 x 1 mm large, not 1 x 1 pixel"),
        ({"scale": (1.0, 1.1)}, "its pixels are 1 x 1.1 pixel large"),
        ({"geo": GeoReference((1, 0, 5, 0, -1, 5))}, "one of them does not say where it lies on Earth"),
    ],
)
def test_what_differs_is_said(more, words):
    with pytest.raises(ImageError, match="'b' does not lie on the grid of 'a'") as error:
        check_sequences([image("a"), image("b", **more)])
    assert words in str(error.value)


def test_rasters_compare_their_places():
    here, there = GeoReference((1, 0, 5, 0, -1, 5), title="EPSG:1"), GeoReference((1, 0, 6, 0, -1, 5), title="EPSG:1")
    check_sequences([image("a", geo=here), image("b", geo=here)])
    with pytest.raises(ImageError, match=r"it lies at \(1, 0, 6, .* in EPSG:1, not at \(1, 0, 5"):
        check_sequences([image("a", geo=here), image("b", geo=there)])
    assert [band.name for band in shared_place([image("a", geo=here)] * 2, ["red", "nir"])["geo"].bands] == [
        "red",
        "nir",
    ]


def test_names_of_channels_go_where_there_are_not_as_many():
    assert Image(np.zeros((2, 8, 9)), "cyx", channel_names=("T1", "FLAIR")).channel_names == ("T1", "FLAIR")
    assert Image(np.zeros((3, 8, 9)), "cyx", channel_names=("T1", "FLAIR")).channel_names == ()
    assert image("a", files=("x", "y")).origin == ("x", "y")
