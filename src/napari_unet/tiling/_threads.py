"""Jobs on threads: few at a time, the first error ends all, and what nobody waits for is left."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

from ..core.specs import TilingSpec
from ..core.steps import stoppable

__all__ = ["count_workers", "stream"]

R = TypeVar("R")


def count_workers(tiling: TilingSpec) -> int:
    """Return the number of threads: as asked for, or the cores that this process may use."""
    if tiling.workers:
        return tiling.workers
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def stream(next_job: Callable[[], Callable[[], R] | None], workers: int) -> Generator[R, None, None]:
    """Run jobs on threads and yield their results as they come.

    At most twice as many jobs as workers are handed out at a time. The first error ends it: what waits is dropped,
    what runs is waited for, until its next :func:`~napari_unet.core.steps.check_stopped`, and the error is raised as it
    is. Closing the generator does the same.

    Parameters
    ----------
    next_job : callable
        Returns a job, or None where none can start before a running one is done. Called in the consumer's thread.
    workers : int
        Threads.

    Yields
    ------
    Any
        The result of a job.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="napari-unet")
    pending: dict[Future[R], None] = {}
    stop = Event()
    try:
        while True:
            while len(pending) < 2 * workers and (job := next_job()) is not None:
                pending[pool.submit(stoppable, job, stop)] = None
            if not pending:
                return
            wait(pending, return_when=FIRST_COMPLETED)
            for future in [f for f in pending if f.done()]:
                del pending[future]
                yield future.result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
