"""From an image to its labels: score every plane tile by tile, decode it as a whole, number objects through."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from ..core.errors import ImageError
from ..core.memory import free_memory
from ..core.results import Piece
from ..core.steps import Progress
from .depth import Depth, areas, link, overlaps, planes_above
from .empty import Sparing
from .grid import Grid, Tile
from .stitch import relabel
from .stream import Plan, batched, score_tiles, stream
from .sweep import bundle, share_chunks, sweep
from .where import Notes

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Image, Plane
    from ..core.steps import Steps
    from .scoring import Predict, Scores

    Labels = npt.NDArray[np.int32]
    Longs = npt.NDArray[np.int64]
    Decode = Callable[[Scores], Labels]
    Beside = tuple[Scores, Callable[[Scores], Scores]]

__all__ = ["Plan", "placed", "plane_words", "raised", "segment_planes"]

_Whole = TypeVar("_Whole", bound="npt.NDArray[np.integer[Any]]")
_NOTHING: Final = np.zeros(0, np.int64)
_LABEL_BYTES: Final = 4
_BESIDE_BYTES: Final = 5  # as stored, and as the number that it stands for


def segment_planes(
    image: Image,
    plan: Plan,
    predict: Predict,
    decode: Decode,
    preview: Decode | None = None,
    *,
    beside: Sequence[Beside] = (),
) -> Steps[tuple[Labels, int]]:
    """Segment every plane of an image and number the objects through.

    Planes are independent: where they are small, several are worked on at once and go through the network together.

    Parameters
    ----------
    image : Image
        Any axes.
    plan : Plan
        How to score, and whether the objects of neighboring planes are linked.
    predict : callable
        float32 (b, c, *s) -> float32 (b, k, *s), scores in 0 ... 1. Called from several threads.
    decode : callable
        uint8 (k, *plane) -> int32 labels (*plane) with ids 1 ... n. Called from several threads.
    preview : callable, optional
        Like `decode`, for one tile's scores at a time; what it returns is only shown.
    beside : sequence of (ndarray of uint8, callable)
        Arrays with the axes ``image.label_axes``, each filled with what the callable makes of the stored scores
        ``(k, *plane)`` of a plane.

    Returns
    -------
    labels : ndarray of int32
        Axes ``image.label_axes``.
    objects : int
        The highest id; ids are unique over the whole image, and follow the first pixel in the order of its axes.

    Yields
    ------
    Progress
        One a tile, with the Piece that `preview` made or None; one a plane, in order, with its final Piece.

    Raises
    ------
    AxesError
        If the image has fewer spatial axes than the network.
    ImageError
        If it cannot be read, its channels do not fit, or memory does not suffice.
    ModelError
        If the network returns another shape than asked for.
    """
    planes = [plan.select(p) for p in image.planes(plan.ndim)]
    grid = plan.grid(planes[0].shape, len(planes))
    at_once, together = _planes_at_once(planes, plan, grid, _LABEL_BYTES + _BESIDE_BYTES * len(beside))
    labels = np.zeros(image.along(image.label_axes)[0], np.int32)
    queue = _Queue(planes, plan, grid, Sparing(predict), decode, labels, at_once, together, beside)
    plan.where.notes = Notes()
    with closing(stream(queue.next_job, plan.threads)) as results:
        objects = yield from _watch(queue, results, preview)
    return labels, objects


def _watch(queue: _Queue, results: Iterator[_Scored | _Found], preview: Decode | None) -> Steps[int]:
    """Report what is done, number the objects through and return how many there are."""
    planes = queue.planes
    total = len(planes) * (len(queue.grid) + 1)
    done = shown = finished = 0
    found: dict[int, _Found] = {}
    for result in results:
        if isinstance(result, _Found):
            found[result.plane] = result
        else:
            for plane, tile in result.tiles:
                piece = queue.preview(plane, tile, preview, shown)
                shown = max(shown, int(piece.labels.max())) if piece and not queue.plan.classes else shown
                done += 1
                yield Progress(done, total, f"Finding objects{plane_words(plane, len(planes))}", piece)
        queue.note(result)
        # Ids follow the order of the planes, whichever is decoded first.
        while finished in found:
            piece = _numbered(queue, found, finished)
            finished, done = finished + 1, done + 1
            yield Progress(done, total, f"Outlining objects{plane_words(finished - 1, len(planes))}", piece)
    return queue.depth.objects


def _numbered(queue: _Queue, found: dict[int, _Found], plane: int) -> Piece:
    """Give the objects of a plane the ids that they keep."""
    depth, where, above = queue.depth, _where(queue.planes[plane]), queue.depth.above[plane]
    labels, links = queue.labels[where], np.zeros(found[plane].highest + 1, np.int32)
    if above is not None:
        shared = overlaps(queue.labels[_where(queue.planes[above])], labels)
        # The plane above has its final ids already.
        shared[:, 0] = _places(depth.ids[above], shared[:, 0])
        links = link(shared, found.pop(above).pixels, found[plane].pixels, queue.plan.link_z)
        links = depth.cut(plane, links, found[plane].pixels)
    relabel(labels, depth.number(plane, links, found[plane].pixels), labels)
    if depth.below[plane] is None:
        del found[plane]
    return Piece(where, labels)


def _places(ids: npt.NDArray[np.int32], wanted: Longs) -> Longs:
    """Return where ids, each there once, are."""
    order = np.argsort(ids)
    return order[np.searchsorted(ids, wanted, sorter=order)]


@dataclass(frozen=True)
class _Scored:
    tiles: list[tuple[int, Tile]]
    notes: Notes


@dataclass(frozen=True)
class _Found:
    plane: int
    highest: int
    pixels: Longs


@dataclass
class _Queue:
    """What can be done next; asked and told by the consumer's thread only."""

    planes: list[Plane]
    plan: Plan
    grid: Grid
    predict: Predict
    decode: Decode
    labels: Labels
    at_once: int
    together: int
    beside: Sequence[Beside] = ()

    def __post_init__(self) -> None:
        self.depth = Depth(planes_above(self.planes, self.plan.link_z), self.plan.classes)
        self._scores: dict[int, Scores] = {}
        self._left: dict[int, int] = {}
        self._ready: deque[int] = deque()
        self._groups = self._group()
        self._ahead: tuple[range, list[tuple[int, Tile]]] | None = None

    def _group(self) -> Iterator[tuple[range, list[tuple[int, Tile]]]]:
        """Go through what to score together, and the planes it may share memory with."""
        for numbers in bundle(self.planes, self.grid, self.together, self.at_once):
            jobs = sweep(self.grid, self.planes, numbers)
            for tiles in batched(jobs, self.plan.tiling.batch, self.plan.where):
                yield numbers, tiles

    def next_job(self) -> Callable[[], _Scored | _Found] | None:
        """Return a plane to decode, else tiles to score, unless that needs too many planes in memory."""
        if self._ready:
            return partial(self._find, self._ready.popleft())
        self._ahead = self._ahead or next(self._groups, None)
        if self._ahead is None:
            return None
        numbers, tiles = self._ahead
        # A group of planes starts as a whole: were it held up halfway, nothing could ever finish.
        if numbers[0] not in self._left:
            if self._scores and len(self._scores) + len(numbers) > self.at_once:
                return None
            for number in numbers:
                self._scores[number] = np.zeros((self.plan.outputs, *self.planes[number].shape), np.uint8)
                self._left[number] = len(self.grid)
        self._ahead = None
        return partial(self._score, tiles)

    def note(self, result: _Scored | _Found) -> None:
        """Take in what a job returned."""
        if isinstance(result, _Found):
            del self._scores[result.plane]
            return
        self.plan.where.notes += result.notes
        for number, _ in result.tiles:
            self._left[number] -= 1
            if not self._left[number]:
                self._ready.append(number)

    def preview(self, number: int, tile: Tile, decode: Decode | None, offset: int) -> Piece | None:
        """Decode a scored tile by itself, with ids above `offset`."""
        if decode is None:
            return None
        found = decode(self._scores[number][(slice(None), *tile.window)])
        plane = self.planes[number]
        return placed(plane, tile.window, raised(found, offset))

    def _score(self, tiles: list[tuple[int, Tile]]) -> _Scored:
        found = score_tiles([(self.planes[number], tile) for number, tile in tiles], self.plan, self.predict)
        for (number, tile), part in zip(tiles, found, strict=True):
            self._scores[number][(slice(None), *tile.window)] = part.scores
        return _Scored(tiles, sum((part.notes for part in found), Notes()))

    def _find(self, number: int) -> _Found:
        plane, scores = self.planes[number], self._scores[number]
        found = self.decode(scores)
        self.labels[_where(plane)] = _stored(plane, found)
        for array, pick in self.beside:
            array[_where(plane)] = _stored(plane, pick(scores))
        highest = int(found.max(initial=0))
        # Of planes that are not linked nobody asks.
        return _Found(number, highest, areas(found, highest) if self.depth.joins(number) else _NOTHING)


