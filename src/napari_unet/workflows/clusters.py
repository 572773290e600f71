"""The same verbs on several processes: clusters to connect to, and parts of a run for sites without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ClusterError, MissingExtraError

if TYPE_CHECKING:
    from ..core.axes import Image
    from ..core.results import Segmentation
    from ..core.specs import SegmentSpec
    from ..core.steps import Looking, Steps

__all__ = ["open_cluster", "segment_on"]


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
