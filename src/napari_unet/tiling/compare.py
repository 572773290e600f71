"""Two label images compared object by object, window by window: memory for a table of pairs, not for pixels.

An object is the same if one of the other image has exactly its pixels. What is counted are the pixels of every pair of
labels that lie on each other; sizes and overlaps follow from these counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..core.axes import AXES, Image

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Plane
    from ..core.results import Table

    Labels = npt.NDArray[np.int32]
    Longs = npt.NDArray[np.int64]
    Window = tuple[slice, ...]

__all__ = ["Comparing", "Pairs"]

_ROWS: Final = 2**21  # of counts, before they are added up
_EDGES: Final = {"z": 64, "y": 1024, "x": 1024}


class Pairs:
    """Counts of the pixels of each pair of labels that lie on each other; may be filled from several threads.

    Parameters
    ----------
    axes : str
        Of the labels.
    shape : sequence of int
        Of the labels.
    """

    def __init__(self, axes: str, shape: Sequence[int]) -> None:
        self.axes, self.shape = axes, tuple(shape)
        self._parts: list[Longs] = []
        self._lock = Lock()

    def add(self, one: npt.NDArray[Any], other: npt.NDArray[Any], start: Sequence[int]) -> None:
        """Count a window.

        Parameters
        ----------
        one, other : ndarray of int
            Labels from 0, of equal shape; axes of the labels.
        start : sequence of int
            Where it lies in the labels.
        """
        both = one.astype(np.int64) << 32 | other.astype(np.int64)
        values, first, counts = np.unique(both, return_index=True, return_counts=True)
        places = [at + offset for at, offset in zip(np.unravel_index(first, both.shape), start, strict=True)]
        rows = np.stack([values, counts, np.ravel_multi_index(tuple(places), self.shape)]).astype(np.int64)
        with self._lock:
            self._parts.append(rows)
            if sum(part.shape[1] for part in self._parts) > _ROWS:
                self._parts = [_summed(self._parts)]

    def finish(self) -> tuple[dict[str, int | bool], Table]:
        """Say how the two differ.

        Returns
        -------
        facts : dict
            ``objects`` and ``found`` of the one and the other, ``pixels_differing``, ``renumbered``; see
            :class:`~napari_unet.core.audit.Audit`.
        table : dict of ndarray
            A row for each object that differs, in the order of the first pixels.
        """
        values, counts, first = _summed(self._parts) if self._parts else np.zeros((3, 0), np.int64)
        one, other = values >> 32, values & (2**32 - 1)
        sizes, again = _totals(one, counts), _totals(other, counts)
        own, partner = np.array([sizes[a] for a in one.tolist()]), np.array([again[b] for b in other.tolist()])
        objects = (one > 0) & (other > 0)
        same = objects & (counts == own) & (counts == partner)
        best = objects & _is_best(one, counts, objects) & _is_best(other, counts, objects)
        agreeing = int(counts[best | ((one == 0) & (other == 0))].sum())
        facts: dict[str, int | bool] = {
            "objects": len(sizes.keys() - {0}), "found": len(again.keys() - {0}),
            "pixels_differing": int(counts.sum()) - agreeing, "renumbered": bool((one[same] != other[same]).any()),
        }  # fmt: skip
        rows = self._rows(one, other, counts, first, same, (sizes, again))
        return facts, rows

    def _rows(self, one: Longs, other: Longs, counts: Longs, first: Longs, same: Any, sizes: Any) -> Table:
        """List the objects of the first image that differ, then those of the other that belong to none of them."""
        order = np.argsort(-counts, kind="stable")
        rows: dict[int, list[float]] = {}
        taken = set()
        for at in order[(one[order] > 0) & ~np.isin(one[order], one[same])].tolist():
            a, b, place = int(one[at]), int(other[at]), int(first[at])
            row = rows.setdefault(a, [place, a, sizes[0][a], 0, 0.0])
            row[0] = min(row[0], place)
            if b and not row[3]:
                row[3:] = [sizes[1][b], counts[at] / (sizes[0][a] + sizes[1][b] - counts[at])]
                taken.add(b)
        alone: dict[int, int] = {}
        for at in np.flatnonzero((other > 0) & ~np.isin(other, [*other[same].tolist(), *taken])).tolist():
            alone[int(other[at])] = min(alone.get(int(other[at]), int(first[at])), int(first[at]))
        listed = sorted([*rows.values(), *([place, 0, 0, sizes[1][b], 0.0] for b, place in alone.items())])
        columns = np.array(listed, np.float64).reshape(-1, 5).T
        places = np.unravel_index(np.array([row[0] for row in listed], np.int64), self.shape)
        names = {"label": np.int64, "pixels": np.int64, "pixels_again": np.int64, "overlap": np.float64}
        table: Table = {name: columns[n].astype(kind) for n, (name, kind) in enumerate(names.items(), start=1)}
        return table | {axis: np.asarray(place, np.int64) for axis, place in zip(self.axes, places, strict=True)}


class Comparing:
    """Where the labels of a run go to be compared with others: a sink of :func:`.bricked.segment_bricks`.

    Parameters
    ----------
    labels : Image
        To compare with; axes in any order, no channels.
    read : callable
        Loads a window of them: one slice for each of their axes.
    """

    def __init__(self, labels: Image, read: Callable[[Window], npt.NDArray[Any]]) -> None:
        axes = "".join(a for a in AXES if a in labels.axes)
        self._labels, self._read = labels, read
        self.pairs = Pairs(axes, labels.along(axes)[0])

    def windows(self, plane: Plane) -> list[Window]:
        """List the parts of a plane that are compared at once."""
        return windows(plane.axes, plane.shape)

    def write(self, plane: Plane, window: Window, labels: Labels) -> None:
        """Compare a part of a plane."""
        held = {plane.image.axes[dimension]: slice(place, place + 1) for dimension, place in plane.fixed}
        at = held | dict(zip(plane.axes, window, strict=True))
        place = tuple(at[a] for a in self.pairs.axes)
        # Planes name their axes in that order; what they hold fixed has length 1 there.
        self.compare(place, labels.reshape([s.stop - s.start for s in place]))

    def compare(self, window: Window, labels: Labels) -> None:
        """Compare a window; axes in the order ``tzyx``."""
        at = dict(zip(self.pairs.axes, window, strict=True))
        stored = self._read(tuple(at[a] for a in self._labels.axes))
        stored = stored.transpose([self._labels.axes.index(a) for a in self.pairs.axes])
        self.pairs.add(stored, labels, [s.start for s in window])

    def read(self, plane: Plane, window: Window) -> Labels:
        """Return nothing but background: what was compared is not kept."""
        return np.zeros([s.stop - s.start for s in window], np.int32)


def windows(axes: str, shape: Sequence[int]) -> list[Window]:
    """Cut labels into windows that are compared at once.

    Parameters
    ----------
    axes : str
        Of the labels.
    shape : sequence of int
        Of the labels.

    Returns
    -------
    list of tuple of slice
        In C order; single planes along time.
    """
    starts = [range(0, n, _EDGES.get(a, 1)) for a, n in zip(axes, shape, strict=True)]
    counts = [len(s) for s in starts]
    cut = []
    for number in range(math.prod(counts)):
        at = np.unravel_index(number, counts)
        corners = [s[int(i)] for s, i in zip(starts, at, strict=True)]
        edges = [_EDGES.get(a, 1) for a in axes]
        cut.append(tuple(slice(c, min(c + e, n)) for c, e, n in zip(corners, edges, shape, strict=True)))
    return cut


def _summed(parts: Sequence[Longs]) -> Longs:
    """Add up the counts of equal pairs and keep the first of their places."""
    values, counts, first = np.concatenate(parts, axis=1)
    found, index = np.unique(values, return_inverse=True)
    total, place = np.zeros(len(found), np.int64), np.full(len(found), np.iinfo(np.int64).max)
    np.add.at(total, index, counts)
    np.minimum.at(place, index, first)
    return np.stack([found, total, place])


def _totals(labels: Longs, counts: Longs) -> dict[int, int]:
    found, index = np.unique(labels, return_inverse=True)
    total = np.zeros(len(found), np.int64)
    np.add.at(total, index, counts)
    return dict(zip(found.tolist(), total.tolist(), strict=True))


def _is_best(labels: Longs, counts: Longs, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Say which pairs are those with the most pixels of their label; of several, the first."""
    best = np.zeros(len(labels), bool)
    order = np.lexsort((-counts, labels))
    order = order[allowed[order]]
    first = np.flatnonzero(np.diff(labels[order], prepend=-1))
    best[order[first]] = True
    return best
