"""The same verbs on several processes: clusters to connect to, and parts of a run for sites without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..core.axes import as_image
from ..core.conflict import check_conflict
from ..core.errors import ClusterError, MissingExtraError, OutputError
from ..core.specs import SegmentSpec
from ..core.steps import Progress
from ..core.workers import Workers

if TYPE_CHECKING:
    from ..cluster.parts import Part
    from ..core.axes import Image
    from ..core.results import Segmentation
    from ..core.steps import Looking, Steps

T = TypeVar("T")
_LOOK: Final = 2.0  # seconds between looks at who is there

__all__ = [
    "finalize_steps",
    "look_at_cluster_steps",
    "on_cluster_steps",
    "on_workers",
    "open_cluster",
    "segment_on",
    "segment_part_steps",
]


@contextmanager
def open_cluster(scheduler: str = "", local_workers: int = 0, profile: str | Path | None = None) -> Iterator[Any]:
    """Connect to a cluster, or start one, for as long as the context lasts.

    Parameters
    ----------
    scheduler : str
        Address of a running scheduler, such as ``tcp://10.0.0.1:8786``, or the file that it has written.
    local_workers : int
        Start so many processes on this computer instead.
    profile : path, optional
        Start jobs of a queue instead; see :class:`napari_unet.cluster.sites.Site`.

    Yields
    ------
    distributed.Client
        Connected. None where nothing is asked for.

    Raises
    ------
    ClusterError
        If it cannot be reached or started, or several are asked for.
    MissingExtraError
        If dask.distributed is not installed.
    """
    asked = [name for name, value in _named(scheduler, local_workers, profile).items() if value]
    if len(asked) > 1:
        raise ClusterError(f"{' and '.join(asked)} are different clusters. Give one of them.")
    if not asked:
        yield None
        return
    connect = _connect()
    with connect.connected(scheduler, local_workers, None if profile is None else Path(profile)) as client:
        yield client


def on_cluster_steps(
    make: Callable[..., Steps[T]],
    scheduler: str = "",
    local_workers: int = 0,
    note: Callable[[Workers], None] | None = None,
) -> Steps[T]:
    """Do a job on a cluster that is connected to, or started, for as long as the job lasts.

    Parameters
    ----------
    make : callable
        Returns the steps of the job; called with ``client``.
    scheduler, local_workers : str, int
        See :func:`open_cluster`.
    note : callable, optional
        Called now and then, in the thread of the job, with who is at work.

    Returns
    -------
    T
        What the job returns.

    Yields
    ------
    Progress
        Those of the job.

    Raises
    ------
    ClusterError, MissingExtraError
        See :func:`open_cluster`.
    """
    yield Progress(0, 0, "Connecting to the cluster")
    with open_cluster(scheduler, local_workers) as client:
        steps, pace = make(client=client), _Pace()
        try:
            while True:
                try:
                    progress = next(steps)
                except StopIteration as end:
                    found: T = end.value
                    return found
                pace.add(progress)
                if note is not None and pace.due:
                    note(_seen(client, pace.rate))
                yield progress
        finally:
            steps.close()


class _Pace:
    """Bricks a second, of late."""

    def __init__(self) -> None:
        self.rate, self._looked, self._since = 0.0, 0.0, (0.0, 0, 0)
        self._last = (0.0, 0, 0)

    def add(self, progress: Progress) -> None:
        # Words change all the time, "Waiting" among them; what is counted is another only where there is another total.
        self._last = time.monotonic(), progress.done, progress.total

    @property
    def due(self) -> bool:
        """Whether it is time to look; the rate is that since the last time."""
        if self._last[0] - self._looked < _LOOK:
            return False
        (then, before, of), (now, done, total) = self._since, self._last
        self.rate = (done - before) / (now - then) if of == total and done >= before else 0.0
        self._looked, self._since = now, self._last
        return True


def _seen(client: Any, rate: float = 0.0) -> Workers:
    """Return who is at work."""
    if client is None:
        return Workers()
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    used = sum(int(each.get("metrics", {}).get("memory", 0)) for each in workers)
    limits = [int(each.get("memory_limit") or 0) for each in workers]
    memory = sum(limits) if all(limits) else 0
    threads = sum(int(each["nthreads"]) for each in workers)
    return Workers(len(workers), threads, used, memory, rate, str(client.dashboard_link or ""))


def look_at_cluster_steps(scheduler: str) -> Steps[Workers]:
    """See who is at work on a cluster.

    Parameters
    ----------
    scheduler : str
        See :func:`open_cluster`.

    Returns
    -------
    Workers
        In numbers and words.

    Yields
    ------
    Progress
        Before it is asked.

    Raises
    ------
    ClusterError, MissingExtraError
        See :func:`open_cluster`.
    """
    yield Progress(0, 0, "Connecting to the cluster")
    with open_cluster(scheduler) as client:
        return _seen(client)


def segment_on(
    client: Any, image: Image, spec: SegmentSpec, where: tuple[Path | None, bool], looking: Looking | None
) -> Steps[tuple[Segmentation, str]]:
    """Find the objects of an image on a cluster; see :func:`napari_unet.cluster.run.segment_on_steps`."""
    output, overwrite = where
    if output is None:
        raise ClusterError(
            "On a cluster labels are written while they are found. Give an output that ends in .ome.zarr."
        )
    connect = _connect()
    from ..cluster.run import segment_on_steps

    with connect.as_client(client) as connected:
        steps = segment_on_steps(connected, image, spec, output, overwrite=overwrite, looking=looking)
        return (yield from steps)


def on_workers(client: Any, verb: str, *words: Any) -> Steps[Any]:
    """Do another verb on a cluster; see :mod:`napari_unet.cluster.others`."""
    connect = _connect()
    from ..cluster import others

    with connect.as_client(client) as connected:
        return (yield from getattr(others, verb)(connected, *words))


def segment_part_steps(image: Any, spec: SegmentSpec | None, output: str | Path, part: int, of: int) -> Steps[Part]:
    """Do one part of a segmentation, for jobs that do not speak to each other.

    Parameters
    ----------
    image : Image
        From a file.
    spec : SegmentSpec or None
        Settings, the same for all parts.
    output : path
        OME-Zarr, on a disk that all parts share.
    part, of : int
        Which part, from 1, and how many there are. They are done in any order, at the same time, or again;
        :func:`finalize_steps` does what is left.

    Returns
    -------
    Part
        What was done.

    Yields
    ------
    Progress
        One for every brick.

    Raises
    ------
    UNetError
        See :func:`napari_unet.cluster.parts.segment_part_steps`.
    """
    check_conflict()
    from ..cluster.parts import Part
    from ..cluster.parts import segment_part_steps as do

    return (yield from do(as_image(image), spec or SegmentSpec(), Path(output), Part(part, of)))


def finalize_steps(output: str | Path, client: Any = None, workers: int = 0) -> Steps[Segmentation]:
    """Complete a segmentation that was begun in parts, or was stopped, from what its folder says of it.

    Parameters
    ----------
    output : path
        Where its labels are to be.
    client : distributed.Client or str, optional
        See :func:`~napari_unet.workflows.segment_steps`.
    workers : int
        Threads; 0 takes one a core.

    Returns
    -------
    Segmentation
        The same as if it had been done at once.

    Yields
    ------
    Progress
        One for every brick that is left, and every written part.

    Raises
    ------
    OutputError
        If no run was begun there.
    UNetError
        See :func:`~napari_unet.workflows.segment_steps`.
    """
    from ..io.addresses import shown
    from ..io.runs import find_manifest, has_output, peek
    from ..models.errand import open_source
    from .objects import segment_steps

    place = Path(output)
    begun = peek(place)
    errand = begun.get("errand", {})
    if not errand.get("source"):
        done = has_output(place) and "labels_hash" in find_manifest(place)
        raise OutputError(
            f"'{shown(place)}' is finished: nothing is left to do."
            if done and not begun
            else f"There is no run to complete for '{shown(place)}', or its image was in memory, or --work is another "
            "folder. Give the command 'segment' with the image and the same settings."
        )
    given = errand["spec"] | {"device": begun["identity"]["device"]}
    spec = SegmentSpec.of(**given | {"tiling": given["tiling"] | {"workers": workers}})
    image = open_source(errand)
    return (yield from segment_steps(image, spec, (), preview=False, output=place, client=client))


def _named(scheduler: str, local_workers: int, profile: str | Path | None) -> dict[str, Any]:
    return {"--scheduler": scheduler, "--local-workers": local_workers, "--slurm": profile}


def _connect() -> Any:
    try:
        from ..cluster import connect
    except ModuleNotFoundError as error:
        if error.name not in ("distributed", "dask_jobqueue"):
            raise
        raise MissingExtraError(error.name, "cluster", "A cluster") from error
    return connect
