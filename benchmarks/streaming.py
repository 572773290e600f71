"""How well a run that is written to disk keeps up with its network, and how much memory it takes.

- *pipeline*: a stored image (zarr, chunks of 512) becomes labels on disk, with the bundled model, object width given,
  by the journaled path (*stored*) and by the one in memory (*memory*); and with the width measured (*measured*). Beside
  it what was spent inside of the network: on the wall, summed over the workers, and of the processor, which other
  programs disturb less. *to_network* is the time of a run in parts of the network's time in it.
- *bare*: the network alone, without halos, on tiles of several sizes. *of_bare* is the pixels of the image a second in
  parts of those of the bare network on the size on which it is fastest.
- *peers*: what others do with the same network: MONAI's ``sliding_window_inference``, put in a folder of its own on
  first use, and ``dask.array.map_overlap``. Scores only, no objects, no files, which is kind to them.
- *tiles*: the network on what tiles of several sizes read, pixels that they write; what the choice rests on.
- *threads*: two workers with one thread each, beside one with two.
- *engine*: a run with the network left out: pixels to each second of one core.
- *memory*: peaks of child processes for virtual images of 2048, 8192 and 32768 pixels squared, likewise.
- *large*: a virtual image of 100,000 x 100,000 pixels: seconds to the first report and to the first labels, and from
  stopping it to the moment when nothing runs any more; memory.
- *killed*: a run is killed (kill -9) again and again, later and later; pixels that differ from a run that was not.
- *differing*: pixels that differ between runs cut in several ways; must be 0.

All take turns; ratios are taken turn by turn, and told are their medians.

Usage: ``python benchmarks/streaming.py``, about twenty minutes on two quiet cores; ``--only`` for a part of it, which
replaces that part of what is stored; ``--quick`` for a look, which stores nothing.
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
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from _streaming_networks import (
    MONAI,
    PIXELS,
    WORKERS,
    Null,
    Shared,
    Timed,
    bare,
    each,
    install_monai,
    overlapped,
    shared_out,
    windowed,
    with_halo,
)
from machine import machine, others_seconds
from peers_cells import ENVIRONMENTS
from scipy.ndimage import gaussian_filter

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.specs import SegmentSpec
from napari_unet.models._bricks import Alone
from napari_unet.models.segment import segment_image
from napari_unet.models.stored import store_segmentation
from napari_unet.samples.simulated import nuclei

RESULTS = Path(__file__).parent / "results" / "streaming.json"
SMOOTH = 1.0  # pixels; leaves about as many trees as scores of the model
CELL = 2048  # edge of the field that virtual images repeat
EDGES = (256, 512, 1024, 2048)
PARTS = ("pipeline", "tiles", "threads", "engine", "memory", "large", "killed", "differing")


class Repeated:
    """A virtual image: one field, again and again."""

    def __init__(self, field: Any, edge: int) -> None:
        self.field, self.shape, self.dtype, self.ndim = field, (edge, edge), field.dtype, 2

    def __getitem__(self, index: Any) -> Any:
        rows, columns = (np.arange(s.start or 0, s.stop) % CELL for s in index)
        return self.field[np.ix_(rows, columns)]


def spec(diameter: float | None = 24.0, **tiling: int) -> SegmentSpec:
    """Return the settings of all runs."""
    return SegmentSpec.of(model="nuclei", diameter=diameter, device="cpu", tiling={"workers": WORKERS, **tiling})


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


class Clocks:
    """What contenders took, turn by turn, and what of it inside of the network."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self.taken: dict[str, list[tuple[float, float]]] = {}
        self.inside: dict[str, list[tuple[float, float]]] = {}
        self.done: dict[str, int] = {}  # pixels of those that do not do all of the image

    def race(self, contenders: dict[str, Any], runs: int, timed: dict[str, Any] | None = None) -> None:
        """Take turns, one round uncounted and then `runs`."""
        for turn in range(runs + 1):
            for name, work in contenders.items():
                watch = (timed or {}).get(name)
                before = (watch.wall, watch.processor) if watch else (0.0, 0.0)
                took = clocked(work)
                if turn:
                    self.taken.setdefault(name, []).append(took)
                if turn and watch:
                    self.inside.setdefault(name, []).append((watch.wall - before[0], watch.processor - before[1]))

    def speeds(self, name: str, clock: int = 0) -> list[float]:
        """Return megapixels to a second on the wall, or with 1 of the processor, turn by turn."""
        return [self.done.get(name, self.pixels) / 1e6 / took[clock] for took in self.taken[name]]

    def compared(self, name: str, bare_names: list[str]) -> dict[str, float]:
        """Return the speed of a contender, compared with the bare network and with the network in it."""
        found = {
            "seconds": middle(took[0] for took in self.taken[name]),
            "processor": middle(took[1] for took in self.taken[name]),
            "mpx_per_second": middle(self.speeds(name)),
        }
        for clock, word in enumerate(("", "_by_processor")):
            best = max((self.speeds(other, clock) for other in bare_names), key=statistics.median)
            found[f"of_bare{word}"] = middle(a / b for a, b in zip(self.speeds(name, clock), best, strict=True))
            # Two workers are in the network at a time, but for MONAI, which shares out each convolution.
            at_once = WORKERS if clock == 0 and name != "monai" else 1
            pairs = zip(self.taken[name], self.inside[name], strict=True)
            found[f"to_network{word}"] = middle(at_once * took[clock] / inside[clock] for took, inside in pairs)
        return found


