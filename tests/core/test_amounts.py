"""Areas and volumes as people write them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.amounts import UNITS, amount_words, count_pixels, count_pixels_of
from napari_unet.core.axes import Image
from napari_unet.core.errors import SpecError

VOXEL = (3.0, 0.5, 0.5), ("mm",) * 3
PIXEL = (0.5, 0.5), ("meter",) * 2


@pytest.mark.parametrize(
    ("value", "unit", "ndim", "words"),
    [
        (12_345, "millimeter", 3, "12.3 ml"),
        (12.3, "mm", 3, "12.3 mm³"),
        (0.25, "um", 2, "0.25 µm²"),
        (250, "m", 2, "250 m²"),
        (2.5e6, "meter", 2, "2.5 km²"),
        (7, "pixel", 2, ""),
    ],
)
def test_a_readable_unit_is_chosen(value, unit, ndim, words):
    assert amount_words(value, (unit,) * ndim) == words


@pytest.mark.parametrize(
    ("text", "place", "pixels"),
    [
        ("30", VOXEL, 30), ("30 voxels", VOXEL, 30), ("7.5 mm3", VOXEL, 10), ("7,5mm^3", VOXEL, 10),
        ("0.75 ml", VOXEL, 1000), ("20 m²", PIXEL, 80), ("1 ha", PIXEL, 40_000), ("", VOXEL, None), ("  ", PIXEL, None),
    ],
)  # fmt: skip
def test_sizes_are_counted_in_pixels(text, place, pixels):
    found = count_pixels(text, *place)
    assert found == (None if pixels is None else pytest.approx(pixels))


@pytest.mark.parametrize(("text", "place"), [("5 mm", VOXEL), ("5 m2", VOXEL), ("5 ml", PIXEL), ("many", PIXEL)])
def test_what_is_no_size_is_named_with_what_is_known(text, place):
    with pytest.raises(SpecError, match=r"is no size.*mm"):
        count_pixels(text, *place)


def test_a_size_needs_to_know_that_of_pixels():
    with pytest.raises(SpecError, match="pixels of unknown size"):
        count_pixels("5 mm3", (1.0,) * 3, ("pixel",) * 3)


def test_a_stack_has_areas_in_planes_and_volumes():
    stack = Image(np.zeros((2, 4, 4)), "zyx", (3.0, 0.5, 0.5), ("mm",) * 3)
    assert count_pixels_of(stack, "7.5 mm3") == pytest.approx(10)
    assert count_pixels_of(stack, "7.5 mm²") == pytest.approx(30)
    assert count_pixels_of(stack, "12") == 12
    assert count_pixels_of(stack, "") is None
    with pytest.raises(SpecError, match="is no size"):
        count_pixels_of(Image(np.zeros((4, 4)), "yx", (0.5, 0.5), ("mm",) * 2), "1 ml")


@given(st.floats(1e-3, 1e6), st.sampled_from([(n, u) for n in (2, 3) for u in UNITS[n]]), st.floats(0.01, 100))
def test_words_are_read_back(number, kind, side):
    ndim, unit = kind
    sides, units = (side,) * ndim, ("mm",) * ndim
    pixels = count_pixels(f"{number:.9f} {unit}", sides, units)
    words = amount_words(pixels * side**ndim, units)
    again = count_pixels(words, sides, units)
    assert math.isclose(again, pixels, rel_tol=6e-3) or words.startswith("0")
