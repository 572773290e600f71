"""Links that are chosen again when all frames are linked: doubtful ones that somebody who is left would put right.

Two frames cannot know that an object is only missing for a while, so its neighbor may have been linked in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from ._candidates import Scale, Side
from ._choose import Events, Links, gather
from ._later import joins, widen

__all__ = ["Doubts", "part", "reopen"]

_DOUBT: Final = 0.5  # links with a smaller margin may be chosen again
_MANY: Final = 0.4  # where more links are in doubt, a link over a gap is no better known
_BETTER: Final = 0.75  # of what such a link costs, at most, costs one that is a reason to choose again

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Doubts:
    """What was chosen between two frames with little to spare, and what else would have been worth it.

    Attributes
    ----------
    events : Events
        Of nodes; children have twice the number of nodes more.
    margins : ndarray of float64, shape (n,)
        NaN for what was not chosen.
    """

    events: Events
    margins: Floats

    @classmethod
    def join(cls, parts: list[Doubts]) -> Doubts:
        """Put lists together."""
        margins = np.concatenate([np.zeros(0), *(part.margins for part in parts)])
        return cls(gather([part.events for part in parts]), margins)

    def take(self, which: npt.NDArray[np.generic]) -> Doubts:
        """Return some of them."""
        return Doubts(self.events.take(which), self.margins[which])


def part(events: Events, choice: tuple[Ints, Floats], unlinked: float) -> tuple[Events, Floats, Doubts]:
    """Part what is chosen between two frames into what stands (with its margins) and what is in doubt.

    Parameters
    ----------
    events : Events
        All that may have happened.
    choice : tuple of ndarray
        Rows that were chosen, and their margins.
    unlinked : float
        What an object that takes part in nothing costs.

    Returns
    -------
    firm : Events
        What stands.
    margins : ndarray of float64
        Of each.
    doubts : Doubts
        Numbers are those of `events`.
    """
    chosen, margins = choice
    firm = margins >= _DOUBT
    # Of what else there was, that is of interest which speaks only of objects that are free.
    busy = np.isin(events.who, events.who[chosen[firm]]) & (events.who >= 0)
    worth = unlinked * (events.who >= 0).sum(axis=1) > events.costs
    every = np.full(len(events), np.nan)
    every[chosen] = margins
    left = np.flatnonzero(worth & ~busy.any(axis=1))
    return events.take(chosen[firm]), margins[firm], Doubts(events.take(left), every[left])


def reopen(
    doubts: Doubts, made: Links, movie: tuple[Ints, Side], scale: Scale, limits: tuple[int, bool, float]
) -> tuple[Links, Events]:
    """Say which doubtful links stand after all, and which events are to be chosen among, together with gaps.

    Parameters
    ----------
    doubts : Doubts
        Of all frames.
    made : Links
        What stands.
    movie : tuple of ndarray of int64, shape (frames + 1,), and Side
        First node of each frame, and all nodes.
    scale : Scale
        What is usual from frame to frame.
    limits : tuple of int, bool and float
        Most frames in a gap, whether objects divide, and the cost of an end or a start.

    Returns
    -------
    made : Links
        With those of the doubtful ones for which nobody else is left.
    events : Events
        The others, and what else may have been.
    """
    (first, _), (_, _, unlinked) = movie, limits
    count = int(first[-1])
    chosen = ~np.isnan(doubts.margins)
    few = chosen.sum() <= _MANY * (chosen.sum() + len(made.pairs))
    sides = np.zeros((2, 3 * count + 1), np.bool_)  # of what stands, of what is in doubt; the last is nobody
    sides[0, made.pairs + np.array([0, 2 * count])] = True
    sides[1, doubts.events.who[chosen]] = True
    sides[:, -1] = False
    # Only somebody who fits better is a reason to doubt.
    better = np.full(3 * count + 1, np.inf)
    for found in _gaps(sides, movie, scale, limits):
        for column in found.who[:, :2].T:
            np.minimum.at(better, column, found.costs)
    better[~sides[1]] = np.inf
    again = few & chosen & (better[doubts.events.who].min(axis=1) < np.minimum(_BETTER * doubts.events.costs, unlinked))
    stands = doubts.take(chosen & ~again)
    links = Links.of(stands.events, stands.margins, count)
    made = Links.join([made, replace(links, pairs=links.pairs % max(count, 1))])
    busy = np.zeros(3 * count + 1, np.bool_)
    busy[made.pairs + np.array([0, 2 * count])] = True
    free = np.flatnonzero(~busy[doubts.events.who].any(axis=1))
    return made, doubts.events.take(free)


def _gaps(
    sides: npt.NDArray[np.bool_], movie: tuple[Ints, Side], scale: Scale, limits: tuple[int, bool, float]
) -> list[Events]:
    """List links over gaps between one who is left and one whose link is in doubt."""
    (first, side), (max_gap, _, _) = movie, limits
    count = int(first[-1])
    ended, begun = sides[:, :count], sides[:, 2 * count : -1]
    nodes = [np.arange(a, b) for a, b in pairwise(first.tolist())]
    left, right = ([rows[~at[0, rows] & ~at[1, rows]] for rows in nodes] for at in (ended, begun))
    parents, children = ([rows[at[1, rows]] for rows in nodes] for at in (ended, begun))
    found = []
    for wait in range(2, max_gap + 2):
        wide = widen(scale, wait)
        for t in range(len(nodes) - wait):
            found.append(joins(left[t], children[t + wait], side, wide, wait, count))
            found.append(joins(parents[t], right[t + wait], side, wide, wait, count))
    return found
