"""A small cluster of processes for all tests, and a run that takes it seconds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_unet
from napari_unet.core.specs import SegmentSpec

from .. import forked

PRELOAD = str(Path(__file__).with_name("counting.py"))


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to which workers write what they compute, one line each."""
    return tmp_path_factory.mktemp("counted") / "log"


@pytest.fixture(scope="session")
def cluster(log: Path) -> Iterator[Any]:
    """Two processes that outlive no test session."""
    with processes(log) as found:
        yield found


@pytest.fixture
def doomed(log: Path) -> Iterator[Any]:
    """Two processes of a single test, which kills them."""
    with processes(log) as found:
        yield found


@contextmanager
def processes(log: Path) -> Iterator[Any]:
    """Start two processes that write down what they compute."""
    import dask

    if forked.THERE:
        # Workers are forked from a process that has loaded everything, in place of loading it each for itself.
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    from distributed import LocalCluster
    from distributed.utils import get_mp_context

    get_mp_context()  # says what is loaded, too
    forked.load()
    env = {"NAPARI_UNET_COUNTED": str(log), "OMP_NUM_THREADS": "1"}
    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": ":0"}
    # A machine that has much else to do takes its time to start processes.
    patient = {"distributed.comm.timeouts.connect": "120s", "distributed.comm.timeouts.tcp": "120s"}
    with (
        dask.config.set(patient),
        LocalCluster(**options, env=env, preload=[PRELOAD], silence_logs=logging.CRITICAL) as found,
    ):
        yield found


@pytest.fixture
def client(cluster: Any, log: Path) -> Iterator[Any]:
    with connected(cluster, log) as found:
        yield found


@contextmanager
def connected(cluster: Any, log: Path) -> Iterator[Any]:
    """Connect to processes, all of which are there."""
    from distributed import Client

    log.write_text("")
    with Client(cluster, set_as_default=False) as found:
        found.wait_for_workers(2, timeout=120)
        yield found


@pytest.fixture(scope="session")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of bright dots, wide enough for 40 bricks and two shards."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(1000, 50, (240, 1100))
    y, x = np.mgrid[:240, :1100]
    for _ in range(350):
        middle = rng.uniform((0, 0), pixels.shape)
        pixels[np.hypot(y - middle[0], x - middle[1]) < rng.uniform(4, 8)] += 3000
    pixels[100:104, 100:1000] = 4000
    file = tmp_path_factory.mktemp("field") / "field.npy"
    np.save(file, pixels.astype(np.uint16))
    return file


@pytest.fixture(scope="session")
def spec(bright: Path) -> SegmentSpec:
    return SegmentSpec.of(model=str(bright), diameter=12.0, device="cpu", tiling={"tile": 96, "workers": 1})


@pytest.fixture(scope="session")
def expected(field: Path, spec: SegmentSpec) -> str:
    """The hash of the labels without a cluster."""
    return napari_unet.segment(napari_unet.read_image(field), spec).hash


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def counted(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []
