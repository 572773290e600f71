"""The network alone, and other programs with the same network, for ``streaming.py``."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MONAI = "monai==1.5.1"
WORKERS = 2
WHITE = 4000.0  # what peers divide intensities by
PIXELS = 2048**2  # that the network alone is given


class Timed:
    """A model that tells how long it computed, on the wall and of the processor."""

    def __init__(self, model: Any) -> None:
        self.model, self.wall, self.processor = model, 0.0, 0.0
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, batch: Any) -> Any:
        return self._time(self.model.predict, batch)

    def predict_inner(self, batch: Any) -> Any:
        return self._time(self.model.predict_inner, batch)

    def predict_stored(self, batch: Any, *more: Any) -> Any:
        return self._time(self.model.predict_stored, batch, *more)

    def _time(self, ask: Callable[..., Any], batch: Any, *more: Any) -> Any:
        start, busy = time.perf_counter(), time.thread_time()
        found = ask(batch, *more)
        with self._lock:
            self.wall += time.perf_counter() - start
            self.processor += time.thread_time() - busy
        return found


class Null:
    """No network: the image itself is foreground and potential."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict_inner(self, batch: Any) -> Any:
        return np.broadcast_to(batch[:, :1].clip(0, 1), (len(batch), 4, *batch.shape[2:]))

    def predict_stored(self, batch: Any, outputs: int, tables: Any = None) -> Any:
        rim = int(np.max(self.model.halo))
        scores = (batch[:, :1, rim:-rim, rim:-rim].clip(0, 1) * 255).astype(np.uint8)
        return np.broadcast_to(scores, (len(batch), outputs, *scores.shape[2:]))


def on_threads(work: Callable[[], Any]) -> None:
    """Do the same on as many threads at once as there are workers."""
    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def each(edge: int) -> int:
    """Return how many tiles of an edge each worker is given."""
    return int(max(1, PIXELS // edge**2 // WORKERS))


def bare(model: Any, edge: int) -> Callable[[], Any]:
    """Return the network alone on tiles of an edge, without halo, on as many threads as workers."""
    batch = np.random.default_rng(0).random((1, 3, edge, edge), dtype=np.float32)
    return lambda: on_threads(lambda: [model.predict(batch) for _ in range(each(edge))])


def with_halo(model: Any, edge: int) -> Callable[[], Any]:
    """Return the network on what tiles read that write an edge, as a run asks for it."""
    read = edge + 2 * -(-int(np.max(model.halo)) // 16) * 16
    batch = np.random.default_rng(0).random((1, 3, read, read), dtype=np.float32)
    return lambda: on_threads(lambda: [model.predict_stored(batch, 3) for _ in range(each(edge))])


class Shared:
    """The same network without this program: one batch at a time, each convolution shared out among the cores."""

    def __init__(self, model: Any) -> None:
        self.network, self.precision = model._engine._inner.network, model.precision
        self.wall = self.processor = 0.0

    def __call__(self, batch: Any) -> Any:
        import torch

        start, busy, before = time.perf_counter(), time.process_time(), torch.get_num_threads()
        torch.set_num_threads(WORKERS)
        try:
            with torch.no_grad():  # MONAI changes what it gets
                x = batch.to(self.precision).contiguous(memory_format=torch.channels_last)
                return self.network(x).float().sigmoid()
        finally:
            torch.set_num_threads(before)
            self.wall += time.perf_counter() - start
            self.processor += time.process_time() - busy


def shared_out(model: Any, edge: int) -> Callable[[], Any]:
    """Return the network on one tile at a time, on all cores together, as many pixels as :func:`bare`."""
    import torch

    network = Shared(model)
    batch = torch.from_numpy(np.random.default_rng(0).random((1, 3, edge, edge), dtype=np.float32))
    return lambda: [network(batch) for _ in range(each(edge) * WORKERS)]


def overlapped(image: Any, model: Any, halo: int) -> Callable[[], Any]:
    """Return dask's map_overlap with the same network: scores of the foreground."""
    import dask.array as da

    def predict(block: Any) -> Any:
        rows, columns = (-n % 16 for n in block.shape)
        padded = np.pad(block.astype(np.float32) / WHITE, ((0, rows), (0, columns)), mode="reflect")
        scores = model.predict(np.repeat(padded[None, None], 3, 1))[0, 0]
        return scores[: block.shape[0], : block.shape[1]]

    def work() -> None:
        lazy = da.from_zarr(image).rechunk((1024, 1024))
        # Said to be float32, so that dask need not try it on an array of no pixels.
        scores = lazy.map_overlap(
            predict, depth=halo, boundary="reflect", dtype=np.float32, meta=np.zeros((0, 0), "f4")
        )
        scores.compute(scheduler="threads", num_workers=WORKERS)

    return work


def install_monai(folder: Path) -> str:
    """Put MONAI where only this program finds it, without what it needs, which is here; return what went wrong."""
    if not (folder / "monai").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), MONAI]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            return f"MONAI could not be installed: {error}"
    sys.path.append(str(folder))
    return ""


def windowed(image: Any, network: Shared, halo: int) -> Callable[[], Any]:
    """Return MONAI's sliding window with the same network; windows blend where they overlap by their halos."""
    import torch
    from monai.inferers import sliding_window_inference

    def work() -> None:
        whole = torch.from_numpy(np.asarray(image[:]).astype(np.float32) / WHITE)[None, None].repeat(1, 3, 1, 1)
        sliding_window_inference(whole, (1024, 1024), 1, network, overlap=2 * halo / 1024, mode="gaussian")

    return work
