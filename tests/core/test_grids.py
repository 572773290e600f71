"""At what size a network sees an image."""

from __future__ import annotations

import math

import pytest

from napari_unet.core.errors import SpecError
from napari_unet.core.grids import GridSpec
from napari_unet.core.lengths import millimeters


@pytest.mark.parametrize(
    ("unit", "size"),
    [("mm", 1), ("millimeter", 1), ("Micrometers", 1e-3), ("µm", 1e-3), ("\u03bcm", 1e-3), ("m", 1e3), ("nm", 1e-6)],
)
def test_units_of_length(unit, size):
    assert millimeters(unit) == pytest.approx(size)


@pytest.mark.parametrize("unit", ["pixel", "", "degree", "s", "second"])
def test_what_is_no_length(unit):
    assert math.isnan(millimeters(unit))


def test_a_spacing_decides_in_any_unit():
    grid = GridSpec(kind="spacing", spacing=(3.0, 1.0, 1.0), unit="mm")
    assert grid.factor((3.0, 1.0, 1.0), ("mm",) * 3) == pytest.approx((1, 1, 1))
    assert grid.factor((6000.0, 500.0, 500.0), ("um",) * 3) == pytest.approx((2, 0.5, 0.5))
    assert grid.factor((1.0, 1.0, 1.0), ("pixel",) * 3) is None
    assert grid.factor((1.0, 1.0), ("mm",) * 2) is None


def test_pixels_stay_as_they_are_and_objects_decide_elsewhere():
    assert GridSpec(kind="pixels").factor((3.0, 0.1), ("mm", "mm")) == (1.0, 1.0)
    assert GridSpec().factor((3.0, 0.1), ("mm", "mm")) is None
    assert GridSpec().sized


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kind": "pixels", "spacing": (1.0,)}, "no meaning"),
        ({"kind": "spacing", "spacing": (0.0,)}, "spacing above 0"),
        ({"unit": "furlong"}, "unit of length"),
    ],
)
def test_what_is_no_grid(wrong, says):
    with pytest.raises(SpecError, match=says):
        GridSpec.of(**wrong)


def test_pixels_may_be_seen_larger_or_smaller():
    assert GridSpec(kind="pixels", zoom=0.5).factor((1.0, 1.0), ("pixel", "pixel")) == (0.5, 0.5)
    with pytest.raises(SpecError, match="zoom"):
        GridSpec.of(kind="spacing", zoom=0.5)


def test_what_is_done_with_the_spacing_is_said():
    grid = GridSpec(kind="spacing", spacing=(1.0, 1.0, 1.0), unit="mm")
    assert grid.words((3.3, 0.977, 0.977), ("millimeter",) * 3) == (
        "Images are brought to pixels of 1 x 1 x 1 mm; this layer has 3.3 x 0.977 x 0.977 mm."
    )
    assert "knows no spacing: its pixels are taken as they are" in grid.words((1.0,) * 3, ("pixel",) * 3)
    assert "as they are" in GridSpec(kind="pixels").words((1.0, 1.0), ("m", "m"))
    assert GridSpec().words((1.0, 1.0), ("um", "um")) == ""
