"""Clusters of queues (SLURM, PBS and others) by dask-jobqueue, described in a small file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import dask_jobqueue
from pydantic import Field

from ..core._spec import Spec
from ..core.errors import ClusterError, SpecError

__all__ = ["Site", "open_site", "read_site"]

_CLUSTERS: Final = {
    "slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster", "oar": "OARCluster",
    "moab": "MoabCluster", "htcondor": "HTCondorCluster",
}  # fmt: skip


class Site(Spec):
    """The jobs of a queue.

    Attributes
    ----------
    queue_system : str
        ``"slurm"``, ``"pbs"``, ``"lsf"``, ``"sge"``, ``"oar"``, ``"moab"`` or ``"htcondor"``.
    jobs : int
        How many are asked for.
    most_jobs : int
        More than `jobs`: as many as there is work for, between both. 0 keeps to `jobs`.
    cores, processes : int
        Of each job; processes share its cores, and each loads the model once. With graphics cards, one for each card.
    memory : str
        Of each job, such as ``"16GB"``.
    gpus : int
        Graphics cards of each job; ask the queue for them too, by `directives`.
    queue, account, walltime : str
        As the queue calls them; empty leaves them out.
    directives : tuple of str
        More lines for the head of the job script, without ``#SBATCH`` or ``#PBS``.
    before : tuple of str
        Commands before the worker starts, such as ``"module load cuda"``.
    python : str
        Of the environment on the nodes; empty takes this program's.
    interface : str
        Network between the nodes, such as ``"ib0"``.
    local_directory, log_directory : str
        For what workers put aside, and what jobs print.
    """

    queue_system: Literal["slurm", "pbs", "lsf", "sge", "oar", "moab", "htcondor"] = "slurm"
    jobs: int = Field(1, ge=1)
    most_jobs: int = Field(0, ge=0)
    cores: int = Field(1, ge=1)
    processes: int = Field(1, ge=1)
    memory: str = "8GB"
    gpus: int = Field(0, ge=0)
    queue: str = ""
    account: str = ""
    walltime: str = ""
    directives: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    python: str = ""
    interface: str = ""
    local_directory: str = ""
    log_directory: str = ""

    def options(self) -> dict[str, Any]:
        """Return what dask-jobqueue is given.

        Returns
        -------
        dict
            Arguments of its clusters.

        Raises
        ------
        SpecError
            If there are fewer graphics cards than processes.
        """
        if self.gpus and self.processes != self.gpus:
            raise SpecError(
                f"A job of {self.gpus} graphics cards needs as many processes, one for each; not {self.processes}."
            )
        threads = max(1, self.cores // self.processes)
        given = {
            "queue": self.queue, "account": self.account, "walltime": self.walltime, "python": self.python,
            "interface": self.interface, "local_directory": self.local_directory, "log_directory": self.log_directory,
        }  # fmt: skip
        if self.queue_system == "htcondor":
            given = {name: value for name, value in given.items() if name not in ("queue", "account", "walltime")}
        before = [*(f"export {name}={threads}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")), *self.before]
        # One job at a time for each process: networks use the cores that it has. dask counts threads by cores.
        more = ["--nthreads", "1", *(["--resources", "GPU=1"] if self.gpus else [])]
        found = {
            "cores": self.cores, "processes": self.processes, "memory": self.memory, "worker_extra_args": more,
            "job_extra_directives": list(self.directives), "job_script_prologue": before,
            "scheduler_options": {"dashboard_address": ":0"},
        }  # fmt: skip
        return found | {name: value for name, value in given.items() if value}


def read_site(file: Path) -> Site:
    """Read what the jobs of a queue are.

    Parameters
    ----------
    file : Path
        TOML with the fields of :class:`Site`.

    Returns
    -------
    Site
        Checked.

    Raises
    ------
    ClusterError
        If it cannot be read.
    SpecError
        If a field is unknown or wrong.
    """
    try:
        return Site.of(**tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise ClusterError(
            f"'{file}' cannot be read: {error.strerror or error}. Give a file that describes the jobs of the queue."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ClusterError(f"'{file}' is no TOML: {error}. See the examples in docs/cluster.md.") from error


@contextmanager
def open_site(site: Site) -> Iterator[Any]:
    """Start the jobs of a queue for as long as the context lasts.

    Parameters
    ----------
    site : Site
        What they are.

    Yields
    ------
    dask_jobqueue.JobQueueCluster
        Whose jobs wait in the queue, or run.

    Raises
    ------
    ClusterError
        If the queue does not take them.
    """
    make = getattr(dask_jobqueue, _CLUSTERS[site.queue_system])
    try:
        cluster = make(**site.options())
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ClusterError(
            f"There can be no {site.queue_system} jobs of this kind: {error}. Correct the profile."
        ) from error
    with cluster:
        try:
            if site.most_jobs > site.jobs:
                cluster.adapt(minimum_jobs=site.jobs, maximum_jobs=site.most_jobs)
            else:
                cluster.scale(jobs=site.jobs)
        except (OSError, RuntimeError) as error:
            raise ClusterError(f"The queue took no jobs: {error}. Correct the profile.") from error
        yield cluster
