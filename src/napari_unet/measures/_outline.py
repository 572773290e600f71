"""Outlines of all objects of a plane at once, window by window: perimeter and convex area."""

from __future__ import annotations

import math
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from ._moments import enlarged
from ._runs import Runs

__all__ = ["Outlines"]

_MOST_ENDS: Final = 1 << 20

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]


class Outlines:
    """What is known of the outlines of a strip, whose windows come from top to bottom, or of strips from left to right.

    Parameters
    ----------
    height : int
        Rows of the plane.
    """

    def __init__(self, height: int) -> None:
        # Pairs of neighbors within the object: side by side, one above the other, along both diagonals.
        self._pairs = np.zeros((0, 4), np.int64)
        self._above = _nothing()
        # What the strip begins and ends with, row by row; -1 is background.
        self._first, self._last = (np.full(height, -1, np.int32) for _ in range(2))
        # Object, row, first and last column.
        self._ends: list[Ints] = []
        self._number, self._limit = 0, _MOST_ENDS

    def add(self, runs: Runs, count: int, at: tuple[int, int], shape: tuple[int, int]) -> None:
        """Add the runs of a window of a strip.

        Parameters
        ----------
        runs : Runs
            Of the window.
        count : int
            Number of objects so far.
        at, shape : (int, int)
            Where the window begins and how large it is, along y and x.
        """
        self._pairs = enlarged(self._pairs, count)
        joined = Runs(*(np.concatenate(pair) for pair in zip(self._above, runs, strict=True)))
        _agree(self._pairs, joined, len(self._above.row))
        for column, edge in ((self._first, runs.start == 0), (self._last, runs.stop == shape[1])):
            column[at[0] + runs.row[edge]] = runs.which[edge]
        below = np.searchsorted(runs.row, shape[0] - 1)
        self._above = Runs(*(column[below:].copy() for column in runs))
        self._above.row[:] = -1
        ends = np.stack([runs.which, at[0] + runs.row, at[1] + runs.start, at[1] + runs.stop - 1], axis=1)
        self._keep(ends.astype(np.int32, copy=False))

    def trim(self, count: int) -> None:
        """Keep no room for more objects than these."""
        self._pairs = self._pairs[:count].copy()

    def join(self, other: Outlines, which: Ints, count: int) -> None:
        """Add a strip on the right.

        Parameters
        ----------
        other : Outlines
            Of the strip.
        which : ndarray of int, shape (n,)
            The number that each of its objects has here.
        count : int
            Number of objects so far.
        """
        self._pairs = enlarged(self._pairs, count)
        self._pairs[which] += other._pairs[: len(which)]
        named = np.append(which, -1).astype(np.int32)  # background stays -1
        _seam(self._pairs, self._last, named[other._first])
        self._last = named[other._last]
        for ends in other._ends:
            self._keep(np.concatenate([named[ends[:, :1]], ends[:, 1:]], axis=1))

    def shrink(self) -> None:
        """Keep of the ends only corners of hulls, of which an object has a dozen or two, however large it is."""
        ends = _joined(self._ends)
        keep, _ = _convex(ends)
        self._ends, self._number = [ends[keep]], int(keep.sum())

    def _keep(self, ends: Ints) -> None:
        self._ends.append(ends)
        self._number += len(ends)
        if self._number > self._limit:
            self.shrink()
            self._limit = _MOST_ENDS + self._number + self._number // 2

    def perimeter(self, pixels: Ints, order: Ints, scale: tuple[float, float]) -> Floats:
        """Estimate perimeters by the Cauchy-Crofton formula with lines in four directions.

        The length of a curve is half the integral, over all lines, of the number of times that a line crosses it
        (Legland et al., Image Analysis & Stereology 2007, eq. 5). The directions are the pixel axes and diagonals, each
        weighted by the angles nearest to it, so that pixels need not be square.

        Parameters
        ----------
        pixels : ndarray of int64, shape (n,)
            Size of each object.
        order : ndarray of int, shape (n,)
            Their numbers.
        scale : (float, float)
            Size of a pixel along y and x.

        Returns
        -------
        ndarray of float64, shape (n,)
            Perimeters in the unit of `scale`; an object's border on the image's border counts.
        """
        sy, sx = scale
        angle = math.atan2(sy, sx)
        steps = ((sx, angle), (sy, math.pi / 2 - angle)) + ((math.hypot(sy, sx), math.pi / 4),) * 2
        total = np.zeros(len(order))
        for direction, (step, weight) in enumerate(steps):
            # A pixel has two neighbors in each direction; where one is of the object too, no line crosses.
            crossings = 2 * (pixels - self._pairs[order, direction])
            # Parallel lattice lines lie (pixel area / step) apart.
            total += 0.5 * weight * (sy * sx / step) * crossings
        return total

    def convex_area(self, order: Ints) -> Ints:
        """Count the pixels in the convex hull of each object.

        The hull is that of the pixels' centers; a pixel whose center lies in it, or on its edge, counts (Pick's
        theorem).

        Parameters
        ----------
        order : ndarray of int, shape (n,)
            Numbers of the objects.

        Returns
        -------
        ndarray of int64, shape (n,)
            Convex areas in pixels; at least the objects' own.
        """
        _, areas = _convex(_joined(self._ends))
        return areas[order]


