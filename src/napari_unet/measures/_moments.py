"""Size, place and second moments of objects, in whole numbers: exact, whatever the order and the size."""

from __future__ import annotations

import itertools
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from ._runs import Runs

__all__ = ["Moments", "enlarged"]

# Columns of the sums. Axes are z, y, x; places are counted from the first pixel of the object.
_ORIGIN: Final = 1
_SUM: Final = 4
_LOW: Final = 7  # of zz, yy, xx, yz, xz, xy: the lower 60 bits, then what is above them
_HIGH: Final = 13
_BEGIN: Final = 19
_END: Final = 22
_COLUMNS: Final = 25
_BITS: Final = 60  # a run adds at most 2**60: 4096 pixels, 2**24 away from the first of the object
_PAIR: Final = ((0, 3, 4), (3, 1, 5), (4, 5, 2))

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]


class Moments:
    """Sums over the pixels of objects."""

    def __init__(self) -> None:
        self._sums = np.zeros((0, _COLUMNS), np.int64)
        self._order: Any = slice(None)

    def add(self, runs: Runs, count: int, at: tuple[int, int, int], height: int) -> None:
        """Add the runs of a window.

        Parameters
        ----------
        runs : Runs
            Of the window.
        count : int
            Number of objects so far.
        at : (int, int, int)
            Where the window begins, along z, y and x.
        height : int
            Rows of a plane of the window.
        """
        self._sums = enlarged(self._sums, count)
        _add(self._sums, runs, at, height)

    def trim(self, count: int) -> None:
        """Keep no room for more objects than these."""
        self._sums = self._sums[:count].copy()

    def join(self, other: Moments, which: Ints, count: int) -> None:
        """Add the sums of pixels that come later, as if they had been added here one by one.

        Parameters
        ----------
        other : Moments
            Of some objects.
        which : ndarray of int, shape (n,)
            The number that each has here.
        count : int
            Number of objects so far.
        """
        self._sums = enlarged(self._sums, count)
        met, new = taken_over(self._sums, other._sums[: len(which)], which)
        self._sums[met] = _joined(self._sums[met], new)

    def take(self, order: Ints) -> None:
        """Give the objects in this order from now on."""
        self._order = order

    @property
    def pixels(self) -> Ints:
        """Number of pixels of each object, int64."""
        return self._column(0)

    def center(self, axis: int) -> Floats:
        """Return the center of mass in pixels along z (0), y (1) or x (2)."""
        found: Floats = (self._column(_ORIGIN + axis) * self.pixels + self._column(_SUM + axis)) / self.pixels
        return found

    def bounds(self, axis: int) -> tuple[Ints, Ints]:
        """Return the first pixel and the one after the last along an axis, int64."""
        return self._column(_BEGIN + axis), self._column(_END + axis)

    def covariance(self, one: int, other: int) -> Floats:
        """Return the covariance of the places of the pixels along two axes, in pixels."""
        pixels, pair = self.pixels, _PAIR[one][other]
        low, high = self._column(_LOW + pair), self._column(_HIGH + pair)
        a, b = self._column(_SUM + one), self._column(_SUM + other)
        squares = (high << _BITS) + low
        found: Floats = (pixels * squares - a * b) / pixels.astype(np.float64) ** 2
        # The rare objects whose products take more than 64 bits.
        size = np.maximum(pixels * np.abs(high * 2.0**_BITS + low), np.abs(a.astype(np.float64) * b))
        for k in np.flatnonzero(size >= 2.0**62):
            n, total = int(pixels[k]), (int(high[k]) << _BITS) + int(low[k])
            found[k] = (n * total - int(a[k]) * int(b[k])) / n**2
        return found

    def _column(self, column: int) -> Ints:
        found: Ints = self._sums[self._order, column]
        return found


def enlarged(sums: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """Return a table with room for `count` objects, rows of 0 below those that were there."""
    if count <= len(sums):
        return sums
    found = np.zeros((max(count, 3 * len(sums) // 2), *sums.shape[1:]), sums.dtype)
    found[: len(sums)] = sums
    return found


def taken_over(
    sums: npt.NDArray[Any], theirs: npt.NDArray[Any], which: Ints
) -> tuple[npt.NDArray[np.intp], npt.NDArray[Any]]:
    """Take rows over that are not known yet (nothing is counted in column 0); return where the others go, and those."""
    fresh = sums[which, 0] == 0
    sums[which[fresh]] = theirs[fresh]
    return which[~fresh], theirs[~fresh]


def _joined(own: Ints, new: Ints) -> Ints:
    """Add sums that are counted from other pixels; Python's whole numbers have room for what is between."""
    found, big = own.copy(), new.astype(object)
    pixels, sums = big[:, 0], big[:, _SUM : _SUM + 3]
    shift = big[:, _ORIGIN : _ORIGIN + 3] - own[:, _ORIGIN : _ORIGIN + 3]
    found[:, 0] += new[:, 0]
    found[:, _SUM : _SUM + 3] += (sums + pixels[:, None] * shift).astype(np.int64)
    for one, other in itertools.combinations_with_replacement(range(3), 2):
        low, high = _LOW + _PAIR[one][other], _HIGH + _PAIR[one][other]
        total = own[:, low] + big[:, low] + pixels * shift[:, one] * shift[:, other]
        total += shift[:, one] * sums[:, other] + shift[:, other] * sums[:, one]
        found[:, low] = (total & ((1 << _BITS) - 1)).astype(np.int64)
        found[:, high] += new[:, high] + (total >> _BITS).astype(np.int64)
    found[:, _BEGIN:_END] = np.minimum(own[:, _BEGIN:_END], new[:, _BEGIN:_END])
    found[:, _END:] = np.maximum(own[:, _END:], new[:, _END:])
    return found


@numba.njit(cache=True, nogil=True)
def _add(sums: Ints, runs: Runs, at: tuple[int, int, int], height: int) -> None:  # pragma: no cover - compiled
    which, row, start, stop = runs
    terms = np.empty(6, np.int64)
    for k in range(len(which)):
        own = sums[which[k]]
        z, y, x = at[0] + row[k] // height, at[1] + row[k] % height, at[2] + start[k]
        length = np.int64(stop[k] - start[k])
        if own[0] == 0:
            own[_ORIGIN], own[_ORIGIN + 1], own[_ORIGIN + 2] = z, y, x
            own[_BEGIN], own[_BEGIN + 1], own[_BEGIN + 2] = z, y, x
        own[_BEGIN], own[_END] = min(own[_BEGIN], z), max(own[_END], z + 1)
        own[_BEGIN + 1], own[_END + 1] = min(own[_BEGIN + 1], y), max(own[_END + 1], y + 1)
        own[_BEGIN + 2], own[_END + 2] = min(own[_BEGIN + 2], x), max(own[_END + 2], x + length)
        z, y, x = z - own[_ORIGIN], y - own[_ORIGIN + 1], x - own[_ORIGIN + 2]
        # Sums of 0, 1 ... length - 1 and of their squares.
        along = length * (length - 1) // 2
        squares = along * (2 * length - 1) // 3
        across = length * x + along
        own[0] += length
        own[_SUM] += length * z
        own[_SUM + 1] += length * y
        own[_SUM + 2] += across
        terms[0], terms[1], terms[2] = length * z * z, length * y * y, length * x * x + 2 * x * along + squares
        terms[3], terms[4], terms[5] = length * y * z, across * z, across * y
        for i in range(6):
            total = own[_LOW + i] + terms[i]
            own[_LOW + i] = total & ((1 << _BITS) - 1)
            own[_HIGH + i] += total >> _BITS
