"""Linking by linear assignment: optimal between two frames, divisions included, then gaps.

After Jaqaman et al. 2008 (Nature Methods 5:695): a first assignment links the objects of consecutive frames, a second
one joins the ends and starts that are left. Unlike there, a division is one event that competes with links in the first
assignment, and its daughters are compared with the mother together, as one object.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.graph import relink
from napari_unet.core.linking import LinkSpec
from napari_unet.core.motion import Motion
from napari_unet.core.results import Tracks
from napari_unet.core.sizes import equivalent_diameter
from napari_unet.core.steps import Progress, Steps

from ._again import Doubts, part, reopen
from ._candidates import Pairs, Scale, Side, links, near, sure, triples
from ._choose import Events, Links, choose, gather
from ._constraints import Constraints, constrain
from ._detect import Frame, detect, spatial_axes
from ._jumps import find_jumps
from ._later import close_gaps
from ._steady import foresee

__all__ = ["link"]

_ALTERNATIVE: Final = 1.05  # Jaqaman et al. 2008, online methods: not to link costs a little more than the links made
_SHARE: Final = 95.0  # percentile of the sure links that stands for "the links made"; outliers do not count
_ALONE: Final = 0.12  # of all objects may find nobody in any movie: they divide, come and go
_STRAY: Final = 0.5  # of those beyond, whose masks are missing, are taken for somebody else nearby, however sure
_CHEAPEST: Final = 1.6  # in a movie where nearly nothing moves, one object still may
_DEAREST: Final = 2.5  # where most links are doubtful, they do not say what a good one costs
_STRIDES: Final = 2.5  # a step of this many usual ones costs 1
_SHORTEST: Final = 0.35  # object widths: outlines are never quite the same
_JUMP: Final = 2.0  # what all do together may be so much longer than what one does alone
_FEW: Final = 5  # objects; the drift of fewer is not measured

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def link(
    labels: Image,
    spec: LinkSpec,
    image: Image | None = None,
    motion: Motion | None = None,
    frames: list[Frame] | None = None,
) -> Steps[Tracks]:
    """Follow objects through time, step by step.

    Parameters
    ----------
    labels : Image
        Whole numbers from 0 with the axes ``t``, ``y``, ``x`` and perhaps ``z``; ids of different frames need not fit
        together. Read one frame at a time.
    spec : LinkSpec
        Settings.
    image : Image, optional
        What was segmented, on the same grid.
    motion : Motion, optional
        What a network foretells of these labels: objects are compared with those of the frame before at the place where
        their parent should have been, and a division that it does not see costs more.
    frames : list of Frame, optional
        What :func:`~napari_unet.tracking._detect.detect` finds, where somebody has found it already.

    Returns
    -------
    Tracks
        Nodes ordered by time, then label.

    Yields
    ------
    Progress
        One for every frame that is read and every frame that is linked.

    Raises
    ------
    AxesError, ImageError
        If these are no labels with time.
    SpecError
        If a fixed link speaks of an object that is not there.
    """
    axes = spatial_axes(labels)
    whole = 3 if spec.steady else 2
    if frames is None:
        frames = yield from detect(labels, image, motion, (0, whole))
    movie = _Movie.of(labels, axes, frames)
    if motion is None and (jumps := movie.jumps(labels, axes, spec)) is not None:
        frames = yield from detect(labels, image, jumps, (0, whole))
        movie = _Movie.of(labels, axes, frames)
    if spec.steady:
        frames = yield from detect(labels, image, movie.foresee(labels, axes, spec), (1, whole))
        movie = _Movie.of(labels, axes, frames)
    tracks = _nodes(labels, axes, frames)
    known = constrain(spec, tracks.nodes["t"].astype(np.int64), tracks.nodes["label"].astype(np.int64))
    made = yield from _decide(movie, spec, known)
    return relink(tracks, made.pairs, made.costs, made.margins)


def _decide(movie: _Movie, spec: LinkSpec, known: Constraints) -> Steps[Links]:
    """Choose all links: those between two frames, or in windows, then those over gaps."""
    scale, drifts, unlinked = _measure(movie, spec)
    count, done = len(movie.frames), len(movie.frames) * (2 if spec.steady else 1)
    settings, parts, doubts = (spec, scale, unlinked), [], []
    whole, limits = (movie.first, movie.still(drifts)), (spec.max_gap, spec.division, unlinked)
    if spec.method == "motile":
        parts.append((yield from _together(movie, drifts, settings, known)))
    for t in range(count - 1 if spec.method == "lap" else 0):
        yield Progress(done + t, done + count, f"Linking frame {t + 1} of {count}")
        firm, open_ = _step(movie, t, drifts[t], settings, known)
        parts.append(firm)
        doubts.append(open_)
    yield Progress(done + count - 1, done + count, "Closing gaps")
    made, others = reopen(Doubts.join(doubts), Links.join(parts), whole, scale, limits)
    wide = np.diff(np.searchsorted(movie.first, made.pairs, side="right"), axis=1)[:, 0] > 1
    nearby, known_too = made.take(~wide), known.also(made.pairs[wide])
    later = close_gaps(nearby, whole, scale, limits, known_too, others)
    nothing = np.full(len(known.fixed), np.nan)
    return Links.join([Links(known.fixed, nothing, nothing), made, later])


@dataclass(frozen=True)
class _Movie:
    """All objects: lengths are in object widths, so that no setting depends on the pixel size."""

    frames: list[Frame]
    first: Ints
    side: Side

    @classmethod
    def of(cls, labels: Image, axes: str, frames: list[Frame]) -> _Movie:
        first = np.concatenate([[0], np.cumsum([len(frame.labels) for frame in frames])])
        areas = np.concatenate([frame.areas for frame in frames])
        scale = np.array(labels.along(axes)[1])
        width = _width(areas, scale)
        places = np.concatenate([frame.positions for frame in frames]) * scale / width
        looks = np.concatenate([frame.looks for frame in frames])
        cut = np.concatenate([frame.cut for frame in frames])
        back = np.concatenate([frame.back for frame in frames]) * scale / width
        chances = np.concatenate([frame.chances for frame in frames])
        return cls(frames, first, Side(places, areas.astype(np.float64), looks, cut, back, chances))

    def foresee(self, labels: Image, axes: str, spec: LinkSpec) -> Motion:
        """Say where objects come from that keep their way; see :mod:`._steady`."""
        scale = np.array(labels.along(axes)[1])
        width = _width(np.concatenate([frame.areas for frame in self.frames]), scale)
        back = foresee([self.at(t) for t in range(len(self.frames))], Scale(spec.max_distance, spec.max_distance))
        ids, chances = zip(*((frame.labels, frame.chances) for frame in self.frames), strict=True)
        return Motion(tuple(ids), tuple(step * width / scale for step in back), tuple(chances))

    def jumps(self, labels: Image, axes: str, spec: LinkSpec) -> Motion | None:
        """Say how far all objects moved together; see :mod:`._jumps`."""
        scale = np.array(labels.along(axes)[1])
        width = _width(np.concatenate([frame.areas for frame in self.frames]), scale)
        found = find_jumps([self.at(t) for t in range(len(self.frames))], _JUMP * spec.max_distance)
        if found is None:
            return None
        back = (np.tile(step * width / scale, (len(f.labels), 1)) for step, f in zip(found, self.frames, strict=True))
        return Motion(tuple(f.labels for f in self.frames), tuple(back), tuple(f.chances for f in self.frames))

    def at(self, t: int, drift: Floats | float = 0.0) -> Side:
        """Return the objects of a frame, moved by a drift."""
        part = self.side.take(np.arange(self.first[t], self.first[t + 1]))
        return replace(part, places=part.places + drift)

    def still(self, drifts: list[Floats]) -> Side:
        """Return all objects where they would be had nothing drifted."""
        gone = np.cumsum([np.zeros(self.side.places.shape[1]), *drifts], axis=0)
        return replace(self.side, places=self.side.places - np.repeat(gone, np.diff(self.first), axis=0))

    def pairs(self, t: int, drift: Floats | float, reach: float) -> tuple[Pairs, Side, Side]:
        """Pair the objects of a frame with those of the next."""
        before, here, after = self.at(t, drift), self.at(t + 1).earlier(1), self.frames[t + 1]
        return near(before, here, reach, (after.before, after.here, after.common)), before, here


def _width(areas: Ints, scale: Floats) -> float:
    """Return the median width of objects, in units of `scale`."""
    return float(np.median(equivalent_diameter(areas * math.prod(scale), len(scale)))) if len(areas) else 1.0


def _measure(movie: _Movie, spec: LinkSpec) -> tuple[Scale, list[Floats], float]:
    """Learn from the links that are beyond doubt how far objects move, together and alone, and what links cost."""
    count, ndim = len(movie.frames), movie.side.places.shape[1]
    seen = movie.side.areas[~movie.side.cut]
    area = float(np.median(seen)) if len(seen) else np.inf
    wide = Scale(spec.max_distance, spec.max_distance, spec.min_overlap, area)
    drifts, strides, stayed = [], [np.zeros(0)], [np.zeros(0)]
    for t in range(count - 1):
        pairs, before, here = movie.pairs(t, 0.0, wide.reach)
        best = sure(pairs, links(pairs, before, here, wide))
        moved = here.places[pairs.children[best]] - before.places[pairs.parents[best]]
        drifts.append(np.median(moved, axis=0) if len(moved) >= _FEW else np.zeros(ndim))
        strides.append(np.linalg.norm(moved - drifts[-1], axis=1))
        stayed.append(pairs.common[best] / np.minimum(before.areas[pairs.parents], here.areas[pairs.children])[best])
    usual = np.concatenate(strides)
    stride = _STRIDES * float(np.median(usual)) if len(usual) else spec.max_distance
    shares = np.concatenate(stayed)
    cover = float(np.median(shares)) if len(shares) else 1.0
    scale = replace(wide, stride=min(max(stride, _SHORTEST), spec.max_distance), cover=cover)
    spent, alone = [np.zeros(0)], 0
    for t in range(count - 1):
        pairs, before, here = movie.pairs(t, drifts[t], scale.reach)
        cost = links(pairs, before, here, scale)
        spent.append(cost[sure(pairs, cost)])
        alone += len(before.areas) + len(here.areas) - 2 * len(spent[-1])
    made = np.concatenate(spent)
    share = _SHARE * (1 - _STRAY * max(0.0, alone / max(1, alone + 2 * len(made)) - _ALONE))
    most = float(np.percentile(made, share)) if len(made) else 0.0
    return scale, drifts, _ALTERNATIVE * min(max(most, _CHEAPEST), _DEAREST)


def _step(
    movie: _Movie, t: int, drift: Floats, settings: tuple[LinkSpec, Scale, float], known: Constraints
) -> tuple[Links, Doubts]:
    """Link a frame with the next: what stands, and what is in doubt."""
    spec, scale, unlinked = settings
    events, (n, m) = _possible(movie, t, drift, (spec, scale), known)
    firm, margins, doubts = part(events, choose(events, n, n + m, unlinked), unlinked)
    links, who, start = Links.of(firm, margins, n), doubts.events.who, movie.first[t]
    who = np.where(who >= 0, who + start + np.where(who >= n, 2 * movie.first[-1], 0), who)
    return replace(links, pairs=links.pairs + start), replace(doubts, events=Events(who, doubts.events.costs))


def _possible(
    movie: _Movie, t: int, drift: Floats, settings: tuple[LinkSpec, Scale], known: Constraints
) -> tuple[Events, tuple[int, int]]:
    """List what may have happened between a frame and the next, and how many objects they have."""
    spec, scale = settings
    pairs, before, here = movie.pairs(t, drift, scale.reach)
    n = len(before.areas)
    who = np.stack([pairs.parents, n + pairs.children, np.full(len(pairs.parents), -1)], axis=1)
    parts = [Events(who, links(pairs, before, here, scale))]
    if spec.division:
        found = triples(pairs, before, here, scale)
        parts.append(Events(found.who + np.array([0, n, n]), found.costs))
    if spec.merging:
        order = np.lexsort((pairs.parents, pairs.children))
        turned = Pairs(pairs.children[order], pairs.parents[order], pairs.common[order])
        found = triples(turned, here, before, scale)
        parts.append(Events(found.who[:, [1, 0, 2]] + np.array([0, n, 0]), found.costs))
    events = gather(parts)
    if len(known):
        events = events.take(np.flatnonzero(_allowed(events.who + movie.first[t], movie.first[t + 1], known)))
    return events, (n, len(here.areas))


def _together(
    movie: _Movie, drifts: list[Floats], settings: tuple[LinkSpec, Scale, float], known: Constraints
) -> Steps[Links]:
    """Link all frames together; links may leave frames out."""
    from ._motile import solve_steps  # noqa: PLC0415  # an extra

    spec, scale, unlinked = settings

    def possible(t: int) -> Events:
        events, _ = _possible(movie, t, drifts[t], (spec, scale), known)
        return Events(np.where(events.who >= 0, events.who + movie.first[t], -1), events.costs)

    limits = spec.max_gap, unlinked
    return (yield from solve_steps(possible, (movie.first, movie.still(drifts)), scale, limits, known))


def _allowed(who: Ints, border: int, known: Constraints) -> npt.NDArray[np.bool_]:
    """Say which events hold only links that may be; `who` are rows of nodes."""
    free = known.allow(who[:, 0], who[:, 1])
    three = who[:, 2] >= border
    free[three] &= known.allow(who[three, 0], who[three, 2])
    two = (who[:, 2] >= 0) & ~three
    free[two] &= known.allow(who[two, 2], who[two, 1])
    return free


def _nodes(labels: Image, axes: str, frames: list[Frame]) -> Tracks:
    """Make tracks of objects that nothing links yet."""
    positions = np.concatenate([frame.positions for frame in frames])
    nothing = np.zeros(len(positions), np.int64)
    nodes = {
        "id": nothing,
        "label": np.concatenate([frame.labels for frame in frames]),
        "t": np.repeat(np.arange(len(frames)), [len(frame.labels) for frame in frames]),
        **{axis: positions[:, i] for i, axis in enumerate(axes)},
        "area": np.concatenate([frame.areas for frame in frames]),
        "track": nothing,
        "parent": nothing,
        "lineage": nothing,
    }
    _, scale, units = labels.along(f"t{axes}")
    units = ("frame" if units[0] == "pixel" else units[0], *units[1:])  # what nobody said is a pixel, of time too
    return Tracks(nodes, nothing[:0].reshape(0, 2), f"t{axes}", scale, units, labels.name)
