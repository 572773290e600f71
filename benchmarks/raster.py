"""How much memory a raster of 50,000 x 50,000 pixels takes: opened, segmented in a region, written, made into polygons.

The raster is a cloud-optimized GeoTIFF that is empty but for fields of simulated nuclei, with its overviews: 2.5
gigapixels, of which a file holds what is there. Each part runs in a process of its own; told is the most memory that it
has held.

- *windows*: 200 windows of 512 pixels, all over the raster, in two threads.
- *write*: labels of the whole raster, block by block, as a cloud-optimized GeoTIFF with overviews.
- *polygons*: those labels as a GeoPackage.
- *segment*: the bundled model on a region of 2048 pixels; labels of the whole raster as OME-Zarr.

Run it as ``python benchmarks/raster.py``; ``--edge`` for a smaller raster, ``--only`` for some parts. It writes
``benchmarks/results/raster.json``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rasterio.crs import CRS

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.place import GeoReference
from napari_unet.io._raster_writer import Layout, write_cog
from napari_unet.samples.simulated import nuclei

RESULTS = Path(__file__).resolve().parent / "results" / "raster.json"
EDGE = 50_000
FIELD = 1024
EVERY = 8192  # pixels from one field to the next
GEO = GeoReference((0.3, 0.0, 5e5, 0.0, -0.3, 5.3e6), CRS.from_epsg(32633).to_wkt(), "EPSG:32633", "meter")


class Fields:
    """A virtual raster: fields that are all alike, with nothing between them.

    Parameters
    ----------
    field : ndarray
        What repeats.
    edge : int
        Of the raster.
    step : int
        Added from field to field, so that labels differ.
    """

    def __init__(self, field: np.ndarray, edge: int, step: int = 0) -> None:
        self.field, self.step = field, step
        self.shape, self.dtype, self.chunks = (edge, edge), field.dtype, (FIELD, FIELD)

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        rows, columns = (range(*part.indices(self.shape[0])) for part in window)
        out = np.zeros((len(rows), len(columns)), self.dtype)
        across = -(-self.shape[0] // EVERY)
        for top in range(rows.start // EVERY * EVERY, rows.stop, EVERY):
            for left in range(columns.start // EVERY * EVERY, columns.stop, EVERY):
                y, x = (slice(max(a, r.start), min(a + FIELD, r.stop)) for a, r in ((top, rows), (left, columns)))
                if y.start < y.stop and x.start < x.stop:
                    part = self.field[y.start - top : y.stop - top, x.start - left : x.stop - left]
                    number = self.step * (top // EVERY * across + left // EVERY)
                    place = (
                        slice(y.start - rows.start, y.stop - rows.start),
                        slice(x.start - columns.start, x.stop - columns.start),
                    )
                    out[place] = np.where(part > 0, part + number, 0)
        return out


def peak_memory() -> float:
    """Return the most memory, MB, that this process has held."""
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def prepare(folder: Path, edge: int) -> None:
    field = nuclei((FIELD, FIELD), 500, 24.0, seed=0)[0]
    picture = Fields((field / field.max() * 60000 + 1).astype(np.uint16), edge)
    write_cog(folder / "raster.tif", Layout((edge, edge), "uint16", GEO, 0), picture.__getitem__)


def windows(folder: Path, edge: int) -> dict[str, float]:
    image = workflows.read_image(folder / "raster.tif")
    rng = np.random.default_rng(0)
    starts = rng.integers(0, edge - 512, (200, 2)).tolist()
    plane = image.planes(2)[0]

    def read(start: list[int]) -> float:
        return float(np.isfinite(plane.read((slice(start[0], start[0] + 512), slice(start[1], start[1] + 512)))).mean())

    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(read, starts))
    return {"seen": round(float(np.mean(seen)), 4), "levels": len(image.levels)}


def write(folder: Path, edge: int) -> dict[str, float]:
    truth = nuclei((FIELD, FIELD), 500, 24.0, seed=0)[1].astype(np.int32)
    labels = Fields(truth, edge, step=int(truth.max()))
    workflows.write_labels(folder / "labels.tif", Image(labels, "yx", geo=GEO))
    return {"file_mb": round((folder / "labels.tif").stat().st_size / 1e6, 1)}


def polygons(folder: Path, edge: int) -> dict[str, float]:
    found = workflows.write_polygons(folder / "labels.tif", folder / "labels.gpkg", overwrite=True)
    return {"polygons": len(found)}


def segment(folder: Path, edge: int) -> dict[str, float]:
    area = "0,0 0,2047 2047,2047 2047,0"
    found = workflows.segment(
        workflows.read_image(folder / "raster.tif"), output=folder / "found.ome.zarr", overwrite=True, diameter=24.0,
        region=workflows.read_region(area), device="cpu",
    )  # fmt: skip
    return {"objects": found.objects, "pixels": [int(n) for n in found.labels.shape]}


PARTS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "windows": windows, "write": write, "polygons": polygons, "segment": segment,
}  # fmt: skip


def timed(name: str, folder: Path, edge: int) -> dict[str, float]:
    idle, before = peak_memory(), time.perf_counter()
    found = PARTS[name](folder, edge)
    return found | {
        "seconds": round(time.perf_counter() - before, 1), "idle_mb": round(idle), "peak_mb": round(peak_memory()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=EDGE)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        before = time.perf_counter()
        prepare(Path(folder), given.edge)
        print(f"prepared in {time.perf_counter() - before:.0f} s", flush=True)
        for name in given.only:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows[name] = pool.apply(timed, (name, Path(folder), given.edge))
            print(name, rows[name], flush=True)
            if given.edge == EDGE:
                RESULTS.write_text(json.dumps({"edge": given.edge, "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
