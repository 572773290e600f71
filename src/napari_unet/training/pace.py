"""When a training reports, waits and ends. The first of several processes decides, the others are told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from .state import Run
from .wishes import Wishes

__all__ = ["Order", "Pace"]

_REPORTS: Final = 40  # at least so many in a training for a time
_SOONEST: Final = 10.0  # seconds between two of them
_LEARNED: Final = 9.0  # times as long as the last one took is learned until the next: large images are judged for long
_WORD: Final = 0.5  # seconds between two words of progress


@dataclass(frozen=True)
class Order:
    """What comes next: a report, the end, a stop, a pause, or, if none of them, a step.

    Attributes
    ----------
    share : float
        How much of the training is over, 0 to 1.
    report, end, stop, hold : bool
        What is to be done first.
    """

    share: float
    report: bool
    end: bool
    stop: bool
    hold: bool


class Pace:
    """The clock of a run.

    Parameters
    ----------
    run : Run
        Its spec says how long, its history what time was used before.
    wishes : Wishes
        Of the user.
    """

    def __init__(self, run: Run, wishes: Wishes) -> None:
        self._run, self._wishes = run, wishes
        self._before, self._since = run.history.seconds, time.monotonic()
        self._reported = int(run.history.rows[-1]["step"]) if run.history.rows else 0
        self._report_at = self._spoke = time.monotonic()
        self._held = self._took = 0.0

    @property
    def seconds(self) -> float:
        """Time of training, pauses and interruptions left out."""
        return self._before + time.monotonic() - self._since - self._held

    @property
    def share(self) -> float:
        """How much is over, 0 to 1."""
        spec = self._run.spec
        if spec.minutes is None:
            return min(self._run.step / spec.steps, 1.0)
        return min(self.seconds / (60 * spec.minutes), 1.0)

    @property
    def length(self) -> tuple[int, int]:
        """What is done, and of how much: steps, or seconds where the time is given."""
        spec = self._run.spec
        if spec.minutes is None:
            return self._run.step, spec.steps
        whole = max(round(60 * spec.minutes), 1)
        return min(round(self.seconds), whole), whole

    def order(self) -> Order:
        """Decide, together with the other processes, what comes next."""
        run, spec, share = self._run, self._run.spec, self.share
        tired = spec.patience > 0 and run.history.best >= 0 and run.history.worse >= spec.patience
        enough = self._wishes.finished and run.step > 0
        over = tired or enough or (share >= 1 if spec.minutes else run.step >= spec.steps)
        due = run.step > self._reported and (over or run.step % spec.every == 0 or self._late())
        wishes = (self._wishes.stopped, self._wishes.paused)
        share, *rest = run.ranks.agree([share, *map(float, (due, over, *wishes))], run.device)
        return Order(share, *(bool(each) for each in rest))

    def reported(self) -> None:
        """Note that a report was made."""
        self._reported, self._report_at = self._run.step, time.monotonic()

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Note how long it takes to judge what was learned; the time until the next report begins after it."""
        since = time.monotonic()
        yield
        self._report_at = time.monotonic()
        self._took = self._report_at - since

    def hold(self, seconds: float) -> None:
        """Wait, off the clock."""
        time.sleep(seconds)
        self._held += seconds

    def word_due(self) -> bool:
        """Say whether it is time for a word of progress."""
        now = time.monotonic()
        if now - self._spoke < _WORD:
            return False
        self._spoke = now
        return True

    def _late(self) -> bool:
        minutes = self._run.spec.minutes
        if minutes is None:
            return False
        least = max(_SOONEST, 60 * minutes / _REPORTS, _LEARNED * self._took)
        return time.monotonic() - self._report_at >= least
