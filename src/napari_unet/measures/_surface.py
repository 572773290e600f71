"""The surface of a solid in a grid of boxes, by Crofton's formula.

A mesh through the boxes (marching cubes) makes the surface of a ball too large however fine the grid, because stairs
stay stairs. Counting how often straight lines cross the border does not: the mean over all directions of the crossings
per area across is half the surface (Crofton). Thirteen directions, weighted by the share of the sphere that is nearest
to each, leave an error of some percent that depends on how flat faces lie, and next to none for what is round (Lehmann
& Legland, Efficient N-dimensional surface estimation using Crofton formula and run-length encoding, 2012).
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import numpy.typing as npt
from scipy.spatial import SphericalVoronoi

__all__ = ["surface_area"]

Step = tuple[int, int, int]


def surface_area(solid: npt.NDArray[np.bool_], spacing: tuple[float, float, float]) -> float:
    """Estimate the surface of a solid.

    Parameters
    ----------
    solid : ndarray of bool, shape (z, y, x)
        What lies outside of the array counts as outside of the solid.
    spacing : tuple of float
        Size of a voxel along z, y and x.

    Returns
    -------
    float
        In the square of the unit of `spacing`.
    """
    padded = np.pad(solid, 1)
    total = 0.0
    for step, weight in _directions(spacing):
        here, there = zip(*(_shifted(d, n) for d, n in zip(step, padded.shape, strict=True)), strict=True)
        total += weight * np.count_nonzero(padded[here] != padded[there])
    return 2 * total


def _shifted(by: int, n: int) -> tuple[slice, slice]:
    """Return the parts of an axis that lie `by` pixels apart."""
    return slice(max(-by, 0), n - max(by, 0)), slice(max(by, 0), n - max(-by, 0))


@functools.lru_cache(maxsize=16)
def _directions(spacing: tuple[float, float, float]) -> tuple[tuple[Step, float], ...]:
    """List thirteen steps, each with its share of all directions times the area across one line of the grid."""
    steps: list[Step] = [(z, y, x) for z, y, x in itertools.product((-1, 0, 1), repeat=3) if z or y or x]
    lengths = np.linalg.norm(np.array(steps) * spacing, axis=1)
    shares = SphericalVoronoi(np.array(steps) * spacing / lengths[:, None]).calculate_areas() / (4 * math.pi)
    weights = 2 * shares * math.prod(spacing) / lengths
    # A line and its reverse are one.
    return tuple((step, float(weight)) for step, weight in zip(steps, weights, strict=True) if step > (0, 0, 0))