def _nothing() -> Runs:
    return Runs(*(np.zeros(0, np.int32) for _ in range(4)))


def _joined(parts: list[Ints]) -> Ints:
    """Sort ends of runs by object and row, take the outermost of each row, and empty the list."""
    ends = np.concatenate([np.zeros((0, 4), np.int32), *parts])
    parts.clear()
    # By object, then row, in one number.
    order = np.argsort(ends[:, 0].astype(np.int64) << 32 | ends[:, 1], kind="stable")
    found = np.empty_like(ends)
    return found[: _merge(ends, order, found)]


def _convex(ends: Ints) -> tuple[npt.NDArray[np.bool_], Ints]:
    """Say which ends are corners of hulls, and return the pixels in each hull."""
    starts = np.flatnonzero(np.diff(ends[:, 0], prepend=-1, append=-1))
    keep, areas = np.zeros(len(ends), np.bool_), np.zeros(max(0, len(starts) - 1), np.int64)
    _hulls(starts, ends, keep, areas)
    return keep, areas


@numba.njit(cache=True, nogil=True)
def _agree(pairs: Ints, runs: Runs, first: int) -> None:  # pragma: no cover - compiled
    """Count pairs of neighboring pixels of one object; runs before `first` are known and only there to be met."""
    which, row, start, stop = runs
    above, above_end, at = 0, 0, 0
    while at < len(which):
        end = at
        while end < len(which) and row[end] == row[at]:
            end += 1
        if above_end == 0 or row[at] - row[above] != 1:
            above, above_end = at, at
        for k in range(max(at, first), end):
            own = which[k]
            pairs[own, 0] += stop[k] - start[k] - 1
            while above < above_end and stop[above] < start[k]:
                above += 1
            met = above
            while met < above_end and start[met] <= stop[k]:
                if which[met] == own:
                    for shift, direction in ((0, 1), (1, 2), (-1, 3)):
                        common = min(stop[met] + shift, stop[k]) - max(start[met] + shift, start[k])
                        pairs[own, direction] += max(common, 0)
                met += 1
        above, above_end = at, end
        at = end


@numba.njit(cache=True, nogil=True)
def _seam(pairs: Ints, left: Ints, right: Ints) -> None:  # pragma: no cover - compiled
    """Count the pairs on both sides of the line between two strips."""
    for y in range(len(right)):
        own = right[y]
        if own < 0:
            continue
        pairs[own, 0] += left[y] == own
        if y > 0:
            pairs[own, 2] += left[y - 1] == own
        if y + 1 < len(left):
            pairs[own, 3] += left[y + 1] == own


@numba.njit(cache=True, nogil=True)
def _merge(ends: Ints, order: Ints, found: Ints) -> int:  # pragma: no cover - compiled
    count = 0
    for k in order:
        if count and found[count - 1, 0] == ends[k, 0] and found[count - 1, 1] == ends[k, 1]:
            found[count - 1, 2] = min(found[count - 1, 2], ends[k, 2])
            found[count - 1, 3] = max(found[count - 1, 3], ends[k, 3])
        else:
            found[count] = ends[k]
            count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _hulls(starts: Ints, ends: Ints, keep: npt.NDArray[np.bool_], areas: Ints) -> None:  # pragma: no cover - compiled
    for which in range(len(areas)):
        start, stop = starts[which], starts[which + 1]
        twice, border = np.int64(0), np.int64(0)
        top = np.int64(ends[start, 1])
        for side in range(2):
            # Monotone chain (Andrew 1979): down the left side, up the right one.
            chain = np.empty((stop - start, 3), np.int64)
            size = 0
            for k in range(start, stop):
                at = k if side == 0 else stop - 1 - (k - start)
                x, y = np.int64(ends[at, 2 + side]), ends[at, 1] - top
                while size > 1 and (chain[size - 1, 0] - chain[size - 2, 0]) * (y - chain[size - 2, 1]) >= (
                    chain[size - 1, 1] - chain[size - 2, 1]
                ) * (x - chain[size - 2, 0]):
                    size -= 1
                chain[size, 0], chain[size, 1], chain[size, 2] = x, y, at
                size += 1
            keep[chain[0, 2]] = True
            for k in range(1, size):
                x, y, u, v = chain[k - 1, 0], chain[k - 1, 1], chain[k, 0], chain[k, 1]
                twice += x * v - u * y
                border += math.gcd(u - x, v - y)
                keep[chain[k, 2]] = True
        # The flat top (y = 0) and bottom close the polygon.
        bottom = ends[stop - 1, 1] - top
        twice += (np.int64(ends[stop - 1, 2]) - ends[stop - 1, 3]) * bottom
        border += ends[start, 3] - ends[start, 2] + ends[stop - 1, 3] - ends[stop - 1, 2]
        areas[which] = (abs(twice) + border) // 2 + 1
