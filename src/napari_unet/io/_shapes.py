"""Outlines as shapes: simplified without gaps, given right angles, repaired. Needs shapely."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..core.steps import Progress, Steps
from ._outlines import Outlines

__all__ = [
    "as_polygons",
    "gather",
    "middles",
    "moved",
    "pixel_areas",
    "repaired",
    "simplified_steps",
    "squared_steps",
    "without_holes",
]

Shapes = npt.NDArray[np.object_]
Ints = npt.NDArray[np.int64]
_TOGETHER: Final = 500  # shapes that are simplified in one go: the time grows with the square of their number
_STRAIGHT: Final = 1.0  # pixels, by their longer side, that a wall may be off a straight line
_ALIKE: Final = 0.7  # common part of a shape and its version with right angles, of both together


def as_polygons(outlines: Outlines) -> tuple[Shapes, Ints]:
    """Make a polygon of every part of every label.

    Parameters
    ----------
    outlines : Outlines
        Of labels.

    Returns
    -------
    shapes : ndarray of Polygon
        In pixels: x is the column, y the row; with their holes.
    labels : ndarray of int64
        Of each, ascending.
    """
    if not len(outlines.ends):
        return np.zeros(0, object), np.zeros(0, np.int64)
    lengths = np.diff(outlines.ends, prepend=0)
    numbers = np.repeat(np.arange(len(lengths)), lengths)
    rings = shapely.linearrings(outlines.corners[:, ::-1].astype(np.float64), indices=numbers)
    order = np.lexsort((~outlines.outer, outlines.parts))  # an outline, then its holes
    kept, which = np.unique(outlines.parts[order], return_inverse=True)
    return shapely.polygons(rings[order], indices=which), outlines.labels[kept]


def pixel_areas(shapes: Shapes) -> npt.NDArray[np.float64]:
    """Return areas, square units of the shapes."""
    return np.asarray(shapely.area(shapes))


def middles(shapes: Shapes) -> npt.NDArray[np.float64]:
    """Return centroids, shape (n, 2)."""
    return np.asarray(shapely.get_coordinates(shapely.centroid(shapes))).reshape(len(shapes), 2)


def moved(shapes: Shapes, move: Callable[[Any], Any]) -> Shapes:
    """Return shapes whose corners are moved by a function of an array of shape (n, 2)."""
    return np.asarray(shapely.transform(shapes, move), object)


def without_holes(shapes: Shapes) -> Shapes:
    """Return polygons with their holes filled."""
    return np.asarray(shapely.polygons(shapely.get_exterior_ring(shapes)))


def simplified_steps(shapes: Shapes, tolerance: float) -> Steps[Shapes]:
    """Leave corners out, the same ones on both sides of a common border.

    A polygon keeps inside of the box around it. Those whose boxes meet are therefore simplified together, and all
    others need not be.

    Parameters
    ----------
    shapes : ndarray of Polygon
        That do not overlap and have all corners of their common borders in common.
    tolerance : float
        See :class:`~napari_unet.core.polygons.PolygonSpec`.

    Returns
    -------
    ndarray of Polygon
        As many, in the same order.

    Yields
    ------
    Progress
        For every few hundred polygons.
    """
    yield Progress(0, len(shapes), "Simplifying polygons")
    first, second = shapely.STRtree(shapes).query(shapes)
    links = coo_array((np.ones(len(first), bool), (first, second)), (len(shapes), len(shapes)))
    groups = connected_components(links, directed=False)[1]
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    out, begun = np.empty(len(shapes), object), 0
    for stop in [*starts[1:].tolist(), len(order)]:
        if stop - begun >= _TOGETHER or stop == len(order):
            some = order[begun:stop]
            out[some] = shapely.coverage_simplify(shapes[some], tolerance)
            begun = stop
            yield Progress(stop, len(shapes), "Simplifying polygons")
    return out


def squared_steps(shapes: Shapes, stretch: float) -> Steps[tuple[Shapes, int]]:
    """Give polygons right angles, along the longer side of the smallest rectangle around each.

    Parameters
    ----------
    shapes : ndarray of Polygon
        In pixels.
    stretch : float
        Height of a pixel on the ground in parts of its width.

    Returns
    -------
    shapes : ndarray of Polygon
        Those for which no version with right angles is like them are left as they are.
    count : int
        How many those are.

    Yields
    ------
    Progress
        For every few hundred polygons.
    """
    true = shapely.transform(shapes, lambda c: c * (1.0, stretch))
    boxes = shapely.oriented_envelope(true)
    plain = shapely.simplify(true, _STRAIGHT * max(1.0, stretch))
    out, left = np.array(shapes), 0
    for number, (shape, simple, box) in enumerate(zip(true, plain, boxes, strict=True)):
        if number % _TOGETHER == 0:
            yield Progress(number, len(shapes), "Making right angles")
        found = _squared(simple, box)
        if found is None or not _alike(found, shape):
            left += 1
        else:
            out[number] = shapely.transform(found, lambda c: c / (1.0, stretch))
    return out, left


def _alike(one: Any, other: Any) -> bool:
    if not shapely.is_valid(one):
        return False
    common = shapely.area(shapely.intersection(one, other))
    return bool(common > _ALIKE * (shapely.area(one) + shapely.area(other) - common))


def _squared(shape: Any, box: Any) -> Any | None:
    corners = shapely.get_coordinates(box)
    if len(corners) < 4:
        return None
    sides = np.diff(corners[:3], axis=0)
    x, y = sides[np.argmax(np.hypot(*sides.T))]
    turn = math.atan2(y, x)
    rings = [shapely.get_exterior_ring(shape), *(hole for hole in shape.interiors)]
    made = [_squared_ring(shapely.get_coordinates(ring), turn) for ring in rings]
    if made[0] is None:
        return None
    return shapely.Polygon(made[0], [ring for ring in made[1:] if ring is not None])


def _squared_ring(points: npt.NDArray[np.float64], turn: float) -> npt.NDArray[np.float64] | None:
    """Move every side of a ring to where it lies on average, along or across a direction."""
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    level = points @ matrix
    steps = np.diff(level, axis=0)
    across = np.abs(steps[:, 1]) > np.abs(steps[:, 0])
    turns = np.flatnonzero(across != np.roll(across, 1))
    if len(turns) < 4:
        return None
    steps, across = np.roll(steps, -turns[0], axis=0), np.roll(across, -turns[0])
    middles = np.roll((level[:-1] + level[1:]) / 2, -turns[0], axis=0)
    starts = turns - turns[0]
    weights = np.where(across, np.abs(steps[:, 1]), np.abs(steps[:, 0]))
    values = np.where(across, middles[:, 0], middles[:, 1])
    sides = np.add.reduceat(weights * values, starts) / np.add.reduceat(weights, starts)
    upright, after = across[starts], np.roll(sides, -1)
    found = np.stack([np.where(upright, sides, after), np.where(upright, after, sides)], axis=1)
    return np.asarray(found @ matrix.T)


def repaired(shapes: Shapes, exact: Shapes) -> tuple[Shapes, int]:
    """Repair what crosses itself.

    Parameters
    ----------
    shapes : ndarray of Polygon or MultiPolygon
        Perhaps invalid.
    exact : ndarray of Polygon or MultiPolygon
        What is taken where nothing is left of a shape.

    Returns
    -------
    shapes : ndarray of Polygon or MultiPolygon
        All of them valid, none of them empty.
    count : int
        How many were repaired or replaced.
    """
    bad = np.flatnonzero(~shapely.is_valid(shapes) | (shapely.area(shapes) <= 0))
    out = np.array(shapes)
    for number in bad:
        parts = shapely.get_parts(shapely.make_valid(shapes[number], method="structure", keep_collapsed=False))
        areas = [part for part in parts if part.geom_type in ("Polygon", "MultiPolygon") and part.area > 0]
        out[number] = shapely.union_all(areas) if areas else exact[number]
    return out, len(bad)


def gather(shapes: Shapes, labels: Ints, united: bool = False) -> tuple[Shapes, Ints]:
    """Put all parts of a label into one shape.

    Parameters
    ----------
    shapes : ndarray of Polygon or MultiPolygon
        Parts.
    labels : ndarray of int64
        Of each, ascending.
    united : bool
        Parts of a label may overlap.

    Returns
    -------
    shapes : ndarray of MultiPolygon
        One for each label.
    labels : ndarray of int64
        Ascending.
    """
    single, which = shapely.get_parts(shapes, return_index=True)
    ids, where = np.unique(labels[which], return_inverse=True)
    found = np.asarray(shapely.multipolygons(single, indices=where))
    for number in np.flatnonzero(shapely.get_num_geometries(found) > 1) if united else ():
        found[number] = shapely.multipolygons(shapely.get_parts(shapely.union_all(found[number])))
    return found, ids
