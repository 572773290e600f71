"""Do the border weights of the 2015 paper keep touching nuclei apart? The same network with and without them.

Learned from are the fluorescence images of ``train`` (see ``nuclei_data.py``), judged the validation images in which
nuclei touch, all brought to the canonical width by their true objects. The representation is the foreground alone, as
in 2015: objects are what hangs together. Contenders: cross-entropy with the weight map (equation 2), plain
cross-entropy, and cross-entropy with the weight of the class alone. Reported are AP50, AP75 and the share of touching
nuclei that were found.

``python benchmarks/border.py --minutes 15`` trains each for so long; a run that was stopped goes on, a finished one is
not done again unless ``--again``. Only a quiet machine tells the truth.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from nuclei_data import Field, fields
from peers_cells import machine
from skimage.transform import resize
from torch.nn import functional
from training_data import pairs_of

from napari_unet.core.specs import NetSpec, TargetSpec, TrainSpec, load_task
from napari_unet.core.steps import finish
from napari_unet.metrics.matching import Counts, count, scores
from napari_unet.targets import target
from napari_unet.targets._fields import touching
from napari_unet.training.fit import fit

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "border.json"
VARIANTS: dict[str, dict[str, Any]] = {
    "border": {"loss": "border"},
    "plain": {"loss": "cross-entropy"},
    "balanced": {"loss": "cross-entropy", "balance": True},
}
DIAMETER, STEP = 24.0, 16


def spec_of(name: str, minutes: float) -> TrainSpec:
    """Return the settings, the same but for the loss."""
    how = TrainSpec(
        net=NetSpec(inputs=1, widths=(16, 32, 64, 128, 256)), target=TargetSpec(name="foreground"), diameter=DIAMETER,
        batch=4, patch=256, minutes=minutes, steps=1_000_000, every=50, **VARIANTS[name],
    )  # fmt: skip
    return how.filled(load_task("cell"))


def judged() -> Iterator[Field]:
    """Yield validation images in which nuclei touch."""
    for field in fields("val", ("fluo",)):
        if field.diameter and touching(field.labels).any():
            yield field


def predict(network: torch.nn.Module, field: Field) -> npt.NDArray[np.int32]:
    """Find the nuclei of an image at the canonical width."""
    image = field.image.astype(np.float32)
    image = image if image.ndim == 2 else image.mean(-1)
    low, high = np.percentile(image, (1.0, 99.8))
    shape = tuple(max(STEP, round(n * DIAMETER / field.diameter)) for n in image.shape)
    scaled = resize((image - low) / max(high - low, 1e-6), shape, anti_aliasing=True)
    small = torch.from_numpy(scaled.astype(np.float32))
    bottom, right = (-n % STEP for n in shape)
    padded = functional.pad(small[None, None].clamp(-1, 4), (0, right, 0, bottom), mode="replicate")
    with torch.inference_mode():
        found = network(padded)[0, :1, : shape[0], : shape[1]].sigmoid().numpy()
    stored = np.round(255 * found).astype(np.uint8)
    labels = target("foreground").decode(stored, TargetSpec(name="foreground"), 0.05 * np.pi / 4 * DIAMETER**2)
    restored: npt.NDArray[np.int32] = resize(labels, image.shape, order=0, preserve_range=True, anti_aliasing=False)
    return restored.astype(np.int32)


def found_of_touching(truth: npt.NDArray[np.int32], labels: npt.NDArray[np.int32]) -> tuple[int, int]:
    """Count nuclei that touch another, and those of them that overlap by half with one that was found."""
    hits, every = 0, [n for n in np.unique(truth[touching(truth) > 0]) if n]
    for number in every:
        mask = truth == number
        best = np.bincount(labels[mask])
        best[0] = 0
        other = int(best.argmax())
        hits += bool(other) and 2 * int(best[other]) > int((mask | (labels == other)).sum())
    return hits, len(every)


def measure(name: str, minutes: float, images: int, runs: Path) -> dict[str, Any]:
    """Train one contender and judge it."""
    folder, last = runs / name, 0

    def note(progress: Any) -> None:
        nonlocal last
        last = max(last, progress.payload.step if progress.payload else 0)

    pairs = [pair for pair in pairs_of("train", ("fluo",)) if pair.diameter > 0][:images]
    network = finish(fit(pairs, spec_of(name, minutes), folder), note)
    total, hits, touched = Counts(), 0, 0
    for field in judged():
        labels = predict(network, field)
        total += count(field.labels, labels)
        right, all_ = found_of_touching(field.labels, labels)
        hits, touched = hits + right, touched + all_
    shutil.rmtree(folder, ignore_errors=True)
    kept = {key: round(value, 4) for key, value in scores(total).items() if key in ("AP50", "AP75")}
    return kept | {
        "touching_found": round(hits / max(touched, 1), 4), "touching": touched, "minutes": minutes, "steps": last,
        "images": len(pairs), "machine": machine(),
    }  # fmt: skip


def main() -> None:
    """Measure all and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    result: Path = arguments.result
    found: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {}
    for name in VARIANTS:
        key = f"{name} {arguments.images} {arguments.minutes:g}"
        if key not in found or arguments.again:
            runs = result.with_suffix(f".{arguments.minutes:g}.runs")
            found[key] = measure(name, arguments.minutes, arguments.images, runs)
            result.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
