"""Does it help to average over mirrored and rotated views? AP50, mean AP and time, on the ``dev`` images.

``python benchmarks/averaging.py`` segments every image in three ways, one after the other, so that whatever else the
machine does slows all of them alike. Objects are pooled over images, no object size is given. ``--images 3`` looks at
the first three of each kind only, and stores nothing unless ``--output`` says where.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from nuclei_data import MODALITIES, fields

import napari_unet
from napari_unet.core.axes import as_image
from napari_unet.metrics.matching import Counts, count, scores

RESULTS = Path(__file__).parent / "results" / "averaging.json"
WAYS = {"none": 1, "flips": 4, "rotations": 8}


def compare(model: str, split: str, modality: str, images: int | None) -> dict[str, dict[str, Any]]:
    """Return the counts and seconds of every way, pooled over the images of a kind."""
    found = {way: {"counts": Counts(), "seconds": 0.0, "images": 0} for way in WAYS}
    for field in itertools.islice(fields(split, (modality,)), images):
        for way, one in found.items():
            result = napari_unet.segment(as_image(field.image), model=model, average=way)
            one["counts"] = one["counts"] + count(field.labels, result.labels.data)
            one["seconds"] += result.seconds
            one["images"] += 1
    return found


def summary(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the scores of every way, and how many times as long it took as none."""
    plain = found["none"]["seconds"]
    report = {}
    for way, one in found.items():
        values = scores(one["counts"])
        report[way] = {
            "AP50": round(values["AP50"], 4), "mAP": round(values["mAP"], 4), "images": one["images"],
            "seconds": round(one["seconds"], 2), "times_as_long": round(one["seconds"] / plain, 2) if plain else 0.0,
        }  # fmt: skip
    return report


def pooled(parts: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Add what was found in several kinds of image."""
    total = {way: {"counts": Counts(), "seconds": 0.0, "images": 0} for way in WAYS}
    for part, (way, one) in itertools.product(parts, total.items()):
        for key in one:
            one[key] = one[key] + part[way][key]
    return total


def main() -> None:
    """Compare, print, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--split", default="dev", choices=("dev", "val"))
    parser.add_argument("--images", type=int)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    # What is compiled or loaded once is not measured.
    warm = next(fields(options.split, MODALITIES[:1]))
    napari_unet.segment(as_image(warm.image), model=options.model, average="flips")
    parts = {m: compare(options.model, options.split, m, options.images) for m in MODALITIES}
    report: dict[str, Any] = {
        "split": options.split, "sha256": napari_unet.load_model(options.model).card.sha256, "views": WAYS,
        "all": summary(pooled(list(parts.values()))), "modalities": {m: summary(part) for m, part in parts.items()},
    }  # fmt: skip
    text = json.dumps(report, indent=1) + "\n"
    sys.stdout.write(text)
    place = options.output or (None if options.images or options.split != "dev" else RESULTS)
    if place:
        place.parent.mkdir(exist_ok=True, parents=True)
        place.write_text(text)


if __name__ == "__main__":
    main()
