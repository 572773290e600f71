"""How right are objects in depth that are joined from the outlines in each plane? And how fast are they joined?

Volumes of nuclei with true 3D labels: QCANet's mouse embryos (Tokuoka et al. 2020), StarDist's example (Weigert et
al. 2020) and the nuclei of PlantSeg's tests (Vijayan et al. 2024). Found through ``NAPARI_UNET_DATA`` or
``../shared/data``.

- truth: the true labels are cut into planes, and what hangs together in a plane becomes an outline of its own, as if a
  network had drawn it without an error. What is joined again is compared with the truth, all volumes pooled; also with
  only every second, third and fourth plane kept, as where planes lie far apart. For comparison the same with a limit
  for the intersection over union in the place of the share of the smaller outline.
- model: the bundled model outlines the nuclei plane by plane, no object width given. ``planes`` are scores of the
  outlines in their planes, the others in 3D; ``apart`` is without joining.
- stacks: the three ways to find objects of a stack with the bundled model, no object width given: plane by plane and
  joined, in 3D from the scores of the planes, and in 3D from three sides, with every plane and only every second, third
  and fourth; which of them is taken by itself, and the processor time of each. How far apart planes lie is told: in the
  files of QCANet and PlantSeg it is not, so what makes the true nuclei round is taken.
- speed: two planes of 2048 x 2048 pixels with 2000 nuclei each, and the tables of 300 such planes; processor time.

Usage: ``python benchmarks/depth.py``, some minutes; with ``--only-stacks`` these alone, and the rest is kept.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from machine import machine
from scipy import ndimage
from skimage.io import imread

import napari_unet
from napari_unet.core.axes import as_image
from napari_unet.core.specs import SegmentSpec
from napari_unet.metrics.matching import Counts, count, scores
from napari_unet.samples.simulated import nuclei
from napari_unet.tiling.depth import Depth, areas, link, overlaps

RESULTS = Path(__file__).parent / "results" / "depth.json"
VOLUMES = {
    "qcanet_mouse_embryo_3d": ("8_cell_stage", "16_cell_stage"),
    "stardist_demo_2d3d": ("img3d",),
    # Not val_1137, whose image is noise: voxels side by side have nothing in common (correlation 0.001).
    "plantseg_ovules_3d": ("train_1135", "train_1136"),
}
SPACINGS = (1, 2, 3, 4)
UNITS = ("micrometer",) * 3
STEPS = {"8_cell_stage": 1.0, "16_cell_stage": 1.5, "img3d": 2.0, "train_1135": 1.5, "train_1136": 1.6}
LIMITS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

Labels = npt.NDArray[np.int32]
Pairs = Iterable[tuple[Labels, list[Labels]]]


def volumes() -> Iterator[tuple[str, npt.NDArray[Any], Labels]]:
    """Yield name, image and true labels (z, y, x) of every volume."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    root = Path(os.environ.get("NAPARI_UNET_DATA", default)) / "cells"
    for folder, names in VOLUMES.items():
        for name in names:
            image, truth = (imread(root / folder / kind / f"{name}.tif") for kind in ("images", "masks"))
            yield name, image, truth.astype(np.int32)


def outlines(truth: Labels) -> list[Labels]:
    """Cut true labels into planes in which every part that hangs together is an outline of its own."""
    found = []
    for plane in truth:
        parts = np.zeros(plane.shape, np.int32)
        for k in np.unique(plane[plane > 0]):
            own, _ = ndimage.label(plane == k)
            parts += np.where(own > 0, own + parts.max(), 0).astype(np.int32)
        found.append(numbered(parts))
    return found


def numbered(labels: Labels) -> Labels:
    """Number labels from 1 in the order of first pixels."""
    ids, first = np.unique(labels, return_index=True)
    order = ids[ids > 0][np.argsort(first[ids > 0])]
    new = np.zeros(labels.max() + 1, np.int32)
    new[order] = np.arange(1, len(order) + 1)
    return new[labels]


def share(rows: Any, sizes: tuple[Any, Any], limit: float) -> Any:
    """Link as the program does."""
    return link(rows, *sizes, limit)


def iou(rows: Any, sizes: tuple[Any, Any], limit: float) -> Any:
    """Link with a limit for the intersection over union."""
    union = sizes[0][rows[:, 0]] + sizes[1][rows[:, 1]] - rows[:, 2]
    return link(rows[rows[:, 2] / union >= limit], *sizes, 1e-9)


def joined(planes: list[Labels], limit: float, rule: Callable[..., Any] = share, cut: bool = True) -> Labels:
    """Join the outlines of a stack; a limit of 0 leaves planes apart. Without `cut`, chains stay whole."""
    depth, found = Depth([None, *range(len(planes) - 1)] if limit else [None] * len(planes)), []
    sizes = [areas(plane, int(plane.max())) for plane in planes]
    for k, plane in enumerate(planes):
        links = np.zeros(len(sizes[k]), np.int32)
        if k and limit:
            links = rule(overlaps(planes[k - 1], plane), (sizes[k - 1], sizes[k]), limit)
        links = depth.cut(k, links, sizes[k]) if cut else links
        found.append(depth.number(k, links, sizes[k])[plane])
    return np.stack(found)


