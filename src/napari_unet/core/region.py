"""Areas of an image as polygons, and as the short text that stands for them on a command line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Final

from .errors import SpecError

__all__ = ["AREAS", "Polygon", "Region", "joined", "outline", "parse_region", "region_text"]

Polygon = tuple[tuple[float, float], ...]
Region = tuple[Polygon, ...]
AREAS: Final = ("rectangle", "ellipse", "polygon")
_DECIMALS: Final = 3
_BULGE: Final = 0.05  # pixels that an ellipse may lie outside of the polygon that stands for it
_MOST_CORNERS: Final = 1000
_WRITTEN: Final = re.compile(r"[\d.,;eE+\-\s]+")


def outline(kind: str, corners: Sequence[Sequence[float]]) -> Polygon:
    """Turn a shape, as napari stores it, into a polygon.

    Parameters
    ----------
    kind : {"rectangle", "ellipse", "polygon"}
        An ellipse is given by the corners of the box around it, one after the other.
    corners : sequence of (float, float)
        ``(y, x)`` in pixels.

    Returns
    -------
    tuple of (float, float)
        Vertices, rounded to thousandths of a pixel.

    Raises
    ------
    SpecError
        If the shape has no inside.
    """
    if kind not in AREAS or len(corners) < 3 or (kind == "ellipse" and len(corners) != 4):
        raise SpecError(
            f"A {kind} of {len(corners)} points has no inside to look at. Draw rectangles, ellipses and polygons only, "
            "and remove other shapes."
        )
    points = [(float(y), float(x)) for y, x in corners]
    if not all(map(math.isfinite, (value for point in points for value in point))):
        raise SpecError(f"A {kind} has corners that are not numbers. Draw it again.")
    if kind == "ellipse":
        points = _ellipse(points)
    return tuple((round(y, _DECIMALS), round(x, _DECIMALS)) for y, x in points)


def _ellipse(box: list[tuple[float, float]]) -> list[tuple[float, float]]:
    middle = [sum(values) / 4 for values in zip(*box, strict=True)]
    first, second = ([(b - a) / 2 for a, b in zip(box[i], box[i + 1], strict=True)] for i in (0, 1))
    radius = max(math.hypot(*first), math.hypot(*second), 1.0)
    count = min(max(16, math.ceil(math.pi * math.sqrt(radius / (2 * _BULGE)))), _MOST_CORNERS)
    turns = [2 * math.pi * i / count for i in range(count)]
    return [
        (
            middle[0] + math.cos(turn) * first[0] + math.sin(turn) * second[0],
            middle[1] + math.cos(turn) * first[1] + math.sin(turn) * second[1],
        )
        for turn in turns
    ]


def joined(rings: Sequence[Sequence[Sequence[float]]]) -> Polygon:
    """Return one outline that goes around an area, to each of its holes and other parts, around that and back.

    Parameters
    ----------
    rings : sequence of sequence of (float, float)
        Outlines, x before y; what lies in an odd number of them is inside.

    Returns
    -------
    tuple of (float, float)
        Vertices ``(y, x)``.
    """
    closed = [[(float(y), float(x)) for x, y, *_ in ring] for ring in rings]
    start = closed[0][0]
    path = closed[0]
    for hole in closed[1:]:
        path = [*path, start, *hole, hole[0]]
    return tuple(path if len(closed) == 1 else [*path, start])


def region_text(region: Iterable[Polygon]) -> str:
    """Write a region in one line: ``y,x`` of each vertex, spaces between them, semicolons between polygons.

    Parameters
    ----------
    region : iterable of polygons
        In pixels.

    Returns
    -------
    str
        :func:`parse_region` reads the same numbers from it.
    """
    return "; ".join(" ".join(f"{_short(y)},{_short(x)}" for y, x in polygon) for polygon in region)


def _short(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def parse_region(text: str) -> Region | None:
    """Read the text of :func:`region_text`.

    Parameters
    ----------
    text : str
        Such as ``"0,0 0,99 49,99"``.

    Returns
    -------
    tuple of polygons or None
        None if the text is something else, such as the name of a file.

    Raises
    ------
    SpecError
        If it consists of numbers that are not pairs.
    """
    if not _WRITTEN.fullmatch(text):
        return None
    try:
        return tuple(tuple(_vertex(word) for word in part.split()) for part in text.split(";") if part.strip())
    except ValueError as error:
        raise SpecError(
            f"'{text[:80]}' is no region. Write vertices as y,x with spaces between them, and a semicolon between "
            "areas: '0,0 0,99 49,99; 60,60 60,90 90,90'. Or give the name of a file."
        ) from error


def _vertex(word: str) -> tuple[float, float]:
    y, x = word.split(",")
    return float(y), float(x)
