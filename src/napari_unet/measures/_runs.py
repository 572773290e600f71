"""Objects as runs: pieces of rows in which one label follows itself. All that is measured is summed up over them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from napari_unet.core.errors import ImageError

__all__ = ["Numbers", "Runs", "find_runs"]

_FIRST_SIZE: Final = 1 << 12
_FREE: Final = 0  # background is no object

Ints = npt.NDArray[np.integer[Any]]


class Runs(NamedTuple):
    """The runs of a window, ordered by row, then column.

    Attributes
    ----------
    which : ndarray of int32, shape (n,)
        Numbers of their objects, from 0.
    row : ndarray of int32, shape (n,)
        Their rows in the window; the rows of all planes are counted on.
    start, stop : ndarray of int32, shape (n,)
        First column in the window, and the one after the last.
    """

    which: Ints
    row: Ints
    start: Ints
    stop: Ints


class Numbers:
    """Numbers objects from 0 in the order in which they are met.

    Attributes
    ----------
    ids : ndarray of int64, shape (n,)
        The label of each.
    """

    def __init__(self) -> None:
        self._table, self._count = _empty(_FIRST_SIZE), 0

    @property
    def ids(self) -> Ints:
        """The label of each object."""
        return self._table[2][: self._count]

    def look_up(self, ids: Ints) -> Ints:
        """Return the numbers of some labels, not background, and give new ones to those that are new."""
        found = np.empty(len(ids), np.int32)
        done, self._count = _number(ids, found, 0, self._table, self._count)
        while done < len(ids):
            self._grow()
            done, self._count = _number(ids, found, done, self._table, self._count)
        return found

    def _grow(self) -> None:
        old = self.ids
        self._table = _empty(2 * len(old))
        _number(old, np.empty(len(old), np.int32), 0, self._table, 0)


def _empty(size: int) -> tuple[Ints, Ints, Ints]:
    """Return labels in their places, the number of each, and room for all labels by number."""
    return np.zeros(2 * size, np.int64), np.zeros(2 * size, np.int32), np.zeros(size, np.int64)


def find_runs(values: npt.NDArray[Any], numbers: Numbers, name: str) -> Runs:
    """List the runs of a window of labels.

    Parameters
    ----------
    values : ndarray, shape (..., x)
        Labels.
    numbers : Numbers
        Of all objects so far; those that are new are added.
    name : str
        For the user.

    Returns
    -------
    Runs
        Of all rows.

    Raises
    ------
    ImageError
        If the values are not labels.
    """
    kind = values.dtype.kind
    if kind not in "buif" or (kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all())):
        raise ImageError(
            f"'{name}' does not hold labels ({values.dtype}). Labels are whole numbers: 0 is background, "
            "each object has its own."
        )
    rows = np.ascontiguousarray(values, dtype=np.int64).reshape(-1, values.shape[-1])
    count = _count(rows)
    if count < 0:
        raise ImageError(f"'{name}' holds negative numbers. Labels are 0 (background) or from 1 up.")
    ids = np.empty(count, np.int64)
    row, start, stop = (np.empty(count, np.int32) for _ in range(3))
    _fill(rows, ids, row, start, stop)
    return Runs(numbers.look_up(ids), row, start, stop)


@numba.njit(cache=True, nogil=True)
def _count(rows: Ints) -> int:  # pragma: no cover - compiled
    total = 0
    for y in range(rows.shape[0]):
        last = 0
        for x in range(rows.shape[1]):
            value = rows[y, x]
            if value != last:
                if value < 0:
                    return -1
                total += value != 0
                last = value
    return total


@numba.njit(cache=True, nogil=True)
def _fill(rows: Ints, ids: Ints, row: Ints, start: Ints, stop: Ints) -> None:  # pragma: no cover - compiled
    at = -1
    for y in range(rows.shape[0]):
        last = 0
        for x in range(rows.shape[1]):
            value = rows[y, x]
            if value != last:
                if last != 0:
                    stop[at] = x
                if value != 0:
                    at += 1
                    ids[at], row[at], start[at] = value, y, x
                last = value
        if last != 0:
            stop[at] = rows.shape[1]


@numba.njit(cache=True, nogil=True)
def _number(
    ids: Ints, found: Ints, first: int, table: tuple[Ints, Ints, Ints], count: int
) -> tuple[int, int]:  # pragma: no cover - compiled
    """Look labels up in a table with open addresses (Knuth 6.4); return how far it came until `known` was full."""
    keys, values, known = table
    mask = len(keys) - 1
    for k in range(first, len(ids)):
        mixed = np.uint64(ids[k]) * np.uint64(0x9E3779B97F4A7C15)
        at = np.int64(mixed >> np.uint64(32)) & mask
        while keys[at] != _FREE and keys[at] != ids[k]:
            at = (at + 1) & mask
        if keys[at] == _FREE:
            if count == len(known):
                return k, count
            keys[at], values[at], known[count] = ids[k], count, ids[k]
            count += 1
        found[k] = values[at]
    return len(ids), count
