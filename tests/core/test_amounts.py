"""Areas and volumes as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.amounts import UNITS, amount_words, count_pixels, countable, smallest_of
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
    with pytest.raises(SpecError, match=r"is no (area|volume).*mm"):
        count_pixels(text, *place)


def test_a_size_needs_to_know_that_of_pixels():
    with pytest.raises(SpecError, match="pixels of unknown size"):
        count_pixels("5 mm3", (1.0,) * 3, ("pixel",) * 3)


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("7.5 mm3", (10, 10)), ("core = 7.5 mm3, whole=0,75 ml", (1000, 10)), ("2=3", (0, 3)),
        ("whole=0,5;2=4", (0.5, 4)),
        ("core=7.5mm^3", (0, 10)),
    ],
)  # fmt: skip
def test_sizes_are_said_class_by_class(text, pixels):
    assert smallest_of(text, ("whole", "core"), *VOXEL) == pytest.approx(pixels)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("edge=3", "no class 'edge'.*whole, core"), ("core=3, core=4", "twice"), ("core=3 mm2", "is no volume"),
        ("core=", "is no size"), ("=3", "is no size"), ("core=much", "is no size"), ("3, core=4", "twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_them_is_said(text, words):
    with pytest.raises(SpecError, match=words):
        smallest_of(text, ("whole", "core"), *VOXEL)


@given(st.floats(1e-3, 1e6), st.sampled_from([(n, u) for n in (2, 3) for u in UNITS[n]]), st.floats(0.01, 100))
def test_words_are_read_back(number, kind, side):
    ndim, unit = kind
    sides, units = (side,) * ndim, ("mm",) * ndim
    pixels = count_pixels(f"{number:.9f} {unit}", sides, units)
    words = amount_words(pixels * side**ndim, units)
    again = count_pixels(words, sides, units)
    assert math.isclose(again, pixels, rel_tol=6e-3) or words.startswith("0")


@pytest.mark.parametrize("text", ["0.5 ml", "whole=1 ml, core=30"])
def test_sizes_with_a_unit_need_pixels_with_one(text: str) -> None:
    assert countable(text, ("millimeter",) * 3)
    assert not countable(text, ("pixel",) * 3)


@pytest.mark.parametrize("text", ["30", "whole=largest, core=30 px"])
def test_pixels_can_always_be_counted(text: str) -> None:
    assert countable(text, ("pixel",) * 3)
