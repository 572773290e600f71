"""How labels become polygons, and what comes of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ._spec import Spec

__all__ = ["PolygonSpec"]


class PolygonSpec(Spec):
    """Settings of polygons; the same for the command line and Python.

    Attributes
    ----------
    simplify : float
        How much detail is left out, pixels: corners whose triangle with their neighbors is smaller than a square of
        this edge (Visvalingam and Whyatt 1993). Borders that objects share stay shared, without gaps or overlaps.
        0: the exact outlines of pixels.
    right_angles : bool
        Give every polygon right angles, as buildings have. Neighbors may then overlap a little.
    min_area : float
        Leave out what is smaller, square meters; pixels where the image has no place.
    holes : {"keep", "fill"}
        What to do with holes in objects. Filled, an object covers those that lie in its holes.
    each : {"object", "part"}
        What becomes one polygon: everything with the same number, or each of its parts, as is useful for classes. Parts
        are what is connected by sides of pixels.
    """

    simplify: float = Field(0.0, ge=0, le=100)
    right_angles: bool = False
    min_area: float = Field(0.0, ge=0)
    holes: Literal["keep", "fill"] = "keep"
    each: Literal["object", "part"] = "object"