def pooled(pairs: Pairs, limit: float, rule: Callable[..., Any] = share, cut: bool = True) -> dict[str, float]:
    """Join stacks, compare them with the truth, and pool their objects."""
    return shown(sum((count(truth, joined(planes, limit, rule, cut)) for truth, planes in pairs), Counts()))


def shown(total: Counts) -> dict[str, float]:
    """Say what is stored of the scores."""
    values = scores(total)
    facts = {"found": total.tp[0], "invented": total.fp[0], "missed": total.fn[0]}
    return {name: round(values[name], 4) for name in ("AP50", "mAP")} | facts


def by_model() -> tuple[dict[str, Any], list[tuple[Labels, list[Labels]]]]:
    """Let the bundled model outline all volumes."""
    facts, pairs = {}, []
    for name, image, truth in volumes():
        found = napari_unet.segment(as_image(image, "zyx"), link_z=0, stack="planes")
        planes = [numbered(plane) for plane in found.labels.data]
        pairs.append((truth, planes))
        facts[name] = {
            "nuclei": len(np.unique(truth[truth > 0])),
            "width": found.diameter,
            "planes": shown(sum((count(a, b) for a, b in zip(truth, planes, strict=True)), Counts())),
            "joined": pooled(pairs[-1:], SegmentSpec().link_z),
            "apart": pooled(pairs[-1:], 0),
        }
        sys.stderr.write(f"{name}: {facts[name]}\n")
    return facts, pairs


def by_kind() -> dict[str, Any]:
    """Find nuclei in every way, with fewer and fewer planes."""
    report: dict[str, Any] = {}
    for every in SPACINGS:
        for kind in ("planes", "volume", "sides", "auto"):
            total, seconds, each, taken = Counts(), time.process_time(), {}, {}
            for name, image, truth in volumes():
                scale = (STEPS[name] * every, 1.0, 1.0)
                kept = slice(every // 2, None, every)
                found = napari_unet.segment(as_image(image[kept], "zyx", scale=scale, units=UNITS), stack=kind)
                one = count(truth[kept], np.asarray(found.labels.data))
                each[name], total = shown(one)["AP50"], total + one
                taken[name] = found.manifest.get("averaged", {}).get("stack", "planes")
            seconds = time.process_time() - seconds
            one_way = {**shown(total), "seconds": round(seconds, 1), "volumes": each}
            report.setdefault(str(every), {})[kind] = one_way | ({"taken": taken} if kind == "auto" else {})
            sys.stderr.write(f"every {every}, {kind}: {one_way}\n")
    return report


def spent(job: Callable[[], Any], runs: int = 9) -> float:
    """Return the processor time of a job, median of some runs after one that is not counted."""
    times = []
    for _ in range(runs + 1):
        start = time.process_time()
        job()
        times.append(time.process_time() - start)
    return median(times[1:])


def speed() -> dict[str, float]:
    """Time counting and linking."""
    _, labels = nuclei((2048, 2048), 2000, 30.0, seed=0)
    upper = labels.astype(np.int32)
    lower, top = np.roll(upper, 3, 1), int(upper.max())
    rows, sizes = overlaps(upper, lower), (areas(upper, top), areas(lower, top))

    def stack() -> None:
        depth = Depth([None, *range(299)])
        for k in range(300):
            links = link(rows, *sizes, 0.7) if k else np.zeros(top + 1, np.int32)
            depth.number(k, depth.cut(k, links, sizes[1]), sizes[1])

    return {
        "overlaps_megapixels_per_second": round(upper.size / 1e6 / spent(partial(overlaps, upper, lower))),
        "areas_megapixels_per_second": round(upper.size / 1e6 / spent(partial(areas, upper, top))),
        "link_300_planes_seconds": round(spent(stack), 4),
    }


def main() -> None:
    """Measure, choose, store."""
    if "--only-stacks" in sys.argv[1:]:
        report = json.loads(RESULTS.read_text()) | {"stacks": by_kind()}
        RESULTS.write_text(json.dumps(report, indent=1) + "\n")
        return
    cut = {n: [(truth[::n], outlines(truth[::n])) for _, _, truth in volumes()] for n in SPACINGS}
    truth = {
        rule.__name__: {str(n): {str(x): pooled(cut[n], x, rule) for x in LIMITS} for n in SPACINGS}
        for rule in (share, iou)
    }
    facts, pairs = by_model()
    limit = SegmentSpec().link_z
    planes = (pair for expected, found in pairs for pair in zip(expected, found, strict=True))
    model = {rule.__name__: {str(x): pooled(pairs, x, rule) for x in LIMITS} for rule in (share, iou)}
    report = {
        "machine": machine(),
        "volumes": len(facts),
        "nuclei": sum(one["nuclei"] for one in facts.values()),
        "default_percent": round(100 * limit),
        "truth": truth,
        "whole chains": {
            "truth": {str(n): pooled(cut[n], limit, cut=False) for n in SPACINGS},
            "model": pooled(pairs, limit, cut=False),
        },
        "model": {
            "volumes": facts,
            "planes": shown(sum(itertools.starmap(count, planes), Counts())),
            "apart": pooled(pairs, 0),
            **model,
        },
        "stacks": by_kind(),
        "speed": speed(),
    }
    text = json.dumps(report, indent=1)
    sys.stdout.write(text + "\n")
    RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
