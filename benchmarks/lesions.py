"""How exact measures of lesions are on solids whose measures are known, and how long a full-body volume takes.

Ellipsoids of many sizes, turns and places, on grids of voxels of 1 mm and of 3 x 1 x 1 mm. The speed is that of 200
lesions in 400 x 512 x 512 voxels, on one core.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import numpy as np
from scipy.special import elliprg
from skimage.measure import marching_cubes, mesh_surface_area

from napari_unet.core.axes import Image
from napari_unet.measures.lesions import measure

RESULT = Path(__file__).resolve().parent / "results" / "lesions.json"
UNITS = ("millimeter",) * 3
SPACINGS = {"1 mm": (1.0, 1.0, 1.0), "3 x 1 x 1 mm": (3.0, 1.0, 1.0)}
COUNT = 60


def ellipsoid(radii, turned, shift, spacing):
    """Draw an ellipsoid in a box of its own."""
    half = [math.ceil((max(radii) + 3) / step) for step in spacing]
    places = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in half), indexing="ij"), -1) * spacing
    return Image(((((places - shift) @ turned / radii) ** 2).sum(-1) <= 1).astype(np.int32), "zyx", spacing, UNITS)


def surface(radii):
    """Return the surface of an ellipsoid by Carlson's integral (DLMF 19.33.2)."""
    a, b, c = radii
    return 4 * math.pi * elliprg(a * a * b * b, a * a * c * c, b * b * c * c)


def exactness(spacing):
    """Compare with the formulas; errors in percent, of diameters in pixels."""
    rng = np.random.default_rng(0)
    errors = {name: [] for name in ("volume", "surface", "surface_by_mesh", "longest", "short")}
    for _ in range(COUNT):
        radii, shift = rng.uniform(8, 30, 3), rng.uniform(-0.5, 0.5, 3) * spacing
        angle = rng.uniform(0, np.pi)
        flat = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
        free = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        # Turned in the axial plane the diameters are twice the radii in it; turned freely volume and surface stay.
        row = measure(ellipsoid(radii, flat, (0, *shift[1:]), spacing))
        long, short = sorted(2 * radii[1:], reverse=True)
        errors["longest"].append(row["longest_diameter"][0] - long)
        errors["short"].append(row["short_diameter"][0] - short)
        labels = ellipsoid(radii, free, shift, spacing)
        row, true = measure(labels), surface(radii)
        errors["volume"].append(100 * (row["volume"][0] / (4 / 3 * math.pi * math.prod(radii)) - 1))
        errors["surface"].append(100 * (row["surface"][0] / true - 1))
        mesh = marching_cubes(np.pad(labels.data, 1).astype(np.float32), 0.5, spacing=spacing)[:2]
        errors["surface_by_mesh"].append(100 * (mesh_surface_area(*mesh) / true - 1))
    return {
        name: {"mean": round(float(np.mean(v)), 3), "largest": round(float(np.abs(v).max()), 3)}
        for name, v in errors.items()
    }


def speed():
    """Time 200 balls in a volume of 400 x 512 x 512 voxels with intensities; the second of two runs counts."""
    rng, spacing, shape = np.random.default_rng(0), (1.5, 0.8, 0.8), (400, 512, 512)
    labels = np.zeros(shape, np.int32)
    for index in range(1, 201):
        radius, center = rng.uniform(4, 40), rng.uniform(0, 1, 3) * shape * spacing
        low = np.maximum((center - radius) / spacing, 0).astype(int)
        high = np.minimum((center + radius) / spacing + 2, shape).astype(int)
        grid = np.meshgrid(*(np.arange(a, b) * s for a, b, s in zip(low, high, spacing, strict=True)), indexing="ij")
        inside = sum((g - c) ** 2 for g, c in zip(grid, center, strict=True)) <= radius**2
        labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))][inside] = index
    place = {"axes": "zyx", "scale": spacing, "units": UNITS}
    image, seconds = Image(rng.integers(0, 1000, shape, np.int16), **place), 0.0
    for _ in range(2):
        start = time.process_time()
        count = len(measure(Image(labels, **place), image)["index"])
        seconds = time.process_time() - start
    return {"lesions": count, "voxels": labels.size, "seconds": round(seconds)}


def main():
    report = {"ellipsoids": COUNT} | {name: exactness(spacing) for name, spacing in SPACINGS.items()}
    report["speed"] = speed()
    RESULT.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
