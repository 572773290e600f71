"""Cellpose learning from few images: what learning_curve.py starts inside Cellpose's own environment.

Usage: ``python _learn_cellpose.py FOLDER SECONDS``. FOLDER has ``train/*.npz`` and ``val/*.npz`` (``image`` (y, x),
``labels`` (y, x)); labels of the validation images go to ``found/*.npy``. A line of JSON tells what was done.

Settings are those of ``cellpose --train`` from scratch: random weights, 8 images an epoch at least, AdamW. Its learning
rate follows the number of epochs, so an epoch is timed first and as many are done as fit the time.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from cellpose import train  # type: ignore[import-not-found, import-untyped, unused-ignore]
from cellpose.models import CellposeModel  # type: ignore[import-not-found, import-untyped, unused-ignore]

LEAST = 8  # images an epoch
TIMED = 3  # epochs, the first of which is not counted


def read(folder: Path) -> tuple[list[str], list[Any], list[Any]]:
    """Load a split: names, images, labels."""
    files = sorted(folder.glob("*.npz"))
    loaded = [np.load(file) for file in files]
    return [f.stem for f in files], [one["image"] for one in loaded], [one["labels"].astype(np.int32) for one in loaded]


def learn(model: Any, images: list[Any], labels: list[Any], epochs: int) -> None:
    """Train for so many epochs."""
    with tempfile.TemporaryDirectory() as place:
        train.train_seg(
            model.net, train_data=images, train_labels=labels, channels=[0, 0], n_epochs=epochs, save_path=place,
            nimg_per_epoch=max(LEAST, len(images)), min_train_masks=1, model_name="learned",
        )  # fmt: skip


def fresh() -> Any:
    """Return a network with random weights, always the same."""
    torch.manual_seed(0)
    np.random.seed(0)
    return CellposeModel(gpu=False, pretrained_model=False, diam_mean=30.0, nchan=2)


def main() -> None:
    """Time an epoch, train, predict."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    _, images, labels = read(folder / "train")
    spent = []
    for epochs in (1, TIMED):  # the difference leaves the preparation of the images out
        start = perf_counter()
        learn(fresh(), images, labels, epochs)
        spent.append(perf_counter() - start)
    each = max((spent[1] - spent[0]) / (TIMED - 1), 1e-3)
    epochs = max(1, int(seconds / each))
    model = fresh()
    learn(model, images, labels, epochs)
    names, images, _ = read(folder / "val")
    (folder / "found").mkdir(exist_ok=True)
    diameter = float(model.net.diam_labels.item())
    for name, image in zip(names, images, strict=True):
        found = model.eval(image, channels=[0, 0], diameter=diameter)[0]
        np.save(folder / "found" / f"{name}.npy", np.asarray(found, np.int32))
    answers.write(json.dumps({"epochs": epochs, "seconds an epoch": each, "diameter": diameter}) + "\n")


if __name__ == "__main__":
    main()
