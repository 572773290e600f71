"""Which divisions of the truth are in the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from napari_unet.core.results import Tracks

from ._track_matches import Matches

__all__ = ["TOLERANCES", "Division", "Divisions", "compare"]

TOLERANCES: Final = (0, 1, 2, 3)  # frames


@dataclass(frozen=True)
class Division:
    """A mother and her daughters.

    Attributes
    ----------
    node : int
        The last row of the mother.
    track, t : int
        Her track and her last frame.
    children : tuple of tuple of int
        Track and first frame of each daughter.
    """

    node: int
    track: int
    t: int
    children: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Divisions:
    """Divisions of both sides.

    Attributes
    ----------
    true, found : list of Division
        All of them.
    pairs : dict of list
        For each tolerance in frames, the pairs (numbers in `true` and `found`) that are the same.
    """

    true: list[Division]
    found: list[Division]
    pairs: dict[int, list[tuple[int, int]]]

    def score(self, tolerance: int) -> float:
        """Return the F1 of divisions, NaN where the truth has none."""
        if not self.true:
            return float("nan")
        right = len(self.pairs[tolerance])
        return 2 * right / (len(self.true) + len(self.found))


def compare(found: Tracks, true: Tracks, matches: Matches) -> Divisions:
    """Pair divisions as py-ctcmetrics does.

    A division is right if mother and daughters are, each in a frame in which both sides have them, and alone in their
    mask there.
    """
    ours, theirs = _list(true), _list(found)
    same = _Same(found, true, matches)
    by_track: dict[int, list[int]] = {}
    for j, division in enumerate(theirs):
        by_track.setdefault(division.track, []).append(j)
    pairs: dict[int, list[tuple[int, int]]] = {i: [] for i in TOLERANCES}
    for i, one in enumerate(ours):
        near = {same.partner(one.track, t) for t in range(one.t - TOLERANCES[-1], one.t + 1)}
        for j in sorted(j for track in near for j in by_track.get(track, [])):
            for tolerance in TOLERANCES:
                if same.division(one, theirs[j], tolerance):
                    pairs[tolerance].append((i, j))
    return Divisions(ours, theirs, pairs)


def _list(tracks: Tracks) -> list[Division]:
    t, track = (tracks.nodes[name].tolist() for name in ("t", "track"))
    children: dict[int, list[int]] = {}
    for above, below in tracks.edges.tolist():
        if track[above] != track[below]:
            children.setdefault(above, []).append(below)
    return [
        Division(node, track[node], t[node], tuple((track[row], t[row]) for row in rows))
        for node, rows in sorted(children.items())
        if len(rows) > 1
    ]


class _Same:
    """Says whether a true track is a track of the result, in a frame."""

    def __init__(self, found: Tracks, true: Tracks, matches: Matches) -> None:
        alone = np.flatnonzero(matches.guess >= 0)
        alone = alone[matches.true[matches.guess[alone]] >= 0]
        keys = zip(true.nodes["track"][alone].tolist(), true.nodes["t"][alone].tolist(), strict=True)
        self._partner: dict[tuple[int, int], int] = dict(
            zip(keys, found.nodes["track"][matches.guess[alone]].tolist(), strict=True)
        )

    def partner(self, track: int, t: int) -> int:
        """Return the track of the result, 0 for none."""
        return int(self._partner.get((track, t), 0))

    def division(self, one: Division, other: Division, tolerance: int) -> bool:
        """Compare two divisions."""
        if len(one.children) != len(other.children) or abs(one.t - other.t) > tolerance:
            return False
        if self.partner(one.track, min(one.t, other.t)) != other.track:
            return False
        right = {
            theirs
            for own, start in one.children
            for theirs, begin in other.children
            if abs(start - begin) <= tolerance and self.partner(own, max(start, begin)) == theirs
        }
        return len(right) == len(one.children)
