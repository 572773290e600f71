"""What is found when all frames are linked: objects that were missing for a while, and daughters that were."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from ._candidates import Pairs, Scale, Side, links, near, triples
from ._choose import Events, Links, choose, gather
from ._constraints import Constraints

__all__ = ["close_gaps", "joins", "widen"]

_WAIT: Final = 0.2  # what each missing frame costs
_RATIO: Final = 2.0  # two views of one object differ in size by less than this
_AWAY: Final = 0.125  # of the usual size is seen of who has nearly left the picture
_HALF_OVERLAP: Final = 0.5  # masks that were never seen together have neither all nor nothing in common

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_NONE: Final = (np.zeros(0, np.int64),) * 3


def close_gaps(
    made: Links,
    movie: tuple[Ints, Side],
    scale: Scale,
    limits: tuple[int, bool, float],
    known: Constraints,
    others: Events,
) -> Links:
    """Join ends and starts of tracks over gaps.

    Parameters
    ----------
    made : Links
        Those so far, of neighboring frames.
    movie : tuple of ndarray of int64, shape (frames + 1,), and Side
        First node of each frame, and all nodes.
    scale : Scale
        What is usual from frame to frame.
    limits : tuple of int, bool and float
        Most frames in a gap, whether objects divide, and the cost of an end or a start.
    known : Constraints
        What is decided.
    others : Events
        What else is to be chosen among; children have twice the number of nodes more.

    Returns
    -------
    Links
        The new ones.
    """
    (max_gap, division, unlinked), (first, side) = limits, movie
    count = int(first[-1])
    above, below = made.pairs.T
    number, begun = (np.bincount(nodes, minlength=count) for nodes in (above, below))
    child, saved = np.full(count, -1, np.int64), np.zeros(count)
    child[above], saved[above] = below, made.costs
    child[number > 1] = -1
    decided = np.zeros((2, count), np.bool_)
    decided[0, known.fixed[:, 0]], decided[1, known.fixed[:, 1]] = True, True
    free = (number == 0) & ~decided[0], (begun == 0) & ~decided[1], (number == 1) & ~decided[0]
    nodes = [np.arange(a, b) for a, b in pairwise(first.tolist())]
    ends, starts, mothers = ([rows[which[rows]] for rows in nodes] for which in free)
    found = [others]
    for wait in range(2, max_gap + 2):
        wide = widen(scale, wait)
        for t in range(len(nodes) - wait):
            found.append(joins(ends[t], starts[t + wait], side, wide, wait, count))
            if division:
                found.append(_births(ends[t], starts[t + 1 : t + wait + 1], side, wide, count))
                found.append(
                    _second(mothers[t], starts[t + wait], side, wide, (wait, count), (child, saved - unlinked))
                )
    events = gather(found)
    allowed = known.allow(events.who[:, 0] % count, events.who[:, 1] % count) if count else np.zeros(0, np.bool_)
    third = events.who[:, 2] >= 0
    allowed[third] &= known.allow(events.who[third, 0] % count, events.who[third, 2] % count)
    events = events.take(np.flatnonzero(allowed))
    chosen, margins = choose(events, 2 * count, 3 * count, unlinked)
    links = Links.of(events.take(chosen), margins, 2 * count)
    return replace(links, pairs=links.pairs % max(count, 1))


def widen(scale: Scale, frames: int) -> Scale:
    """Return what is usual over so many frames: steps are random."""
    return replace(scale, reach=scale.reach * math.sqrt(frames), stride=scale.stride * math.sqrt(frames))


def joins(ends: Ints, starts: Ints, side: Side, scale: Scale, wait: int, count: int) -> Events:
    """List ends that go on as starts.

    Parameters
    ----------
    ends, starts : ndarray of int64
        Nodes of two frames.
    side : Side
        All nodes.
    scale : Scale
        What is usual over so many frames.
    wait : int
        Frames from one to the other.
    count : int
        Number of nodes.

    Returns
    -------
    Events
        Ends, and starts plus twice the number of nodes.
    """
    before, here = side.take(ends), side.take(starts).earlier(wait)
    pairs = near(before, here, scale.reach, _NONE)
    costs = links(pairs, before, here, replace(scale, min_overlap=0.0)) - _HALF_OVERLAP + _WAIT * (wait - 1)
    p, c = pairs.parents, pairs.children
    # At the border of the picture sizes say less.
    most = np.where(before.cut[p] | here.cut[c], _RATIO**2, _RATIO)
    keep = np.abs(np.log2(before.areas[p] / here.areas[c])) <= np.log2(most)
    # Who nearly left, and later is nearly back, was away in between: no mask is missing.
    away = [one.cut & (one.areas < _AWAY * scale.area) for one in (before, here)]
    keep &= ~(away[0][p] & away[1][c])
    who = np.stack([ends[p], 2 * count + starts[c], np.full(len(costs), -1)], axis=1)
    return Events(who[keep], np.maximum(costs[keep], 0))


def _births(ends: Ints, starts: list[Ints], side: Side, scale: Scale, count: int) -> Events:
    """List ends that divided unseen: both daughters start, one of them in the last of some frames, one up to then."""
    later = np.concatenate(starts)
    waits = np.repeat(np.arange(1, len(starts) + 1), [len(rows) for rows in starts])
    before, here = side.take(ends), side.take(later).earlier(waits)
    found = triples(near(before, here, scale.reach, _NONE), before, here, scale, False)
    found = found.take(np.flatnonzero(found.who[:, 1:].max(axis=1) >= len(later) - len(starts[-1])))
    m, a, b = found.who.T
    who = np.stack([ends[m], 2 * count + later[a], 2 * count + later[b]], axis=1)
    return Events(who, np.maximum(found.costs - _HALF_OVERLAP + _WAIT * (len(starts) - 1), 0))


def _second(
    mothers: Ints, starts: Ints, side: Side, scale: Scale, sizes: tuple[int, int], single: tuple[Ints, Floats]
) -> Events:
    """List starts that are second daughters, whose sisters were seen before.

    `single` is the only child of each node (-1: none), and what the link with it cost more than an end. That is saved;
    and the mother, who takes part in an event here, was no end that had to be explained.
    """
    (wait, count), (child, saved) = sizes, single
    sister = mothers
    for _ in range(wait):
        sister = np.where(sister >= 0, child[sister], -1)
    mothers, sister = mothers[sister >= 0], sister[sister >= 0]
    before, here = side.take(mothers), side.take(starts).earlier(wait)
    pairs = near(before, here, scale.reach, _NONE)
    # Each mother meets her first daughter and one start.
    m, own = pairs.parents, sister[pairs.parents]
    both = side.take(own).earlier(wait).join(here.take(pairs.children))
    rows = np.arange(len(m))
    mother = before.take(m)
    twins = Pairs(np.repeat(rows, 2), np.stack([rows, rows + len(m)], axis=1).reshape(-1), np.zeros(2 * len(m)))
    found = triples(twins, mother, both, scale, False)
    row = found.who[:, 0]
    who = np.stack([count + mothers[m[row]], 2 * count + starts[pairs.children[row]], np.full(len(row), -1)], axis=1)
    costs = found.costs - _HALF_OVERLAP + _WAIT * (wait - 1) - saved[mothers[m[row]]]
    return Events(who, np.maximum(costs, 0))
