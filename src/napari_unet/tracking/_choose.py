"""Choose, of all that may have happened, what explains the most at the least cost.

An event speaks of some objects: two for a link, three for a division or a merging. Each object takes part in one event
or in none, and pays `unlinked` if in none. This is Jaqaman et al. 2008 (Nature Methods 5:695, Fig. 1b) with divisions
among the events from the start, as in Schiegg et al. 2013 (ICCV), not found in what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import optimize, sparse
from scipy.sparse.csgraph import connected_components

from ._assign import assign

__all__ = ["Events", "Links", "choose", "gather", "margins_of"]

_SECONDS: Final = 20.0  # for one solution; what the solver has by then is used
_NOBODY: Final = -1

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Events:
    """What may have happened.

    Attributes
    ----------
    who : ndarray of int64, shape (n, 3)
        Objects by number: parent, child, and a second child or a second parent (-1: none). The numbers of parents are
        below those of children.
    costs : ndarray of float64, shape (n,)
        Not negative.
    """

    who: Ints
    costs: Floats

    def take(self, which: npt.NDArray[np.generic]) -> Events:
        """Return some of them."""
        return Events(self.who[which], self.costs[which])

    def __len__(self) -> int:
        """Count them."""
        return len(self.costs)


@dataclass(frozen=True)
class Links:
    """What was chosen.

    Attributes
    ----------
    pairs : ndarray of int64, shape (n, 2)
        Nodes: parent and child.
    costs, margins : ndarray of float64, shape (n,)
        Of each; NaN where a person chose.
    """

    pairs: Ints
    costs: Floats
    margins: Floats

    @classmethod
    def of(cls, events: Events, margins: Floats, parents: int) -> Links:
        """Turn events into links; objects with numbers below `parents` are parents."""
        who, three = events.who, events.who[:, 2] >= 0
        merged = three & (who[:, 2] < parents)
        second = np.where(merged[:, None], who[:, [2, 1]], who[:, [0, 2]])[three]
        pairs = np.concatenate([who[:, :2], second])
        return cls(
            pairs, np.concatenate([events.costs, events.costs[three]]), np.concatenate([margins, margins[three]])
        )

    @classmethod
    def join(cls, parts: list[Links]) -> Links:
        """Put lists together."""
        pairs = np.concatenate([np.zeros((0, 2), np.int64), *(part.pairs for part in parts)])
        costs, margins = (
            np.concatenate([np.zeros(0), *(getattr(part, n) for part in parts)]) for n in ("costs", "margins")
        )
        return cls(pairs, costs, margins)

    def take(self, which: npt.NDArray[np.generic]) -> Links:
        """Return some of them."""
        return Links(self.pairs[which], self.costs[which], self.margins[which])


def gather(parts: list[Events]) -> Events:
    """Put lists together."""
    if not parts:
        return Events(np.zeros((0, 3), np.int64), np.zeros(0))
    return Events(np.concatenate([p.who for p in parts]), np.concatenate([p.costs for p in parts]))


def choose(events: Events, parents: int, count: int, unlinked: float) -> tuple[Ints, Floats]:
    """Choose the events of least total cost.

    Parameters
    ----------
    events : Events
        No pair of objects twice.
    parents, count : int
        Objects with numbers below `parents` are parents; there are `count` in all.
    unlinked : float
        What it costs to take part in nothing, above 0.

    Returns
    -------
    chosen : ndarray of int64
        Rows of `events`, ascending.
    margins : ndarray of float64
        For each how much worse the next best event of one of its objects is; below 0 where it is better, but not
        possible for all together.
    """
    gain = unlinked * (events.who != _NOBODY).sum(axis=1) - events.costs
    pair = events.who[:, 2] == _NOBODY
    keep = gain > 0
    # An event of three is as good as nothing where the link inside of it and a newcomer cost less.
    best = _best_links(events.take(keep & pair), gain[keep & pair], count)
    keep[~pair] &= gain[~pair] > _inside(events.who[~pair], parents, best)
    rows = np.flatnonzero(keep)
    who, worth = events.who[rows], gain[rows]
    sure = _sure(who, worth, count)
    left = np.flatnonzero(~np.isin(who, who[sure][:, :2]).any(axis=1) if sure.any() else np.ones(len(who), np.bool_))
    chosen = np.concatenate([np.flatnonzero(sure), left[_solve(who[left], worth[left], count, unlinked)]])
    chosen.sort()
    return rows[chosen], margins_of(who, worth, chosen, count)


def _best_links(links: Events, gain: Floats, count: int) -> dict[str, npt.NDArray[np.generic]]:
    key = links.who[:, 0] * count + links.who[:, 1]
    order = np.argsort(key)
    return {"key": key[order], "gain": gain[order], "count": np.array(count)}


def _inside(who: Ints, parents: int, best: dict[str, npt.NDArray[np.generic]]) -> Floats:
    """Return the best gain of a link that is part of an event of three."""
    merging = (who[:, 2] >= 0) & (who[:, 2] < parents)
    first = who[:, 0] * int(best["count"]) + who[:, 1]
    second = np.where(merging, who[:, 2], who[:, 0]) * int(best["count"]) + np.where(merging, who[:, 1], who[:, 2])
    found = np.zeros(len(who))
    if len(best["key"]):
        for key in (first, second):
            at = np.minimum(np.searchsorted(best["key"], key), len(best["key"]) - 1)
            found = np.maximum(found, np.where(best["key"][at] == key, best["gain"][at], 0.0))
    return found


def _sure(who: Ints, worth: Floats, count: int) -> npt.NDArray[np.bool_]:
    """Find links that are in a best choice whatever the rest: most of them, which keeps the rest small.

    A link of p and c is, if it is the best of both, and what they would gain with others is not more together than with
    each other: then to exchange partners cannot pay, even if those others are left alone.
    """
    pair = np.asarray(who[:, 2] == _NOBODY, np.bool_)
    if not pair.any():
        return pair
    first, second = np.zeros(count), np.zeros(count)
    best = np.full(count, -1, np.int64)
    ends = who[:, :2]
    for side in (0, 1):
        order = np.lexsort((worth, ends[:, side]))
        node = ends[order, side]
        last = np.flatnonzero(np.diff(node, append=-1))
        best[node[last]], first[node[last]] = order[last], worth[order[last]]
        again = last[(last > 0) & (node[np.maximum(last - 1, 0)] == node[last])]
        second[node[again]] = worth[order[again - 1]]
    busy = np.zeros(count, np.bool_)
    three = who[~pair]
    busy[three[three >= 0]] = True
    p, c = ends.T
    rows = np.arange(len(who))
    mutual = pair & (best[p] == rows) & (best[c] == rows) & ~busy[p] & ~busy[c]
    return np.asarray(mutual & (second[p] + second[c] <= worth))


def _solve(who: Ints, worth: Floats, count: int, unlinked: float) -> Ints:
    """Solve what is left: by assignment where there are only links, exactly as whole numbers elsewhere."""
    if not len(who):
        return np.zeros(0, np.int64)
    rows = np.repeat(np.arange(len(who)), 3)
    cells = who.reshape(-1)
    there = cells >= 0
    cover = sparse.csr_array((np.ones(int(there.sum())), (cells[there], rows[there])), shape=(count, len(who)))
    group = connected_components(cover.T @ cover, directed=False)[1]
    hard = np.isin(group, group[who[:, 2] >= 0])
    easy, rest = np.flatnonzero(~hard), np.flatnonzero(hard)
    found = []
    if len(easy):
        a, b = who[easy, 0], who[easy, 1]
        above, below = assign((a, b, 2 * unlinked - worth[easy]), unlinked)
        order = np.argsort(a * count + b)
        found.append(easy[order[np.searchsorted((a * count + b)[order], above * count + below)]])
    if len(rest):
        matrix = cover[:, rest]
        matrix = matrix[np.flatnonzero(np.diff(matrix.indptr) > 1)]
        solved = optimize.milp(
            -worth[rest],
            integrality=np.ones(len(rest)),
            bounds=optimize.Bounds(0, 1),
            constraints=optimize.LinearConstraint(matrix, ub=1) if matrix.shape[0] else None,
            options={"time_limit": _SECONDS},
        )
        if solved.x is not None:
            found.append(rest[np.asarray(solved.x) > 0.5])
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def margins_of(who: Ints, worth: Floats, chosen: Ints, count: int) -> Floats:
    """Compare each chosen event with the best other one of any of its objects.

    Parameters
    ----------
    who : ndarray of int64, shape (n, 3)
        Objects of events; children have other numbers than parents.
    worth : ndarray of float64, shape (n,)
        What each event gains.
    chosen : ndarray of int64
        Rows of both.
    count : int
        More than the largest number.

    Returns
    -------
    ndarray of float64
        One for each chosen event.
    """
    other = np.zeros(count + 1)  # the last is nobody
    rest = np.ones(len(who), np.bool_)
    rest[chosen] = False
    for side in range(3):
        np.maximum.at(other, who[rest, side], worth[rest])
    other[-1] = 0
    return np.asarray(worth[chosen] - other[who[chosen]].max(axis=1)) if len(chosen) else np.zeros(0)
