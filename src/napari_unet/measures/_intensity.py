"""Intensities inside of objects, summed up window by window."""

from __future__ import annotations

import math
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from ._moments import enlarged, taken_over
from ._runs import Runs

__all__ = ["Intensities"]

# Columns: number of pixels, sum, sum of squared differences from the mean, least, greatest.
_COLUMNS: Final = 5

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]


class Intensities:
    """Intensities of one channel, run by run; NaN in an object makes all of its own NaN."""

    def __init__(self) -> None:
        self._sums = np.zeros((0, _COLUMNS))

    def add(self, runs: Runs, count: int, values: npt.NDArray[Any]) -> None:
        """Add the runs of a window.

        Parameters
        ----------
        runs : Runs
            Of the window.
        count : int
            Number of objects so far.
        values : ndarray, shape (..., x)
            Intensities of the window.
        """
        self._sums = enlarged(self._sums, count)
        rows = np.ascontiguousarray(values, dtype=np.float64).reshape(-1, values.shape[-1])
        _add(self._sums, runs, rows)

    def trim(self, count: int) -> None:
        """Keep no room for more objects than these."""
        self._sums = self._sums[:count].copy()

    def join(self, other: Intensities, which: Ints, count: int) -> None:
        """Add the intensities of pixels that come later.

        Parameters
        ----------
        other : Intensities
            Of some objects.
        which : ndarray of int, shape (n,)
            The number that each has here.
        count : int
            Number of objects so far.
        """
        self._sums = enlarged(self._sums, count)
        met, rest = taken_over(self._sums, other._sums[: len(which)], which)
        own, new = self._sums[met].T, rest.T
        # As where runs are added.
        between = (new[1] / new[0] - own[1] / own[0]) ** 2 * (own[0] * new[0] / (own[0] + new[0]))
        rows = [own[0] + new[0], own[1] + new[1], own[2] + (new[2] + between)]
        rows += [np.minimum(own[3], new[3]), np.maximum(own[4], new[4])]
        self._sums[met] = np.stack(rows, axis=1)

    def columns(self, order: Ints) -> dict[str, Floats]:
        """Return mean, std, min, max and sum of the objects of the given numbers."""
        count, total, squares, low, high = self._sums[order].T
        return {"mean": total / count, "std": np.sqrt(squares / count), "min": low, "max": high, "sum": total}


@numba.njit(cache=True, nogil=True)
def _add(sums: Floats, runs: Runs, rows: Floats) -> None:  # pragma: no cover - compiled
    which, row, start, stop = runs
    for k in range(len(which)):
        own, values = sums[which[k]], rows[row[k]]
        length = np.float64(stop[k] - start[k])
        total = 0.0
        low = high = values[start[k]]
        for x in range(start[k], stop[k]):
            value = values[x]
            total += value
            # NaN comes in and, because nothing is less or greater, stays.
            if value < low or math.isnan(value):
                low = value
            if value > high or math.isnan(value):
                high = value
        mean, squares = total / length, 0.0
        for x in range(start[k], stop[k]):
            squares += (values[x] - mean) ** 2
        if own[0] == 0:
            own[3], own[4] = low, high
        else:
            # Chan, Golub and LeVeque 1983, eq. 1.5b: nothing is lost where the mean is large and the spread small.
            squares += (mean - own[1] / own[0]) ** 2 * (own[0] * length / (own[0] + length))
            if low < own[3] or math.isnan(low):
                own[3] = low
            if high > own[4] or math.isnan(high):
                own[4] = high
        own[0] += length
        own[1] += total
        own[2] += squares
