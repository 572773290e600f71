"""How long 100,000 labels take to become polygons, and how much memory.

Labels are cells that touch each other, with ragged borders and some background, written as a cloud-optimized GeoTIFF.
Each setting runs in a process of its own, on two cores, from the file of labels to the file of polygons.

Run it as ``python benchmarks/polygons.py``, about three minutes; it writes ``benchmarks/results/polygons.json``.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pyogrio
from rasterio.crs import CRS

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.place import GeoReference

RESULTS = Path(__file__).resolve().parent / "results" / "polygons.json"
OBJECTS = 100_000
CELL = 16  # pixels from one object to the next
SETTINGS = {
    "exact": (".gpkg", {}),
    "simplified": (".gpkg", {"simplify": 1.0}),
    "right_angles": (".gpkg", {"right_angles": True}),
    "geojson": (".geojson", {"simplify": 1.0}),
}


def objects() -> Image:
    """Return labels, a little more than asked for: squares whose borders are ragged, three of four there."""
    edge = int(np.ceil(np.sqrt(OBJECTS / 0.75)))
    rng = np.random.default_rng(0)
    there = rng.random((edge, edge)) < 0.75
    ids = np.where(there, np.cumsum(there).reshape(there.shape), 0).astype(np.int32)
    grown = np.kron(ids, np.ones((CELL, CELL), np.int32))
    height, width = grown.shape
    jitter = (rng.random((2, height // 4, width // 4)) * 5).astype(int) - 2
    y, x = (np.kron(shift, np.ones((4, 4), int)) for shift in jitter)
    rows, columns = np.indices((height, width), sparse=True)
    labels = grown[np.clip(rows + y, 0, height - 1), np.clip(columns + x, 0, width - 1)]
    geo = GeoReference((0.5, 0.0, 5e5, 0.0, -0.5, 5.3e6), CRS.from_epsg(32633).to_wkt(), "EPSG:32633", "meter")
    return Image(labels, "yx", name="cells", geo=geo)


def peak_memory() -> float:
    """Return the most memory, MB, that this process has held."""
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def measure(source: Path, target: Path, options: dict[str, float | bool]) -> dict[str, float]:
    """Write polygons and say how long it took."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    # What is compiled once is not counted.
    workflows.write_polygons(Image(np.eye(9, dtype=np.int32), "yx"), target.with_suffix(".first.gpkg"))
    before, used = time.perf_counter(), time.process_time()
    found = workflows.write_polygons(source, target, overwrite=True, **options)
    seconds, cpu = time.perf_counter() - before, time.process_time() - used
    written = pyogrio.read_info(target)["features"]
    return {
        "objects": len(found), "features": written, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1),
        "peak_mb": round(peak_memory()), "file_mb": round(target.stat().st_size / 1e6, 1), "repaired": found.repaired,
        "uneven": found.uneven,
    }  # fmt: skip


def main() -> None:
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "labels.tif")
        labels = objects()
        workflows.write_labels(source, labels)
        for name, (suffix, options) in SETTINGS.items():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows[name] = pool.apply(measure, (source, Path(folder, name + suffix), options))
            print(name, rows[name], flush=True)
    facts = {"pixels": list(labels.shape), "cores": 2, "load": os.getloadavg()[0], "results": rows}
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
