"""A run on a dask cluster: a few jobs at a time for each worker, so that no scheduler holds a million of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from distributed import CancelledError, KilledWorker
from distributed.diagnostics.plugin import WorkerPlugin

from ..core.errors import ClusterError, UNetError
from ..io.choosing import run_folder
from ..tiling._brick_jobs import Waited
from .bench import Shared
from .orders import Errands, Here, Order
from .remote import do, forget, know, measure

if TYPE_CHECKING:
    from distributed import Client, Future

    from ..core.axes import Image
    from ..core.specs import SegmentSpec
    from ..core.steps import Looking
    from ..models._bricks import Work
    from ..models._scorer import Scorer
    from ..models.errand import Errand
    from ..tiling._brick_jobs import Jobs, Journal, Sink

__all__ = ["DaskCrew", "Knowing"]

_EACH: Final = 3  # jobs for a thread that are out at a time: one that runs, and some that wait beside it
_AGAIN: Final = 5  # times that a job is given out again whose workers died
_RETRIES: Final = 2  # times that a job is tried again that failed
_LOOK: Final = 2.0  # seconds between looks at who is there
_NOBODY: Final = 600.0  # seconds without a worker, after which a run gives up
_BEAT: Final = 0.5  # seconds after which waiting is told
_GPU: Final = "GPU"
_NOTHING: Final = type(None)


class Knowing(WorkerPlugin):
    """Tells every worker of a run, also those that come later.

    Parameters
    ----------
    errand : Errand
        The run.
    """

    def __init__(self, errand: Errand) -> None:
        self.errand = errand
        self.name = f"napari-unet-{errand.name}"

    def setup(self, worker: Any) -> None:
        """Tell a worker."""
        know(self.errand)

    def teardown(self, worker: Any) -> None:
        """Let a worker forget it."""
        forget(self.errand.name)


class DaskCrew:
    """The workers of a dask cluster, as who does a run.

    Parameters
    ----------
    client : Client
        Connected.
    errand : Errand
        The run that they work on.
    looking : callable, optional
        See :func:`~napari_unet.tiling.bricked.segment_bricks`.
    """

    def __init__(self, client: Client, errand: Errand, looking: Looking | None = None) -> None:
        self.client, self.errand, self.looking = client, errand, looking
        self._name = errand.name
        self._workers: dict[str, int] = {}
        self._looked = self._seen = 0.0
        self._resources: dict[str, float] = {}
        self._count = itertools.count()
        self._tries: dict[str, int] = {}

    def begin(self, image: Image, spec: SegmentSpec, model: Scorer) -> dict[str, Any]:
        """Have one worker measure what is measured once: with the device that computes."""
        self._look()
        threads = sum(self._workers.values())
        future = self.client.submit(measure, self.errand, threads, pure=False, resources=self._gpu())
        found: dict[str, Any] = self._answer(future)
        return found

    def jobs(self, work: Work, journal: Journal, sink: Sink) -> Jobs:
        """Return jobs that are done by workers."""
        shared = Shared(run_folder(self.errand.place))
        return Errands(work.plan, work.predict, work.finding, journal, sink, shared)

    def hands(self, next_job: Callable[[], Callable[[], Any] | None], _: int, /) -> Generator[Any, None, None]:
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
        out: dict[Any, Order | Here] = {}
        self._look()
        self._alive(lambda: self.client.register_plugin(knowing))
        pool = ThreadPoolExecutor(1, thread_name_prefix="napari-unet")
        try:
            while True:
                while len(out) < self._window and (job := next_job()) is not None:
                    self._give(job(), pool, out, done)
                if not out:
                    return
                finished = _taken(done)
                yield from self._results(finished, pool, out, done)
                if time.monotonic() - self._looked > _LOOK:
                    self._look()
                if not finished:
                    yield Waited(self._words())
        finally:
            for future in out:
                future.cancel()
            pool.shutdown(wait=True, cancel_futures=True)
            if self.client.status == "running":
                self.client.unregister_worker_plugin(knowing.name)

    # What is out.

    @property
    def _window(self) -> int:
        return max(2, _EACH * sum(self._workers.values()))

    def _gpu(self) -> dict[str, float] | None:
        """Return what a job asks of a worker: a graphics card, where workers tell that they have one."""
        return self._resources or None

    def _give(self, job: Order | Here, pool: ThreadPoolExecutor, out: dict[Any, Any], done: SimpleQueue[Any]) -> None:
        future: Any
        if isinstance(job, Here):
            future = pool.submit(job.do)
        else:
            needs = self._gpu() if job.verb in ("score", "explore") else None
            key = f"{job.verb}-{job.key}-{self._name}-{next(self._count)}"
            future = self.client.submit(
                do, self._name, job.verb, *job.words, key=key, pure=False, retries=_RETRIES, resources=needs
            )
        out[future] = job
        future.add_done_callback(done.put)

    def _results(
        self, finished: list[Any], pool: ThreadPoolExecutor, out: dict[Any, Any], done: SimpleQueue[Any]
    ) -> Iterator[Any]:
        jobs = {future: out.pop(future) for future in finished if future in out}
        there = {future: job for future, job in jobs.items() if isinstance(job, Order)}
        for future, job in jobs.items():
            if isinstance(job, Here):
                yield future.result()
        for future, answer in self._gathered(there):
            if isinstance(answer, KilledWorker):
                self._again(there[future], answer)
                self._give(there[future], pool, out, done)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                yield there[future].take(answer)

    def _gathered(self, futures: Iterable[Future[Any]]) -> list[tuple[Future[Any], Any]]:
        """Fetch what jobs returned, all at once, as far as they had something to tell; or what they raised."""
        good = [future for future in futures if future.status == "finished"]
        telling = [future for future in good if future.type is not _NOTHING]
        answers = dict(zip(telling, self._alive(lambda: self.client.gather(telling)), strict=True)) if telling else {}
        bad = [future for future in futures if future not in set(good)]
        return [(f, answers.get(f)) for f in good] + [(f, self._error(f)) for f in bad]

    def _error(self, future: Future[Any]) -> BaseException:
        if future.status != "error":
            return self._lost()
        found: BaseException = self._alive(future.exception)
        if isinstance(found, UNetError | KilledWorker):
            return found
        text = str(found) or type(found).__name__
        return ClusterError(f"A worker could not do its part: {text}. Give the same command again: the run goes on.")

    def _again(self, job: Order, error: KilledWorker) -> None:
        tries = self._tries[job.key] = self._tries.get(job.key, 0) + 1
        if tries > _AGAIN:
            raise ClusterError(
                f"Workers die again and again over the same part ({job.verb} {job.key}), perhaps because memory is "
                "short. Give them more of it, or use a smaller --tile. What is done already stays."
            ) from error

    # Who is there.

    def _look(self) -> None:
        """See who is there."""
        self._looked = time.monotonic()
        info = self._alive(lambda: self.client.scheduler_info(n_workers=-1))["workers"]
        self._workers = {address: worker["nthreads"] for address, worker in info.items()}
        cards = any(worker.get("resources", {}).get(_GPU) for worker in info.values())
        self._resources = {_GPU: 1} if cards else {}
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

    def _answer(self, future: Future[Any]) -> Any:
        while not future.done():
            time.sleep(0.05)
        ((_, answer),) = self._gathered([future])
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _alive(self, ask: Callable[[], Any]) -> Any:
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
