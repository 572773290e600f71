"""Polygons to pixels, window by window, with the pixels of the whole."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Polygon = Sequence[tuple[float, float]]
    Mask = npt.NDArray[np.bool_]
    Ints = npt.NDArray[np.int32]
    Longs = npt.NDArray[np.int64]

__all__ = ["Polygons"]


class Polygons:
    """Areas of a plane. A pixel is inside where its center lies in a polygon or on its outline.

    Where a polygon crosses itself, what is enclosed twice is outside (the even-odd rule). A stretch of outline that is
    gone there and back counts as none, so that holes can be reached from outside.

    Which pixels of a row are inside follows from its number and the vertices alone, so that windows are cut from the
    whole. (Rasterisers that count from the corner of what they draw round differently for each window.)

    Parameters
    ----------
    polygons : sequence of sequence of (float, float)
        Vertices ``(y, x)`` in pixels; centers of pixels are at whole numbers.
    """

    def __init__(self, polygons: Sequence[Polygon]) -> None:
        every = [_outline(polygon) for polygon in polygons]
        outlines = [edges for edges in every if edges]
        self._kept = np.flatnonzero([len(edges) > 0 for edges in every])
        # An edge goes down: y and x of its upper end, then of its lower. Level ones say nothing that others do not.
        self._edges = np.array(list(itertools.chain.from_iterable(outlines)), float).reshape(-1, 4)
        self._owner = np.repeat(np.arange(len(outlines)), [len(edges) for edges in outlines])
        ends = np.array([[*np.min(o, axis=0)[:2], *np.max(o, axis=0)[2:]] for o in outlines]).reshape(-1, 4)
        sides = np.array([(min(min(e[1], e[3]) for e in o), max(max(e[1], e[3]) for e in o)) for o in outlines])
        self._tops, self._bottoms = ends[:, 0], ends[:, 2]
        self._lefts, self._rights = sides.reshape(-1, 2).T

    def meet(self, rows: slice, columns: slice) -> bool:
        """Say, from bounding boxes alone, whether a window may have pixels inside."""
        return bool(self._near(rows, columns).any())

    def _near(self, rows: slice, columns: slice) -> Mask:
        near: Mask = (
            (self._tops < rows.stop)
            & (self._bottoms > rows.start - 1)
            & (self._lefts < columns.stop)
            & (self._rights > columns.start - 1)
        )
        return near

    def mask(self, rows: slice, columns: slice) -> Mask:
        """Draw a window.

        Parameters
        ----------
        rows, columns : slice
            Of the plane.

        Returns
        -------
        ndarray of bool, shape (rows, columns)
            True inside.
        """
        steps = np.zeros((rows.stop - rows.start, columns.stop - columns.start + 1), np.int32)
        for row, left, right, _ in self._stretches(rows, columns):
            np.add.at(steps, (row, left), 1)
            np.subtract.at(steps, (row, right + 1), 1)
        inside: Mask = np.cumsum(steps, axis=1)[:, :-1] > 0
        return inside

    def labels(self, rows: slice, columns: slice, numbers: Ints) -> Ints:
        """Draw a window with a number for each polygon.

        Parameters
        ----------
        rows, columns : slice
            Of the plane.
        numbers : ndarray of int32
            One for each of the polygons.

        Returns
        -------
        ndarray of int32, shape (rows, columns)
            0 outside; where polygons overlap, the number of the last of them.
        """
        found = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.int32)
        last = np.full(found.shape, -1, np.int32)
        for row, left, right, owner in self._stretches(rows, columns):
            many = right - left + 1
            step = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
            np.maximum.at(last, (np.repeat(row, many), np.repeat(left, many) + step), np.repeat(owner, many))
        drawn = last >= 0
        found[drawn] = numbers[self._kept[last[drawn]]]
        return found

    def _stretches(self, rows: slice, columns: slice) -> Iterator[tuple[Longs, Longs, Longs, Longs]]:
        """Yield row, first and last column, in the window, of what is inside, and which polygon it is inside of."""
        chosen = self._near(rows, columns)[self._owner]
        edges, owner = self._edges[chosen], self._owner[chosen]
        # A vertex in a row belongs to what is above and to what is below it: each row is drawn with either.
        for first, last in (
            (np.ceil(edges[:, 0]), np.ceil(edges[:, 2]) - 1),
            (np.floor(edges[:, 0]) + 1, np.floor(edges[:, 2])),
        ):
            row, left, right, whose = _spans(
                edges, owner, np.maximum(first, rows.start), np.minimum(last, rows.stop - 1)
            )
            left, right = np.maximum(np.ceil(left), columns.start), np.minimum(np.floor(right), columns.stop - 1)
            seen = left <= right
            row, left, right = (part[seen].astype(np.int64) for part in (row, left, right))
            yield row - rows.start, left - columns.start, right - columns.start, whose[seen]


def _outline(polygon: Polygon) -> list[tuple[float, float, float, float]]:
    """List the edges that are gone along an odd number of times and are not level."""
    pairs = zip(polygon, [*polygon[1:], polygon[0]], strict=True)
    counts = Counter((*min(pair), *max(pair)) for pair in pairs)
    return [edge for edge, times in counts.items() if times % 2 and edge[0] < edge[2]]


def _spans(
    edges: npt.NDArray[np.float64],
    owner: npt.NDArray[np.int64],
    first: npt.NDArray[np.float64],
    last: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64], Longs]:
    """Return row, left end, right end and polygon of everything inside in rows `first` to `last` of each edge."""
    counts = np.maximum(last - first + 1, 0).astype(np.int64)
    edge = np.repeat(np.arange(len(edges)), counts)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    top, start, bottom, end = edges[edge].T
    across = np.where(row == bottom, end, start + (row - top) * (end - start) / (bottom - top))
    # A closed outline crosses every row an even number of times.
    order = np.lexsort((across, row, owner[edge]))
    left, right = order[0::2], order[1::2]
    return row[left], across[left], across[right], owner[edge][left]
