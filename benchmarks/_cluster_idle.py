"""A cluster of processes and work that takes no computing, for ``cluster.py``: bricks that are empty, or sleep."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from distributed import Client

from napari_unet.cluster.orders import Errands, Order
from napari_unet.core.hashes import BLOCK
from napari_unet.core.specs import TargetSpec
from napari_unet.targets import explorer
from napari_unet.tiling._brick_jobs import Explored, Written
from napari_unet.tiling._plane_work import key_of
from napari_unet.tiling._rims import pack, unpack

HERE = Path(__file__).parent


def idle(_: str, verb: str, jobs: Any) -> tuple[float, None]:
    """Do what a worker does, without the work: it sleeps as long as the environment says, and notes when."""
    begun = time.time()
    time.sleep(len(jobs) * float(os.environ.get(f"SLEEP_{verb.upper()}", "0")))
    ended = time.time()
    if folder := os.environ.get("IDLE_NOTES"):
        with (Path(folder) / str(os.getpid())).open("a") as notes:
            notes.write(f"{verb} {len(jobs)} {begun} {ended}\n")
    return ended - begun, None


def noted(folder: Path) -> list[tuple[str, float, float]]:
    """Read what workers noted: verb, begin and end of every task, in seconds since 1970."""
    lines = [line.split() for file in folder.iterdir() for line in file.read_text().splitlines()]
    return [(verb, float(begun), float(ended)) for verb, _, begun, ended in lines]


@contextmanager
def processes(workers: int, threads: int, notes: str = "", **sleeps: float) -> Iterator[tuple[Client, psutil.Process]]:
    """Start a scheduler and workers, each a process of its own; yield a client, and the scheduler's process."""
    env = os.environ | {f"SLEEP_{verb.upper()}": str(seconds) for verb, seconds in sleeps.items()}
    env |= {"IDLE_NOTES": notes} if notes else {}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scheduler.json"

        def start(*words: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-W", "ignore", "-m", *words, "--scheduler-file", str(file)]
            process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            return process

        scheduler = start("distributed.cli.dask_scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard")
        words = ("--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--memory-limit", "0")
        for _ in range(workers):
            start("distributed.cli.dask_worker", *words, "--local-directory", folder)
        while not file.exists():
            time.sleep(0.05)
        client = stack.enter_context(Client(scheduler_file=str(file), set_as_default=False))
        client.wait_for_workers(workers, timeout=120)
        yield client, psutil.Process(scheduler.pid)


class Windows:
    """Where labels go that nobody writes."""

    def __init__(self, edge: int, bricks: int) -> None:
        self.edge, self.bricks = edge, bricks

    def windows(self, plane: Any) -> list[tuple[slice, ...]]:
        cuts = [slice(a, min(a + 2 * BLOCK, self.edge)) for a in range(0, self.edge, 2 * BLOCK)]
        return [(rows, columns) for rows in cuts for columns in cuts]


@dataclass(frozen=True)
class Idle(Errands):
    """Jobs that are sent as in a run, whose results are read from a journal as in a run, and that are empty."""

    def _explored_there(self, number: int, position: Any, _: Any) -> Explored:
        return Explored(number, position, unpack(self.shared.await_entry("forest", self._kind(position))))

    def _kind(self, position: Any) -> str:
        """Name the place of a brick: those of one place have equal forests."""
        end = self.sink.bricks - 1
        return ".".join("first" if n == 0 else "last" if n == end else "inner" for n in position)

    def write(self, number: int, work: Any, window: Any) -> Order:
        order = super().write(number, work, window)
        return Order(order.verb, order.words, order.key, partial(self._written, number, window))

    def _written(self, number: int, window: Any, _: Any) -> Written:
        blocks = np.prod([-(-(s.stop - s.start) // BLOCK) for s in window])
        self.journal.put("written", f"{number}.{key_of(window)}", digests=np.zeros((blocks, 32), np.uint8))
        return Written(number, window)


def empty_forests(bricks: Any, put: Any, kind: Any, outputs: int) -> None:
    """Keep the forest of an empty brick for each place that one can have."""
    explore, rule = explorer("distance"), TargetSpec(name="distance")
    seen: set[str] = set()
    for position in bricks:
        if (name := kind(position)) not in seen:
            seen.add(name)
            window = bricks.window(position)
            shape = [s.stop - s.start for s in bricks.widened(position)]
            _, forest = explore(np.zeros((outputs, *shape), np.uint8), rule, window, bricks.shape)
            put("forest", name, **pack(forest))
