"""Who may be linked with whom, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from ._choose import Events

__all__ = ["Pairs", "Scale", "Side", "alike", "links", "near", "sure", "triples"]

_NEIGHBORS: Final = 16  # more than touch one object in a dense tissue; bounds memory where objects lie on a heap
_OVERLAP: Final = 1.0
_SIZE: Final = 0.5
_LOOK: Final = 0.3
_MOST: Final = 2.0  # what a change of size or of look costs at most, before it is weighed
_UNLIKE: Final = 0.6  # of daughters
_CUT: Final = 0.3  # what sizes count at the border of the picture
_EVENT: Final = 0.15  # a division is rarer than a link
_RATIO: Final = 2.5  # daughters differ in size by less than this
_TAIL: Final = 4.0  # the smaller, the less a long step costs
_UNKNOWN: Final = 0.5
_SMALLER: Final = 0.75  # of a mother, where her daughters cannot be measured
_AWAY: Final = 1.0  # object widths from a mother to a daughter, where masks say nothing
_COVER: Final = 0.5
_YOUNG: Final = 0.9  # of the usual size: daughters are smaller, however little is seen of the mother
_FAR: Final = 1.0
_CHANCE: Final = 0.5  # what it costs to act against a network that is sure of a division, or of none
_INSIDE: Final = (0.35, 0.7)  # shares of daughters that lie where their mother was, if sizes are not known
_LEFT: Final = 0.3  # and what of them is seen at least, at the border of the picture
_SUM: Final = (0.5, 1.6)  # what daughters have together, in sizes of the mother

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """Objects of one time.

    Attributes
    ----------
    places : ndarray of float64, shape (n, d)
        In object widths.
    areas : ndarray of float64, shape (n,)
        Sizes in pixels.
    looks : ndarray of float64, shape (n,)
        Logarithm (base 2) of the brightness; NaN without an image.
    cut : ndarray of bool, shape (n,)
        Whether a part of it may lie outside of the picture, so that its size says little.
    back : ndarray of float64, shape (n, d)
        From where it is to where its parent was a frame before, as far as that is foretold; else 0.
    chances : ndarray of float64, shape (n,)
        Of having come out of a division since the frame before; NaN where nobody knows.
    """

    places: Floats
    areas: Floats
    looks: Floats
    cut: npt.NDArray[np.bool_]
    back: Floats
    chances: Floats

    def take(self, which: npt.NDArray[np.generic]) -> Side:
        """Return some of them."""
        return Side(*(getattr(self, field.name)[which] for field in fields(self)))

    def join(self, other: Side) -> Side:
        """Return these and others."""
        return Side(
            *(np.concatenate([getattr(self, field.name), getattr(other, field.name)]) for field in fields(self))
        )

    def earlier(self, frames: int | Ints) -> Side:
        """Return them where their parents are foretold to have been some frames before.

        What is foretold of one frame is taken for all of a gap, and then says nothing of divisions.
        """
        places = self.places + np.reshape(frames, (-1, 1)) * self.back
        unknown = np.where(np.asarray(frames) == 1, self.chances, np.nan)
        return replace(self, places=places, chances=unknown)


@dataclass(frozen=True)
class Scale:
    """What is usual in this movie.

    Attributes
    ----------
    reach : float
        Farthest step, in object widths.
    stride : float
        A step of this length costs 1.
    min_overlap : float
        Smallest intersection over union.
    area : float
        Of an object that is seen whole, pixels (the median).
    cover : float
        Share of an object that lies where it was a frame before (the median); less, the farther they move.
    """

    reach: float
    stride: float
    min_overlap: float = 0.0
    area: float = np.inf
    cover: float = 1.0


@dataclass(frozen=True)
class Pairs:
    """Objects near each other, ordered by parent, then child.

    Attributes
    ----------
    parents, children : ndarray of int64, shape (n,)
        Rows of both sides.
    common : ndarray of float64, shape (n,)
        Pixels in common.
    """

    parents: Ints
    children: Ints
    common: Floats


def near(before: Side, here: Side, reach: float, shared: tuple[Ints, Ints, Ints], most: int = _NEIGHBORS) -> Pairs:
    """Pair each object with those of the frame before within `reach`, and look up what they share."""
    n, m = len(before.areas), len(here.areas)
    if not n or not m:
        nothing = np.zeros(0, np.int64)
        return Pairs(nothing, nothing, np.zeros(0))
    limit = np.nextafter(reach, np.inf)
    among = list(range(1, min(most, n) + 1))
    distance, found = KDTree(before.places).query(here.places, k=among, distance_upper_bound=limit)
    child, rank = np.nonzero(np.isfinite(distance))
    key = np.sort(found[child, rank].astype(np.int64) * m + child)
    common = np.zeros(len(key))
    if len(shared[0]):
        known = shared[0] * m + shared[1]  # sorted, as they come
        at = np.minimum(np.searchsorted(known, key), len(known) - 1)
        common = np.where(known[at] == key, shared[2][at], 0.0)
    return Pairs(key // m, key % m, common)


def _change(before: Floats, here: Floats) -> Floats:
    return np.minimum(np.abs(np.nan_to_num(here - before)), _MOST)


def _steps(squares: Floats) -> Floats:
    """Return what steps cost: steps are not normal, now and then an object jumps (Student's t)."""
    return np.asarray(_TAIL * np.log1p(squares / _TAIL))


def alike(pairs: Pairs, before: Side, here: Side) -> Floats:
    """Return what the changes of size and brightness cost, wherever objects are."""
    p, c = pairs.parents, pairs.children
    weight = np.where(before.cut[p] | here.cut[c], _CUT, 1.0) * _SIZE
    cost = weight * _change(np.log2(before.areas[p]), np.log2(here.areas[c]))
    return cost + _LOOK * _change(before.looks[p], here.looks[c])


def links(pairs: Pairs, before: Side, here: Side, scale: Scale) -> Floats:
    """Return what links cost.

    The squared distance (minus the logarithm of the probability of a random step) in usual steps, one minus the
    intersection over union of the masks, and the changes of size and brightness (logarithms).

    Parameters
    ----------
    pairs : Pairs
        Of both sides.
    before, here : Side
        Objects.
    scale : Scale
        What is usual.

    Returns
    -------
    ndarray of float64, shape (n,)
        inf where masks must overlap and do not.
    """
    p, c = pairs.parents, pairs.children
    step = _steps(((here.places[c] - before.places[p]) ** 2).sum(axis=1) / scale.stride**2)
    overlap = pairs.common / (before.areas[p] + here.areas[c] - pairs.common)
    cost = step + _OVERLAP * (1 - overlap) + alike(pairs, before, here)
    cost += _CHANCE * np.nan_to_num(here.chances[c])
    return np.where(overlap >= scale.min_overlap, cost, np.inf)


def sure(pairs: Pairs, costs: Floats) -> npt.NDArray[np.bool_]:
    """Say of which pairs each is the other's cheapest."""
    if not len(costs):
        return np.zeros(0, np.bool_)
    cheapest = []
    for side in (pairs.parents, pairs.children):
        least = np.full(int(side.max()) + 1, np.inf)
        np.minimum.at(least, side, costs)
        cheapest.append(least[side])
    return np.asarray((costs == cheapest[0]) & (costs == cheapest[1]) & np.isfinite(costs))


def triples(pairs: Pairs, one: Side, two: Side, scale: Scale, cropped: bool = True) -> Events:
    """List objects of one side that may be two of the other: divisions, or mergings where sides are exchanged.

    Both together are compared with the one as in :func:`links`: their common middle, the overlap of both masks with its
    mask, the sum of their sizes. Each must be smaller than the one, and they should be alike.

    Parameters
    ----------
    pairs : Pairs
        With the one as parent.
    one, two : Side
        Objects.
    scale : Scale
        What is usual.
    cropped : bool
        Also those that are cut by the border of the picture.

    Returns
    -------
    Events
        Rows of `one`, and of `two` twice.
    """
    start = np.searchsorted(pairs.parents, np.arange(len(one.areas) + 1))
    number = np.diff(start)[pairs.parents]
    # Each pair meets those that follow it in the list of the same parent.
    rank = np.arange(len(pairs.parents)) - start[pairs.parents]
    times = number - rank - 1
    i = np.repeat(np.arange(len(pairs.parents)), times)
    j = i + 1 + np.arange(len(i)) - np.repeat(np.cumsum(times) - times, times)
    small = two.areas[pairs.children] < one.areas[pairs.parents]
    i, j = (side[small[i] & small[j]] for side in (i, j))
    m, a, b = pairs.parents[i], pairs.children[i], pairs.children[j]
    size = two.areas[a] + two.areas[b]
    unlike = np.abs(np.log2(two.areas[a] / two.areas[b]))
    gain = size / one.areas[m]
    cut = two.cut[a] | two.cut[b]
    larger = np.maximum(two.areas[a], two.areas[b])
    inside = np.sort([pairs.common[i] / two.areas[a], pairs.common[j] / two.areas[b]], axis=0)
    whole = (unlike <= np.log2(_RATIO)) & (gain >= _SUM[0]) & (gain <= _SUM[1])
    away = np.maximum(*(np.linalg.norm(two.places[d] - one.places[m], axis=1) for d in (a, b)))
    fits = whole & ~(two.cut[a] & two.cut[b])
    if cropped and scale.cover >= _COVER:
        # Who comes in from outside does not lie where another has been; daughters do, and are smaller than most.
        fits = (inside >= scale.cover * np.array(_INSIDE)[:, None]).all(axis=0) & (gain >= _LEFT)
        fits &= larger <= np.maximum(_YOUNG * scale.area, _SMALLER * one.areas[m])
    elif cropped:
        fits = (larger <= _SMALLER * one.areas[m]) & (away <= _AWAY)
    good = np.where(cut, fits, whole)
    inside = inside[0]
    columns = (i, j, m, a, b, size, unlike, cut, away, inside)
    i, j, m, a, b, size, unlike, cut, away, inside = (column[good] for column in columns)
    unlike = np.where(cut, np.minimum(unlike, _UNKNOWN), unlike)
    # Of daughters that are cut, the middle of what is seen is nearest to that of the mother.
    share = np.where(cut, two.areas[a] / size, 0.5)[:, None]
    middle = share * two.places[a] + (1 - share) * two.places[b]
    step = _steps(((middle - one.places[m]) ** 2).sum(axis=1) / scale.stride**2)
    common = pairs.common[i] + pairs.common[j]
    overlap = common / (one.areas[m] + size - common)
    change = np.where(cut, _CUT, 1.0) * _SIZE * np.abs(np.log2(size / one.areas[m]))
    change += np.where(cut, np.minimum(_FAR * away**2, _FAR * (1 - inside)), 0.0)
    cost = step + _OVERLAP * (1 - overlap) + change + _UNLIKE * unlike + _EVENT
    cost += _LOOK * _change(two.looks[a], two.looks[b])
    cost += _CHANCE * np.nan_to_num(1 - (two.chances[a] + two.chances[b]) / 2)
    return Events(np.stack([m, a, b], axis=1), cost)
