"""What a run learns about the device while it goes on: how much it takes at once, how fast it is, and when it sags.

Where memory does not suffice, only the tile at hand is tried again: in smaller batches, then in smaller tiles that are
put together again, then elsewhere. Tiles are cut on the grid of the network, so scores are the same. How much was too
much is remembered.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from ..core.errors import MemoryShortError
from .grid import halves
from .scoring import Storing

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.steps import Steps
    from .grid import Tile
    from .scoring import Predict, Scores
    from .stream import Plan

__all__ = ["Care", "told"]

T = TypeVar("T")
P = TypeVar("P")
_SHORT: Final = (MemoryError, MemoryShortError)
_WAYS: Final = {
    "smaller_batch": "Memory was short: fewer tiles are computed together.",
    "smaller_tile": "Memory was short: tiles are computed in parts.",
    "elsewhere": "The device has too little memory for some tiles even in parts: they are computed on the processor, "
    "which may round differently.",
}
_SAGGED: Final = 5.0  # times slower than the median
_IN_A_ROW: Final = 4  # tiles
_KNOWN: Final = 12  # tiles, before one can speak of slower
_REMEMBERED: Final = 256
_SAG: Final = (
    "It has become {:.0f} times slower than it was. Perhaps the memory of the device is full and the system keeps part "
    "of it elsewhere: close other programs that use it, or stop, and go on with --batch 1."
)
_SOON: Final = 2.0  # seconds, before which no speed is told


class Care:
    """How much at once a device takes, and how fast it is.

    Parameters
    ----------
    elsewhere : callable, optional
        Returns what predicts where the device cannot: called once, when it is needed.
    retried : mapping of str to int
        What is known of the run from before.
    note : callable, optional
        Called with `retried` whenever it changes; from several threads, but never twice at a time.

    Attributes
    ----------
    retried : dict of str to int
        How often the work of a tile was tried again in a smaller batch (``smaller_batch``), in parts
        (``smaller_tile``), or on the processor (``elsewhere``); ways that were not needed are not there.
    pixels : int
        Of the image, that were scored so far.
    """

    def __init__(
        self,
        elsewhere: Callable[[], Predict] | None = None,
        retried: Mapping[str, int] | None = None,
        note: Callable[[dict[str, int]], None] | None = None,
    ) -> None:
        self.retried, self.pixels = dict(retried or {}), 0
        self._elsewhere, self._note = elsewhere, note
        self._other: Predict | None = None
        self._too_much = math.inf  # net pixels
        self._news: list[str] = []
        self._lock, self._loading = Lock(), Lock()
        self._start: float | None = None
        self._times: deque[float] = deque(maxlen=_REMEMBERED)  # seconds a net pixel
        self._slow = 0

    def score(
        self,
        tiles: Sequence[tuple[P, Tile]],
        plan: Plan,
        predict: Predict | Storing,
        once: Callable[[Sequence[tuple[P, Tile]], Plan, Predict | Storing], list[Scores]],
    ) -> list[Scores]:
        """Score tiles, in smaller bites where memory is short.

        Parameters
        ----------
        tiles : sequence of (anything, Tile)
            Tiles of equal read shape.
        plan : Plan
            How.
        predict : callable
            float32 (b, c, *s) -> float32 (b, k, *s).
        once : callable
            Scores tiles that are sent through the network together.

        Returns
        -------
        list of ndarray of uint8
            What `once` returns of them.

        Raises
        ------
        MemoryShortError
            If memory does not suffice for the smallest bite.
        """
        self._start = self._start or time.perf_counter()
        found = self._score(tiles, plan, predict, once)
        with self._lock:
            self.pixels += sum(math.prod(s.size for s in tile.write) for _, tile in tiles)
        return found

    def _score(
        self,
        tiles: Sequence[tuple[P, Tile]],
        plan: Plan,
        predict: Predict | Storing,
        once: Callable[[Sequence[tuple[P, Tile]], Plan, Predict | Storing], list[Scores]],
    ) -> list[Scores]:
        size, short = len(tiles) * math.prod(tiles[0][1].read_shape), None
        if size < self._too_much:
            try:
                return once(tiles, plan, predict)
            except _SHORT as error:
                # The frames of an error hold what was computed so far.
                short = error.with_traceback(None)
                with self._lock:
                    self._too_much = min(self._too_much, size)
        if len(tiles) > 1:
            self._tell("smaller_batch")
            middle = len(tiles) // 2
            parts = (tiles[:middle], tiles[middle:])
            return [scores for part in parts for scores in self._score(part, plan, predict, once)]
        what, tile = tiles[0]
        if pieces := halves(tile, plan.factor, plan.halo, plan.multiple):
            self._tell("smaller_tile")
            found = [self._score([(what, piece)], plan, predict, once)[0] for piece in pieces]
            return [_joined(tile, pieces, found)]
        return once(tiles, plan, self._find_other(short))

    def _find_other(self, short: BaseException | None) -> Predict:
        if self._elsewhere is None:
            raise MemoryShortError(
                "There is too little memory even for a small tile. Close other programs, or use fewer --workers."
            ) from short
        with self._loading:
            self._other = self._other or self._elsewhere()
        self._tell("elsewhere")
        return self._other

    def _tell(self, way: str) -> None:
        with self._lock:
            if way not in self.retried:
                self._news.append(_WAYS[way])
            self.retried[way] = self.retried.get(way, 0) + 1
            if self._note is not None:
                self._note(self.retried)

    def learn(self, pixels: int, retried: Mapping[str, int]) -> None:
        """Take in what other processes have done.

        Parameters
        ----------
        pixels : int
            Of the image, that were scored there.
        retried : mapping of str to int
            How often more than is known was tried again, and in which way.
        """
        with self._lock:
            self._start = self._start or time.perf_counter()
            self.pixels += pixels
        for way, count in retried.items():
            for _ in range(count):
                self._tell(way)

    def timed(self, predict: Predict | Storing) -> Predict | Storing:
        """Return what predicts the same, and is watched for becoming slow."""
        return _Timed(predict, self._watch)

    def _watch(self, seconds: float) -> None:
        with self._lock:
            usual = statistics.median(self._times) if len(self._times) >= _KNOWN else math.inf
            self._slow = self._slow + 1 if seconds > _SAGGED * usual else 0
            if self._slow == _IN_A_ROW and self._slow < math.inf:
                self._news.append(_SAG.format(seconds / usual))
                self._slow = -(10**9)  # said once
            if self._slow <= 0:
                self._times.append(seconds)

    def news(self) -> str:
        """Return what is to be said now, once; empty for nothing."""
        with self._lock:
            found, self._news = " ".join(self._news), []
        return found

    @property
    def record(self) -> dict[str, dict[str, int]]:
        """For a manifest, what was tried again; empty if nothing was."""
        return {"retried": dict(self.retried)} if self.retried else {}

    @property
    def seconds(self) -> float:
        """Since scoring began; 0 before."""
        return 0.0 if self._start is None else time.perf_counter() - self._start

    @property
    def speed(self) -> float:
        """Megapixels of the image a second, since scoring began; 0 where that is too short to tell."""
        seconds = self.seconds
        return self.pixels / 1e6 / seconds if seconds > _SOON else 0.0


class _Timed:
    def __init__(self, predict: Predict | Storing, note: Callable[[float], None]) -> None:
        self._predict, self._note = predict, note
        if isinstance(predict, Storing):
            self.stored, self.looks_up = partial(self._time, predict.stored), predict.looks_up

    def __call__(self, batch: npt.NDArray[np.float32], *more: Any) -> npt.NDArray[Any]:
        return self._time(self._predict, batch, *more)

    def _time(self, ask: Callable[..., npt.NDArray[Any]], batch: npt.NDArray[Any], *more: Any) -> npt.NDArray[Any]:
        start = time.perf_counter()
        found = ask(batch, *more)
        self._note((time.perf_counter() - start) / max(1, batch[:, 0].size))
        return found


def _joined(tile: Tile, pieces: Sequence[Tile], found: Sequence[Scores]) -> Scores:
    """Put the scores of a tile together from those of its parts."""
    whole = np.empty((len(found[0]), *(s.size for s in tile.write)), np.uint8)
    for piece, scores in zip(pieces, found, strict=True):
        axes = zip(piece.write, tile.write, strict=True)
        whole[(slice(None), *(slice(a.start - b.start, a.stop - b.start) for a, b in axes))] = scores
    return whole


def told(steps: Steps[T], care: Care, foretold: Callable[[], str | None] = str) -> Steps[T]:
    """Add to the progress of a run how fast it is, and what is to be said once.

    Parameters
    ----------
    steps : generator of Progress
        The run.
    care : Care
        What it has learned.
    foretold : callable
        Asked now and then what the run will take, until it returns something else than None.

    Returns
    -------
    T
        What the run returns.

    Yields
    ------
    Progress
        Those of the run.
    """
    pixels, ahead = 0, None
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                found: T = end.value
                return found
            speed = care.speed if care.pixels > pixels else 0.0
            pixels, note = care.pixels, progress.note
            note = f"{note} ({speed:.3g} Mpx/s)" if speed else note
            ahead = foretold() if ahead is None else ""
            yield replace(progress, note=note, news=" ".join(filter(None, (ahead, care.news()))))
    finally:
        steps.close()
