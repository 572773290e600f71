"""Who may be linked with whom, and what it costs."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from ._assign import Candidates
from ._detect import Frame

__all__ = ["divisions", "gaps", "join", "steps", "sure"]

_NEIGHBORS: Final = 16  # more than touch one object in a dense tissue; bounds memory where objects lie on a heap
_RATIO: Final = 2.0  # two views of one object, and two daughters, differ in size by less than this
_SUM: Final = (0.5, 1.5)  # what daughters have together, in sizes of the mother
_BETWEEN: Final = 0.5  # a mother was this near (in object widths) to the middle of her daughters

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Nothing: Final[Candidates] = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def join(parts: list[Candidates]) -> Candidates:
    """Put lists of candidates together."""
    if not parts:
        return Nothing
    parents, children, costs = (np.concatenate(column) for column in zip(*parts, strict=True))
    return parents, children, costs


def _near(parents: Floats, children: Floats, reach: float) -> Candidates:
    """Pair each child with the parents within `reach`; the third column is the distance."""
    if not len(parents) or not len(children):
        return Nothing
    among = range(1, min(_NEIGHBORS, len(parents)) + 1)
    limit = np.nextafter(reach, np.inf)
    distance, found = KDTree(parents).query(children, k=list(among), distance_upper_bound=limit)
    child, rank = np.nonzero(np.isfinite(distance))
    return found[child, rank].astype(np.int64), child.astype(np.int64), distance[child, rank]


def steps(before: Frame, here: Frame, scale: Floats, reach: float, min_overlap: float) -> Candidates:
    """List the possible links between two frames.

    The cost is the squared distance (which is minus the logarithm of the probability of a random step) in units of
    `reach`, plus one minus the intersection over union of the masks.

    Parameters
    ----------
    before, here : Frame
        Two frames that follow each other.
    scale : ndarray of float64, shape (d,)
        Pixel size divided by the median object width: distances are in object widths.
    reach : float
        Largest distance.
    min_overlap : float
        Smallest intersection over union; 0 asks for none.

    Returns
    -------
    tuple of ndarray
        Rows of `before`, rows of `here` and costs.
    """
    parent, child, distance = _near(before.positions * scale, here.positions * scale, reach)
    common = np.zeros(len(parent))
    if len(here.common) and len(parent):
        known = here.before * len(here.labels) + here.here  # sorted, as they come
        wanted = parent * len(here.labels) + child
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        common = np.where(known[at] == wanted, here.common[at], 0.0)
    overlap = common / (before.areas[parent] + here.areas[child] - common)
    keep = overlap >= min_overlap
    return parent[keep], child[keep], (distance**2 + 1 - overlap)[keep]


def sure(candidates: Candidates) -> Floats:
    """Return the costs of the pairs of which each is the other's cheapest."""
    parents, children, costs = candidates
    if not len(costs):
        return costs
    cheapest = [np.full(int(side.max()) + 1, np.inf) for side in (parents, children)]
    for least, side in zip(cheapest, (parents, children), strict=True):
        np.minimum.at(least, side, costs)
    mutual: npt.NDArray[np.bool_] = (costs == cheapest[0][parents]) & (costs == cheapest[1][children])
    return costs[mutual]


def gaps(ends: Ints, starts: Ints, positions: Floats, areas: Ints, reach: float) -> Candidates:
    """List ends and starts of tracks that may be one object, hidden in between.

    Parameters
    ----------
    ends, starts : ndarray of int64
        Nodes of two frames.
    positions : ndarray of float64, shape (nodes, d)
        In object widths.
    areas : ndarray of int64, shape (nodes,)
        Sizes.
    reach : float
        Largest distance.

    Returns
    -------
    tuple of ndarray
        Nodes that end, nodes that start, and costs: distance plus the logarithm of the ratio of the sizes.
    """
    i, j, distance = _near(positions[ends], positions[starts], reach)
    change = np.abs(np.log2(areas[ends[i]] / areas[starts[j]]))
    keep = change <= np.log2(_RATIO)
    return ends[i][keep], starts[j][keep], (distance + change)[keep]


def divisions(pairs: tuple[Ints, Ints], starts: Ints, positions: Floats, areas: Ints, reach: float) -> Candidates:
    """List objects that may be second daughters.

    Each daughter is smaller than the mother, together they have about her size, they resemble each other, and the
    mother was between them.

    Parameters
    ----------
    pairs : tuple of ndarray of int64
        Nodes of one frame, and the node of the next frame that each is linked to.
    starts : ndarray of int64
        Nodes of the next frame that have no parent.
    positions, areas, reach : ndarray, ndarray, float
        See :func:`gaps`.

    Returns
    -------
    tuple of ndarray
        Mothers, second daughters and costs.
    """
    i, j, _ = _near(positions[pairs[0]], positions[starts], reach)
    mother, first, second = pairs[0][i], pairs[1][i], starts[j]
    one, two, whole = areas[first], areas[second], areas[mother]
    middle = np.linalg.norm((positions[first] + positions[second]) / 2 - positions[mother], axis=1)
    unlike = np.abs(np.log2(one / two))
    gain = (one + two) / whole
    keep = (np.maximum(one, two) < whole) & (unlike <= np.log2(_RATIO)) & (middle <= _BETWEEN)
    keep &= (gain >= _SUM[0]) & (gain <= _SUM[1])
    return mother[keep], second[keep], (middle + unlike + np.abs(np.log2(gain)))[keep]
