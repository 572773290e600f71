"""Cellpose learning from few images: what learning_curve.py starts inside Cellpose's own environment.

Usage: ``python _learn_cellpose.py FOLDER SECONDS [sgd]``. FOLDER has ``train/*.npz`` and ``val/*.npz`` (``image`` and
``labels``, both (y, x)); labels of the validation images go to ``found/*.npy``. A line of JSON tells what was done.

Settings are the defaults of ``train_seg`` from random weights (AdamW), or with ``sgd`` those of ``cellpose --train``
(SGD at a rate of 0.2); batches of 8, and 8 images an epoch at least, because one image is one patch. The learning
rate follows the number of epochs, so an epoch is timed first and as many are done as fit the time of the processor.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from cellpose import train  # type: ignore[import-not-found, import-untyped, unused-ignore]
from cellpose.models import CellposeModel  # type: ignore[import-not-found, import-untyped, unused-ignore]

LEAST = 8  # images an epoch
RECIPES = {"": {}, "sgd": {"SGD": True, "learning_rate": 0.2}}
TIMED = 3  # epochs, the first of which is not counted


def read(folder: Path) -> tuple[list[str], list[Any], list[Any]]:
    """Load a split: names, images, labels."""
    files = sorted(folder.glob("*.npz"))
    loaded = [np.load(file) for file in files]
    return [f.stem for f in files], [one["image"] for one in loaded], [one["labels"].astype(np.int32) for one in loaded]


def learn(model: Any, images: list[Any], labels: list[Any], epochs: int, recipe: str) -> None:
    """Train for so many epochs."""
    with tempfile.TemporaryDirectory() as place:
        train.train_seg(
            model.net, train_data=images, train_labels=labels, channels=[0, 0], n_epochs=epochs, save_path=place,
            nimg_per_epoch=max(LEAST, len(images)), min_train_masks=1, model_name="learned",
            **RECIPES[recipe],
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
    folder, seconds, recipe = Path(sys.argv[1]), float(sys.argv[2]), "".join(sys.argv[3:])
    _, images, labels = read(folder / "train")
    spent = []
    for epochs in (1, TIMED):  # the difference leaves the preparation of the images out
        start = process_time()
        learn(fresh(), images, labels, epochs, recipe)
        spent.append(process_time() - start)
    each = max((spent[1] - spent[0]) / (TIMED - 1), 1e-3)
    epochs = max(1, int(seconds / each))
    model = fresh()
    start, start_wall = process_time(), perf_counter()
    learn(model, images, labels, epochs, recipe)
    told = {"processor": round(process_time() - start, 1), "wall": round(perf_counter() - start_wall, 1)}
    names, images, _ = read(folder / "val")
    (folder / "found").mkdir(exist_ok=True)
    diameter = float(model.net.diam_labels.item())
    for name, image in zip(names, images, strict=True):
        found = model.eval(image, channels=[0, 0], diameter=diameter)[0]
        np.save(folder / "found" / f"{name}.npy", np.asarray(found, np.int32))
    answers.write(json.dumps({"epochs": epochs, "seconds an epoch": each, "diameter": diameter, **told}) + "\n")


if __name__ == "__main__":
    main()
