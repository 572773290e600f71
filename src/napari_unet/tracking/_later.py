"""What is found when all frames are linked: objects that were missing for a while, and daughters that were."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from ._candidates import Pairs, Scale, Side, links, near, triples
from ._choose import Events, choose, gather
from ._constraints import Constraints

__all__ = ["close_gaps", "joins"]

_WAIT: Final = 0.2  # what each missing frame costs
_RATIO: Final = 2.0  # two views of one object differ in size by less than this
_HALF_OVERLAP: Final = 0.5  # masks that were never seen together have neither all nor nothing in common

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_NONE: Final = (np.zeros(0, np.int64),) * 3


def close_gaps(
    edges: Ints, first: Ints, side: Side, scale: Scale, limits: tuple[int, bool, float], known: Constraints
) -> tuple[Ints, Floats, Floats]:
    """Join ends and starts of tracks over gaps.

    Parameters
    ----------
    edges : ndarray of int64, shape (n, 2)
        Links so far, of neighboring frames.
    first : ndarray of int64, shape (frames + 1,)
        First node of each frame.
    side : Side
        All nodes.
    scale : Scale
        What is usual from frame to frame.
    limits : tuple of int, bool and float
        Most frames in a gap, whether objects divide, and the cost of an end or a start.
    known : Constraints
        What is decided.

    Returns
    -------
    edges, costs, margins : ndarray
        Of the new links.
    """
    max_gap, division, unlinked = limits
    count = int(first[-1])
    child = np.full(count, -1, np.int64)
    child[edges[:, 0]] = edges[:, 1]
    number = np.bincount(edges[:, 0], minlength=count)
    begun = np.bincount(edges[:, 1], minlength=count) > 0
    decided = np.zeros((2, count), np.bool_)
    decided[0, known.fixed[:, 0]], decided[1, known.fixed[:, 1]] = True, True
    nodes = [np.arange(a, b) for a, b in pairwise(first.tolist())]
    ends = [rows[(number[rows] == 0) & ~decided[0, rows]] for rows in nodes]
    starts = [rows[~begun[rows] & ~decided[1, rows]] for rows in nodes]
    mothers = [rows[(number[rows] == 1) & ~decided[0, rows]] for rows in nodes]
    found = []
    for wait in range(2, max_gap + 2):
        wide = replace(scale, reach=scale.reach * math.sqrt(wait), stride=scale.stride * math.sqrt(wait))
        for t in range(len(nodes) - wait):
            found.append(joins(ends[t], starts[t + wait], side, wide, wait, count))
            if division:
                found.append(_births(ends[t], starts[t + 1 : t + wait + 1], side, wide, count))
                found.append(_second(mothers[t], starts[t + wait], side, wide, (wait, count), child))
    events = gather(found)
    allowed = known.allow(events.who[:, 0] % count, events.who[:, 1] % count)
    third = events.who[:, 2] >= 0
    allowed[third] &= known.allow(events.who[third, 0] % count, events.who[third, 2] % count)
    events = events.take(np.flatnonzero(allowed))
    chosen, margins = choose(events, 2 * count, 3 * count, unlinked)
    who, costs = events.who[chosen], events.costs[chosen]
    three = who[:, 2] >= 0
    pairs = np.concatenate([who[:, :2], who[three][:, [0, 2]]]) % count
    return pairs, np.concatenate([costs, costs[three]]), np.concatenate([margins, margins[three]])


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
    alike = np.abs(np.log2(before.areas[p] / here.areas[c])) <= np.log2(_RATIO)
    keep = alike | before.cut[p] | here.cut[c]
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


def _second(mothers: Ints, starts: Ints, side: Side, scale: Scale, sizes: tuple[int, int], child: Ints) -> Events:
    """List starts that are second daughters, whose sisters were seen before."""
    wait, count = sizes
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
    return Events(who, np.maximum(found.costs - _HALF_OVERLAP + _WAIT * (wait - 1), 0))
