"""A scheduler that is lost: the command ends in words, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import napari_unet
from napari_unet import workflows
from napari_unet.core.errors import ClusterError
from napari_unet.core.steps import finish
from napari_unet.io.choosing import run_folder
from napari_unet.io.journal import Journal


@pytest.fixture
def processes(tmp_path: Path) -> Any:
    """Start processes of dask; all are gone at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "ignore", "-m", *words, "--scheduler-file", str(tmp_path / "scheduler.json")]
        env = os.environ | {"OMP_NUM_THREADS": "1", "NAPARI_UNET_COUNTED": str(tmp_path / "log")}
        with (tmp_path / "said").open("ab") as said:
            started.append(subprocess.Popen(command, stdout=said, stderr=said, env=env))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_same_command_goes_on_when_the_scheduler_was_killed(processes, field, spec, expected, tmp_path):
    file, output = tmp_path / "scheduler.json", tmp_path / "out" / "a.ome.zarr"
    output.parent.mkdir()
    scheduler = processes("distributed.cli.dask_scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard")
    preload = str(Path(__file__).with_name("counting.py"))
    words = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path))
    processes("distributed.cli.dask_worker", *words, "--preload", preload)
    while not file.exists():
        time.sleep(0.05)
    image, scored = napari_unet.read_image(field), threading.Event()

    def kill(progress: Any) -> None:
        if progress.done > 12 and not scored.is_set():
            scored.set()
            os.kill(scheduler.pid, signal.SIGKILL)

    from distributed import Client

    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(1, timeout=60)
        with pytest.raises(ClusterError, match="scheduler was lost"):
            finish(workflows.segment_steps(image, spec, (), preview=False, output=output, client=client), kill)
    assert Journal(run_folder(output)).count("rims") >= 12
    found = finish(workflows.finalize_steps(output))
    assert found.hash == expected
    assert len((tmp_path / "log").read_text().split()) < 36
