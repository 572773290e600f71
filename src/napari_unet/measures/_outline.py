"""Outlines of all objects of a plane at once: perimeter and convex area."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["convex_area", "perimeter"]

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]


def perimeter(labels: Ints, count: int, scale: tuple[float, float]) -> Floats:
    """Estimate perimeters by the Cauchy-Crofton formula with lines in four directions.

    The length of a curve is half the integral, over all lines, of the number of times that a line crosses it
    (Legland et al., Image Analysis & Stereology 2007, eq. 5). The directions are the pixel axes and diagonals, each
    weighted by the angles nearest to it, so that pixels need not be square.

    Parameters
    ----------
    labels : ndarray of int, shape (y, x)
        Numbered 0..count.
    count : int
        Number of objects.
    scale : (float, float)
        Size of a pixel along y and x.

    Returns
    -------
    ndarray of float64, shape (count,)
        Perimeters in the unit of `scale`; an object's border on the image's border counts.
    """
    padded = np.pad(labels, 1)
    sy, sx = scale
    angle = math.atan2(sy, sx)
    directions = (
        (padded[1:-1, 1:], padded[1:-1, :-1], sx, angle),
        (padded[1:, 1:-1], padded[:-1, 1:-1], sy, math.pi / 2 - angle),
        (padded[1:, 1:], padded[:-1, :-1], math.hypot(sy, sx), math.pi / 4),
        (padded[1:, :-1], padded[:-1, 1:], math.hypot(sy, sx), math.pi / 4),
    )
    total = np.zeros(count + 1)
    for one, other, step, weight in directions:
        differ = one != other
        crossings = np.bincount(one[differ], minlength=count + 1) + np.bincount(other[differ], minlength=count + 1)
        # Parallel lattice lines lie (pixel area / step) apart.
        total += 0.5 * weight * (sy * sx / step) * crossings
    result: Floats = total[1:]
    return result


def convex_area(labels: Ints, count: int, top: Ints, height: Ints) -> Ints:
    """Count the pixels in the convex hull of each object.

    The hull is that of the pixels' centers; a pixel whose center lies in it, or on its edge, counts (Pick's theorem).

    Parameters
    ----------
    labels : ndarray of int, shape (y, x)
        Numbered 0..count.
    count : int
        Number of objects.
    top, height : ndarray of int, shape (count,)
        First row and number of rows of each object.

    Returns
    -------
    ndarray of int64, shape (count,)
        Convex areas in pixels; at least the objects' own.
    """
    offsets = np.concatenate([[0], np.cumsum(height)])
    left = np.full(int(offsets[-1]), np.iinfo(np.int64).max)
    right = np.full(int(offsets[-1]), -1)
    padded = np.pad(labels, ((0, 0), (1, 1)))
    edge = padded[:, 1:] != padded[:, :-1]
    # Only the ends of runs along x can be corners of a hull.
    for ends, extreme, reduce in ((edge[:, :-1], left, np.minimum), (edge[:, 1:], right, np.maximum)):
        y, x = np.nonzero(ends & (labels > 0))
        which = labels[y, x] - 1
        reduce.at(extreme, offsets[which] + y - top[which], x)
    areas = np.empty(count, np.int64)
    _hulls(offsets, left, right, areas)
    return areas


@numba.njit(cache=True)
def _hulls(offsets: Ints, left: Ints, right: Ints, areas: Ints) -> None:  # pragma: no cover - compiled
    for which in range(len(areas)):
        start, stop = offsets[which], offsets[which + 1]
        twice, border = 0, 0
        for side in range(2):
            # Monotone chain (Andrew 1979): down the left side, up the right one.
            chain = np.empty((stop - start, 2), np.int64)
            size = 0
            for k in range(start, stop):
                at = k if side == 0 else stop - 1 - (k - start)
                if right[at] < 0:
                    continue
                x = left[at] if side == 0 else right[at]
                y = at - start
                while size > 1 and (chain[size - 1, 0] - chain[size - 2, 0]) * (y - chain[size - 2, 1]) >= (
                    chain[size - 1, 1] - chain[size - 2, 1]
                ) * (x - chain[size - 2, 0]):
                    size -= 1
                chain[size, 0], chain[size, 1] = x, y
                size += 1
            for k in range(1, size):
                x, y, u, v = chain[k - 1, 0], chain[k - 1, 1], chain[k, 0], chain[k, 1]
                twice += x * v - u * y
                border += math.gcd(u - x, v - y)
        # The flat top (y = 0) and bottom close the polygon.
        bottom = stop - start - 1
        twice += (left[stop - 1] - right[stop - 1]) * bottom
        border += right[start] - left[start] + right[stop - 1] - left[stop - 1]
        areas[which] = (abs(twice) + border) // 2 + 1
