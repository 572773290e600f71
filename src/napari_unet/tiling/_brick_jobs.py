"""The jobs of :mod:`.bricked`: what is computed in other threads. They change nothing but the journal and the sink."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..core.errors import OutputError
from ..core.hashes import block_digests
from ..core.windows import common, since
from ._plane_work import PlaneWork, key_of
from ._rims import borders, pack, widened
from .depth import overlaps
from .stitch import Objects, Stitch, relabel
from .stream import score_tiles
from .where import Notes

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.amounts import Smallest
    from ..core.axes import Plane
    from ..core.forest import Forest
    from .bricks import Position
    from .grid import Tile
    from .scoring import Predict, Scores
    from .stream import Plan
    from .where import Scored as ScoredTile

    Labels = npt.NDArray[np.int32]
    Window = tuple[slice, ...]
    Arrays = Mapping[str, npt.NDArray[Any]]
    Preview = Callable[[Scores], Labels]
    Explore = Callable[[Scores, Sequence[slice], Sequence[int]], tuple[Labels, Forest]]

__all__ = [
    "Compared",
    "Explored",
    "Finding",
    "Glimpsed",
    "Hands",
    "Jobs",
    "Journal",
    "Numbered",
    "Scored",
    "Sink",
    "Waited",
    "Written",
    "intact",
]


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
        """List the parts of a plane that are written at once; their edges are multiples of 512 pixels in y and x."""

    def write(self, plane: Plane, window: Window, labels: Labels) -> None:
        """Write a part; again, if that is asked for. Called from several threads with parts that do not meet."""

    def read(self, plane: Plane, window: Window) -> Labels:
        """Read a part that was written."""


def intact(journal: Journal, kind: str, key: str) -> Arrays | None:
    """Return an entry of a journal, or None where it is missing or damaged: then it is to be made again."""
    try:
        return journal.get(kind, key) if journal.has(kind, key) else None
    except OutputError:
        return None


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
    smallest : float or tuple of float
        Objects with fewer pixels are dropped; or pieces of each class.
    least : tuple of float
        See :meth:`~napari_unet.tiling.stitch.Stitch.finish`.
    preview : callable, optional
        Stored scores of a tile to labels that are only shown.
    """

    explore: Explore
    persistence: int
    smallest: Smallest
    least: tuple[float, ...] = ()
    preview: Preview | None = None


@dataclass(frozen=True)
class Scored:
    """Scored tiles: their planes, what their neighbors need of them, what can be shown, and what was seen."""

    tiles: list[tuple[int, Tile]]
    edges: list[dict[Position, Scores]]
    shown: list[Labels | None]
    notes: list[Notes]


@dataclass(frozen=True)
class Glimpsed:
    """A part of a tile that is shown before whole tiles are; nothing of it is kept."""

    plane: int
    window: Window
    labels: Labels = field(repr=False)


@dataclass(frozen=True)
class Explored:
    """A brick whose trees are known."""

    plane: int
    position: Position
    forest: Forest


@dataclass(frozen=True)
class Numbered:
    """A plane whose objects are known."""

    plane: int
    objects: Objects


@dataclass(frozen=True)
class Compared:
    """A brick of two neighboring planes, and the pixels that their objects have in common there."""

    upper: int
    lower: int
    shared: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Written:
    """A part of a plane's labels that is where it belongs."""

    plane: int
    window: Window
    labels: Labels | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Waited:
    """Nothing came for a while; what there is to say of it."""

    words: str


class Hands(Protocol):
    """Who does the jobs of a run."""

    def __call__(self, next_job: Callable[[], Callable[[], Any] | None], workers: int, /) -> Generator[Any, None, None]:
        """Do jobs and yield their results as they come; see :func:`~napari_unet.tiling._threads.stream`."""


