"""StarDist learning from few images: what learning_curve.py starts inside StarDist's own environment.

Usage: ``python _learn_stardist.py FOLDER SECONDS``. FOLDER has ``train/*.npz`` and ``val/*.npz`` (``image`` (y, x),
``labels`` (y, x)); labels of the validation images go to ``found/*.npy``. A line of JSON tells what was done.

Settings are those of StarDist's own training notebook for 2-D fluorescence: 32 rays on a grid of 2, patches of 256
pixels, 4 a step, flips, quarter turns and changes of intensity, 15 in 100 images (one at least) kept to follow the loss
and to choose thresholds on. One image alone is used for both.
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
import tensorflow as tf  # type: ignore[import-not-found, import-untyped, unused-ignore]
from csbdeep.utils import normalize  # type: ignore[import-not-found, import-untyped, unused-ignore]
from stardist.models import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    Config2D,
    StarDist2D,
)

STEPS = 100  # an epoch, as in the notebook


class StopAfter(tf.keras.callbacks.Callback):  # type: ignore[misc, unused-ignore]
    """End the training after so many seconds of the processor, in the middle of an epoch too.

    They begin after the first step, in which the network is compiled.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.steps = seconds, 0
        self.began = self.began_wall = 0.0
        self.told: dict[str, float] = {}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at the clock."""
        self.steps += 1
        if self.steps == 1:
            self.began, self.began_wall = process_time(), perf_counter()
        spent = process_time() - self.began
        self.told = {
            "steps": self.steps,
            "processor": round(spent, 1),
            "wall": round(perf_counter() - self.began_wall, 1),
        }
        if spent > self.seconds:
            self.model.stop_training = True


def augmented(image: Any, labels: Any) -> tuple[Any, Any]:
    """Mirror, turn and change the intensities, as StarDist's notebook does."""
    if np.random.rand() > 0.5:
        image, labels = image.T, labels.T
    for axis in (0, 1):
        if np.random.rand() > 0.5:
            image, labels = np.flip(image, axis), np.flip(labels, axis)
    image = image * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2)
    return image + 0.02 * np.random.uniform(0, 1) * np.random.normal(0, 1, image.shape), labels


def read(folder: Path) -> tuple[list[str], list[Any], list[Any]]:
    """Load a split: names, normalized images, labels."""
    files = sorted(folder.glob("*.npz"))
    loaded = [np.load(file) for file in files]
    images = [normalize(one["image"].astype(np.float32), 1, 99.8) for one in loaded]
    return [file.stem for file in files], images, [one["labels"].astype(np.int32) for one in loaded]


def main() -> None:
    """Train, choose thresholds, predict."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    for limit in (
        tf.config.threading.set_intra_op_parallelism_threads,
        tf.config.threading.set_inter_op_parallelism_threads,
    ):
        limit(int(os.environ["OMP_NUM_THREADS"]))
    np.random.seed(0)
    tf.random.set_seed(0)
    _, images, labels = read(folder / "train")
    order = np.random.permutation(len(images))
    kept = max(1, round(0.15 * len(images))) if len(images) > 1 else 0
    held = order[:kept] if kept else order
    rest = order[kept:]
    pick = lambda these, chosen: [these[i] for i in chosen]  # noqa: E731
    edge = min(256, *(min(image.shape) // 16 * 16 for image in images))
    config = Config2D(
        n_rays=32, grid=(2, 2), n_channel_in=1, train_patch_size=(edge, edge), train_batch_size=4,
        train_steps_per_epoch=STEPS, train_tensorboard=False,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        model = StarDist2D(config, name="learned", basedir=place)
        model.prepare_for_training()
        clock = StopAfter(seconds)
        model.callbacks.append(clock)
        checked = (pick(images, held), pick(labels, held))
        model.train(
            pick(images, rest), pick(labels, rest), validation_data=checked, augmenter=augmented, epochs=10_000, seed=0
        )
        model.optimize_thresholds(*checked)
        names, images, _ = read(folder / "val")
        (folder / "found").mkdir(exist_ok=True)
        for name, image in zip(names, images, strict=True):
            found, _ = model.predict_instances(image)
            np.save(folder / "found" / f"{name}.npy", np.asarray(found, np.int32))
        answers.write(json.dumps({**clock.told, **model.thresholds._asdict()}) + "\n")


if __name__ == "__main__":
    main()
