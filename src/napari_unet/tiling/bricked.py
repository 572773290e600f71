"""From an image to its labels brick by brick: with memory for a few bricks, and able to go on where it was stopped.

A brick is what one tile writes. Its scores are kept in a journal; once those of the bricks around it are there too, its
trees are grown and kept in place of the scores. When all trees of a plane are known, its objects are numbered
(:mod:`.stitch`) and the labels written, one shard at a time. What the journal has is not done again; since nothing in
it depends on when it was written, a run that was stopped at any moment ends with the labels of one that was not.
"""

from __future__ import annotations

import itertools
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..core.errors import ImageError
from ..core.steps import Progress
from ._plane_work import PlaneWork, key_of
from ._rims import borders, pack, unpack, widened
from .bricks import Bricks, Position
from .grid import Grid, Tile
from .run import plane_words, raised
from .stitch import Objects, Stitch, relabel
from .stream import Plan, batched, count_workers, score_tiles, stream

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Image, Plane
    from ..core.forest import Forest
    from ..core.steps import Steps
    from .stream import Predict, Scores

    Labels = npt.NDArray[np.int32]
    Window = tuple[slice, ...]
    Arrays = Mapping[str, npt.NDArray[Any]]
    Explore = Callable[[Scores, Sequence[slice], Sequence[int]], tuple[Labels, Forest]]

__all__ = ["Finding", "Journal", "Sink", "segment_bricks"]


class Journal(Protocol):
    """What of a run is done: arrays by kind and key, each there as a whole or not at all."""

    def has(self, kind: str, key: str) -> bool:
        """Say whether an entry is there."""

    def put(self, kind: str, key: str, **arrays: npt.NDArray[Any]) -> None:
        """Keep an entry; it outlives the program from now on."""

    def get(self, kind: str, key: str) -> Arrays:
        """Return an entry that is there."""

    def drop(self, kind: str, key: str) -> None:
        """Forget an entry."""


class Sink(Protocol):
    """Where labels go."""

    def windows(self, plane: Plane) -> Sequence[Window]:
        """List the parts of a plane that are written at once."""

    def write(self, plane: Plane, window: Window, labels: Labels) -> None:
        """Write a part; again, if that is asked for. Called from several threads with parts that do not meet."""


@dataclass(frozen=True)
class Finding:
    """How scores become objects.

    Attributes
    ----------
    explore : callable
        Stored scores of a brick's window and one pixel around it, the window and the plane's shape, to trees and
        :class:`~napari_unet.core.forest.Forest`.
    persistence : int
        See :meth:`~napari_unet.tiling.stitch.Stitch.finish`.
    smallest : float
        Objects with fewer pixels are dropped.
    """

    explore: Explore
    persistence: int
    smallest: float


def segment_bricks(
    image: Image, plan: Plan, predict: Predict, finding: Finding, journal: Journal, sink: Sink
) -> Steps[int]:
    """Segment every plane of an image, number the objects through and write them.

    Parameters
    ----------
    image : Image
        Any axes.
    plan : Plan
        How to score. Its tile edge must be given, and the same whenever a run goes on.
    predict : callable
        float32 (b, c, *s) -> float32 (b, k, *s), scores in 0 ... 1. Called from several threads.
    finding : Finding
        How to find objects.
    journal : Journal
        What is done already, and where to note what is done now.
    sink : Sink
        Where labels go.

    Returns
    -------
    int
        The highest id; ids are those of :func:`~napari_unet.tiling.run.segment_planes`.

    Yields
    ------
    Progress
        One for every brick and every written part.

    Raises
    ------
    AxesError, ImageError, ModelError, OutputError
        As the image, the network, the journal and the sink say.
    """
    planes = [plan.select(plane) for plane in image.planes(plan.ndim)]
    queue = _Queue(planes, plan, predict, finding, journal, sink)
    objects = yield from queue.take_up()
    yield Progress(queue.done, queue.total, "Going on" if queue.done else "Starting")
    with closing(stream(queue.next_job, count_workers(plan.tiling))) as results:
        for result in results:
            note = queue.note(result)
            yield Progress(queue.done, queue.total, note)
    return objects + queue.objects


@dataclass(frozen=True)
class _Scored:
    tiles: list[tuple[int, Tile]]
    scores: list[dict[Position, Scores]]


@dataclass(frozen=True)
class _Explored:
    plane: int
    position: Position
    forest: Forest


