"""Do the border weights of the 2015 paper keep touching nuclei apart? The same network with and without them.

Learned from are the fluorescence images of ``train`` (see ``nuclei_data.py``), judged the validation images in which
nuclei touch, all brought to the canonical width by their true objects. The representation is the foreground alone, as
in 2015: objects are what hangs together. Contenders: cross-entropy with the weight map (equation 2), plain
cross-entropy, and cross-entropy with the weight of the class alone. Reported are AP50, AP75 and the share of touching
nuclei that were found.

``python benchmarks/border.py --images 20 --steps 1000`` trains all as many steps, which a busy machine does not change;
or give ``--minutes``. A run that was stopped goes on, a finished one is not done again unless ``--again``;
``--variants`` does a part of it. The picture for the manual shows the image with the most touching nuclei.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from machine import machine
from nuclei_data import Field, fields
from PIL import Image as Picture
from scipy import ndimage
from skimage.segmentation import find_boundaries
from skimage.transform import resize
from torch.nn import functional
from training_data import pairs_of

from napari_unet.core.specs import NetSpec, TargetSpec, TrainSpec, load_task
from napari_unet.core.steps import finish
from napari_unet.metrics.matching import Counts, count, scores
from napari_unet.targets import target
from napari_unet.targets._fields import touching
from napari_unet.training.course import Around
from napari_unet.training.fit import fit

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "border.json"
PICTURE = HERE.parent / "docs" / "images" / "border-weights.png"
VARIANTS: dict[str, dict[str, Any]] = {
    "border": {"loss": "border"},
    "plain": {"loss": "cross-entropy"},
    "balanced": {"loss": "cross-entropy", "balance": True},
}
DIAMETER, STEP = 24.0, 16
EDGE = 160  # pixels of a panel of the picture


def spec_of(name: str, length: dict[str, Any]) -> TrainSpec:
    """Return the settings, the same but for the loss."""
    how = TrainSpec(
        net=NetSpec(inputs=1, widths=(16, 32, 64, 128)), target=TargetSpec(name="foreground"), diameter=DIAMETER,
        batch=4, patch=128, every=100, threads=1, **length, **VARIANTS[name],
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


def measure(name: str, length: dict[str, Any], images: int, folder: Path) -> dict[str, Any]:
    """Train one contender and judge it."""
    pairs = [pair for pair in pairs_of("train", ("fluo",)) if pair.diameter > 0][:images]
    around = Around()
    torch.set_num_threads(1)
    network = finish(fit(pairs, spec_of(name, length), folder, around=around))
    total, hits, touched = Counts(), 0, 0
    shown = max(judged(), key=lambda field: len(np.unique(field.labels[touching(field.labels) > 0])))
    for field in judged():
        labels = predict(network, field)
        total += count(field.labels, labels)
        right, all_ = found_of_touching(field.labels, labels)
        hits, touched = hits + right, touched + all_
        if field.id == shown.id:
            np.save(folder.with_suffix(".npy"), labels)
    shutil.rmtree(folder, ignore_errors=True)
    kept = {key: round(value, 4) for key, value in scores(total).items() if key in ("AP50", "AP75")}
    seconds = round(around.history.rows[-1]["seconds"]) if around.history else 0
    return kept | {
        "touching_found": round(hits / max(touched, 1), 4), "touching": touched, "steps": around.steps,
        "seconds": seconds, "images": len(pairs), "machine": machine(), "load": round(os.getloadavg()[0], 1),
        "shown": shown.id,
    }  # fmt: skip


def draw(found: dict[str, npt.NDArray[np.int32]], id_: str) -> None:
    """Draw the truth and what each contender finds, side by side."""
    field = next(field for field in judged() if field.id == id_)
    # The part with the most touching borders.
    near = ndimage.uniform_filter((touching(field.labels) > 0).astype(np.float32), EDGE, mode="constant")
    middle = np.unravel_index(int(near.argmax()), near.shape)
    rows, columns = (slice(max(0, int(n) - EDGE // 2), None) for n in middle)
    image = field.image if field.image.ndim == 2 else field.image.mean(-1)
    part = image[rows, columns][:EDGE, :EDGE].astype(np.float32)
    low, high = np.percentile(part, (1, 99.8))
    gray = np.clip(255 * (part - low) / max(high - low, 1), 0, 255).astype(np.uint8)
    panels = []
    for labels in (field.labels, *found.values()):
        panel = np.repeat(gray[..., None], 3, -1)
        panel[find_boundaries(labels[rows, columns][:EDGE, :EDGE], mode="inner")] = (255, 140, 0)
        panels.append(np.pad(panel, ((0, 0), (0, 4), (0, 0)), constant_values=255))
    whole = np.concatenate(panels, 1)
    Picture.fromarray(whole).resize((2 * whole.shape[1], 2 * whole.shape[0])).save(PICTURE, optimize=True)


def main() -> None:
    """Measure all and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--minutes", type=float, help="train for so long instead")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--result", type=Path, default=RESULT)
    wish = parser.parse_args()
    how = {"steps": wish.steps} if wish.minutes is None else {"minutes": wish.minutes, "steps": 1_000_000}
    length = f"{wish.steps} steps" if wish.minutes is None else f"{wish.minutes:g} minutes"
    result: Path = wish.result
    found: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {}
    cell = found.setdefault(f"{wish.images} images, {length}", {})
    runs = result.with_suffix(".runs")
    folders = {name: runs / f"{name} {wish.images} {length}" for name in VARIANTS}
    for name in wish.variants:
        if name not in cell or wish.again:
            cell[name] = measure(name, how, wish.images, folders[name])
            result.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    seen = {name: folder.with_suffix(".npy") for name, folder in folders.items()}
    if result == RESULT and all(file.exists() for file in seen.values()):
        draw({name: np.load(file) for name, file in seen.items()}, cell["plain"]["shown"])


if __name__ == "__main__":
    main()
