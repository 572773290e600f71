"""How well a run that is written to disk keeps up with its network, and how much memory it takes.

- *pipeline*: a stored image (zarr, chunks of 512) becomes labels on disk, with the bundled model, object width given,
  by the journaled path and by the one in memory. Beside it what was spent inside of the network: on the wall (summed
  over the workers) and of the processor. Other programs disturb the second less.
- *bare*: the network alone, on the tile size at which it is fastest, its halo wasted on nothing: pixels a second.
- *peers*: what others do with the same network: MONAI's ``sliding_window_inference`` where it is installed, and
  ``dask.array.map_overlap``; scores only, no objects, no files.
- *memory*: peak of a child process for a virtual image of 2048 and of 32768 pixels squared, network replaced by the
  image itself, so that only the engine counts.
- *large*: a virtual image of 100,000 x 100,000 pixels: seconds to the first report and to the first tile, memory.
- *cancel*: seconds from stopping a run to the moment when nothing runs any more.
- *differing*: pixels that differ between runs cut in several ways; must be 0.

Usage: ``python benchmarks/streaming.py``, about ten minutes on two CPU cores; ``--quick`` for a look.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from peers_cells import machine, others_seconds

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.specs import SegmentSpec
from napari_unet.models.stored import store_segmentation
from napari_unet.samples.simulated import nuclei

RESULTS = Path(__file__).parent / "results" / "streaming.json"
CELL = 2048  # edge of the field that virtual images repeat
WORKERS = 2


class Repeated:
    """A virtual image: one field, again and again."""

    def __init__(self, field: Any, edge: int) -> None:
        self.field, self.shape, self.dtype, self.ndim = field, (edge, edge), field.dtype, 2

    def __getitem__(self, index: Any) -> Any:
        rows, columns = (np.arange(s.start or 0, s.stop) % CELL for s in index)
        return self.field[np.ix_(rows, columns)]


class Timed:
    """A model that tells how long it computed."""

    def __init__(self, model: Any) -> None:
        self.model, self.wall, self.processor, self._lock = model, 0.0, 0.0, threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict_inner(self, batch: Any) -> Any:
        start, busy = time.perf_counter(), time.thread_time()
        found = self.model.predict_inner(batch)
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


def spec(**tiling: int) -> SegmentSpec:
    """Return the settings of all runs."""
    return SegmentSpec.of(model="nuclei", diameter=24.0, device="cpu", tiling={"workers": WORKERS, **tiling})


def stored_run(image: Image, model: Any, how: SegmentSpec) -> Any:
    """Run the journaled path to a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        steps = store_segmentation(image, how, model, Path(folder) / "labels.ome.zarr")
        return finished(steps)


def finished(steps: Any) -> Any:
    """Drive steps to their end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def clocked(work: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds on the wall and of the processor that something takes."""
    start, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - busy


