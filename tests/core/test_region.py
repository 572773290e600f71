"""Areas: shapes as polygons, and as the text of a command line."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.errors import SpecError
from napari_unet.core.region import outline, parse_region, region_text
from napari_unet.core.specs import SegmentSpec

FLOATS = st.floats(-1e6, 1e6, allow_nan=False)
POLYGONS = st.lists(st.tuples(FLOATS, FLOATS), min_size=3, max_size=5).map(tuple)


@given(st.lists(POLYGONS, min_size=1, max_size=3).map(tuple))
def test_text_holds_the_same_numbers(region):
    text = region_text(region)
    assert parse_region(text) == region
    assert SegmentSpec.of(region=parse_region(text)).region == region


def test_text_is_short():
    assert region_text((((0.0, 0.0), (0.0, 99.5), (49.0, 99.0)), ((1.0, 2.0),))) == "0,0 0,99.5 49,99; 1,2"
    assert parse_region(" 0,0  0,9 9,9 ;") == (((0.0, 0.0), (0.0, 9.0), (9.0, 9.0)),)


@pytest.mark.parametrize("text", ["shapes.csv", "a,b", "0,0 0,9; x", ""])
def test_other_text_may_be_a_file(text):
    assert parse_region(text) is None


@pytest.mark.parametrize("text", ["1 2 3", "1,2,3 4,5 6,7", "1,2 3,", "1,2 3,4 --5,6"])
def test_numbers_that_are_no_pairs_are_named(text):
    with pytest.raises(SpecError, match="y,x with spaces"):
        parse_region(text)


@pytest.mark.parametrize(
    "region", [(), (((0, 0), (1, 1)),), (((0, 0), (1, 1), (2, math.nan)),), ((0, 1, 2),), "0,0 1,1"]
)
def test_what_is_no_region_is_refused(region):
    with pytest.raises(SpecError, match="region"):
        SegmentSpec.of(region=region)


def test_lists_are_taken_too():
    region = [[[0, 0], [0, 9], [9, 9]]]
    assert SegmentSpec.of(region=region).region == (((0.0, 0.0), (0.0, 9.0), (9.0, 9.0)),)
    spec = SegmentSpec.of(region=np.array(region).tolist())
    assert SegmentSpec.model_validate_json(spec.model_dump_json()) == spec


def test_rectangles_and_polygons_are_their_corners():
    corners = [(1, 2), (1, 8.12345), (5, 8), (5, 2)]
    assert outline("rectangle", corners) == ((1.0, 2.0), (1.0, 8.123), (5.0, 8.0), (5.0, 2.0))
    assert outline("polygon", corners[:3]) == ((1.0, 2.0), (1.0, 8.123), (5.0, 8.0))


@pytest.mark.parametrize(("height", "width"), [(8, 5), (400, 30), (20_000, 10_000)])
@pytest.mark.parametrize("turn", [0.0, 0.7])
def test_an_ellipse_is_round(height, width, turn):
    turned = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    box = np.array([(-height, -width), (-height, width), (height, width), (height, -width)]) / 2 @ turned.T + (100, 50)
    found = (np.array(outline("ellipse", box)) - (100, 50)) @ turned
    np.testing.assert_allclose(np.hypot(found[:, 0] / height, found[:, 1] / width), 0.5, rtol=2e-3)
    middles = (found + np.roll(found, 1, axis=0)) / 2
    assert (0.5 - np.hypot(middles[:, 0] / height, middles[:, 1] / width)).max() * max(height, width) < 0.12


@pytest.mark.parametrize(("kind", "corners"), [("path", 4), ("line", 2), ("polygon", 2), ("ellipse", 3)])
def test_what_has_no_inside_is_refused(kind, corners):
    with pytest.raises(SpecError, match="no inside"):
        outline(kind, [(i, i * i) for i in range(corners)])


def test_corners_that_are_no_numbers_are_refused():
    with pytest.raises(SpecError, match="not numbers"):
        outline("polygon", [(0, 0), (0, 9), (math.nan, 9)])