@dataclass(frozen=True)
class Jobs:
    """All that jobs need.

    Attributes
    ----------
    plan : Plan
        How to score.
    predict : callable
        float32 (b, c, *s) -> float32 (b, k, *s).
    finding : Finding
        How to find objects.
    journal : Journal
        Where to note what is done.
    sink : Sink
        Where labels go.
    """

    plan: Plan
    predict: Predict
    finding: Finding
    journal: Journal
    sink: Sink

    def score(self, tiles: list[tuple[int, Tile]], works: list[PlaneWork]) -> Scored:
        """Score tiles and keep the scores."""
        found = score_tiles(
            [(w.plane, tile) for (_, tile), w in zip(tiles, works, strict=True)], self.plan, self.predict
        )
        for (number, tile), work, (scores, notes) in zip(tiles, works, found, strict=True):
            self.journal.put("scores", key_of(work.position(tile), number), scores=scores, **notes.arrays())
        preview = self.finding.preview
        stored = [part.scores for part in found]
        shown = [preview and preview(scores) for scores in stored]
        return Scored(tiles, [borders(scores) for scores in stored], shown, [part.notes for part in found])

    def glimpse(self, number: int, work: PlaneWork, tile: Tile, preview: Preview) -> Glimpsed:
        """Score a part of a tile only to show it."""
        scores = score_tiles([(work.plane, tile)], self.plan, self.predict)[0].scores
        return Glimpsed(number, tile.window, preview(scores))

    def explore(self, number: int, work: PlaneWork, position: Position) -> Explored:
        """Grow the trees of a brick and keep them in place of its scores."""
        key = key_of(position, number)
        kept = intact(self.journal, "scores", key)
        scores, notes = self._scored(work, position) if kept is None else (kept["scores"], Notes.of(kept))
        trees, forest = self._grown(work, position, scores, self._rims(number, work, position))
        self.journal.put("trees", key, trees=trees)
        self.journal.put("forest", key, **pack(forest), **notes.arrays())
        return Explored(number, position, forest)

    def _rims(self, number: int, work: PlaneWork, position: Position) -> dict[Position, Scores]:
        """Return the scores just beyond a brick whose neighbors are scored."""
        return work.rims(position)

    def _scored(self, work: PlaneWork, position: Position) -> ScoredTile:
        return score_tiles([(work.plane, work.tiles[position])], self.plan, self.predict)[0]

    def _grown(
        self, work: PlaneWork, position: Position, scores: Scores, rims: dict[Position, Scores]
    ) -> tuple[Labels, Forest]:
        return self.finding.explore(widened(scores, rims), work.bricks.window(position), work.bricks.shape)

    def _trees(self, number: int, work: PlaneWork, position: Position) -> Labels:
        """Return the trees of a brick; where they were lost they are grown again, as they were."""
        key = key_of(position, number)
        if (kept := intact(self.journal, "trees", key)) is not None:
            return kept["trees"]
        edges = {other: borders(self._scored(work, other).scores) for other in work.around(position)}
        trees, forest = self._grown(work, position, self._scored(work, position).scores, work.rims(position, edges))
        known, grown = intact(self.journal, "forest", key), pack(forest)
        if known is None or not all(name in known and np.array_equal(known[name], grown[name]) for name in grown):
            # A device that does not round alike twice: objects were numbered by other trees than these.
            self.journal.drop("forest", key)
            raise OutputError("A part of the unfinished run was damaged. Give the same command again: it is redone.")
        self.journal.put("trees", key, trees=trees)
        return trees

    def number(self, number: int, stitch: Stitch) -> Numbered:
        """Give the objects of a plane their ids."""
        return Numbered(number, stitch.finish(self.finding.persistence, self.finding.smallest, self.finding.least))

    def compare(self, numbers: tuple[int, int], works: tuple[PlaneWork, PlaneWork], position: Position) -> Compared:
        """Count what the objects of two planes have in common in a brick."""
        return Compared(*numbers, self.in_common(numbers, works, position, [work.outlines(position) for work in works]))

    def in_common(
        self, numbers: Sequence[int], works: Sequence[PlaneWork], position: Position, ids: Sequence[Labels]
    ) -> npt.NDArray[np.int64]:
        """Count what two planes have in common in a brick, by the ids that trees have within their planes."""
        sides = zip(numbers, works, ids, strict=True)
        return overlaps(*(relabel(self._trees(number, work, position), own) for number, work, own in sides))

    def write(self, number: int, work: PlaneWork, window: Window) -> Written:
        """Write a part of a plane's labels, unless it is written and as it should be."""
        labels = self.put(number, work, window, work.finals(window))
        return Written(number, window, labels if self.finding.preview else None)

    def put(self, number: int, work: PlaneWork, window: Window, ids: Mapping[Position, Labels]) -> Labels:
        """Write a part of a plane's labels by the final ids of the trees of each brick; return the labels."""
        labels = self._labels(number, work, window, ids)
        digests = np.frombuffer(b"".join(block_digests(labels)), np.uint8)
        key = f"{number}.{key_of(window)}"
        kept = intact(self.journal, "written", key)
        if kept is None or (kept["digests"] != digests).any() or not self._reads(work.plane, window, digests):
            self.sink.write(work.plane, window, labels)
            self.journal.put("written", key, digests=digests)
        return labels

    def holds(self, number: int, plane: Plane, window: Window) -> bool:
        """Say whether a part of a plane's labels is there, as it was written."""
        kept = intact(self.journal, "written", f"{number}.{key_of(window)}")
        return kept is not None and self._reads(plane, window, kept["digests"])

    def _reads(self, plane: Plane, window: Window, digests: npt.NDArray[np.uint8]) -> bool:
        return b"".join(block_digests(self.sink.read(plane, window))) == digests.tobytes()

    def _labels(self, number: int, work: PlaneWork, window: Window, ids: Mapping[Position, Labels]) -> Labels:
        labels = np.zeros([s.stop - s.start for s in window], np.int32)
        for position, final in ids.items():
            own = work.bricks.window(position)
            both = common(own, window)
            part = self._trees(number, work, position)[since(both, own)]
            relabel(np.ascontiguousarray(part), final, labels[since(both, window)])
        return labels
