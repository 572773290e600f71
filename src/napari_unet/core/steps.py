"""Long jobs as generators of :class:`Progress`: whoever drives them may show, pause or stop them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from .errors import Cancelled

__all__ = ["Looking", "Progress", "Steps", "check_stopped", "finish", "followed", "retold", "stage", "stoppable"]

T = TypeVar("T")
# Says which part of an image somebody looks at, as a slice for each axis, or None.
Looking = Callable[[], Mapping[str, slice] | None]
_here = threading.local()


@dataclass(frozen=True)
class Progress:
    """One step of a long job.

    Attributes
    ----------
    done, total : int
        Units finished and units in all; `total` is 0 while it is not known.
    note : str
        What is being done, in words a user can read.
    payload : Any
        An intermediate result (a piece of labels, an epoch's scores) or None.
    news : str
        What the user should read even when the next step is there; said once.
    part : tuple of (int, int)
        Which of several stages it belongs to, from 0, and how many there are; `done` and `total` are of all of them.
    then : str
        What comes when all is done, in words such as ``"measuring"``, and is not counted in `total`.
    """

    done: int
    total: int
    note: str = ""
    payload: Any = None
    news: str = ""
    part: tuple[int, int] = (0, 1)
    then: str = ""


Steps = Generator[Progress, None, T]


def finish(steps: Steps[T], show: Callable[[Progress], None] | None = None) -> T:
    """Drive `steps` to the end and return its result.

    Parameters
    ----------
    steps : generator of Progress
        A job, as returned by a ``*_steps`` function.
    show : callable, optional
        Called with every Progress.

    Returns
    -------
    T
        What the job returns.
    """
    try:
        while True:
            progress = next(steps)
            if show is not None:
                show(progress)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        steps.close()


def retold(steps: Steps[T], change: Callable[[Progress], Progress]) -> Steps[T]:
    """Drive a job, and tell its progress in another way.

    Parameters
    ----------
    steps : generator of Progress
        The job; it is closed where this one is.
    change : callable
        Returns what is told instead of a Progress.

    Returns
    -------
    T
        What the job returns.

    Yields
    ------
    Progress
        As it is changed.
    """
    try:
        while True:
            yield change(next(steps))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        steps.close()


def stage(steps: Steps[T], number: int, count: int) -> Steps[T]:
    """Drive one of several jobs that follow each other, so that they fill one bar together.

    Parameters
    ----------
    steps : generator of Progress
        The job.
    number, count : int
        Which one it is, from 0, and of how many; each has as much of the bar as the others.

    Returns
    -------
    T
        What the job returns.

    Yields
    ------
    Progress
        Of all of them.
    """

    def among(progress: Progress) -> Progress:
        inner, of = progress.part
        return replace(
            progress, done=progress.done + number * progress.total, total=progress.total * count,
            part=(number * of + inner, count * of),
        )  # fmt: skip

    return (yield from retold(steps, among))


def followed(steps: Steps[T], then: str) -> Steps[T]:
    """Drive a job after which another one comes whose length is not known.

    Parameters
    ----------
    steps : generator of Progress
        The job.
    then : str
        What comes, in words such as ``"measuring"``; empty for nothing.

    Returns
    -------
    T
        What the job returns.

    Yields
    ------
    Progress
        Its own, which say so.
    """

    def before(progress: Progress) -> Progress:
        return replace(progress, then=", then ".join(filter(None, (progress.then, then))))

    return (yield from retold(steps, before))


def stoppable(job: Callable[[], T], stop: threading.Event) -> T:
    """Do a part of a long job in this thread, so that it can end early.

    Parameters
    ----------
    job : callable
        The part.
    stop : threading.Event
        Set when its result is not wanted any more; :func:`check_stopped` then ends it.

    Returns
    -------
    T
        What `job` returns.
    """
    _here.stop = stop
    try:
        return job()
    finally:
        _here.stop = None


def check_stopped() -> None:
    """End the part of a job that this thread is doing, if its result is not wanted any more.

    To be called now and then where much is computed at once.

    Raises
    ------
    Cancelled
        If it is not wanted.
    """
    stop = getattr(_here, "stop", None)
    if stop is not None and stop.is_set():
        raise Cancelled("The run was stopped.")
