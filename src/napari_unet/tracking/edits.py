"""Corrections of tracks: link by link, with undo and redo, and what they tell the next solve.

A correction names cells by frame and label, so it means the same when tracks are numbered anew. It becomes a few
changes of the graph, each with its opposite: undoing is exact. After every one a cell has at most one parent and two
children.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.errors import EditError
from napari_unet.core.graph import relink
from napari_unet.core.linking import Detection, Link
from napari_unet.core.results import Tracks

from ._corrections import CORRECTIONS
from ._graph import Change, Graph, opposite, say

__all__ = ["Edits", "digest"]

_SOLVE: Final = "solve again"
_DECIDED: Final = ("join", "cut", "fix", "ban")


def digest(tracks: Tracks) -> str:
    """Return a short name for cells and links that no others have.

    Parameters
    ----------
    tracks : Tracks
        Any.

    Returns
    -------
    str
        16 digits of their sha256.
    """
    found = hashlib.sha256(f"{len(tracks.nodes['t'])}".encode())
    for column in (tracks.nodes["t"], tracks.nodes["label"], tracks.edges):
        found.update(np.ascontiguousarray(column, "<i8").tobytes())
    return found.hexdigest()[:16]


@dataclass(frozen=True)
class _Edit:
    words: str
    changes: list[Change]


class Edits:
    """Tracks and the corrections made to them.

    Parameters
    ----------
    tracks : Tracks
        As they were found.
    merging : bool
        Let two cells become one (``"fuse"``).
    keep : callable, optional
        Called with every correction once it is made, as a dict that JSON can hold, to write it down. What it raises
        goes to the caller; the correction stays.

    Attributes
    ----------
    base : Tracks
        As given.
    place : Path or None
        The file that `keep` writes to, if it is one.
    """

    def __init__(
        self, tracks: Tracks, merging: bool = False, keep: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        self.base, self.merging, self.keep = tracks, merging, keep
        self.place: Path | None = None
        self._graph = Graph(tracks)
        self._done: list[_Edit] = []
        self._undone: list[_Edit] = []

    @property
    def done(self) -> list[str]:
        """The corrections so far, in words."""
        return [edit.words for edit in self._done]

    @property
    def undone(self) -> list[str]:
        """What can be done again, in words, the next one last."""
        return [edit.words for edit in self._undone]

    @property
    def deleted(self) -> tuple[Detection, ...]:
        """Cells that were taken out."""
        return tuple(self._graph.cell(row) for row in np.flatnonzero(~self._graph.there).tolist())

    @property
    def fixed(self) -> tuple[Link, ...]:
        """Links that a new solve must keep: all that were made or confirmed by hand."""
        return self._links(True)

    @property
    def forbidden(self) -> tuple[Link, ...]:
        """Links that a new solve must not make: all that were cut by hand."""
        return self._links(False)

    def parents(self, cell: Detection) -> list[Detection]:
        """Return the cells that a cell comes from."""
        return [self._graph.cell(row) for row in self._graph.before(self._graph.row(cell))]

    def children(self, cell: Detection) -> list[Detection]:
        """Return the cells that a cell becomes."""
        return [self._graph.cell(row) for row in self._graph.after(self._graph.row(cell))]

    def tracks(self) -> Tracks:
        """Return the tracks with all corrections.

        Returns
        -------
        Tracks
            Numbered anew, in the order of their first cells; those that were taken out are missing, and ``id`` counts
            the others.
        """
        there, edges = self._graph.there, self._graph.edges
        nodes = {name: column[there] for name, column in self.base.nodes.items()}
        known = [self._carry(column, edges) for column in (self.base.costs, self.base.margins)]
        return relink(replace(self.base, nodes=nodes), (np.cumsum(there) - 1)[edges], *known)

    def do(self, verb: str, *cells: Detection) -> str:
        """Make a correction.

        Parameters
        ----------
        verb : str
            ``"link"`` (parent, child): both let go of whom they were linked with in between. ``"unlink"`` (parent,
            child). ``"swap"`` (one, other): exchange their pasts. ``"split"`` (cell): with it a new track begins.
            ``"merge"`` (one, other): one track of two, of which one ends before the other begins. ``"delete"`` (cell):
            it is none; its track is closed over the gap. ``"divide"`` (mother, daughter, daughter). ``"fuse"`` (one,
            other, child), where merging is allowed. ``"confirm"`` (parent, child): this link is right.
        *cells : tuple of (int, int)
            Frame and label of each.

        Returns
        -------
        str
            What was done, in words.

        Raises
        ------
        EditError
            If it cannot be done; nothing is changed.
        OutputError
            If it was done and could not be written down.
        """
        if verb not in CORRECTIONS:
            raise EditError(f"'{verb}' is no correction. Choose one of: {', '.join(CORRECTIONS)}.")
        count, plan = CORRECTIONS[verb]
        if len(cells) != count:
            raise EditError(f"'{verb}' takes {count} cells, not {len(cells)}.")
        if verb == "fuse" and not self.merging:
            raise EditError("A cell comes from one cell. Allow merging in the settings, where cells do fuse.")
        edit = _Edit(f"{verb} {', '.join(map(say, cells))}", plan(self._graph, *map(self._graph.row, cells)))
        self._make(edit, {"do": verb, "cells": [[int(n) for n in cell] for cell in cells]})
        return edit.words

    def solve(self, tracks: Tracks) -> int:
        """Take over the links of a new solve, as one correction that can be undone.

        Parameters
        ----------
        tracks : Tracks
            Of the same labels, solved with :attr:`fixed` and :attr:`forbidden`. Links of cells that were taken out are
            left aside.

        Returns
        -------
        int
            Number of links that came or went.

        Raises
        ------
        EditError
            If it has other cells: masks were changed.
        """
        cells = [*zip(tracks.nodes["t"].tolist(), tracks.nodes["label"].tolist(), strict=True)]
        own = {self._graph.cell(row) for row in range(len(self._graph.frames))}
        if changed := own.symmetric_difference(cells) - set(self.deleted):
            what = "is not there any more" if min(changed) in own else "was not there"
            raise EditError(
                f"Masks were changed since they were tracked: {say(min(changed))} {what} ({len(changed)} such cells). "
                "Track the labels anew; what was corrected holds for the new tracks too."
            )
        rows = np.array([self._graph.row(cell, gone=True) for cell in cells], np.int64)
        wanted = rows[tracks.edges].reshape(-1, 2)
        wanted = wanted[self._graph.there[wanted].all(axis=1)]
        old, new = ({(a, b) for a, b in edges.tolist()} for edges in (self._graph.edges, wanted))
        changes: list[Change] = [("cut", a, b) for a, b in sorted(old - new)]
        changes += [("join", a, b) for a, b in sorted(new - old)]
        if changes:
            self._solve(changes)
        return len(changes)

    def carry(self, fixed: Iterable[Link], forbidden: Iterable[Link], deleted: Iterable[Detection]) -> tuple[int, int]:
        """Take over what was decided about other tracks, as one correction that can be undone.

        Parameters
        ----------
        fixed, forbidden, deleted : iterable
            As :attr:`fixed`, :attr:`forbidden` and :attr:`deleted` of the others tell. Cells mean the same there.

        Returns
        -------
        count, lost : int
            Links and cells that are taken over, and those that cannot be, because a cell is not there. What was decided
            here already counts for neither.
        """
        links = [(link, yes) for yes, all_ in ((True, fixed), (False, forbidden)) for link in all_]
        known, gone = set(self.fixed) | set(self.forbidden), set(self.deleted)
        new: dict[str, list[Any]] = {
            "fixed": [link for link, yes in links if yes and link not in known],
            "forbidden": [link for link, yes in links if not yes and link not in known],
            "deleted": [cell for cell in deleted if cell not in gone],
        }
        there = {name: [one for one in each if self._has(one)] for name, each in new.items()}
        if not self.merging:  # of two parents the last one stays
            there["fixed"] = list({child: (parent, child) for parent, child in there["fixed"]}.values())
        changes, count = self._plan_carried(there), sum(map(len, there.values()))
        if changes:
            self._make(_Edit(f"keep {count} links and cells of before", changes), {"do": "carry", **there})
        return count, sum(map(len, new.values())) - count

    def _has(self, one: Any) -> bool:
        """Say whether a cell, or both of a link, are among the tracks."""
        try:
            for cell in one if isinstance(one[0], Sequence) else (one,):
                self._graph.row(cell)
        except EditError:
            return False
        return True

    def _plan_carried(self, there: Mapping[str, list[Any]]) -> list[Change]:
        fixed, forbidden = ([self._pair(link) for link in there[name]] for name in ("fixed", "forbidden"))
        gone = {self._graph.row(cell) for cell in there["deleted"]}
        old = {(a, b) for a, b in self._graph.edges.tolist()}
        parents, children = ({link[i] for link in fixed} for i in (0, 1))
        let_go = {(a, b) for a, b in old if a in parents | gone or b in children | gone}
        new = (old - let_go - set(forbidden)) | set(fixed)
        changes: list[Change] = [("cut", a, b) for a, b in sorted(old - new)]
        changes += [("hide", row, row) for row in sorted(gone)]
        changes += [("join", a, b) for a, b in sorted(new - old)]
        changes += [("fix", a, b) for a, b in sorted(set(fixed) & old)]
        return changes + [("ban", a, b) for a, b in sorted(set(forbidden) - old)]

    def undo(self) -> str:
        """Take the last correction back.

        Returns
        -------
        str
            Which one, in words.

        Raises
        ------
        EditError
            If there is none.
        """
        return self._step(self._done, self._undone, "undo")

    def redo(self) -> str:
        """Make the correction again that was taken back last; see :meth:`undo`."""
        return self._step(self._undone, self._done, "redo")

    def replay(self, entries: Iterable[Mapping[str, Any]]) -> list[str]:
        """Make corrections that were written down; they are not written again.

        Parameters
        ----------
        entries : iterable of mapping
            As given to `keep`.

        Returns
        -------
        list of str
            What could not be made, in words.
        """
        keep, self.keep = self.keep, None
        refused = []
        for entry in entries:
            try:
                self._replay(entry)
            except (EditError, KeyError, TypeError, ValueError, IndexError) as error:
                refused.append(f"{entry.get('do', 'unknown')}: {error}")
        self.keep = keep
        return refused

    def _replay(self, entry: Mapping[str, Any]) -> None:
        verb = entry["do"]
        if verb in ("undo", "redo"):
            getattr(self, verb)()
        elif verb == "carry":
            cells = [(int(frame), int(label)) for frame, label in entry["deleted"]]
            self.carry(map(_as_link, entry["fixed"]), map(_as_link, entry["forbidden"]), cells)
        elif verb == "solve":
            cuts: list[Change] = [("cut", *self._pair(link)) for link in entry["cut"]]
            self._solve([*cuts, *(("join", *self._pair(link)) for link in entry["join"])])
        else:
            self.do(verb, *((int(frame), int(label)) for frame, label in entry["cells"]))

    def _pair(self, link: Any) -> tuple[int, int]:
        parent, child = (self._graph.row((int(frame), int(label))) for frame, label in link)
        return parent, child

    def _solve(self, changes: list[Change]) -> None:
        links = {kind: [[*map(self._graph.cell, c[1:])] for c in changes if c[0] == kind] for kind in ("cut", "join")}
        self._make(_Edit(_SOLVE, changes), {"do": "solve", **links})

    def _make(self, edit: _Edit, entry: dict[str, Any]) -> None:
        self._graph.change(edit.changes)
        self._done.append(edit)
        self._undone.clear()
        self._tell(entry)

    def _step(self, source: list[_Edit], target: list[_Edit], verb: str) -> str:
        if not source:
            raise EditError(f"There is nothing to {verb}.")
        edit = source.pop()
        self._graph.change(opposite(edit.changes) if verb == "undo" else edit.changes)
        target.append(edit)
        self._tell({"do": verb})
        return edit.words

    def _tell(self, entry: dict[str, Any]) -> None:
        if self.keep is not None:
            self.keep(entry)

    def _carry(self, column: npt.NDArray[np.float64], edges: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
        """Find what is known of links that are there still; NaN for those made since."""
        if len(column) != len(self.base.edges):
            return None
        count = len(self._graph.frames)
        keys, wanted = (links[:, 1] * count + links[:, 0] for links in (self.base.edges, edges))
        if not len(keys):
            return np.full(len(edges), np.nan)
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, column[at], np.nan)

    def _links(self, kept: bool) -> tuple[Link, ...]:
        """Return what was said last of each link by hand, if its cells are still there."""
        said: dict[tuple[int, int], bool] = {}
        for edit in self._done:
            if edit.words != _SOLVE:
                said |= {(a, b): verb in ("join", "fix") for verb, a, b in edit.changes if verb in _DECIDED}
        there, cell = self._graph.there, self._graph.cell
        return tuple((cell(a), cell(b)) for (a, b), yes in said.items() if yes is kept and there[a] and there[b])


def _as_link(pair: Any) -> Link:
    (t, label), (later, other) = pair
    return (int(t), int(label)), (int(later), int(other))
