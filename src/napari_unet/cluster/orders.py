"""What a run asks of its workers: coordinates, and a few numbers where it writes; never pixels, never weights.

Where the work is done, results go to the journal, on a disk that all share. What comes back is that it is done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.errors import OutputError
from ..tiling._brick_jobs import Compared, Explored, Glimpsed, Jobs, Scored, Written, intact
from ..tiling._plane_work import PlaneWork, key_of
from ..tiling._rims import unpack
from ..tiling.where import Notes

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..tiling._brick_jobs import Preview, Window
    from ..tiling.bricks import Position
    from ..tiling.grid import Tile
    from ..tiling.stitch import Stitch
    from .bench import Shared

__all__ = ["Errands", "Here", "Order"]


@dataclass(frozen=True)
class Order:
    """A job for a worker.

    Attributes
    ----------
    verb : str
        Method of :class:`~napari_unet.cluster.bench.Bench`.
    words : tuple
        What it is called with.
    key : str
        Which brick or part it is about.
    take : callable
        What it returns, to what the run expects.
    """

    verb: str
    words: tuple[Any, ...]
    key: str
    take: Callable[[Any], Any]


@dataclass(frozen=True)
class Here:
    """A job for this process: the few that need all of a plane."""

    do: Callable[[], Any]


@dataclass(frozen=True)
class Errands(Jobs):
    """Jobs that are done elsewhere: each method says what is to be done, see :class:`Order` and :class:`Here`.

    Attributes
    ----------
    shared : Shared
        The journal, as other processes write to it.
    pause : list of float
        Until when nothing is decoded to be shown.
    """

    shared: Shared
    pause: list[float] = field(default_factory=lambda: [0.0])

    def score(self, tiles: list[tuple[int, Tile]], works: list[PlaneWork]) -> Any:
        """Have tiles scored."""
        places = [(number, work.position(tile)) for (number, tile), work in zip(tiles, works, strict=True)]
        key = "+".join(key_of(position, number) for number, position in places)
        return Order("score", (places,), key, partial(self._scored_there, tiles, places))

    def _scored_there(self, tiles: list[tuple[int, Tile]], places: list[tuple[int, Position]], answer: Any) -> Scored:
        notes, retried = answer or ([Notes()] * len(tiles), {})
        self.plan.care.learn(sum(math.prod(s.size for s in tile.write) for _, tile in tiles), retried)
        return Scored(tiles, [{} for _ in tiles], [self._seen(*place) for place in places], notes)

    def _seen(self, number: int, position: Position) -> Any:
        """Return labels to show of a tile, as long as that takes a third of the time at most."""
        preview = self.finding.preview
        if preview is None or time.monotonic() < self.pause[0]:
            return None
        begun = time.monotonic()
        kept = intact(self.shared, "scores", key_of(position, number))
        shown = None if kept is None else preview(kept["scores"])
        self.pause[0] = time.monotonic() + 2 * (time.monotonic() - begun)
        return shown

    def glimpse(self, number: int, work: PlaneWork, tile: Tile, preview: Preview) -> Any:
        """Show nothing: the model is not here."""
        nothing = partial(Glimpsed, number, tile.window, preview(_empty(self.plan.outputs, tile)))
        return Here(nothing)

    def explore(self, number: int, work: PlaneWork, position: Position) -> Any:
        """Have the trees of a brick grown."""
        return Order(
            "explore", (number, position), key_of(position, number), partial(self._explored_there, number, position)
        )

    def _explored_there(self, number: int, position: Position, _: Any) -> Explored:
        return Explored(number, position, unpack(self.shared.await_entry("forest", key_of(position, number))))

    def number(self, number: int, stitch: Stitch) -> Any:
        """Give the objects of a plane their ids, here: that takes the tables of all bricks."""
        return Here(partial(super().number, number, stitch))

    def compare(self, numbers: tuple[int, int], works: tuple[PlaneWork, PlaneWork], position: Position) -> Any:
        """Have two planes compared in a brick."""
        ids = tuple(work.outlines(position) for work in works)
        key = f"{numbers[0]}-{key_of(position, numbers[1])}"
        return Order("compare", (numbers, position, ids), key, partial(Compared, *numbers))

    def write(self, number: int, work: PlaneWork, window: Window) -> Any:
        """Have a part of a plane's labels written."""
        bounds = tuple((s.start, s.stop) for s in window)
        key = f"{number}.{key_of(window)}"
        return Order(
            "write", (number, bounds, work.finals(window)), key, partial(self._written_there, number, work, window)
        )

    def _written_there(self, number: int, work: PlaneWork, window: Window, _: Any) -> Written:
        key = f"{number}.{key_of(window)}"
        try:
            self.shared.await_entry("written", key)
        except OutputError as error:
            raise OutputError(
                f"A worker has written a part of the labels that cannot be seen here: {error} Check that all processes "
                "see the same disk."
            ) from error
        labels = self.sink.read(work.plane, window) if self.finding.preview else None
        return Written(number, window, labels)


def _empty(outputs: int, tile: Tile) -> npt.NDArray[Any]:
    import numpy as np  # noqa: PLC0415

    return np.zeros((outputs, *(s.size for s in tile.write)), np.uint8)
