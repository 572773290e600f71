"""From an image to labels on disk, brick by brick: bounded memory, and a run that stops can go on.

Every tile writes one *brick*. Its stored scores go to the journal; when all bricks around one are scored too, its
trees are grown and kept in place of the scores. When all trees of a plane are known, its objects are numbered
(:mod:`.stitch`) and the labels written, one shard at a time. What the journal has is not done again; since nothing in
it depends on when it was written, a run that was stopped at any moment ends with the labels of one that was not.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..core.results import Piece
from ..core.steps import Progress
from ._brick_jobs import (
    Compared,
    Explored,
    Finding,
    Glimpsed,
    Jobs,
    Journal,
    Numbered,
    Scored,
    Sink,
    Waited,
    Written,
    intact,
)
from ._joining import Joining
from ._plane_work import PlaneWork, key_of
from ._rims import borders, unpack, unpack_edges
from ._written import written_hash
from .empty import Sparing
from .grid import Tile, middle_part
from .run import placed, plane_words, raised
from .stream import batched, stream
from .sweep import sweep
from .where import Notes

if TYPE_CHECKING:
    from ..core.axes import Image, Plane
    from ..core.steps import Looking, Steps
    from ._brick_jobs import Hands, Labels
    from .bricks import Position

__all__ = ["Finding", "Journal", "Sink", "segment_bricks"]

_GLIMPSE: Final = {1: 2**12, 2: 256, 3: 48}  # net pixels


def segment_bricks(
    image: Image, jobs: Jobs, looking: Looking | None = None, hands: Hands = stream
) -> Steps[tuple[int, str]]:
    """Segment every plane of an image, number the objects through and write them.

    Parameters
    ----------
    image : Image
        Any axes.
    jobs : Jobs
        How, and where to. The edges of the plan's tiles must be the same whenever a run goes on.
    looking : callable, optional
        Says now and then which part of the image somebody looks at, as a slice for each axis, or None; that comes
        first.
    hands : callable
        Who does the jobs: by default threads of this process.

    Returns
    -------
    objects : int
        The highest id; ids are those of :func:`~napari_unet.tiling.run.segment_planes`.
    hash : str
        Of the labels, axes in the order ``tzyx``; see :func:`~napari_unet.core.results.label_hash`.

    Yields
    ------
    Progress
        One for every brick and every written part; where there is a preview, with its Piece.

    Raises
    ------
    AxesError, ImageError, ModelError, OutputError
        As the image, the network, the journal and the sink say.
    """
    jobs = replace(jobs, predict=Sparing(jobs.predict))
    planes = [jobs.plan.select(plane) for plane in image.planes(jobs.plan.ndim)]
    queue = _Queue(planes, jobs, looking)
    yield from queue.take_up()
    yield Progress(queue.done, queue.total, "Going on" if queue.done else "Starting")
    with closing(hands(queue.next_job, jobs.plan.threads)) as results:
        for result in results:
            for note, piece in queue.note(result):
                yield Progress(queue.done, queue.total, note, piece)
    return queue.joining.depth.objects, written_hash(image, planes, jobs)


class _Queue:
    """What can be done next; asked and told by the consumer's thread only."""

    def __init__(self, planes: list[Plane], jobs: Jobs, looking: Looking | None) -> None:
        self.planes, self.jobs, self.looking = planes, jobs, looking
        self.journal, self.sink, self.where = jobs.journal, jobs.sink, jobs.plan.where
        self.grid = jobs.plan.grid(planes[0].shape, len(planes))
        self.each = len(self.grid) + len(jobs.sink.windows(planes[0]))
        self.active: dict[int, PlaneWork] = {}
        self.ready: deque[Callable[[], Any]] = deque()
        self.joining = Joining(planes, jobs.journal, jobs.plan.link_z, jobs.plan.classes)
        self.finished: dict[
            int, int
        ] = {}  # planes whose labels are where they belong, and how many objects begin there
        self.next = self.settled = self.done = self.shown = 0
        self.total = len(planes) * self.each
        self.groups: Iterator[list[tuple[int, Tile]]] = iter(())
        self.glimpsed = False

    # What was done before.

    def take_up(self) -> Steps[None]:
        """Read what the journal has; what of it is missing or damaged is done again."""
        self.where.notes, kept = Notes(), {}
        for number, plane in enumerate(self.planes):
            entry = intact(self.journal, "plane", str(number))
            if entry is None:
                continue
            yield Progress(0, 0, "Checking what is done already")
            if all(self.jobs.holds(number, plane, window) for window in self.sink.windows(plane)):
                kept[number] = entry
        for number in self.joining.take_up(set(kept)):
            self.finished[number] = int(kept[number]["objects"])
            self.where.notes += Notes.of(kept[number])
        self.done = len(self.finished) * self.each
        self._write_what_is_numbered()
        for number in range(self.next, len(self.planes)):
            if number not in self.finished and (number == self.next or self._begun(number)):
                yield from self._open(number)
        jobs = sweep(self.grid, self.planes, range(self.next, len(self.planes)))
        jobs = ((number, tile) for number, tile in jobs if self._is_left(number, tile))
        self.groups = batched(jobs, self.jobs.plan.tiling.batch, self.where)

    def _begun(self, number: int) -> bool:
        return self.journal.has("begun", str(number))

    def _open(self, number: int) -> Steps[None]:
        """Take a plane into work, with what is known of it."""
        plane = self.planes[number]
        here = self.active[number] = PlaneWork(plane, self.grid, self.sink.windows(plane))
        if not self._begun(number):
            self.journal.put("begun", str(number))
            return
        seen: dict[Position, Notes] = {}
        for position in here.bricks:
            key = key_of(position, number)
            scores, forest, rims = (intact(self.journal, kind, key) for kind in ("scores", "forest", "rims"))
            if forest is not None:
                here.stitch.add(position, unpack(forest))
                here.explored.add(position)
                here.asked.add(position)
                seen[position] = Notes.of(forest)
            if scores is not None or rims is not None:
                here.edges[position] = borders(scores["scores"]) if scores is not None else unpack_edges(rims or {})
                seen.setdefault(position, Notes.of(scores or rims or {}))
            yield Progress(self.done, self.total, "Reading what is done already")
        for position, notes in seen.items():
            # Trees that were lost need the scores around them, which were let go of: those bricks are scored again.
            if position in here.edges or not here.needs_scores(position):
                del here.left[position]
                self.done += 1
                self._take_note(here, notes)
        for position in here.bricks:
            self._explore_if_ready(number, position)
        self._number_if_ready(number)

    def _take_note(self, here: PlaneWork, notes: Notes) -> None:
        """Add what was seen in a brick, once for each."""
        here.notes += notes
        self.where.notes += notes

    def _at_work(self, number: int) -> PlaneWork:
        if number not in self.active:
            # Nothing is known of it: there is nothing to report either.
            for _ in self._open(number):
                pass
        return self.active[number]

    def _is_left(self, number: int, tile: Tile) -> bool:
        if number in self.finished or number < self.settled:
            return False  # it may have been finished before it was its turn here
        here = self._at_work(number)
        return here.position(tile) in here.left

    # What is to be done.

    def next_job(self) -> Callable[[], Any] | None:
        """Return what brings finished bricks on, else tiles to score."""
        if self.ready:
            return self.ready.popleft()
        seen = self._tiles_in_view()
        tiles = seen or self._next_tiles()
        if self.ready:
            # A plane was opened, and something in it can go on.
            self.groups = itertools.chain([tiles] if tiles else [], self.groups)
            return self.ready.popleft()
        if not tiles:
            return None
        works = [self.active[number] for number, _ in tiles]
        if seen and (glimpse := self._glimpse(*seen[0])):
            return glimpse
        for (_, tile), work in zip(tiles, works, strict=True):
            del work.left[work.position(tile)]
        return partial(self.jobs.score, tiles, works)

    def _glimpse(self, number: int, tile: Tile) -> Callable[[], Any] | None:
        """Show a small part of the first tile before all else: somebody looks at the image and waits."""
        here, plan, preview = self.active[number], self.jobs.plan, self.jobs.finding.preview
        if self.glimpsed or preview is None:
            return None
        self.glimpsed = True
        small = middle_part(tile, here.looked_at, _GLIMPSE[plan.ndim], plan.factor, plan.halo, plan.multiple)
        return None if small == tile else partial(self.jobs.glimpse, number, here, small, preview)

    def _next_tiles(self) -> list[tuple[int, Tile]]:
        for group in self.groups:
            left = [(n, tile) for n, tile in group if self.active[n].position(tile) in self.active[n].left]
            if left:
                return left
        return []

    def _tiles_in_view(self) -> list[tuple[int, Tile]]:
        view = self.looking() if self.looking is not None else None
        number = None if view is None else self._plane_in(view)
        if view is None or number is None or number < self.next or number in self.finished:
            return []
        here = self._at_work(number)
        axes = zip(here.plane.axes, here.plane.shape, strict=True)
        bounds = [(max(view[a].start, 0), min(view[a].stop, n)) if a in view else (0, n) for a, n in axes]
        if any(start >= stop for start, stop in bounds):
            return []
        found: list[tuple[int, Tile]] = []
        for position in here.left_in(tuple(slice(*b) for b in bounds)):
            tile = here.left[position]
            if not found or tile.kind == found[0][1].kind:
                found.append((number, tile))
            if len(found) == self.jobs.plan.tiling.batch:
                break
        return found

    def _plane_in(self, view: Mapping[str, slice]) -> int | None:
        """Return the first plane that is looked at."""
        for number, plane in enumerate(self.planes):
            held = {plane.image.axes[dimension]: position for dimension, position in plane.fixed}
            if all(view[a].start <= at < view[a].stop for a, at in held.items() if a in view):
                return number
        return None

    def note(self, result: Any) -> Iterator[tuple[str, Piece | None]]:
        """Take in what a job returned; yield what it was, in words, and what there is to show."""
        if isinstance(result, Scored):
            yield from self._note_scored(result)
        elif isinstance(result, Glimpsed):
            yield f"Finding objects{self._which(result.plane)}", self._shown(result.plane, result.window, result.labels)
        elif isinstance(result, Explored):
            self._note_explored(result)
            yield f"Outlining objects{self._which(result.plane)}", None
        elif isinstance(result, Numbered):
            self._note_numbered(result)
            yield f"Numbering objects{self._which(result.plane)}", None
        elif isinstance(result, Compared):
            self.joining.note(result, self.active)
            self._write_what_is_numbered()
            yield f"Joining planes{self._which(result.lower)}", None
        elif isinstance(result, Written):
            here = self.active[result.plane]
            self.done += 1
            del here.windows[key_of(result.window)]
            self._settle()
            piece = placed(here.plane, result.window, result.labels) if result.labels is not None else None
            yield f"Writing objects{self._which(result.plane)}", piece
        elif isinstance(result, Waited):
            yield result.words, None

    def _which(self, number: int) -> str:
        return plane_words(number, len(self.planes))

    def _note_scored(self, result: Scored) -> Iterator[tuple[str, Piece | None]]:
        tiles = zip(result.tiles, result.edges, result.shown, result.notes, strict=True)
        for (number, tile), edges, shown, notes in tiles:
            here = self.active[number]
            position = here.position(tile)
            here.edges[position] = edges
            self._take_note(here, notes)
            self.done += 1
            for other in (position, *here.around(position)):
                self._explore_if_ready(number, other)
            piece = None if shown is None else self._shown(number, tile.window, shown)
            yield f"Finding objects{self._which(number)}", piece

    def _shown(self, number: int, window: tuple[slice, ...], labels: Labels) -> Piece:
        """Return labels of a part of a plane as they are shown, with numbers that nothing else has."""
        piece = placed(self.active[number].plane, window, raised(labels, self.shown))
        if not self.jobs.plan.classes:
            self.shown = max(self.shown, int(piece.labels.max()))
        return piece

    def _explore_if_ready(self, number: int, position: Position) -> None:
        here = self.active[number]
        if here.ready(position):
            here.asked.add(position)
            self.ready.append(partial(self.jobs.explore, number, here, position))

    def _note_explored(self, result: Explored) -> None:
        here, number = self.active[result.plane], result.plane
        here.stitch.add(result.position, result.forest)
        here.explored.add(result.position)
        for other in (result.position, *here.around(result.position)):
            if other in here.edges and not here.needs_scores(other):
                self.journal.drop("scores", key_of(other, number))
                del here.edges[other]
        self._number_if_ready(number)

    def _number_if_ready(self, number: int) -> None:
        here = self.active[number]
        if len(here.explored) == len(here.bricks):
            self.ready.append(partial(self.jobs.number, number, here.stitch))

    def _note_numbered(self, result: Numbered) -> None:
        self.active[result.plane].objects = result.objects
        for pair in self.joining.comparable(result.plane, self.active):
            works = self.active[pair[0]], self.active[pair[1]]
            self.ready.extend(partial(self.jobs.compare, pair, works, position) for position in works[0].bricks)
        self._write_what_is_numbered()

    def _write_what_is_numbered(self) -> None:
        """Give final ids in the order of the planes, whichever is numbered and linked first, and write."""
        while self.next < len(self.planes):
            here = self.active.get(self.next)
            if self.next in self.finished:
                self.joining.depth.count(self.finished[self.next])
            elif here is not None and here.links is not None:
                self.joining.number(self.next, here)
                for window in here.windows.values():
                    self.ready.append(partial(self.jobs.write, self.next, here, window))
            else:
                break
            self.next += 1
        self._settle()

    def _settle(self) -> None:
        """Note which planes are finished, in order, and let go of what was needed for them."""
        while self.settled in self.finished or self._is_written(self.settled):
            if here := self.active.get(self.settled):
                if not self.joining.released(self.settled, self.active):
                    break
                begun = self.joining.keep(self.settled, here)
                self.journal.put("plane", str(self.settled), objects=np.array(begun), **here.notes.arrays())
                self.joining.forget(self.settled)
                for position in here.bricks:
                    for kind in ("scores", "rims", "trees", "forest"):
                        self.journal.drop(kind, key_of(position, self.settled))
                del self.active[self.settled]
            self.settled += 1

    def _is_written(self, number: int) -> bool:
        here = self.active.get(number)
        return here is not None and here.ids is not None and not here.windows
