"""What a cluster costs: how long it takes to give out a brick, how well workers are kept busy, and how two compare.

- *scheduling*: a plane of many bricks on two worker processes of 16 threads whose network and labels take no time:
  milliseconds a brick, all included that happens outside of the workers' computing (messages, the queue, reading trees
  from the journal, numbering). A brick is two jobs, scores and trees. *scheduler_mb* is the memory of the scheduler's
  process at a tenth, a half and the end of the bricks; *held* the most jobs that it had at once.
- *sleeping*: 64 workers that sleep as long as a brick of 1024 x 1024 pixels takes here (measured first, the network
  alone): *efficiency* is the time slept in parts of 64 times the time of the whole run, *efficiency_middle* the same
  without its first and last tenth, as in a run that is long. They are 64 threads of 4 processes.
- *scaling*: a stored image to labels on disk with the bundled model, on one and on two worker processes with one thread
  each, and ``dask.array.map_overlap`` with the same network on the same two (scores only: no objects, no files).
  Ratios, taken turn by turn; told are their medians.
- *peers*: a stored stack on two worker processes with one thread each, its planes in 2D, joined where they overlap, and
  the same by ``cellpose.contrib.distributed_segmentation`` (Cellpose 3.1) on as many, with the bundled network in the
  place of Cellpose's. *cellpose_to_ours* is the ratio of the seconds from the stored image to stored labels,
  *cellpose_to_ours_beside_network* that of what two workers spend beside the network. Cellpose decodes what a perfect
  network would say, made from the true labels outside of the clock, so that it finds objects. It is installed in an
  environment of its own under ``.benchmark-envs/``, on first use (about 2 GB).

Usage: ``python benchmarks/cluster.py``; ``--only`` for a part of it, which replaces that part of what is stored;
``--bricks`` for fewer of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import _cluster_idle as idle
import _cluster_peers
import numpy as np
import zarr
from machine import machine, others_seconds

import napari_unet.cluster.crew as crews
from napari_unet import read_image, workflows
from napari_unet.cluster import hands
from napari_unet.core.axes import Image
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import finish
from napari_unet.io.behind import Behind
from napari_unet.io.choosing import run_folder
from napari_unet.io.journal import Journal
from napari_unet.models.errand import Errand
from napari_unet.samples.simulated import nuclei
from napari_unet.tiling._brick_jobs import Finding
from napari_unet.tiling.bricked import segment_bricks
from napari_unet.tiling.bricks import Bricks
from napari_unet.tiling.statistics import Statistics
from napari_unet.tiling.stream import Plan

RESULTS = Path(__file__).parent / "results" / "cluster.json"
EDGE = 16  # of a brick, pixels: what is in it does not matter here
OUTPUTS = 3
PROCESSES, THREADS = 4, 16
TILE = 1024


def idle_run(client: Any, bricks: int, folder: Path, watch: Any = None) -> tuple[float, float]:
    """Give out a plane of empty bricks; return the seconds on the wall, and of this process."""
    side = round(bricks**0.5)
    edge = EDGE * side
    errand = Errand(str(folder / f"{bricks}.ome.zarr"), "", "yx", {}, {"bricks": bricks, "at": time.time()})
    crew = crews.DaskCrew(client, errand)
    plan = Plan((1.0, 1.0), Statistics((0.0,), (1.0,)), 2, 2, outputs=OUTPUTS, edges=(EDGE, EDGE))
    image = Image(np.broadcast_to(np.uint8(0), (edge, edge)), "yx")
    with Journal(run_folder(errand.place)) as kept, Behind(kept) as journal:
        shared = crews.Shared(kept.folder)
        jobs = idle.Idle(plan, None, Finding(None, 0, 0.0), journal, idle.Windows(edge, side), shared)
        idle.empty_forests(Bricks.cut((edge, edge), (EDGE, EDGE)), shared.put, jobs._kind, OUTPUTS)
        begun, busy = time.perf_counter(), time.process_time()
        finish(segment_bricks(image, jobs, None, crew.hands), watch)
        return time.perf_counter() - begun, time.process_time() - busy


def scheduling(bricks: int) -> dict[str, Any]:
    """Give out bricks that take no time."""
    with tempfile.TemporaryDirectory() as folder, idle.processes(2, THREADS) as (client, scheduler):
        idle_run(client, 400, Path(folder))
        seen: dict[str, float] = {}
        held = [0]

        def watch(progress: Any) -> None:
            share = progress.done / max(1, progress.total)
            for name, at in (("tenth", 0.1), ("half", 0.5), ("end", 0.99)):
                if share >= at and name not in seen:
                    seen[name] = round(scheduler.memory_info().rss / 2**20, 1)
                    held[0] = max(held[0], client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))

        before = scheduler.cpu_times()
        seconds, ours = idle_run(client, bricks, Path(folder), watch)
        after = scheduler.cpu_times()
    count = round(bricks**0.5) ** 2
    own = after.user + after.system - before.user - before.system
    return {
        "bricks": count, "ms_each": round(1e3 * seconds / count, 3),
        "client_processor_ms_each": round(1e3 * ours / count, 3),
        "scheduler_processor_ms_each": round(1e3 * own / count, 3), "scheduler_mb": seen, "held": held[0],
    }  # fmt: skip


def brick_seconds() -> dict[str, float]:
    """Measure what a brick takes one worker here."""
    pixels = nuclei((2 * TILE, 2 * TILE), 2000, 24.0, seed=0)[0]
    spec = SegmentSpec.of(model="nuclei", diameter=24.0, device="cpu", tiling={"workers": 1, "tile": TILE})
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        workflows.segment(Image(pixels, "yx"), spec, output=Path(folder) / "warm.ome.zarr")
        begun = time.perf_counter()
        workflows.segment(Image(pixels, "yx"), spec, output=Path(folder) / "a.ome.zarr")
    return {"score": round((time.perf_counter() - begun) / 4, 3), "explore": 0.1, "write": 0.1}


def sleeping(rounds: int) -> dict[str, Any]:
    """Keep 64 workers busy that only sleep."""
    sleeps, workers = brick_seconds(), PROCESSES * THREADS
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as notes:
        with idle.processes(PROCESSES, THREADS, notes, **sleeps) as (client, _):
            count = round((workers * rounds) ** 0.5) ** 2
            idle_run(client, workers, Path(folder))  # workers load the program, as they do when a run asks them first
            for file in Path(notes).iterdir():
                file.unlink()
            wall, _ = idle_run(client, count, Path(folder))
        slept = idle.noted(Path(notes))
    busy = sum(stop - start for _, start, stop in slept)
    ends = sorted(stop for verb, _, stop in slept if verb == "score")
    start, stop = ends[len(ends) // 10], ends[len(ends) * 9 // 10]
    middle = sum(max(0.0, min(b, stop) - max(a, start)) for _, a, b in slept)
    return {
        "workers": workers, "bricks": count, "sleeps": sleeps, "efficiency": round(busy / wall / workers, 3),
        "efficiency_middle": round(middle / (stop - start) / workers, 3),
    }  # fmt: skip


def scaling(edge: int, runs: int) -> dict[str, Any]:
    """Compare one worker with two, and both with map_overlap."""
    spec = SegmentSpec.of(model="nuclei", diameter=24.0, device="cpu", tiling={"tile": 512})
    taken: dict[str, list[float]] = {"one": [], "two": [], "map_overlap": []}
    hashes = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels = nuclei((edge, edge), 2000 * (edge // 2048) ** 2, 24.0, seed=0)[0]
        zarr.create_array(folder / "image.zarr", data=pixels, chunks=(512, 512))
        image = read_image(folder / "image.zarr", "yx")
        with idle.processes(1, 1) as (one, _), idle.processes(2, 1) as (two, _):
            for turn in range(runs + 1):
                for who, client in (("one", one), ("two", two)):
                    begun = time.perf_counter()
                    found = workflows.segment(image, spec, output=folder / f"{who}-{turn}.ome.zarr", client=client)
                    taken[who].append(time.perf_counter() - begun)
                    hashes.add(found.hash)
                begun = time.perf_counter()
                overlapped(two, folder / "image.zarr")
                taken["map_overlap"].append(time.perf_counter() - begun)
    taken = {who: seconds[1:] for who, seconds in taken.items()}  # the first turn loads
    pairs = zip(taken["one"], taken["two"], taken["map_overlap"], strict=True)
    gains, beside = zip(*((one / two, other / two) for one, two, other in pairs), strict=True)
    return {
        "edge": edge, "runs": runs, "two_to_one": round(statistics.median(gains), 2),
        "map_overlap_to_two": round(statistics.median(beside), 2), "different_labels": len(hashes) - 1,
        "seconds": {who: [round(s, 1) for s in each] for who, each in taken.items()},
    }  # fmt: skip


def overlapped(client: Any, store: Path) -> None:
    """Score the image by map_overlap, the model sent by name, which is kind to it."""
    import dask.array as da

    halo = 96

    def predict(block: Any) -> Any:
        from napari_unet.models.zoo import load_model

        model = load_model("nuclei", "cpu")
        rows, columns = (-n % 16 for n in block.shape)
        padded = np.pad(block.astype(np.float32) / 4000.0, ((0, rows), (0, columns)), mode="reflect")
        return model.predict(np.repeat(padded[None, None], 3, 1))[0, 0, : block.shape[0], : block.shape[1]]

    lazy = da.from_zarr(store).rechunk((512, 512))
    scores = lazy.map_overlap(predict, depth=halo, boundary="reflect", dtype=np.float32, meta=np.zeros((0, 0), "f4"))
    client.compute(scores.mean()).result()


def main() -> None:
    """Measure everything and store it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bricks", type=int, default=100_000)
    parser.add_argument("--edge", type=int, default=2048, help="of the image, pixels")
    parser.add_argument("--runs", type=int, default=3, help="that are counted")
    parser.add_argument("--rounds", type=int, default=60, help="bricks for each of the sleeping workers")
    parser.add_argument("--planes", type=int, default=4, help="of the stack that peers segment")
    parser.add_argument("--only", choices=("scheduling", "sleeping", "scaling", "peers"))
    options = parser.parse_args()
    hands.do_all = idle.idle
    parts = {
        "scheduling": lambda: scheduling(options.bricks),
        "sleeping": lambda: sleeping(options.rounds),
        "scaling": lambda: scaling(options.edge, options.runs),
        "peers": lambda: _cluster_peers.peers(options.planes, options.edge, options.runs),
    }
    report: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, part in parts.items():
        if options.only in (None, name):
            if name in ("scaling", "peers"):
                from napari_unet.cluster.remote import do_all

                hands.do_all = do_all
            begun, others = time.monotonic(), others_seconds()
            report[name] = part()
            busy = (others_seconds() - others) / (time.monotonic() - begun)
            at = datetime.now(UTC).isoformat(timespec="seconds")
            report.setdefault("measured", {})[name] = {"date": at, "cores_busy_with_others": round(busy, 2)}
            report |= {
                "machine": machine(),
                "versions": {name: version(name) for name in ("numpy", "torch", "zarr", "dask", "distributed")},
            }
            RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
