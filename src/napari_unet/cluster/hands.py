"""The workers of a dask cluster, given a few jobs at a time each, so that no scheduler holds a million of them.

Where jobs are short several go together: what a scheduler does for a task, half a millisecond on either side, is then
shared by them. How many follows from how long workers say that they took.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Protocol

from distributed import CancelledError, KilledWorker
from distributed.diagnostics.plugin import WorkerPlugin

from ..core.errors import ClusterError, UNetError
from ..tiling._brick_jobs import Waited
from .orders import Here, Order
from .remote import do_all, forget, know

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["GPU", "Hands", "Knowing"]

_EACH: Final = 3  # tasks for a thread that are out at a time: one that runs, and some that wait beside it
_TASK: Final = 0.25  # seconds that a task should take at least
_RATE: Final = 200.0  # tasks that all workers together should not end in a second more than
_MOST: Final = 64  # jobs of a task
_FORGET: Final = 0.8  # of what earlier tasks took
_AGAIN: Final = 5  # times that a job is given out again whose workers died
_RETRIES: Final = 2  # times that a task is tried again that failed
_LOOK: Final = 2.0  # seconds between looks at who is there
_NOBODY: Final = 600.0  # seconds without a worker, after which a run gives up
_BEAT: Final = 0.5  # seconds after which waiting is told
GPU: Final = "GPU"  # what workers call a graphics card
_MODELS: Final = ("score", "explore", "compare", "write", "foretell")  # jobs of those that have loaded a model


class Named(Protocol):
    """A run as workers are told of it."""

    @property
    def name(self) -> str:
        """A short name that no other run has."""


class Knowing(WorkerPlugin):
    """Tells every worker of a run, also those that come later.

    Parameters
    ----------
    errand : Errand
        The run.
    """

    def __init__(self, errand: Any) -> None:
        self.errand = errand
        self.name = f"napari-unet-{errand.name}"

    def setup(self, worker: Any) -> None:
        """Tell a worker."""
        know(self.errand)

    def teardown(self, worker: Any) -> None:
        """Let a worker forget it."""
        forget(self.errand.name)


class Hands:
    """The workers of a dask cluster.

    Parameters
    ----------
    client : Client
        Connected.
    errand : Errand
        The run that they work on.
    """

    def __init__(self, client: Client, errand: Named) -> None:
        self.client, self.errand = client, errand
        self._workers: dict[str, int] = {}
        self._looked = self._seen = 0.0
        self._resources: dict[str, float] = {}
        self._count = itertools.count()
        self._tries: dict[str, int] = {}
        self._seconds: dict[str, float] = {}  # that a job takes, by its verb
        self._waiting: deque[Order] = deque()  # in the order in which they are to be given out
        self._alone: set[str] = set()  # whose workers died: who did it must be seen

    @property
    def threads(self) -> int:
        """How many threads the workers have together; they are looked at."""
        self.look()
        return sum(self._workers.values())

    @property
    def needs(self) -> dict[str, float] | None:
        """What a job asks of a worker: a graphics card, where workers tell that they have one."""
        return self._resources or None

    def work(self, next_job: Callable[[], Callable[[], Any] | None], _: int = 0, /) -> Generator[Any, None, None]:
        """Have jobs done, and yield their results as they come.

        Parameters
        ----------
        next_job : callable
            Returns a job, or None where none can start before another is done.

        Yields
        ------
        Any
            The result of a job, or that there was none for a while.

        Raises
        ------
        ClusterError
            If scheduler or workers are lost.
        UNetError
            As a job says.
        """
        knowing, done = Knowing(self.errand), SimpleQueue[Any]()
        out: dict[Any, list[Order] | Here] = {}
        self.look()
        self.alive(lambda: self.client.register_plugin(knowing))
        pool = ThreadPoolExecutor(1, thread_name_prefix="napari-unet")
        try:
            while True:
                self._fill(next_job, pool, out, done)
                if not out:
                    return
                finished = _taken(done)
                yield from self._results(finished, out)
                if time.monotonic() - self._looked > _LOOK:
                    self.look()
                if not finished:
                    yield Waited(self._words())
        finally:
            for future in out:
                future.cancel()
            pool.shutdown(wait=True, cancel_futures=True)
            if self.client.status == "running":
                # A worker that dies just now needs no telling, and must not cost the result.
                with suppress(OSError, TimeoutError):
                    self.client.unregister_worker_plugin(knowing.name)

    def answer(self, function: Callable[..., Any], *words: Any) -> Any:
        """Have one worker call a function, with the device that computes, and wait for what it returns."""
        future = self.client.submit(function, *words, pure=False, resources=self.needs)
        while not future.done():
            time.sleep(0.05)
        ((_, answer),) = self._gathered([future])
        if isinstance(answer, BaseException):
            raise answer
        return answer

    # What is out.

    @property
    def _window(self) -> int:
        return max(2, _EACH * sum(self._workers.values()))

    def _fill(
        self, next_job: Callable[[], Callable[[], Any] | None], pool: ThreadPoolExecutor, out: Any, done: Any
    ) -> None:
        """Give out what can be done, as far as there is somebody for it."""
        more = True
        while len(out) < self._window:
            while more and (not self._waiting or len(self._waiting) < self._together(self._waiting[0].verb)):
                make = next_job()
                more = make is not None
                job = None if make is None else make()
                if isinstance(job, Here):
                    self._send(pool.submit(job.do), job, out, done)
                elif job is not None:
                    self._waiting.append(job)
            if not self._waiting:
                return
            self._give(self._some(), out, done)

    def _some(self) -> list[Order]:
        """Take orders of one kind, as many as go together."""
        some = [self._waiting.popleft()]
        most = 1 if some[0].key in self._alone else self._together(some[0].verb)
        while len(some) < most and self._waiting and self._waiting[0].verb == some[0].verb:
            if self._waiting[0].key in self._alone:
                break
            some.append(self._waiting.popleft())
        return some

    def _together(self, verb: str) -> int:
        """Return how many jobs go together: short ones, so that a scheduler keeps up with its workers."""
        seconds = self._seconds.get(verb)
        if seconds is None:
            return 1
        wanted = max(_TASK, sum(self._workers.values()) / _RATE)
        return max(1, min(_MOST, int(wanted / max(seconds, 1e-6))))

    def _give(self, orders: list[Order], out: dict[Any, Any], done: SimpleQueue[Any]) -> None:
        first = orders[0]
        needs = self.needs if first.verb in _MODELS else None
        key = f"{first.verb}-{first.key}-{self.errand.name}-{next(self._count)}"
        jobs = [order.words for order in orders]
        self._send(
            self.client.submit(
                do_all, self.errand.name, first.verb, jobs, key=key, pure=False, retries=_RETRIES, resources=needs
            ),
            orders,
            out,
            done,
        )

    def _send(self, future: Any, job: list[Order] | Here, out: dict[Any, Any], done: SimpleQueue[Any]) -> None:
        out[future] = job
        future.add_done_callback(done.put)

    def _results(self, finished: list[Any], out: dict[Any, Any]) -> Iterator[Any]:
        jobs = {future: out.pop(future) for future in finished if future in out}
        for future, job in jobs.items():
            if isinstance(job, Here):
                yield future.result()
        for future, answer in self._gathered([f for f, job in jobs.items() if not isinstance(job, Here)]):
            orders = jobs[future]
            if isinstance(answer, KilledWorker):
                self._again(orders, answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                seconds, answers = answer
                self._learn(orders[0].verb, seconds / len(orders))
                for order, told in zip(orders, answers or [None] * len(orders), strict=True):
                    yield order.take(told)

    def _learn(self, verb: str, seconds: float) -> None:
        known = self._seconds.get(verb)
        self._seconds[verb] = seconds if known is None else _FORGET * known + (1 - _FORGET) * seconds

    def _gathered(self, futures: Iterable[Future[Any]]) -> list[tuple[Future[Any], Any]]:
        """Fetch what tasks returned, all at once; or what they raised."""
        good = [future for future in futures if future.status == "finished"]
        answers = self.alive(lambda: self.client.gather(good)) if good else []
        bad = [future for future in futures if future not in set(good)]
        return [*zip(good, answers, strict=True), *((future, self._error(future)) for future in bad)]

    def _error(self, future: Future[Any]) -> BaseException:
        if future.status != "error":
            return self._lost()
        found: BaseException = self.alive(future.exception)
        if isinstance(found, UNetError | KilledWorker):
            return found
        text = str(found) or type(found).__name__
        return ClusterError(f"A worker could not do its part: {text}. Give the same command again: the run goes on.")

    def _again(self, orders: list[Order], error: KilledWorker) -> None:
        """Put jobs first whose workers died; several that were together go one by one."""
        for job in reversed(orders):
            tries = self._tries[job.key] = self._tries.get(job.key, 0) + 1
            if tries > _AGAIN:
                raise ClusterError(
                    f"Workers die again and again over the same part ({job.verb} {job.key}), perhaps because memory is "
                    "short. Give them more of it, or use a smaller --tile. What is done already stays."
                ) from error
            self._alone.add(job.key)
            self._waiting.appendleft(job)

    # Who is there.

    def look(self) -> None:
        """See who is there; a ClusterError says that nobody has been for long, or that the scheduler is lost."""
        self._looked = time.monotonic()
        info = self.alive(lambda: self.client.scheduler_info(n_workers=-1))["workers"]
        self._workers = {address: worker["nthreads"] for address, worker in info.items()}
        cards = any(worker.get("resources", {}).get(GPU) for worker in info.values())
        self._resources = {GPU: 1} if cards else {}
        if self._workers:
            self._seen = self._looked
        elif self._looked - (self._seen or self._looked) > _NOBODY:
            raise ClusterError(
                f"The cluster has had no workers for {_NOBODY / 60:.0f} minutes. What is done already stays: start "
                "workers, and give the same command again."
            )

    def _words(self) -> str:
        count = len(self._workers)
        return f"Waiting for {count} worker{'s' * (count != 1)}" if count else "Waiting: no worker is there"

    def alive(self, ask: Callable[[], Any]) -> Any:
        """Ask the scheduler, and say in words if it is gone."""
        try:
            return ask()
        except (OSError, CancelledError, TimeoutError, RuntimeError, ValueError) as error:
            if isinstance(error, ValueError | RuntimeError) and self.client.status == "running":
                raise
            raise self._lost() from error

    def _lost(self) -> ClusterError:
        return ClusterError(
            "The connection to the scheduler was lost. What is done already stays: start the scheduler again, and give "
            "the same command: the run goes on where it was."
        )


def _taken(done: SimpleQueue[Any]) -> list[Any]:
    """Wait a moment for something that is done, and take all that is."""
    found: list[Any] = []
    try:
        found.append(done.get(timeout=_BEAT))
        while True:
            found.append(done.get_nowait())
    except Empty:
        return found