def bare(model: Any, edge: int) -> Callable[[], Any]:
    """Return the network alone on tiles of an edge, as many pixels as 2048 squared, on as many threads as workers."""
    batch = np.random.default_rng(0).random((1, 3, edge, edge), dtype=np.float32)
    count = max(1, 2048**2 // edge**2 // WORKERS)

    def work() -> None:
        threads = [
            threading.Thread(target=lambda: [model.predict(batch) for _ in range(count)]) for _ in range(WORKERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return work


def overlapped(image: Any, model: Any, halo: int) -> Callable[[], Any]:
    """Return dask's map_overlap with the same network."""
    import dask.array as da

    def predict(block: Any) -> Any:
        rows, columns = (-n % 16 for n in block.shape)
        padded = np.pad(block.astype(np.float32) / 4000, ((0, rows), (0, columns)), mode="reflect")
        scores = model.predict(np.repeat(padded[None, None], 3, 1))[0, 0]
        return scores[: block.shape[0], : block.shape[1]]

    def work() -> None:
        lazy = da.from_zarr(image).rechunk((1024, 1024))
        scores = lazy.map_overlap(predict, depth=halo, boundary="reflect", dtype=np.float32)
        scores.compute(scheduler="threads", num_workers=WORKERS)

    return work


def windowed(image: Any, model: Any, halo: int) -> Callable[[], Any] | None:
    """Return MONAI's sliding window with the same network, or None where it is not installed."""
    try:
        import torch
        from monai.inferers import sliding_window_inference
    except ImportError:
        return None

    def predict(batch: Any) -> Any:
        return torch.from_numpy(model.predict(batch.numpy()))

    def work() -> None:
        whole = torch.from_numpy(np.asarray(image[:]).astype(np.float32) / 4000)[None, None].repeat(1, 3, 1, 1)
        sliding_window_inference(whole, (1024, 1024), 1, predict, overlap=2 * halo / 1024, mode="gaussian")

    return work


def pipeline(edge: int, runs: int) -> dict[str, Any]:
    """Compare the pipeline, the bare network and peers, taking turns."""
    model = workflows.load_model("nuclei", "cpu")
    field = nuclei((CELL, CELL), 2000, 24.0, seed=0)[0]
    with tempfile.TemporaryDirectory() as folder:
        source = zarr.create_array(
            Path(folder) / "image.zarr", shape=(edge, edge), chunks=(512, 512), dtype=field.dtype
        )
        for y, x in itertools.product(range(0, edge, CELL), repeat=2):
            source[y : y + CELL, x : x + CELL] = field[: edge - y, : edge - x]
        image, halo = Image(source, "yx"), int(np.max(model.halo))
        timed = {"stored": Timed(model), "memory": Timed(model)}
        from napari_unet.models.segment import segment_image

        contenders: dict[str, Callable[[], Any] | None] = {
            "stored": lambda: stored_run(image, timed["stored"], spec()),
            "memory": lambda: finished(segment_image(image, spec(), timed["memory"], preview=False)),
            **{f"bare_{n}": bare(model, n) for n in (256, 512, 1024, 2048)},
            "map_overlap": overlapped(source, model, halo),
            "monai": windowed(source, model, halo),
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name, work in contenders.items() if work}
        inside: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
        for _ in range(runs + 1):
            for name, work in contenders.items():
                if work is None:
                    continue
                before = (timed[name].wall, timed[name].processor) if name in timed else (0.0, 0.0)
                seconds[name].append(clocked(work))
                if name in timed:
                    inside[name].append((timed[name].wall - before[0], timed[name].processor - before[1]))
    return summed_up(seconds, inside, edge)


def summed_up(seconds: dict[str, Any], inside: dict[str, Any], edge: int) -> dict[str, Any]:
    """Turn times into ratios; the first round is not counted."""
    wall = {name: statistics.median(w for w, _ in rounds[1:]) for name, rounds in seconds.items()}
    busy = {name: statistics.median(b for _, b in rounds[1:]) for name, rounds in seconds.items()}
    speeds = {n: 2048**2 / 1e6 / wall[n] for n in wall if n.startswith("bare")}
    lean = {n: 2048**2 / 1e6 / busy[n] for n in wall if n.startswith("bare")}
    found: dict[str, Any] = {"edge": edge, "bare_mpx_per_second": {n: round(s, 3) for n, s in speeds.items()}}
    for name in (n for n in wall if not n.startswith("bare")):
        mpx = edge**2 / 1e6
        row = {
            "seconds": round(wall[name], 3), "processor": round(busy[name], 3),
            "mpx_per_second": round(mpx / wall[name], 3),
            "of_bare": round(mpx / wall[name] / max(speeds.values()), 3),
            "of_bare_by_processor": round(mpx / busy[name] / max(lean.values()), 3),
        }  # fmt: skip
        if name in inside:
            within = [WORKERS * s[0] / i[0] for s, i in zip(seconds[name][1:], inside[name][1:], strict=True)]
            by_core = [s[1] / i[1] for s, i in zip(seconds[name][1:], inside[name][1:], strict=True)]
            row["to_network"] = round(statistics.median(within), 3)
            row["to_network_by_processor"] = round(statistics.median(by_core), 3)
        found[name] = row
    return found


def in_child(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(work, arguments)


def peak_memory() -> float:
    """Return the most memory, MB, that this process has held; not that of the one which started it."""
    text = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s*(\d+)", text)
    return int(found[1]) / 1024 if found else 0.0


def peak(edge: int) -> float:
    """Return the peak memory, MB, of a run on a virtual image without a network."""
    model = Null(workflows.load_model("nuclei", "cpu"))
    field = nuclei((CELL, CELL), 2000, 24.0, seed=0)[0]
    found = stored_run(Image(Repeated(field, edge), "yx"), model, spec())
    if not found.objects:
        raise SystemExit("Nothing was found: memory says nothing.")
    return peak_memory()


def start(edge: int) -> dict[str, float]:
    """Return how soon a run on a virtual image reports, and how soon it stops."""
    model = workflows.load_model("nuclei", "cpu")
    field = nuclei((CELL, CELL), 2000, 24.0, seed=0)[0]
    found: dict[str, float] = {}
    folder = Path(tempfile.mkdtemp())
    begun = time.perf_counter()
    looking = {"y": slice(edge // 2, edge // 2 + 1000), "x": slice(edge // 2, edge // 2 + 1000)}
    steps = store_segmentation(
        Image(Repeated(field, edge), "yx"), spec(), model, folder / "l.ome.zarr", looking=lambda: looking
    )
    for step in steps:
        found.setdefault("first_report", round(time.perf_counter() - begun, 2))
        if step.payload is not None:
            break
    found["first_labels"] = round(time.perf_counter() - begun, 2)
    for _ in range(4):
        next(steps)
    stopped = time.perf_counter()
    steps.close()
    found["cancel"] = round(time.perf_counter() - stopped, 3)
    found["peak_mb"] = round(peak_memory())
    with suppress(OSError):
        shutil.rmtree(folder)
    return found


def differing() -> int:
    """Count the pixels that differ between several cuttings and the image as a whole."""
    model = workflows.load_model("nuclei", "cpu")
    field = nuclei((900, 1000), 500, 24.0, seed=1)[0]
    image, off = Image(field, "yx"), 0
    whole = finished(workflows.segment_steps(image, spec(tile=2048), (), preview=False)).labels.data
    for tiling in ({"tile": 256, "batch": 3}, {"tile": 200, "workers": 1}, {"tile": 512, "workers": 3}):
        off += int((stored_labels(image, model, spec(**tiling)) != whole).sum())
    return off


def stored_labels(image: Image, model: Any, how: SegmentSpec) -> Any:
    """Return the labels of the journaled path."""
    with tempfile.TemporaryDirectory() as folder:
        return np.asarray(finished(store_segmentation(image, how, model, Path(folder) / "l.ome.zarr")).labels.data[:])


def main() -> None:
    """Measure everything and store it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=4096, help="of the image, pixels")
    parser.add_argument("--runs", type=int, default=3, help="that are counted")
    parser.add_argument("--quick", action="store_true", help="a small image, one run, nothing stored")
    options = parser.parse_args()
    edge, runs, large = (2048, 1, 8192) if options.quick else (options.edge, options.runs, 32768)
    begun, others = time.monotonic(), others_seconds([])
    report: dict[str, Any] = {"pipeline": pipeline(edge, runs)}
    report["memory"] = {str(n): round(in_child(peak, n)) for n in (2048, large)}
    report["memory"]["added"] = report["memory"][str(large)] - report["memory"]["2048"]
    report["large"] = in_child(start, 100_000)
    report["differing"] = differing()
    others = (others_seconds([]) - others) / (time.monotonic() - begun)
    report |= {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine() | {"cores_busy_with_others": round(others, 2)},
        "versions": {name: version(name) for name in ("numpy", "torch", "zarr", "dask")},
        "runs": runs,
    }
    text = json.dumps(report, indent=1)
    sys.stdout.write(text + "\n")
    if not options.quick:
        RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