def middle(values: Iterable[float]) -> float:
    """Return the median, rounded for the record."""
    return round(statistics.median(values), 3)


def stored_image(place: Path, edge: int) -> Any:
    """Write a field of nuclei, repeated to an edge."""
    field = nuclei((CELL, CELL), 2000, 24.0, seed=0)[0]
    source = zarr.create_array(place, shape=(edge, edge), chunks=(512, 512), dtype=field.dtype)
    for y, x in itertools.product(range(0, edge, CELL), repeat=2):
        source[y : y + CELL, x : x + CELL] = field[: edge - y, : edge - x]
    return source


def pipeline(edge: int, runs: int) -> dict[str, Any]:
    """Compare the pipeline, the bare network and peers."""
    model, missing = workflows.load_model("nuclei", "cpu"), install_monai(ENVIRONMENTS / "monai")
    timed: dict[str, Any] = {name: Timed(model) for name in ("stored", "memory", "measured", "map_overlap")}
    halo, clocks, bare_names = int(np.max(model.halo)), Clocks(edge**2), [f"bare_{n}" for n in EDGES]
    with tempfile.TemporaryDirectory() as folder:
        source = stored_image(Path(folder) / "image.zarr", edge)
        image = Image(source, "yx")
        contenders: dict[str, Any] = {
            "stored": lambda: stored_run(image, timed["stored"], spec()),
            "memory": lambda: finished(segment_image(image, spec(), timed["memory"], preview=False)),
            "measured": lambda: stored_run(image, timed["measured"], spec(diameter=None)),
            **{f"bare_{n}": bare(model, n) for n in EDGES},
            "map_overlap": overlapped(source, timed["map_overlap"], halo),
        }
        if not missing:
            timed["monai"] = Shared(model)
            contenders["monai"] = windowed(source, timed["monai"], halo)
        clocks.done = {f"bare_{n}": each(n) * WORKERS * n**2 for n in EDGES}
        clocks.race(contenders, runs, timed)
    return {
        "edge": edge,
        "bare_mpx_per_second": {str(n): middle(clocks.speeds(f"bare_{n}")) for n in EDGES},
        "bare_mpx_per_processor_second": {str(n): middle(clocks.speeds(f"bare_{n}", 1)) for n in EDGES},
        **{name: clocks.compared(name, bare_names) for name in contenders if name not in bare_names},
        **({"monai": {"missing": missing}} if missing else {}),
    }


def tiles(runs: int) -> dict[str, Any]:
    """Compare the sizes of tiles, halo included: pixels that they write."""
    model, clocks = workflows.load_model("nuclei", "cpu"), Clocks(PIXELS)
    clocks.done = {str(n): each(n) * WORKERS * n**2 for n in EDGES}
    clocks.race({str(n): with_halo(model, n) for n in EDGES}, runs)
    by_core = {n: middle(clocks.speeds(str(n), 1)) for n in EDGES}
    return {
        "mpx_per_second": {str(n): middle(clocks.speeds(str(n))) for n in EDGES},
        "mpx_per_processor_second": {str(n): speed for n, speed in by_core.items()},
        "default_in_parts_of_best": round(by_core[1024] / max(by_core.values()), 3),
    }


def threads(runs: int) -> dict[str, Any]:
    """Compare two workers with one thread each and one with two, on the same tiles."""
    model, clocks = workflows.load_model("nuclei", "cpu"), Clocks(PIXELS)
    clocks.race({"two_workers": bare(model, 1024), "two_threads": shared_out(model, 1024)}, runs)
    pairs = list(zip(clocks.taken["two_threads"], clocks.taken["two_workers"], strict=True))
    return {
        **{name: middle(clocks.speeds(name)) for name in clocks.taken},
        "workers_times_faster": middle(one[0] / two[0] for one, two in pairs),
        "workers_times_less_processor": middle(one[1] / two[1] for one, two in pairs),
    }


