"""Connections to clusters: one that runs already, processes of this computer, or jobs of a queue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from distributed import Client, LocalCluster, SpecCluster

from ..core.errors import ClusterError
from .sites import open_site, read_site

__all__ = ["as_client", "connected"]

_TIMEOUT: Final = 20.0  # seconds in which a scheduler must answer


@contextmanager
def connected(scheduler: str, local_workers: int, profile: Path | None) -> Iterator[Client]:
    """Connect to a cluster for as long as the context lasts.

    Parameters
    ----------
    scheduler : str
        Address of a scheduler, or the file that it has written; empty for another kind.
    local_workers : int
        Processes to start on this computer; 0 for none.
    profile : Path or None
        Of jobs to start, see :class:`~napari_unet.cluster.sites.Site`.

    Yields
    ------
    Client
        Connected.

    Raises
    ------
    ClusterError
        If it cannot be reached or started.
    """
    with ExitStack() as stack:
        if local_workers:
            try:
                cluster: Any = stack.enter_context(_local(local_workers))
            except (OSError, RuntimeError, TimeoutError) as error:
                why = str(error).rstrip(".")
                raise ClusterError(
                    f"{local_workers} processes could not be started: {why}. Try fewer --local-workers."
                ) from error
        elif profile is not None:
            cluster = stack.enter_context(open_site(read_site(profile)))
        else:
            cluster = scheduler
        client = stack.enter_context(as_client(cluster))
        if local_workers:
            client.wait_for_workers(local_workers)
        yield client


@contextmanager
def as_client(given: Any) -> Iterator[Client]:
    """Take a client as it is, or connect to an address for as long as the context lasts.

    Parameters
    ----------
    given : Client, cluster, or str
        A client stays open.

    Yields
    ------
    Client
        Connected.

    Raises
    ------
    ClusterError
        If nobody answers there.
    """
    if isinstance(given, Client):
        yield given
        return
    how = {"scheduler_file": given} if isinstance(given, str) and Path(given).is_file() else {"address": given}
    try:
        client = Client(**how, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError, ImportError) as error:
        raise ClusterError(
            f"No scheduler answers at '{given}' ({(str(error) or type(error).__name__).splitlines()[0]}). "
            "Check the address (such as tcp://10.0.0.1:8786), that 'dask scheduler' is running, and that no firewall "
            "is between."
        ) from error
    with client:
        yield client


def _local(count: int) -> Any:
    """Start processes on this computer; where there are graphics cards, one for each card."""
    if count < 1:
        raise ClusterError(f"There cannot be {count} local workers. Give 1 or more.")
    cards = _cards()
    common = {"dashboard_address": ":0", "silence_logs": 40}
    if not cards:
        threads = max(1, _cores() // count)
        return LocalCluster(n_workers=count, threads_per_worker=1, memory_limit=0, env=_threads(threads), **common)
    if count > len(cards):
        raise ClusterError(
            f"There are {len(cards)} graphics cards for {count} local workers. Give no more workers than cards."
        )
    options = [
        {"nthreads": 1, "memory_limit": 0, "resources": {"GPU": 1}, "env": {"CUDA_VISIBLE_DEVICES": card}}
        for card in cards[:count]
    ]
    workers = {number: {"cls": "distributed.Nanny", "options": each} for number, each in enumerate(options)}
    scheduler = {"cls": "distributed.Scheduler", "options": {"dashboard_address": ":0", "host": "127.0.0.1"}}
    return SpecCluster(workers=workers, scheduler=scheduler, silence_logs=40)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads(count: int) -> dict[str, str]:
    """Share the cores: libraries would start one thread a core in every process."""
    return {name: str(count) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def _cards() -> list[str]:
    """Name the graphics cards that this program may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [card for card in visible.split(",") if card.strip()]
    from ..models.devices import count_cards  # noqa: PLC0415  # torch takes seconds, and others need no card

    return [str(card) for card in range(count_cards())]
