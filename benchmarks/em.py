"""Membranes in electron microscopy, from scratch, with and without elastic deformation: what the 2015 paper argued for.

Data: the annotated slices of the ISBI 2012 challenge (Arganda-Carreras et al. 2015; Cardona et al. 2010), 512 x 512
pixels, found through ``NAPARI_UNET_DATA`` or ``../shared/data``. The last five of those at hand are judged, the others
learned from: neighboring slices of one stack, as in the challenge. The threshold is chosen on slices that are learned
from. Reported are the error of pixels, and of the cells between the membranes the Rand error (one minus V_rand) and the
variation of information (skimage.metrics), pixels of the true membrane left out.

``python benchmarks/em.py --minutes 15`` trains each of the two for so long; a run that was stopped goes on, a finished
one is not done again unless ``--again``. Only a quiet machine tells the truth.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from peers_cells import machine
from scipy import ndimage
from skimage.io import imread
from skimage.metrics import adapted_rand_error, variation_of_information

from napari_unet.core.specs import AugmentSpec, NetSpec, TargetSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.training.fit import fit
from napari_unet.training.patches import Pair, make_pair

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "em.json"
VARIANTS = {"elastic": 10.0, "rigid": 0.0}
JUDGED = 5
THRESHOLDS = np.linspace(0.1, 0.7, 13)
DIAMETER = 24.0  # membranes have no size: slices are learned from as large as they are

Floats = npt.NDArray[np.float32]
Membrane = npt.NDArray[np.bool_]


def slices() -> list[tuple[Floats, Membrane]]:
    """Return images, 0 to 1, and where their membranes are."""
    default = HERE.parents[1] / "shared" / "data"
    root = Path(os.environ.get("NAPARI_UNET_DATA", default)) / "cells" / "isbi2012_em"
    files = sorted((root / "images").glob("*.png"))
    return [(imread(f).astype(np.float32) / 255, imread(root / "masks" / f"{f.stem}.tif") > 0) for f in files]


def pair_of(image: Floats, membrane: Membrane, name: str) -> Pair:
    """Prepare a slice; the objects are its membranes."""
    pair = make_pair(image[None], membrane.astype(np.int32), name)
    return replace(pair, diameter=DIAMETER, sizes=np.zeros_like(pair.sizes))


def spec_of(elastic: float, minutes: float) -> TrainSpec:
    """Return the settings, the same but for the deformation."""
    augment = AugmentSpec(elastic=elastic, wide_fraction=0, scale_jitter=0.1, invert=0, blur=1, noise=0.05)
    return TrainSpec(
        net=NetSpec(inputs=1, widths=(16, 32, 64, 128)), target=TargetSpec(name="foreground"), augment=augment,
        normalise={"kind": "none"}, diameter=DIAMETER, foreground=0, loss="cross-entropy", batch=4, patch=256,
        minutes=minutes, steps=1_000_000, every=50,
    )  # fmt: skip


def judge(scores: Floats, membrane: Membrane, threshold: float) -> dict[str, float]:
    """Compare one slice."""
    found = scores > threshold
    cells, parts = ndimage.label(~membrane)[0], ndimage.label(~found)[0]
    error, _, _ = adapted_rand_error(cells, parts, ignore_labels=(0,))
    split, merged = variation_of_information(cells, parts, ignore_labels=(0,))
    return {
        "pixel_error": float((found != membrane).mean()), "rand_error": float(error), "vi_split": float(split),
        "vi_merge": float(merged),
    }  # fmt: skip


def means(scores: list[Floats], truth: list[Membrane], threshold: float) -> dict[str, float]:
    """Return the means over slices."""
    rows = [judge(s, t, threshold) for s, t in zip(scores, truth, strict=True)]
    return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}


def measure(name: str, minutes: float, runs: Path) -> dict[str, Any]:
    """Train one of the two and judge it."""
    data = slices()
    learned, judged = data[:-JUDGED], data[-JUDGED:]
    pairs = [pair_of(image, membrane, f"slice {i}") for i, (image, membrane) in enumerate(learned)]
    folder, last = runs / name, 0

    def note(progress: Any) -> None:
        nonlocal last
        last = max(last, progress.payload.step if progress.payload else 0)

    network = finish(fit(pairs, spec_of(VARIANTS[name], minutes), folder), note)

    def predict(image: Floats) -> Floats:
        with torch.inference_mode():
            scores: Floats = network(torch.from_numpy(image)[None, None])[0, 0].sigmoid().numpy()
        return scores

    train = [(predict(image), membrane) for image, membrane in learned[::4]]
    errors = {float(t): means([s for s, _ in train], [m for _, m in train], t)["rand_error"] for t in THRESHOLDS}
    best = min(errors, key=lambda t: errors[t])
    found = means([predict(image) for image, _ in judged], [m for _, m in judged], best)
    shutil.rmtree(folder, ignore_errors=True)
    return found | {"threshold": round(best, 3), "minutes": minutes, "steps": last, "slices": len(learned)}


def main() -> None:
    """Measure both and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    result: Path = arguments.result
    found: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {}
    for name in VARIANTS:
        key = f"{name} {arguments.minutes:g}"
        if key not in found or arguments.again:
            runs = result.with_suffix(f".{arguments.minutes:g}.runs")
            found[key] = measure(name, arguments.minutes, runs) | {"machine": machine()}
            result.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
