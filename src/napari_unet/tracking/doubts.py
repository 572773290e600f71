"""What may be wrong in tracks, most doubtful first: where somebody should look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from napari_unet.core.linking import Link
from napari_unet.core.results import Table, Tracks
from napari_unet.core.sizes import equivalent_diameter

__all__ = ["KINDS", "doubts"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# What is doubted, and the words for it.
KINDS: Final = {
    "jump": "moves unusually far",
    "size": "changes its size",
    "ambiguous": "another link is nearly as good",
    "division": "the daughters are unlike",
    "gap": "is missing in between",
    "start": "appears from nowhere",
    "end": "disappears",
    "short": "is there for a short time only",
}
_STEEP: Final = 3.0  # robust standard deviations at which a doubt is one half
_WIDTH: Final = 1.2  # of the step from no doubt to full doubt, in robust standard deviations
_LEAST_SPREAD: Final = 0.08  # of logarithms: in a movie where all is alike, small differences are no doubt
_SHORT: Final = 3  # frames at which a track is as doubtful as not
_USUAL: Final = (0.02, 0.25)  # squares of object widths: what a link costs in a quiet and in a lively movie
_BORDER: Final = 1.5  # object widths: who is nearer to the border may come and go
# How often the plainest case of each kind was an error, in simulated movies (benchmarks/doubts.py).
_PLAINEST: Final = {
    "jump": 0.6, "size": 0.3, "ambiguous": 0.3, "division": 0.6, "gap": 0.4, "start": 0.9, "end": 0.7, "short": 0.4,
}  # fmt: skip
_AT_BORDER: Final = 0.15  # of the doubt about a start or an end is left there
_LEAST: Final = 0.1
_CUT: Final = 0.3  # of a doubt about size and step is left where the border may cut a cell


@dataclass(frozen=True)
class _Links:
    """Links as columns: rows of parent and child, frames in between, strides in object widths, growth as log2."""

    parents: Ints
    children: Ints
    wait: Ints
    strides: Floats
    growth: Floats
    dividing: Bools


def doubts(tracks: Tracks, sure: Iterable[Link] = ()) -> Table:
    """List what may be wrong, most doubtful first.

    What is unusual is measured against all links of the same movie, by median and median absolute deviation, so no
    setting depends on the cells, the pixel size or the frame rate. An event that is doubtful for several reasons is
    listed once, with the strongest reason, and more doubtful than for any of them alone.

    Parameters
    ----------
    tracks : Tracks
        Any.
    sure : iterable of pairs of (int, int)
        Links between ``(frame, label)`` that are known to be right; they are not doubted.

    Returns
    -------
    dict of ndarray
        One row an event: ``kind`` (see `KINDS`), ``doubt`` (0 to 1), ``t``, ``label``, ``y``, ``x`` (``z``) of the cell
        to look at, ``before`` and ``before_label``, frame and label of its parent (-1 for none), and ``track``.
    """
    nodes = tracks.nodes
    count = len(nodes["t"])
    axes = tracks.axes[1:]
    scale = np.array(tracks.scale[1:], np.float64)
    places = np.stack([nodes[a] for a in axes], axis=1).astype(np.float64) * scale
    areas = np.maximum(nodes["area"].astype(np.float64), 1)
    width = _width(areas, scale)
    places /= width
    links = _links(tracks, places, areas)
    inside = _inside(places)
    found = [*_shapes(links, inside), _rivals(tracks, links, places), _gaps(links)]
    found += [_divisions(links, places, areas), *_loose(tracks, links, inside)]
    rows, kinds, values = _gather(found, count)
    parent = np.full(count, -1, np.int64)
    parent[links.children] = links.parents
    known = set(sure)
    if known:
        t, label = nodes["t"].tolist(), nodes["label"].tolist()
        ends = zip(parent[rows].tolist(), rows.tolist(), strict=True)
        keep = np.array([a < 0 or ((t[a], label[a]), (t[b], label[b])) not in known for a, b in ends], bool)
        rows, kinds, values = rows[keep], kinds[keep], values[keep]
    order = np.lexsort((rows, -values))
    rows, kinds, values = rows[order], kinds[order], values[order]
    above = parent[rows]
    names = np.array(list(KINDS))
    table: Table = {"kind": names[kinds], "doubt": values}
    table |= {name: nodes[name][rows] for name in ("t", "label", *axes, "track")}
    table["before"] = np.where(above >= 0, nodes["t"][above], -1)
    table["before_label"] = np.where(above >= 0, nodes["label"][above], -1)
    return table


Found = tuple[str, Ints, Floats]  # kind, rows of cells, doubts from 0 to 1


def _width(areas: Floats, scale: Floats) -> float:
    if not len(areas):
        return 1.0
    return float(np.median(equivalent_diameter(areas * np.prod(scale), len(scale)))) or 1.0


def _links(tracks: Tracks, places: Floats, areas: Floats) -> _Links:
    parents, children = tracks.edges[:, 0], tracks.edges[:, 1]
    t = tracks.nodes["t"].astype(np.int64)
    wait = t[children] - t[parents]
    strides = np.linalg.norm(places[children] - places[parents], axis=1) / np.sqrt(np.maximum(wait, 1))
    dividing = np.bincount(parents, minlength=len(areas))[parents] > 1
    return _Links(parents, children, wait, strides, np.log2(areas[children] / areas[parents]), dividing)


def _unusual(values: Floats) -> Floats:
    """Say how far above the usual each value is, as a doubt."""
    if not len(values):
        return values
    middle = float(np.median(values))
    spread = max(1.4826 * float(np.median(np.abs(values - middle))), _LEAST_SPREAD)
    return _squash((values - middle) / spread)


def _squash(score: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(np.clip((_STEEP - score) / (_WIDTH / 2), -50, 50))))


def _shapes(links: _Links, inside: Bools) -> list[Found]:
    """Doubt links along which a cell moves far, grows or shrinks; the border may do so to a cell that it cuts."""
    plain = ~links.dividing
    cells, growth = links.children[plain], links.growth[plain]
    trust = np.where(inside[cells] & inside[links.parents[plain]], 1.0, _CUT)
    # Lengths of random steps are skewed: their square roots are not.
    far = _unusual(np.sqrt(links.strides[plain]))
    odd = _unusual(np.abs(growth - np.median(growth))) if len(cells) else growth
    return [("jump", cells, far * trust), ("size", cells, odd * trust)]


def _inside(places: Floats) -> Bools:
    """Say who is far from the border: cells touch it where their centers are half a width inside."""
    if not len(places):
        return np.zeros(0, bool)
    low, high = places.min(axis=0), places.max(axis=0)  # the outermost centers stand for the border
    wide = high - low > 2 * _BORDER
    found: Bools = ((places - low > _BORDER) & (high - places > _BORDER))[:, wide].all(axis=1)
    return found


def _rivals(tracks: Tracks, links: _Links, places: Floats) -> Found:
    """Doubt links that compete with others, which would cost hardly more or even less."""
    if len(tracks.margins) == len(tracks.edges):
        margins, costs = tracks.margins, tracks.costs
    else:
        costs, margins = links.strides**2, _nearest(tracks, links, places) - links.strides**2
    known = costs[np.isfinite(costs)]
    usual = float(np.clip(np.median(known), *_USUAL)) if len(known) else _USUAL[1]
    score = np.clip(margins / usual, -50, 50)
    return "ambiguous", links.children, np.where(np.isfinite(margins), 1 / (1 + np.exp(score)), 0.0)


def _nearest(tracks: Tracks, links: _Links, places: Floats) -> Floats:
    """Return the square of the distance to the nearest other object that either end of each link could be linked to."""
    t = tracks.nodes["t"]
    first = np.searchsorted(t, np.arange(int(t.max(initial=-1)) + 2))
    nearest = np.full(len(links.parents), np.inf)
    step = links.wait == 1
    for own, other in ((links.children, links.parents), (links.parents, links.children)):
        order = np.flatnonzero(step)
        order = order[np.argsort(t[other[order]], kind="stable")]
        frames, begins = np.unique(t[other[order]], return_index=True)
        for frame, at in zip(frames.tolist(), np.split(order, begins[1:]), strict=True):
            low, high = first[frame], first[frame + 1]
            if high - low < 2:
                continue
            distance, near = KDTree(places[low:high]).query(places[own[at]], k=2)
            own_first = near[:, 0] == other[at] - low
            nearest[at] = np.minimum(nearest[at], np.where(own_first, distance[:, 1], distance[:, 0]))
    return np.asarray(nearest**2)


def _gaps(links: _Links) -> Found:
    over = links.wait > 1
    return "gap", links.children[over], np.asarray(1 - 0.5 ** (links.wait[over] - 1.0), np.float64)


def _divisions(links: _Links, places: Floats, areas: Floats) -> Found:
    """Doubt divisions whose daughters differ, lie on one side of the mother, or do not make up her size."""
    at = np.flatnonzero(links.dividing)
    at = at[np.argsort(links.parents[at], kind="stable")]
    one, two = at[::2], at[1::2]
    mother, a, b = links.parents[one], links.children[one], links.children[two]
    unlike = np.abs(np.log2(areas[a] / areas[b])) / 0.35
    whole = np.abs(np.log2((areas[a] + areas[b]) / areas[mother])) / 0.35
    middle = np.linalg.norm((places[a] + places[b]) / 2 - places[mother], axis=1) / 0.25
    return "division", a, _squash(np.sqrt(unlike**2 + whole**2 + middle**2))


def _loose(tracks: Tracks, links: _Links, inside: Bools) -> list[Found]:
    """Doubt tracks that begin or end in the middle of image and movie, and those that are short."""
    t, count = tracks.nodes["t"].astype(np.int64), len(tracks.nodes["t"])
    if not count:
        return []
    begins, ends = np.ones(count, bool), np.ones(count, bool)
    begins[links.children] = False
    ends[links.parents] = False
    start = np.flatnonzero(begins & (t > t.min()))
    end = np.flatnonzero(ends & (t < t.max()))
    track = tracks.nodes["track"].astype(np.int64)
    length = np.bincount(track)[track]
    _, first = np.unique(track, return_index=True)
    last = count - 1 - np.unique(track[::-1], return_index=True)[1]
    short = first[(t[first] > t.min()) & (t[last] < t.max()) & (length[first] <= 2 * _SHORT)]
    return [
        ("start", start, np.where(inside[start], 1.0, _AT_BORDER)),
        ("end", end, np.where(inside[end], 1.0, _AT_BORDER)),
        ("short", short, np.exp2(-length[short] / _SHORT)),
    ]


def _gather(found: list[Found], count: int) -> tuple[Ints, Ints, Floats]:
    """Join the doubts about one cell and its link: independent reasons add up; the strongest gives the name."""
    trust, strongest, kind = np.ones(count), np.zeros(count), np.zeros(count, np.int64)
    for number, name in enumerate(KINDS):
        for other, rows, plain in found:
            if other != name or not len(rows):
                continue
            values = plain * _PLAINEST[name]
            np.multiply.at(trust, rows, 1 - values)
            stronger = values > strongest[rows]
            strongest[rows[stronger]], kind[rows[stronger]] = values[stronger], number
    rows = np.flatnonzero(1 - trust >= _LEAST)
    return rows, kind[rows], 1 - trust[rows]
