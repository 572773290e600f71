"""How much do labels suffer from a bad picture? Fluorescence images of ``val``, spoiled in ways that microscopes know.

``python benchmarks/spoiled.py`` segments each with no object size given, as it is and spoiled, and pools the scores.
What is drawn at random is the same in every run. ``as it was`` is without what brings hot and dead pixels near those
around them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine
from nuclei_data import Field, fields
from scipy import ndimage

import napari_unet
from napari_unet import workflows
from napari_unet.core.axes import as_image
from napari_unet.metrics.matching import count, scores
from napari_unet.models.cards import find_model
from napari_unet.models.store import read_network, write_model

RESULTS = Path(__file__).parent / "results" / "spoiled.json"
Picture = np.ndarray[Any, Any]


def gray(picture: Picture) -> Picture:
    """Return 0 ... 1, the extremes cut off."""
    values = picture.astype(np.float64)
    values = values.mean(-1) if values.ndim == 3 else values
    low, high = np.percentile(values, (0.1, 99.9))
    return np.clip((values - low) / max(high - low, 1), 0, 1)


def eight(values: Picture) -> Picture:
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)


def camera(values: Picture) -> Picture:
    """Return counts of a camera of 16 bits whose brightest objects have 1100."""
    return (values * 1000 + 100).astype(np.uint16)


def hot(share: float, value: int, pair: bool = False) -> Callable[[Picture, np.random.Generator], Picture]:
    def spoil(values: Picture, rng: np.random.Generator) -> Picture:
        counts, where = camera(values), rng.random(values.shape) < share
        if pair:
            where |= np.roll(where, 1, axis=1)
        counts[where] = value
        return counts

    return spoil


def photons(most: float) -> Callable[[Picture, np.random.Generator], Picture]:
    return lambda values, rng: rng.poisson(values * most + most / 10).astype(np.uint16)


def uneven(values: Picture, rng: np.random.Generator) -> Picture:
    """Brighter in one corner than in the other, with light that is everywhere."""
    height, width = values.shape
    across = (np.linspace(0, 1, height)[:, None] + np.linspace(0, 1, width)[None]) / 2
    return eight((values * (1 - 0.6 * across) + 0.3 * across) / 1.3)


def stripes(values: Picture, rng: np.random.Generator) -> Picture:
    """Rows of a scan that differ in brightness."""
    counts = camera(values) * (1 + 0.08 * rng.normal(size=(len(values), 1)))
    return np.clip(counts, 0, 65535).astype(np.uint16)


def haze(values: Picture, rng: np.random.Generator) -> Picture:
    """Light from above and below, as without a pinhole."""
    return eight((values + 1.2 * ndimage.gaussian_filter(values, 25)) / 2.2)


SPOILED: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "as it is": lambda values, rng: eight(values),
    "hot pixels, 1 of 5000": hot(2e-4, 65535),
    "hot pixels, 1 of 1000": hot(1e-3, 65535),
    "hot pixels side by side": hot(3e-4, 65535, pair=True),
    "dead pixels, 1 of 1000": hot(1e-3, 0),
    "100 photons": photons(100),
    "20 photons": photons(20),
    "uneven light": uneven,
    "stripes": stripes,
    "haze": haze,
    "out of focus": lambda values, rng: eight(ndimage.gaussian_filter(values, 1.0)),
    "saturated": lambda values, rng: eight(np.clip(values * 2.5, 0, 1)),
    "dark on bright": lambda values, rng: eight(1 - values),
}


def spoiled(field: Field, kind: str) -> Field:
    values = gray(field.image)
    return replace(field, image=SPOILED[kind](values, np.random.default_rng(0)))


def pooled(model: str, chosen: list[Field]) -> dict[str, float]:
    """Segment fields and pool their scores."""
    total: Any = None
    for field in chosen:
        found = napari_unet.segment(as_image(field.image), model=model)
        one = count(field.labels, np.asarray(found.labels.data))
        total = one if total is None else total + one
    values = scores(total)
    return {name: round(values[name], 4) for name in ("AP50", "mAP")}


def main() -> None:
    """Print and store the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--split", default="val", choices=("val", "dev"))
    parser.add_argument("--kinds", nargs="*", default=list(SPOILED), choices=list(SPOILED))
    options = parser.parse_args()
    chosen = list(fields(options.split, ("fluo",)))
    folder = Path(tempfile.mkdtemp(), "blind")
    card = workflows.load_model(options.model).card
    plain = card.model_copy(update={"normalize": card.normalize.model_copy(update={"isolated": 0.0})})
    write_model(folder, plain, read_network(find_model(options.model), card))
    report: dict[str, Any] = {"machine": machine(), "images": len(chosen), "kinds": {}, "as it was": {}}
    for kind in options.kinds:
        images = [spoiled(field, kind) for field in chosen]
        report["kinds"][kind] = pooled(options.model, images)
        if "pixels" in kind:
            report["as it was"][kind] = pooled(str(folder), images)
        sys.stdout.write(f"{kind}: {report['kinds'][kind]} {report['as it was'].get(kind, '')}\n")
        sys.stdout.flush()
    if options.split == "val" and options.kinds == list(SPOILED):
        RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