@dataclass(frozen=True)
class _Numbered:
    plane: int
    objects: Objects


@dataclass(frozen=True)
class _Written:
    plane: int
    window: Window


class _Queue:
    """What can be done next; asked and told by the consumer's thread only."""

    def __init__(
        self, planes: list[Plane], plan: Plan, predict: Predict, finding: Finding, journal: Journal, sink: Sink
    ) -> None:
        self.planes, self.plan, self.predict = planes, plan, predict
        self.finding, self.journal, self.sink = finding, journal, sink
        edges = (plan.tiling.tile,) * plan.ndim
        self.grid = Grid(planes[0].shape, plan.factor, edges, plan.halo, plan.multiple)
        self.active: dict[int, PlaneWork] = {}
        self.ready: deque[Callable[[], Any]] = deque()
        self.numbered: dict[int, Objects] = {}
        self.next = self.settled = self.done = self.base = self.objects = 0
        self.total = len(planes) * (len(self.grid) + len(sink.windows(planes[0])))
        self.groups: Iterator[list[tuple[int, Tile]]] = iter(())

    # What was done before.

    def take_up(self) -> Steps[int]:
        """Read what the journal has; return the objects of the planes that are finished, which come first."""
        objects = 0
        while self.next < len(self.planes) and self.journal.has("plane", str(self.next)):
            objects += int(self.journal.get("plane", str(self.next))["objects"])
            self.next += 1
        each = len(self.grid) + len(self.sink.windows(self.planes[0]))
        self.done, self.base, self.settled = self.next * each, objects, self.next
        for number in range(self.next, len(self.planes)):
            if number == self.next or self._begun(number):
                yield from self._open(number)
        jobs = ((number, tile) for number in range(self.next, len(self.planes)) for tile in self._unscored(number))
        self.groups = batched(jobs, self.plan.tiling.batch)
        return objects

    def _begun(self, number: int) -> bool:
        return self.journal.has("begun", str(number))

    def _open(self, number: int) -> Steps[None]:
        """Take a plane into work, with what is known of it."""
        plane = self.planes[number]
        here = self.active[number] = PlaneWork(plane, self.grid, self.sink.windows(plane))
        if not self._begun(number):
            self.journal.put("begun", str(number))
            return
        for position in here.bricks:
            key = key_of(position, number)
            if self.journal.has("forest", key):
                here.stitch.add(position, unpack(self.journal.get("forest", key)))
                here.explored.add(position)
                here.asked.add(position)
                self.done += 1
            if self.journal.has("scores", key):
                here.edges[position] = borders(self.journal.get("scores", key)["scores"])
                self.done += position not in here.explored
            yield Progress(self.done, self.total, "Reading what is done already")
        for position in here.bricks:
            self._explore_if_ready(number, position)
        self._number_if_ready(number)

    def _unscored(self, number: int) -> Iterator[Tile]:
        if number not in self.active:
            # Nothing is known of it: there is nothing to report either.
            for _ in self._open(number):
                pass
        here = self.active[number]
        for position, tile in here.tiles.items():
            if position not in here.edges and position not in here.explored:
                yield tile

    # What is to be done.

    def next_job(self) -> Callable[[], Any] | None:
        """Return what brings finished bricks on, else tiles to score."""
        if self.ready:
            return self.ready.popleft()
        tiles = next(self.groups, None)
        if self.ready:
            # A plane was opened, and something in it can go on.
            self.groups = itertools.chain([tiles] if tiles else [], self.groups)
            return self.ready.popleft()
        return None if tiles is None else partial(self._score, tiles)

    def note(self, result: Any) -> str:
        """Take in what a job returned; return what it was, in words."""
        if isinstance(result, _Scored):
            return self._note_scored(result)
        if isinstance(result, _Explored):
            return self._note_explored(result)
        if isinstance(result, _Numbered):
            self.numbered[result.plane] = result.objects
            self._write_what_is_numbered()
            return f"Numbering objects{plane_words(result.plane, len(self.planes))}"
        self.done += 1
        here = self.active[result.plane]
        del here.windows[key_of(result.window)]
        self._settle()
        return f"Writing objects{plane_words(result.plane, len(self.planes))}"

    def _note_scored(self, result: _Scored) -> str:
        for (number, tile), edges in zip(result.tiles, result.scores, strict=True):
            here = self.active[number]
            position = _position(here.bricks, tile)
            here.edges[position] = edges
            self.done += 1
            for other in (position, *here.around(position)):
                self._explore_if_ready(number, other)
        return f"Finding objects{plane_words(result.tiles[-1][0], len(self.planes))}"

    def _explore_if_ready(self, number: int, position: Position) -> None:
        here = self.active[number]
        if here.ready(position):
            here.asked.add(position)
            self.ready.append(partial(self._explore, number, position, here.rims(position)))

    def _note_explored(self, result: _Explored) -> str:
        here, number = self.active[result.plane], result.plane
        here.stitch.add(result.position, result.forest)
        here.explored.add(result.position)
        for other in (result.position, *here.around(result.position)):
            if other in here.edges and here.explored.issuperset((other, *here.around(other))):
                self.journal.drop("scores", key_of(other, number))
                del here.edges[other]
        self._number_if_ready(number)
        return f"Outlining objects{plane_words(number, len(self.planes))}"

    def _number_if_ready(self, number: int) -> None:
        here = self.active[number]
        if len(here.explored) == len(here.bricks):
            self.ready.append(partial(self._number, number, here.stitch))

    def _write_what_is_numbered(self) -> None:
        """Ids follow the order of the planes, whichever is numbered first."""
        while self.next in self.numbered:
            here = self.active[self.next]
            here.objects, here.offset = self.numbered.pop(self.next), self.base + self.objects
            self.objects += len(here.objects)
            for key, window in [*here.windows.items()]:
                if self.journal.has("written", f"{self.next}.{key}"):
                    self.done += 1
                    del here.windows[key]
                else:
                    self.ready.append(partial(self._write, self.next, window))
            self.next += 1
        self._settle()

    def _settle(self) -> None:
        """Note which planes are finished, in order, and let go of what was needed for them."""
        while (here := self.active.get(self.settled)) and here.objects is not None and not here.windows:
            self.journal.put("plane", str(self.settled), objects=np.array(len(here.objects)))
            for position in here.bricks:
                for kind in ("scores", "trees", "forest"):
                    self.journal.drop(kind, key_of(position, self.settled))
            del self.active[self.settled]
            self.settled += 1

    # Jobs: they run in other threads and change nothing here.

    def _score(self, tiles: list[tuple[int, Tile]]) -> _Scored:
        found = score_tiles([(self.planes[number], tile) for number, tile in tiles], self.plan, self.predict)
        for (number, tile), scores in zip(tiles, found, strict=True):
            position = _position(self.active[number].bricks, tile)
            self.journal.put("scores", key_of(position, number), scores=scores)
        return _Scored(tiles, [borders(scores) for scores in found])

    def _explore(self, number: int, position: Position, rims: dict[Position, Scores]) -> _Explored:
        key, bricks = key_of(position, number), self.active[number].bricks
        scores = widened(self.journal.get("scores", key)["scores"], rims)
        trees, forest = self.finding.explore(scores, bricks.window(position), bricks.shape)
        self.journal.put("trees", key, trees=trees)
        self.journal.put("forest", key, **pack(forest))
        return _Explored(number, position, forest)

    def _number(self, number: int, stitch: Stitch) -> _Numbered:
        return _Numbered(number, stitch.finish(self.finding.persistence, self.finding.smallest))

    def _write(self, number: int, window: Window) -> _Written:
        here = self.active[number]
        if here.objects is None:
            raise ImageError("Labels were to be written before objects were numbered. Please report this.")
        labels = np.zeros([s.stop - s.start for s in window], np.int32)
        for position in here.bricks.meeting(window):
            own = here.bricks.window(position)
            common = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(own, window, strict=True)]
            trees = self.journal.get("trees", key_of(position, number))["trees"]
            part = trees[tuple(slice(c.start - o.start, c.stop - o.start) for c, o in zip(common, own, strict=True))]
            place = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(common, window, strict=True))
            relabel(np.ascontiguousarray(part), here.objects.numbers[position], labels[place])
        labels = raised(labels, here.offset)
        self.sink.write(here.plane, window, labels)
        crc = np.array(zlib.crc32(np.ascontiguousarray(labels).data), np.uint32)
        self.journal.put("written", f"{number}.{key_of(window)}", crc=crc)
        return _Written(number, window)


def _position(bricks: Bricks, tile: Tile) -> Position:
    """Return the brick that a tile writes."""
    return bricks.at(tuple(span.start for span in tile.write))
