"""Fine-tuning with a few images of one kind: what the bundled model scores before and after, on other images of it.

A kind is a modality and a size of BBBC038 (``nuclei_data.py``): images of one source. The first images of a kind, in
the order of their names, are learned from, all others of the same split are judged; the bundled model has seen none of
them. Two kinds more are of another world: simulated bacteria in phase contrast (``_rods.py``), ten of which are judged,
and cells between the membranes of electron microscopy (ISBI 2012, 512 x 512 pixels; slices of one stack, of which the
first are learned from).
``napari-unet train FOLDER --start nuclei --minutes 2`` is done with its defaults, nothing held out.

``python benchmarks/finetune.py`` does the kinds with enough images; ``--kinds "fluo 520x696"`` some of them. What the
program does when it fine-tunes was chosen with ``--split dev`` and the simulated pictures of ``_rods.py``
(``first_five_minutes.py --parts loop``); ``val`` is for reporting only. ``--settings '{"rate": 0.002, "frozen": 0}'``
gives settings by name, to compare.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from _rods import rods
from em import slices
from machine import machine
from nuclei_data import MODALITIES, Field, fields
from skimage.measure import label
from skimage.segmentation import relabel_sequential
from tifffile import imwrite

from napari_unet import workflows
from napari_unet.core.specs import TrainSpec
from napari_unet.metrics.matching import count, scores

RESULT = Path(__file__).resolve().parent / "results" / "finetune.json"
MODEL = "nuclei"
LEARNED = 3  # images
OTHER = "simulated bacteria"
EM = "cells in electron microscopy"
LEAST = 100  # pixels of a cell between membranes; smaller ones are spots between their lines
FIRST, JUDGED = 100, 10  # seed and number of the simulated pictures


def kinds(split: str, learned: int) -> dict[str, list[Field]]:
    """Return the images of a split by their kind, where more are left to judge than are learned from."""
    found: dict[str, list[Field]] = defaultdict(list)
    for field in fields(split, MODALITIES):
        height, width = field.labels.shape
        found[f"{field.modality} {height}x{width}"].append(field)
    enough = {kind: sorted(each, key=lambda one: one.id) for kind, each in found.items() if len(each) >= 2 * learned}
    seeds = range(FIRST, FIRST + learned + JUDGED)
    return enough | {OTHER: [Field(f"rods-{seed}", OTHER, *rods(seed)) for seed in seeds], EM: between_membranes()}


def between_membranes() -> list[Field]:
    """Return the slices of ISBI 2012, each cell an object: what is between its membranes and is no spot."""
    found = []
    for number, (image, membrane) in enumerate(slices()):
        cells = label(~membrane, connectivity=1)
        sizes = np.bincount(cells.ravel())
        kept = np.where(sizes < LEAST, 0, np.arange(len(sizes)))[cells]
        labels = relabel_sequential(kept)[0].astype(np.int32)
        found.append(Field(f"em-{number:02d}", EM, np.round(255 * image).astype(np.uint8), labels))
    return found


def judged(images: list[Field], model: str) -> dict[str, float]:
    """Segment images as a user would and pool their scores."""
    counts = []
    for one in images:
        found = np.asarray(workflows.segment(one.image, model=model).labels.data)
        counts.append(count(np.ascontiguousarray(one.labels), np.ascontiguousarray(found)))
    pooled = scores(sum(counts[1:], counts[0]))
    return {name: round(float(pooled[name]), 3) for name in ("AP50", "mAP")}


def tune(images: list[Field], learned: int, spec: TrainSpec) -> dict[str, Any]:
    """Fine-tune on the first images and judge the others with both models."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_UNET_MODELS"] = home
        table = Path(home) / "data.csv"
        with table.open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(("image", "labels"))
            for one in images[:learned]:
                imwrite(Path(home) / f"{one.id}.tif", one.image)
                imwrite(Path(home) / f"{one.id}-labels.tif", one.labels)
                rows.writerow((f"{one.id}.tif", f"{one.id}-labels.tif"))
        said: list[str] = []
        at = time.monotonic()
        folder = workflows.train(table, spec, show=lambda p: said.append(p.news) if p.news else None)
        seconds = time.monotonic() - at
        card = json.loads((folder / "card.json").read_text())["training"]
        settings = {name: card["settings"][name] for name in ("rate", "frozen", "warmup", "batch", "patch")}
        return {
            "learned from": learned, "judged": len(images) - learned, "minutes": spec.minutes,
            "seconds": round(seconds), "steps": card["steps"],
            "before": judged(images[learned:], MODEL), "after": judged(images[learned:], str(folder)),
            "settings": settings, "said": said[-1],
        }  # fmt: skip


def main() -> None:
    """Fine-tune for each kind that is wanted and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=(), help=f"such as 'fluo 520x696' or '{EM}'; default: all")
    parser.add_argument("--split", choices=("dev", "val"), default="val")
    parser.add_argument("--learned", type=int, default=LEARNED, help="images")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--settings", type=json.loads, default={}, help="of TrainSpec, as JSON")
    parser.add_argument("--result", type=Path, default=RESULT)
    wish = parser.parse_args()
    given = {"name": "tuned", "start": MODEL, "minutes": wish.minutes, "steps": 1_000_000, "threads": wish.threads}
    spec = TrainSpec.of(**(given | wish.settings))
    found: dict[str, Any] = json.loads(wish.result.read_text()) if wish.result.exists() else {}
    for kind, images in kinds(wish.split, wish.learned).items():
        if wish.kinds and kind not in wish.kinds:
            continue
        load = round(os.getloadavg()[0], 1)
        told = tune(images, wish.learned, spec)
        found[kind] = told | {"machine": machine(), "load before": load, "threads": wish.threads, "split": wish.split}
        wish.result.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        sys.stdout.write(json.dumps({kind: told}, indent=1) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