def plane_words(number: int, count: int) -> str:
    """Say which plane, where there are several."""
    return f", plane {number + 1} of {count}" if count > 1 else ""


def placed(plane: Plane, window: tuple[slice, ...], labels: Labels) -> Piece:
    """Return labels of a window of a plane as a part of the labels of the image."""
    return Piece(_where(plane, window), _stored(plane, labels))


def _where(plane: Plane, window: tuple[slice, ...] = ()) -> tuple[int | slice, ...]:
    """Return where a plane, or a window of it, lies in the labels."""
    image = plane.image
    at = {image.axes[dimension]: position for dimension, position in plane.fixed}
    inner = dict(zip(plane.axes, window or (slice(None),) * len(plane.axes), strict=True))
    return tuple(at[axis] if axis in at else inner[axis] for axis in image.label_axes)


def _stored(plane: Plane, values: _Whole) -> _Whole:
    """Bring a plane's labels or scores from the network's order of axes to the image's."""
    return values.transpose([plane.axes.index(a) for a in plane.image.label_axes if a in plane.axes])


def raised(labels: Labels, offset: int) -> Labels:
    """Add `offset` to every id; the background stays 0."""
    return np.add(labels, offset, out=labels.copy(), where=labels > 0) if offset else labels


def _planes_at_once(planes: list[Plane], plan: Plan, grid: Grid, result_bytes: int = _LABEL_BYTES) -> tuple[int, int]:
    """Return how many planes may be in memory beside `result_bytes` a pixel, and how many of them share batches.

    Raises
    ------
    ImageError
        If not even one fits beside the labels.
    """
    batch, pixels = plan.tiling.batch, math.prod(planes[0].shape)
    together = 1 if batch == 1 else min(len(planes), -(-4 * batch // len(grid)))
    busy = -(-2 * plan.threads * batch // len(grid))
    wanted = min(len(planes), max(together, share_chunks(planes, grid)) + busy)
    free = free_memory()
    if free is None:
        return wanted, together
    # A plane in work holds its scores and, while it is decoded, labels of its own.
    whole, each = result_bytes * pixels * len(planes), pixels * (plan.outputs + _LABEL_BYTES)
    if whole + each > free:
        raise ImageError(
            f"'{planes[0].image.name}' needs {(whole + each) / 2**30:.1f} GiB of memory but {free / 2**30:.1f} GiB are "
            "free. Close other programs, or segment a part of the image (fewer time points or a smaller field)."
        )
    fit = max(1, (free - whole) // each)
    return min(wanted, fit), min(together, fit)
