"""The time that a job has left, from the steps measured so far."""

from __future__ import annotations

import math

from .steps import Progress

__all__ = ["Pace", "in_words"]


class Pace:
    """Time left, over all stages of a job whose number is known.

    Each stage is measured by its own clock, because the steps of one may take many times as long as those of another.
    Stages that have not begun count as long as the others are on average. The first finished step carries the loading
    of the model, so the clock starts at its end.
    """

    _FEWEST = 2

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None  # when, and what of the stage was done
        self._stage = (0, 1, 0)
        self._before: list[float] = []  # seconds of the stages before
        self._whole: float | None = None  # of this one
        self._left: float | None = None
        self._then = ""

    def add(self, progress: Progress, at: float) -> None:
        """Take a step into account.

        Parameters
        ----------
        progress : Progress
            The step.
        at : float
            When it was made, in seconds of the monotonic clock.
        """
        self._then = progress.then
        if progress.done < 1 or progress.total < 1:
            return
        number, count = progress.part
        size = progress.total / count
        done = progress.done - number * size
        if self._stage != (number, count, progress.total):
            self._begin((number, count, progress.total))
        if done < 1 or self._first is None:
            self._first = (at, done) if done >= 1 else None
            return
        steps, seconds = done - self._first[1], at - self._first[0]
        if steps >= self._FEWEST and seconds > 0:
            self._whole = size * seconds / steps
            self._left = max(0.0, size - done) * seconds / steps + (count - number - 1) * self._usual()

    def _begin(self, stage: tuple[int, int, int]) -> None:
        (was, of, _), (number, count, _) = self._stage, stage
        if count == 1 or count != of or number < was:
            self._before = []
        elif number > was and self._whole is not None:
            self._before.append(self._whole)
        self._stage, self._first, self._whole = stage, None, None
        self._left = (count - number) * self._usual() if self._before else None

    def _usual(self) -> float:
        known = [*self._before, *([] if self._whole is None else [self._whole])]
        return sum(known) / len(known)

    @property
    def left(self) -> float | None:
        """Seconds left, or None while nothing was measured."""
        return self._left

    @property
    def words(self) -> str:
        """The time left for people, and what comes then that nobody has counted; empty while it is not known."""
        return ", then ".join(filter(None, (in_words(self._left), self._then))) if self._left is not None else ""


def in_words(seconds: float | None) -> str:
    """Say a time to wait.

    Parameters
    ----------
    seconds : float or None
        Time left.

    Returns
    -------
    str
        ``"about 12 s left"``, ``"about 3 min left"`` or ``"about 2 h left"``; empty where it is not known.
    """
    if seconds is None:
        return ""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"about {round(seconds / size)} {unit} left"
    return f"about {max(1, math.ceil(seconds))} s left"
