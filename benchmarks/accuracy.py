"""How right are the labels of the bundled model? Pooled scores on the ``val`` images, no object size given.

``python benchmarks/accuracy.py`` prints AP50 and mean AP(0.5:0.95) for each kind of image, for the fluorescence
images resized by 0.4 to 4, and for every sixth of those it learned from. Objects are pooled over images:
AP = tp / (tp + fp + fn).

``from 8 pixels`` is that of fluorescence images without what is narrower (diameter of a circle of the same area), as in
the ranges of area of COCO: a narrower true object is not missed and what is found there is not counted, nor is anything
narrower that is found elsewhere. Specks of dirt are annotated in some places, and in others they are not.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine
from nuclei_data import MODALITIES, Field, fields
from skimage.transform import resize

import napari_unet
from napari_unet import workflows
from napari_unet.core.axes import as_image
from napari_unet.core.specs import SegmentSpec
from napari_unet.metrics.matching import count, scores
from napari_unet.models.segment import plan_run
from napari_unet.tiling.stream import score_plane

RESULTS = Path(__file__).parent / "results" / "accuracy.json"
LIMITS = np.arange(0.5, 1.0, 0.05)
SHOWN = ("AP50", "AP75", "mAP", "F1_50", "PQ")


def stored_scores(field: Field, model: str, diameter: float | None = None) -> tuple[Any, float]:
    """Return the uint8 scores of a field and the object size that the program measured."""
    image = as_image(field.image)
    loaded = workflows.load_model(model)
    plan, size = plan_run(image, SegmentSpec(model=model, diameter=diameter), loaded)
    plane = image.planes(2)[0]
    stored = np.zeros((plan.outputs, *plane.shape), np.uint8)
    for _ in score_plane(plane, plan, loaded.predict, stored):
        pass
    return stored, size


def resized(field: Field, factor: float) -> Field:
    """Return the field enlarged or shrunk; labels by nearest neighbour."""
    shape = tuple(max(1, round(n * factor)) for n in field.labels.shape)
    image = resize(
        field.image, (*shape, *field.image.shape[2:]), order=1, anti_aliasing=factor < 1, preserve_range=True
    )
    labels = resize(field.labels, shape, order=0, anti_aliasing=False, preserve_range=True)
    return replace(field, image=np.rint(image).astype(np.uint8), labels=labels.astype(np.int32))


def pooled(model: str, chosen: list[Field], known_size: bool = False) -> dict[str, float]:
    """Segment fields and pool their scores."""
    total, error = None, []
    for field in chosen:
        given = field.diameter if known_size and field.diameter else None
        found = napari_unet.segment(as_image(field.image), model=model, diameter=given)
        one = count(field.labels, found.labels.data)
        total = one if total is None else total + one
        if field.diameter:
            error.append(abs(np.log2(found.diameter / field.diameter)))
    if total is None:
        return {}
    values = scores(total)
    return {name: round(values[name], 4) for name in SHOWN} | {
        "images": len(chosen),
        "size_error_octaves": round(float(np.median(error)), 3) if error else 0.0,
    }


def wide(field: Field, found: np.ndarray, least: float) -> np.ndarray:
    """Return pairs, true and found objects above each limit of IoU, of those that are at least so wide: (10, 3)."""
    true, there = np.bincount(field.labels.ravel()), np.bincount(found.ravel())
    pairs, both = np.unique(np.stack([field.labels.ravel(), found.ravel()]), axis=1, return_counts=True)
    solid = (pairs > 0).all(0)
    (one, other), both = pairs[:, solid], both[solid]
    iou = both / (true[one] + there[other] - both)
    narrow_true, narrow_found = (np.sqrt(area * 4 / np.pi) < least for area in (true, there))
    rows = []
    for limit in LIMITS:
        met = iou > limit  # above a half at most one partner
        counted = met & ~narrow_true[one]
        missed = (true[1:] > 0) & ~narrow_true[1:] & ~np.isin(np.arange(1, len(true)), one[met])
        wrong = (there[1:] > 0) & ~narrow_found[1:] & ~np.isin(np.arange(1, len(there)), other[met])
        rows.append((counted.sum(), counted.sum() + missed.sum(), counted.sum() + wrong.sum()))
    return np.array(rows)


def without_specks(model: str, chosen: list[Field]) -> dict[str, Any]:
    """Return the scores of all objects, and of those that are at least 8 pixels wide, on the same machine."""
    found = [np.asarray(napari_unet.segment(as_image(f.image), model=model).labels.data) for f in chosen]
    report: dict[str, Any] = {"machine": machine()}
    for name, least in (("all", 0.0), ("wide", 8.0)):
        right, true, said = sum(wide(f, labels, least) for f, labels in zip(chosen, found, strict=True)).T
        shares = right / (true + said - right)
        report[name] = {
            "AP50": round(float(shares[0]), 4), "mAP": round(float(shares.mean()), 4), "objects": int(true[0])
        }  # fmt: skip
    return report


def by_modality(model: str, split: str = "val") -> dict[str, dict[str, float]]:
    """Return the scores of every kind of image."""
    return {m: pooled(model, list(fields(split, (m,)))) for m in MODALITIES}


def main() -> None:
    """Print and store the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--split", default="val", choices=("val", "dev"))
    parser.add_argument("--only", choices=("from 8 pixels",), help="measure this alone, and keep the others")
    parser.add_argument("--scales", type=float, nargs="*", default=[0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0])
    options = parser.parse_args()
    chosen = list(fields(options.split, ("fluo",)))
    if options.only:
        report = json.loads(RESULTS.read_text()) | {options.only: without_specks(options.model, chosen)}
    else:
        report = everything(options, chosen)
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    if options.split == "val":
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(report, indent=1) + "\n")


def everything(options: argparse.Namespace, chosen: list[Field]) -> dict[str, Any]:
    """Measure all that there is to measure."""
    report: dict[str, Any] = {"modalities": by_modality(options.model, options.split), "scales": {}}
    report["size given"] = pooled(options.model, chosen, known_size=True)
    report["from 8 pixels"] = without_specks(options.model, chosen)
    report["learned from"] = pooled(options.model, list(islice(fields("train", ("fluo",)), 0, None, 6)))
    for scale in options.scales:
        report["scales"][str(scale)] = pooled(options.model, [resized(f, scale) for f in chosen])
    return report


if __name__ == "__main__":
    main()