def engine(edge: int, runs: int) -> dict[str, float]:
    """Return how fast a run is with the network left out."""
    model, clocks = Null(workflows.load_model("nuclei", "cpu")), Clocks(edge**2)
    with tempfile.TemporaryDirectory() as folder:
        image = Image(stored_image(Path(folder) / "image.zarr", edge), "yx")
        clocks.race({"engine": lambda: stored_run(image, model, spec())}, runs)
    return {
        "mpx_per_second": middle(clocks.speeds("engine")),
        "mpx_per_processor_second": middle(clocks.speeds("engine", 1)),
    }


def memory(edges: tuple[int, ...]) -> dict[str, int]:
    """Compare the peaks of small and large virtual images, MB."""
    peaks = [in_child(peak, edge) for edge in edges]
    found = {str(edge): round(most) for edge, most in zip(edges, peaks, strict=True)}
    return found | {"added": round(peaks[-1] - peaks[0])}


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
    # A network's scores are smooth: a noisy image in their place would have a tree for every grain.
    field = gaussian_filter(nuclei((CELL, CELL), 2000, 24.0, seed=0)[0], SMOOTH, mode="wrap")
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
        Image(Repeated(field, edge), "yx"), spec(), model, folder / "l.ome.zarr", crew=Alone(lambda: looking)
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


def write_for(place: str) -> None:
    """Do a run in a process of its own, which can be killed."""
    finished(store_segmentation(killable(), spec(tile=256), workflows.load_model("nuclei", "cpu"), Path(place)))


def killable() -> Image:
    """Return the image of runs that are killed."""
    return Image(nuclei((CELL, CELL), 2000, 24.0, seed=0)[0], "yx")


def entries(unfinished: Path) -> int:
    """Count what the journal of a run has."""
    with suppress(OSError):  # it is written meanwhile
        return sum(1 for _ in unfinished.glob("*/*.part"))
    return 0


def killed() -> dict[str, int]:
    """Kill runs at several moments, let them go on, and count the pixels that differ from those of a whole run."""
    whole = stored_labels(killable(), workflows.load_model("nuclei", "cpu"), spec())
    context, found = multiprocessing.get_context("spawn"), {"kills": 0, "differing": 0}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "labels.ome.zarr"
        unfinished = place.with_name(f"{place.name}.unfinished")
        while not place.exists():
            # Later and later: at first with the first entries of the journal, at last with the last files.
            wanted = 1 + 12 * found["kills"]
            process = context.Process(target=write_for, args=(str(place),))
            process.start()
            while process.is_alive() and entries(unfinished) < wanted:
                time.sleep(0.01)
            if process.is_alive():
                process.kill()
                found["kills"] += 1
            process.join()
        model = workflows.load_model("nuclei", "cpu")
        done = finished(store_segmentation(killable(), spec(), model, place))
        found["differing"] = int((np.asarray(done.labels.data[:]) != whole).sum())
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
    parser.add_argument("--quick", action="store_true", help="a small image, one run")
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    edge, runs = (2048, 1) if options.quick else (options.edge, options.runs)
    large = (CELL, 8192) if options.quick else (CELL, 8192, 32768)
    parts: dict[str, Callable[[], Any]] = {
        "pipeline": lambda: pipeline(edge, runs),
        "tiles": lambda: tiles(runs),
        "threads": lambda: threads(runs),
        "engine": lambda: engine(edge, runs),
        "memory": lambda: memory(large),
        "large": lambda: in_child(start, 100_000),
        "killed": killed,
        "differing": differing,
    }
    report: dict[str, Any] = json.loads(RESULTS.read_text()) if options.only and RESULTS.exists() else {}
    for name, part in parts.items():
        if options.only in (None, name):
            begun, others = time.monotonic(), others_seconds()
            report[name] = part()
            busy = (others_seconds() - others) / (time.monotonic() - begun)
            at = datetime.now(UTC).isoformat(timespec="seconds")
            report.setdefault("measured", {})[name] = {"date": at, "cores_busy_with_others": round(busy, 2)}
    report |= {
        "machine": machine()
        | {"precision": str(workflows.load_model("nuclei", "cpu").precision).removeprefix("torch.")},
        "versions": {name: version(name) for name in ("numpy", "torch", "zarr", "dask")} | {"monai": MONAI[7:]},
        "runs": runs,
    }
    text = json.dumps(report, indent=1)
    sys.stdout.write(text + "\n")
    if not options.quick:
        RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
