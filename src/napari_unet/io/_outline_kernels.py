"""Borders between labels: found row by row, then followed around every object. Compiled by numba.

Corners of pixels are numbered row by row: the corner in row ``y`` and column ``x`` of a raster of width ``w`` is
``y (w + 1) + x``. An edge belongs to a label and has it on its right, so that outlines run clockwise on the screen and
holes the other way. Edges end wherever two, three or four labels meet: neighbors have their corners in common.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["follow", "holders", "scan"]

Ints = npt.NDArray[np.int64]


@numba.njit(cache=True, nogil=True)
def scan(block: Ints, above: Ints, top: int, last: bool, opened: Ints, out: Ints) -> int:
    """Find the edges of some rows.

    Parameters
    ----------
    block : ndarray of int64, shape (rows, width)
        Labels.
    above : ndarray of int64, shape (width,)
        The row before them; zeros at the top.
    top : int
        Number of the first row.
    last : bool
        Whether the raster ends with these rows.
    opened : ndarray of int64, shape (width + 1, 3)
        Upright edges that may go on: labels left and right, and the row that they began in; changed in place.
    out : ndarray of int64, shape (n, 3)
        Filled with label, first and last corner of edges; of no length to count only.

    Returns
    -------
    int
        How many there are.
    """
    rows, width = block.shape
    found = 0
    for row in range(rows + 1):
        if row == rows and not last:
            break
        y = top + row
        # Lying edges between this row and the one before.
        begun, over, under = 0, np.int64(0), np.int64(0)
        for x in range(width + 1):
            a = np.int64(0)
            b = np.int64(0)
            if x < width:
                a = above[x] if row == 0 else block[row - 1, x]
                b = block[row, x] if row < rows else np.int64(0)
            if x in (0, width) or a != over or b != under:
                if x > 0 and over != under:
                    found = _emit(out, found, under, y * (width + 1) + begun, y * (width + 1) + x)
                    found = _emit(out, found, over, y * (width + 1) + x, y * (width + 1) + begun)
                begun, over, under = x, a, b
        # Upright edges: those that this row ends, and those that it begins.
        for x in range(width + 1):
            left = np.int64(0)
            right = np.int64(0)
            if row < rows:
                left = block[row, x - 1] if x > 0 else np.int64(0)
                right = block[row, x] if x < width else np.int64(0)
            if left != opened[x, 0] or right != opened[x, 1] or row == rows:
                if opened[x, 0] != opened[x, 1]:
                    start, end = opened[x, 2] * (width + 1) + x, y * (width + 1) + x
                    found = _emit(out, found, opened[x, 0], start, end)
                    found = _emit(out, found, opened[x, 1], end, start)
                opened[x, 0], opened[x, 1], opened[x, 2] = left, right, y
    return found


@numba.njit(cache=True, nogil=True)
def _emit(out: Ints, found: int, label: np.int64, start: int, end: int) -> int:
    if label == 0:
        return found
    if found < len(out):
        out[found, 0], out[found, 1], out[found, 2] = label, start, end
    return found + 1


@numba.njit(cache=True, nogil=True)
def follow(edges: Ints, width: int, points: Ints, rings: Ints) -> int:
    """Follow edges around objects.

    Where two pixels of an object touch by their corners only, the outline keeps to its own pixel: parts are what is
    connected by sides. An outline that comes back to a corner is cut there, so no ring touches itself.

    Parameters
    ----------
    edges : ndarray of int64, shape (n, 3)
        Label, first and last corner, ordered by label, then first corner.
    width : int
        Of the raster.
    points : ndarray of int64, shape (n,)
        Filled with the corners of all rings, one after the other.
    rings : ndarray of int64, shape (n, 3)
        Filled, for each ring, with where it ends in `points`, its label, and twice the area that it encloses: negative
        for a hole.

    Returns
    -------
    int
        How many rings there are.
    """
    count = len(edges)
    used = np.zeros(count, np.bool_)
    seen = np.full(count, -1, np.int64)
    path = np.empty(count + 1, np.int64)
    found, low = 0, 0
    while low < count:
        high, label = low, edges[low, 0]
        while high < count and edges[high, 0] == label:
            high += 1
        for first in range(low, high):
            if used[first]:
                continue
            here, length = first, 0
            while True:
                used[here] = True
                corner = edges[here, 1]
                entry = here - 1 if here > low and edges[here - 1, 1] == corner else here
                kept = seen[entry]
                if 0 <= kept < length and path[kept] == corner:
                    found = _close(path[kept:length], width, points, rings, found, label)
                    length = kept
                seen[entry] = length
                path[length] = corner
                length += 1
                here = _next(edges, here, low, high, width)
                if here == first:
                    break
            found = _close(path[:length], width, points, rings, found, label)
        low = high
    return found


@numba.njit(cache=True, nogil=True)
def _next(edges: Ints, here: int, low: int, high: int, width: int) -> int:
    """Return the edge that goes on where one ends; of two the one to the right."""
    corner = edges[here, 2]
    while low < high:
        middle = (low + high) // 2
        if edges[middle, 1] < corner:
            low = middle + 1
        else:
            high = middle
    if low + 1 < len(edges) and edges[low + 1, 0] == edges[low, 0] and edges[low + 1, 1] == corner:
        y0, x0 = divmod(edges[here, 1], width + 1)
        y1, x1 = divmod(corner, width + 1)
        y2, x2 = divmod(edges[low, 2], width + 1)
        # Rows count downwards: a positive product is a turn to the right.
        if (x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1) < 0:
            return low + 1
    return low


@numba.njit(cache=True, nogil=True)
def _close(path: Ints, width: int, points: Ints, rings: Ints, found: int, label: int) -> int:
    """Keep a ring."""
    area = np.int64(0)
    filled = rings[found - 1, 0] if found else 0
    y0, x0 = divmod(path[-1], width + 1)
    for corner in path:
        y1, x1 = divmod(corner, width + 1)
        area += x0 * y1 - x1 * y0
        y0, x0 = y1, x1
        points[filled] = corner
        filled += 1
    rings[found, 0], rings[found, 1], rings[found, 2] = filled, label, area
    return found + 1


@numba.njit(cache=True, nogil=True)
def holders(points: Ints, rings: Ints, width: int) -> Ints:
    """Find the outline that each hole lies in.

    Parameters
    ----------
    points, rings : ndarray
        From :func:`follow`, cut to what was filled.
    width : int
        Of the raster.

    Returns
    -------
    ndarray of int64, shape (rings,)
        Number of a ring; an outline is its own.
    """
    count = len(rings)
    found = np.arange(count)
    low = 0
    while low < count:
        high, outlines, only = low, 0, low
        while high < count and rings[high, 1] == rings[low, 1]:
            if rings[high, 2] > 0:
                outlines += 1
                only = high
            high += 1
        for hole in range(low, high):
            if rings[hole, 2] < 0:
                found[hole] = only if outlines == 1 else _holder(points, rings, width, hole, low, high)
        low = high
    return found


@numba.njit(cache=True, nogil=True)
def _holder(points: Ints, rings: Ints, width: int, hole: int, low: int, high: int) -> int:
    """Return the smallest outline around a pixel beside a hole, of the rings of its label."""
    start, best = rings[hole - 1, 0] if hole else 0, -1
    y0, x0 = divmod(points[start], width + 1)
    y1, x1 = divmod(points[start + 1], width + 1)
    down, right = float(np.sign(y1 - y0)), float(np.sign(x1 - x0))
    # Half a pixel along the edge, and half a pixel to its right: where the object is.
    y, x = y0 + 0.5 * (down + right), x0 + 0.5 * (right - down)
    for ring in range(low, high):
        if rings[ring, 2] > 0 and (best < 0 or rings[ring, 2] < rings[best, 2]):
            first = rings[ring - 1, 0] if ring else 0
            if _inside(points[first : rings[ring, 0]], width, y, x):
                best = ring
    return best


@numba.njit(cache=True, nogil=True)
def _inside(ring: Ints, width: int, y: float, x: float) -> bool:
    """Say whether the middle of a pixel lies in a ring: whether a ray to the left meets it an odd number of times."""
    odd = False
    y0, x0 = divmod(ring[-1], width + 1)
    for corner in ring:
        y1, x1 = divmod(corner, width + 1)
        if x0 == x1 and x0 < x and (y0 > y) != (y1 > y):
            odd = not odd
        y0, x0 = y1, x1
    return odd
