"""How fast scores become labels, as a whole and brick by brick, beside scikit-image's watershed.

One field of 4096 x 4096 pixels with 10,000 simulated nuclei. What a network would say of them is made from the true
labels outside the clock: foreground, and heat with noise, smoothed and stored in 8 bits. All contenders get the same
stored scores and take turns, so that a disturbance of the machine hits all of them; medians, after one round that is
not counted. *seconds* is what a clock on the wall says and needs a quiet machine; *processor* is the time that the
cores spent on it, which other programs disturb less. What others used meanwhile is measured and reported.

- whole: ``targets/_basins.py``, the plane at once, on one thread; labels only.
- bricks_1, bricks_2: ``tiling/stitch.py`` in bricks of 1024 x 1024 pixels on one and two threads, from stored scores to
  labels and the table of objects. Labels are compared with those of the whole, pixel by pixel.
- watershed: ``skimage.segmentation.watershed`` from the peaks of the same potential (``peak_local_max``, a third of the
  diameter apart); labels only. Its markers are timed with it, since it cannot do without; *flooding* is it alone.

Usage: ``python benchmarks/decode.py``, a few minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import machine, others_seconds
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from napari_unet.core.specs import TargetSpec
from napari_unet.samples.simulated import nuclei
from napari_unet.targets import target
from napari_unet.targets._basins import basins
from napari_unet.targets._forest import explore
from napari_unet.tiling.bricks import Bricks
from napari_unet.tiling.stitch import Stitch, relabel

RESULTS = Path(__file__).parent / "results" / "decode.json"
DIAMETER = 24.0
NOISE = 0.05  # of the heat, which is 1 in the middle of an object, before it is smoothed by one pixel
SMALLEST = 40


def simulate(edge: int, count: int) -> tuple[Any, Any, int]:
    """Return potential, foreground and number of nuclei."""
    _, labels = nuclei((edge, edge), count, DIAMETER, seed=0)
    solid, heat, _ = target("seams").encode(labels)
    noise = np.random.default_rng(0).normal(0, NOISE, heat.shape).astype(np.float32)
    potential = np.rint(np.clip(ndimage.gaussian_filter(heat + noise, 1), 0, 1) * 255).astype(np.uint8)
    return potential, solid > 0, int(labels.max())


def by_bricks(potential: Any, mask: Any, persistence: int, edge: int, threads: int) -> tuple[Any, int]:
    """Decode brick by brick; all trees stay in memory until they are relabeled."""
    bricks = Bricks.cut(mask.shape, (edge, edge))
    stitch, labels, trees = Stitch(bricks), np.empty(mask.shape, np.int32), {}

    def look(position: tuple[int, ...]) -> Any:
        read = bricks.widened(position)
        return position, *explore(potential[read], mask[read], bricks.window(position), bricks.shape)

    with ThreadPoolExecutor(threads) as pool:
        for position, found, forest in pool.map(look, bricks):
            trees[position] = found
            stitch.add(position, forest)
        objects = stitch.finish(persistence, SMALLEST)

        def write(position: tuple[int, ...]) -> None:
            relabel(trees[position], objects.numbers[position], labels[bricks.window(position)])

        list(pool.map(write, bricks))
    return labels, len(objects)


def by_watershed(potential: Any, mask: Any, spent: dict[str, list[float]]) -> tuple[Any, int]:
    """Flood from the peaks as scikit-image's manual does, eight neighbors to a pixel."""
    peaks = peak_local_max(potential, min_distance=round(DIAMETER / 3), labels=mask.astype(np.int32))
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    start, busy = time.perf_counter(), time.process_time()
    labels = watershed(-potential.astype(np.int16), markers, mask=mask, connectivity=2)
    spent["seconds"].append(time.perf_counter() - start)
    spent["processor"].append(time.process_time() - busy)
    return labels, len(peaks)


def main() -> None:
    """Simulate, take turns, compare, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=4096, help="of the field, pixels")
    parser.add_argument("--count", type=int, default=10_000, help="of nuclei")
    parser.add_argument("--brick", type=int, default=1024, help="edge of a brick, pixels")
    parser.add_argument("--runs", type=int, default=5, help="that are counted")
    options = parser.parse_args()
    potential, mask, count = simulate(options.edge, options.count)
    persistence = round(255 * TargetSpec(name="seams").persistence)
    flooding: dict[str, list[float]] = {"seconds": [], "processor": []}
    contenders = {
        "whole": lambda: (found := basins(potential, mask, persistence, SMALLEST), int(found.max())),
        "bricks_1": partial(by_bricks, potential, mask, persistence, options.brick, 1),
        "bricks_2": partial(by_bricks, potential, mask, persistence, options.brick, 2),
        "watershed": partial(by_watershed, potential, mask, flooding),
    }
    times: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "processor": []} for name in contenders}
    objects, differing, expected = {}, {}, contenders["whole"]()[0]
    begun, others = time.monotonic(), others_seconds()
    for _ in range(options.runs + 1):
        for name, decode in contenders.items():
            start, busy = time.perf_counter(), time.process_time()
            labels, objects[name] = decode()
            times[name]["seconds"].append(time.perf_counter() - start)
            times[name]["processor"].append(time.process_time() - busy)
            if name.startswith("bricks"):
                differing[name] = int((labels != expected).sum())
    others = (others_seconds() - others) / (time.monotonic() - begun)
    times["flooding"], objects["flooding"] = flooding, objects["watershed"]
    shown = {
        name: {key: round(median(values[1:]), 3) for key, values in kinds.items()} | {"objects": objects[name]}
        for name, kinds in times.items()
    }
    report = {
        "unit": "seconds, medians",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine() | {"cores_busy_with_others": round(others, 2)},
        "versions": {name: version(name) for name in ("numpy", "numba", "scikit-image")},
        "field": {"shape": list(mask.shape), "nuclei": count, "foreground": round(float(mask.mean()), 3)},
        "brick": options.brick,
        "runs": options.runs,
        "contenders": shown,
        "differing_pixels": differing,
        "times_faster": {
            f"bricks_2 than {name}": round(shown[name]["seconds"] / shown["bricks_2"]["seconds"], 1)
            for name in ("whole", "bricks_1", "watershed", "flooding")
        },
        "times_less_processor": {
            f"bricks_1 than {name}": round(shown[name]["processor"] / shown["bricks_1"]["processor"], 1)
            for name in ("whole", "watershed", "flooding")
        },
    }
    text = json.dumps(report, indent=1)
    sys.stdout.write(text + "\n")
    if any(differing.values()):
        raise SystemExit("Labels differ from those of the whole plane: nothing was stored.")
    RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
