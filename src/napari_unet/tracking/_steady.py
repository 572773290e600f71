"""Where objects come from that keep their way: from the tracks on both sides of each link, not from its two frames.

Two frames cannot tell who is who where steps are longer than objects are far apart. Three can: of all chains of objects
those are real in which each step is like the one before (the smoothness of motion of Sethi and Jain 1987, IEEE Trans.
Pattern Anal. Mach. Intell. 9:56). Each possible link gets the cost of the best chain through it, a few frames to both
sides (min-sum messages, as in the algorithm of Viterbi); the links of least total cost then say how fast
each object is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from ._assign import assign
from ._candidates import Pairs, Scale, Side, near

__all__ = ["foresee"]

_SIDE: Final = 3  # frames before and after a link that have a say
_FADE: Final = 0.5  # of what each of them has to say, from one to the next
_NEIGHBORS: Final = 24
_ROUNDS: Final = 3  # in each the usual change of a step is learned from the links of the one before
_BROKEN: Final = 4.0  # what a chain costs that begins or ends, and at most what a change costs
_STRIDES: Final = 2.5  # a change of this many usual ones costs 1
_LEAST: Final = 0.15  # object widths
_TAIL: Final = 4.0
_WEIGHT: Final = 0.25  # of size and brightness
_EASE: Final = 0.3  # what a step as long as the reach costs: of two chains that are as good the shorter is right

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Steps:
    """Possible links of two frames: who, how far, what each costs by itself, and how size and brightness change."""

    pairs: Pairs
    moved: Floats
    costs: Floats
    size: Floats
    look: Floats
    cut: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Usual:
    """What usually changes along a track, in object widths and powers of 2."""

    step: float
    size: float = 1.0
    look: float = 1.0


def foresee(sides: list[Side], scale: Scale) -> list[Floats]:
    """Say how far each object has moved since the frame before, as far as its track tells.

    Parameters
    ----------
    sides : list of Side
        Objects of each frame, lengths in object widths. What a network foretells (`back`) is one more thing that a step
        should be like.
    scale : Scale
        Its reach is the farthest step.

    Returns
    -------
    list of ndarray of float64, shape (n, d)
        From where each is to where its parent should have been; 0 (or what was foretold) where no track leads.
    """
    steps = [_list(before, here, scale) for before, here in pairwise(sides)]
    usual, links = _Usual(scale.reach / 3), [np.zeros(0, np.int64)] * len(steps)
    for _ in range(_ROUNDS):
        links = _solve(steps, usual)
        usual = _learn(steps, links, usual, scale.reach)
    return _backward(sides, steps, links)


def _list(before: Side, here: Side, scale: Scale) -> _Steps:
    nothing = (np.zeros(0, np.int64),) * 3
    pairs = near(before, here, scale.reach, nothing, _NEIGHBORS)
    p, c = pairs.parents, pairs.children
    moved = here.places[c] - before.places[p]
    costs = _EASE * (moved**2).sum(axis=1) / scale.reach**2
    if here.back.any():
        costs += _cost(((moved + here.back[c]) ** 2).sum(axis=1), scale.reach / 3)
    size, look = np.log2(here.areas[c] / before.areas[p]), np.nan_to_num(here.looks[c] - before.looks[p])
    return _Steps(pairs, moved, costs, size, look, before.cut[p] | here.cut[c])


def _learn(steps: list[_Steps], links: list[Ints], usual: _Usual, reach: float) -> _Usual:
    """Take what changes along the links that were chosen for what is usual."""
    whole = [chosen[~step.cut[chosen]] for step, chosen in zip(steps, links, strict=True)]
    columns = (
        (usual.step, _changes(steps, links), _LEAST, reach / 3),
        (usual.size, [np.abs(step.size[rows]) for step, rows in zip(steps, whole, strict=True)], _LEAST, 1.0),
        (usual.look, [np.abs(step.look[rows]) for step, rows in zip(steps, whole, strict=True)], _LEAST, 1.0),
    )
    found = []
    for before, parts, least, most in columns:
        values = np.concatenate([np.zeros(0), *parts])
        found.append(min(max(_STRIDES * float(np.median(values)), least), most) if len(values) else before)
    return _Usual(*found)


def _cost(squares: Floats, usual: float) -> Floats:
    """Return what changes cost (Student's t), at most as much as a broken chain."""
    return np.asarray(np.minimum(_TAIL * np.log1p(squares / usual**2 / _TAIL), _BROKEN))


def _solve(steps: list[_Steps], usual: _Usual) -> list[Ints]:
    """Choose links by the best chain through each: rows of the lists of steps."""
    joints = [_joints(a, b, usual.step) for a, b in pairwise(steps)]
    own = [
        s.costs + np.where(s.cut, 0.0, _WEIGHT * _cost(s.size**2, usual.size)) + _WEIGHT * _cost(s.look**2, usual.look)
        for s in steps
    ]
    sides = [[np.zeros(len(s.costs)) for s in steps] for _ in (0, 1)]
    for _ in range(_SIDE):
        fresh = [[np.full(len(s.costs), _BROKEN) for s in steps] for _ in (0, 1)]
        for t, (first, second, cost) in enumerate(joints):
            np.minimum.at(fresh[0][t + 1], second, cost + own[t][first] + _FADE * sides[0][t][first])
            np.minimum.at(fresh[1][t], first, cost + own[t + 1][second] + _FADE * sides[1][t + 1][second])
        # At both ends of the movie nothing is broken.
        fresh[0][0][:], fresh[1][-1][:] = 0, 0
        sides = fresh
    chosen = []
    for t, step in enumerate(steps):
        total = own[t] + sides[0][t] + sides[1][t]
        parents, children = assign((step.pairs.parents, step.pairs.children, total), _limit(t, len(steps)))
        width = int(step.pairs.children.max(initial=0)) + 1
        key = step.pairs.parents * width + step.pairs.children  # ascending, as pairs come
        chosen.append(np.searchsorted(key, parents * width + children))
    return chosen


def _limit(t: int, count: int) -> float:
    """Return half of what a link may cost: it needs a chain on one side at least, where there is one to be had."""
    return _BROKEN * (0.5 + 0.4 * ((t > 0) + (t < count - 1)))


def _joints(one: _Steps, two: _Steps, usual: float) -> tuple[Ints, Ints, Floats]:
    """Pair the steps that lead to an object with those that lead away from it."""
    order = np.argsort(one.pairs.children, kind="stable")
    middle = one.pairs.children[order]
    low, high = (np.searchsorted(middle, two.pairs.parents, side=side) for side in ("left", "right"))
    times = high - low
    second = np.repeat(np.arange(len(times)), times)
    first = order[np.repeat(low, times) + np.arange(len(second)) - np.repeat(np.cumsum(times) - times, times)]
    cost = _cost(((two.moved[second] - one.moved[first]) ** 2).sum(axis=1), usual)
    good = cost < _BROKEN
    return first[good], second[good], cost[good]


def _changes(steps: list[_Steps], links: list[Ints]) -> list[Floats]:
    """Return how much the chosen steps differ from those before, object by object."""
    found = []
    for t in range(len(steps) - 1):
        one, two = links[t], links[t + 1]
        _, a, b = np.intersect1d(steps[t].pairs.children[one], steps[t + 1].pairs.parents[two], return_indices=True)
        found.append(np.linalg.norm(steps[t + 1].moved[two[b]] - steps[t].moved[one[a]], axis=1))
    return found


def _backward(sides: list[Side], steps: list[_Steps], links: list[Ints]) -> list[Floats]:
    """Average the steps to and from each object."""
    back = [np.zeros_like(side.places) for side in sides]
    seen = [np.zeros((len(side.places), 1)) for side in sides]
    for t, (step, chosen) in enumerate(zip(steps, links, strict=True)):
        for frame, who in ((t, step.pairs.parents[chosen]), (t + 1, step.pairs.children[chosen])):
            back[frame][who] -= step.moved[chosen]
            seen[frame][who] += 1
    return [
        np.where(number > 0, total / np.maximum(number, 1), side.back)
        for side, total, number in zip(sides, back, seen, strict=True)
    ]
