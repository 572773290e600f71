"""Membranes in electron microscopy, from scratch, with and without elastic deformation: what the 2015 paper argued for.

Data: the annotated slices of the ISBI 2012 challenge (Arganda-Carreras et al. 2015; Cardona et al. 2010), 512 x 512
pixels, found through ``NAPARI_UNET_DATA`` or ``../shared/data``. The last five of those at hand are judged, the first
``--slices`` learned from: the fewer, the more deformation has to stand in for images that nobody has annotated. The
threshold is chosen on slices that are learned from. Reported are the error of pixels, and of the cells between the
membranes the Rand error (one minus V_rand) and the variation of information (skimage.metrics), pixels of the true
membrane left out; ``curve`` has the errors on the way, at a threshold of 0.5.

``python benchmarks/em.py --slices 2 --steps 1500`` trains both as many steps, which a busy machine does not change; or
give ``--minutes``. A run that was stopped goes on, a finished one is not done again unless ``--again``; ``--variants``
does a part of it. The picture for the manual is drawn from all results that there are.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from _chart import draw_lines
from machine import machine
from scipy import ndimage
from skimage.io import imread
from skimage.metrics import adapted_rand_error, variation_of_information

from napari_unet.core.specs import AugmentSpec, NetSpec, TargetSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.training.course import Around
from napari_unet.training.fit import fit
from napari_unet.training.patches import Pair, make_pair

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "em.json"
VARIANTS = {"elastic": 10.0, "rigid": 0.0}
JUDGED = 5
PICTURE = HERE.parent / "docs" / "images" / "elastic.svg"
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


def spec_of(elastic: float, length: dict[str, Any]) -> TrainSpec:
    """Return the settings, the same but for the deformation."""
    augment = AugmentSpec(elastic=elastic, wide_fraction=0, scale_jitter=0.1, invert=0, blur=1, noise=0.05)
    return TrainSpec(
        net=NetSpec(inputs=1, widths=(16, 32, 64, 128)), target=TargetSpec(name="foreground"), augment=augment,
        normalize={"kind": "none"}, diameter=DIAMETER, foreground=0, loss="cross-entropy", batch=4, patch=128,
        every=100, threads=1, **length,
    )  # fmt: skip


class Look:
    """Notes the errors on the judged slices on the way; nothing is chosen by them."""

    def __init__(self, slices: list[tuple[Floats, Membrane]]) -> None:
        self.images, self.truth = zip(*slices, strict=True)

    def report(self, network: torch.nn.Module, between: int) -> tuple[dict[str, float], tuple[Path, ...]]:
        """Return the errors of the averaged weights."""
        still = copy.deepcopy(network).eval()
        return means([predict(still, image) for image in self.images], list(self.truth), 0.5), ()

    def score(self, validation: dict[str, float]) -> float | None:
        """Return nothing: the last weights count."""

    def glance(self, network: torch.nn.Module, seconds: float) -> Path | None:
        """Return nothing: there is no picture that is watched."""


def predict(network: torch.nn.Module, image: Floats) -> Floats:
    """Return where a network sees membranes, 0 to 1."""
    with torch.inference_mode():
        scores: Floats = network(torch.from_numpy(image)[None, None])[0, 0].sigmoid().numpy()
    return scores


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


def measure(name: str, length: dict[str, Any], count: int, folder: Path) -> dict[str, Any]:
    """Train one of the two and judge it."""
    data = slices()
    learned, judged = data[:-JUDGED][:count], data[-JUDGED:]
    pairs = [pair_of(image, membrane, f"slice {i}") for i, (image, membrane) in enumerate(learned)]
    around = Around(look=Look(judged))
    torch.set_num_threads(1)
    network = finish(fit(pairs, spec_of(VARIANTS[name], length), folder, around=around))
    train = [(predict(network, image), membrane) for image, membrane in learned[:5]]
    errors = {float(t): means([s for s, _ in train], [m for _, m in train], t)["rand_error"] for t in THRESHOLDS}
    best = min(errors, key=lambda t: errors[t])
    found = means([predict(network, image) for image, _ in judged], [m for _, m in judged], best)
    rows = around.history.rows if around.history else []
    curve = [[row["step"], *(row[f"validation {kind}"] for kind in ("rand_error", "pixel_error"))] for row in rows]
    shutil.rmtree(folder, ignore_errors=True)
    told = {"threshold": round(best, 3), "steps": around.steps, "slices": len(learned), "curve": curve}
    return found | told | {"seconds": round(rows[-1]["seconds"]), "load": round(os.getloadavg()[0], 1)}


def main() -> None:
    """Measure both and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--minutes", type=float, help="train for so long instead")
    parser.add_argument("--slices", type=int, default=2)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--result", type=Path, default=RESULT)
    wish = parser.parse_args()
    how = {"steps": wish.steps} if wish.minutes is None else {"minutes": wish.minutes, "steps": 1_000_000}
    length = f"{wish.steps} steps" if wish.minutes is None else f"{wish.minutes:g} minutes"
    result: Path = wish.result
    found: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {}
    cell = found.setdefault(f"{wish.slices} slices, {length}", {})
    for name in wish.variants:
        if name not in cell or wish.again:
            folder = result.with_suffix(".runs") / f"{name} {wish.slices} {length}"
            cell[name] = measure(name, how, wish.slices, folder) | {"machine": machine()}
            result.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    if len(cell) == len(VARIANTS) and result == RESULT:
        lines = {name: [(step, rand) for step, rand, _ in cell[name]["curve"]] for name in VARIANTS}
        draw_lines(PICTURE, lines, ("steps", "Rand error"))


if __name__ == "__main__":
    main()
