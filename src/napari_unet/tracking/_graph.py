"""Who comes from whom, as a graph that can be changed link by link, each change with its opposite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from napari_unet.core.errors import EditError
from napari_unet.core.linking import Detection
from napari_unet.core.results import Tracks

__all__ = ["Change", "Graph", "opposite", "say"]

Ints = npt.NDArray[np.int64]
Verb = Literal["join", "cut", "hide", "show", "fix", "free", "ban", "allow"]
Change = tuple[Verb, int, int]

_OPPOSITE: Final[dict[Verb, Verb]] = {
    "join": "cut", "cut": "join", "hide": "show", "show": "hide", "fix": "free", "free": "fix", "ban": "allow",
    "allow": "ban",
}  # fmt: skip


class Graph:
    """Cells with at most two parents and two children each.

    Parameters
    ----------
    tracks : Tracks
        Gives the cells, one row each, and their links.

    Attributes
    ----------
    frames, labels : ndarray of int64, shape (n,)
        Of each row; ordered by frame, then label.
    there : ndarray of bool, shape (n,)
        False for cells that were taken out.
    """

    def __init__(self, tracks: Tracks) -> None:
        self.frames = tracks.nodes["t"].astype(np.int64)
        self.labels = tracks.nodes["label"].astype(np.int64)
        self.there = np.ones(len(self.frames), bool)
        self._parents = np.full((len(self.frames), 2), -1, np.int64)  # those that are there first, ascending
        self._children = self._parents.copy()
        edges = tracks.edges
        for own, other, table in ((1, 0, self._parents), (0, 1, self._children)):
            ordered = edges[np.lexsort((edges[:, other], edges[:, own]))]
            rank = np.arange(len(ordered)) - np.searchsorted(ordered[:, own], ordered[:, own])
            table[ordered[:, own], rank] = ordered[:, other]

    def cell(self, row: int) -> Detection:
        """Return frame and label of a row."""
        return int(self.frames[row]), int(self.labels[row])

    def row(self, cell: Detection, gone: bool = False) -> int:
        """Return the row of a cell; `gone` finds those too that were taken out."""
        low, high = np.searchsorted(self.frames, [cell[0], cell[0] + 1])
        row = int(low + np.searchsorted(self.labels[low:high], cell[1]))
        if row >= high or self.labels[row] != cell[1] or not (gone or self.there[row]):
            raise EditError(f"{say(cell)} is not among the tracks. Choose a cell that is.")
        return row

    def before(self, row: int) -> list[int]:
        """Return the parents of a row."""
        return [parent for parent in self._parents[row].tolist() if parent >= 0]

    def after(self, row: int) -> list[int]:
        """Return the children of a row."""
        return [child for child in self._children[row].tolist() if child >= 0]

    def first(self, row: int) -> int:
        """Return the row that the track of a row begins with."""
        while len(found := self.before(row)) == 1 and len(self.after(found[0])) == 1:
            row = found[0]
        return row

    def last(self, row: int) -> int:
        """Return the row that the track of a row ends with."""
        while len(found := self.after(row)) == 1 and len(self.before(found[0])) == 1:
            row = found[0]
        return row

    def change(self, changes: Iterable[Change]) -> None:
        """Make changes, in order; ``fix``, ``ban`` and their opposites are remarks that leave the graph as it is."""
        for verb, one, other in changes:
            if verb in ("join", "cut"):
                act = _put if verb == "join" else _take
                act(self._parents[other], one)
                act(self._children[one], other)
            elif verb in ("hide", "show"):
                self.there[one] = verb == "show"

    @property
    def edges(self) -> Ints:
        """All links, ordered by child, then parent."""
        child, rank = np.nonzero(self._parents >= 0)
        return np.stack([self._parents[child, rank], child], axis=1)


def opposite(changes: Iterable[Change]) -> list[Change]:
    """Return what undoes changes."""
    return [(_OPPOSITE[verb], one, other) for verb, one, other in reversed(list(changes))]


def say(cell: Detection) -> str:
    """Name a cell."""
    return f"cell {cell[1]} of frame {cell[0]}"


def _put(places: Ints, value: int) -> None:
    places[:] = [*sorted([*places[places >= 0].tolist(), value]), -1][:2]


def _take(places: Ints, value: int) -> None:
    places[:] = [*places[(places >= 0) & (places != value)].tolist(), -1, -1][:2]
