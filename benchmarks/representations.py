"""Which representation of objects is best? One backbone, equal training, four ways to decode it.

A single U-Net learns all representations at once (its last 1x1 convolution has the channels of all of them), so
backbone, images, augmentation, order and number of steps are the same by construction. Thresholds and persistence are
chosen for each on the ``dev`` split; scores are reported on the 50 fluorescence images of ``val``. All images are
brought to the canonical object size by the size of their true objects, so that only the representation differs.

Run ``python benchmarks/representations.py --steps 1500``; training resumes if interrupted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nuclei_data import Field, fields
from training_data import pairs_of

from napari_unet.core.axes import as_image
from napari_unet.core.specs import TargetSpec, TrainSpec, load_task
from napari_unet.core.steps import finish
from napari_unet.metrics.matching import count, scores
from napari_unet.targets import Target, target
from napari_unet.training.fit import fit

NAMES = ("border", "distance", "heat", "offsets")
RESULTS = Path(__file__).parent / "results" / "representations.json"


class Joint:
    """All representations side by side, as one target."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.parts: list[Target] = [target(name) for name in names]
        self.CHANNELS = tuple(f"{n}.{c}" for n, part in zip(names, self.parts, strict=True) for c in part.CHANNELS)

    def encode(self, labels: Any) -> Any:
        """Stack the targets of all parts."""
        blocks = [part.encode(labels) for part in self.parts]
        self._sizes = [len(block) for block in blocks]
        return np.concatenate(blocks)

    def activate(self, scores: Any) -> Any:
        """Bring raw scores into 0 to 1."""
        return scores.sigmoid()

    def loss(self, scores: Any, wanted: Any) -> Any:
        """Add up the losses of all parts."""
        mine = scores.split([len(part.CHANNELS) for part in self.parts], 1)
        targets = wanted.split(self._sizes, 1)
        return sum(part.loss(s, t) for part, s, t in zip(self.parts, mine, targets, strict=True))

    def decode(self, scores: Any, spec: TargetSpec, smallest: float) -> Any:
        """Not meaningful for all parts at once."""
        raise TypeError("decode the parts one by one")


def stored_scores(network: torch.nn.Module, field: Field, canonical: float) -> Any:
    """Return the uint8 scores of all channels on the image's own grid."""
    from evaluation import score_field

    def predict(batch: Any) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(batch)).sigmoid().numpy()

    return score_field(as_image(field.image), predict, canonical / (field.diameter or canonical))


def search(name: str, stored: list[tuple[Field, Any]]) -> TargetSpec:
    """Choose threshold and persistence on the dev images."""
    best: tuple[float, TargetSpec] = (-1.0, TargetSpec(name=name))
    for threshold, persistence in itertools.product((0.4, 0.5, 0.6), (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)):
        spec = TargetSpec(name=name, threshold=threshold, persistence=persistence)
        value = pooled(stored, spec)[0]
        best = max(best, (value["AP50"] + value["mAP"], spec), key=lambda pair: pair[0])
    return best[1]


def pooled(stored: list[tuple[Field, Any]], spec: TargetSpec) -> tuple[dict[str, float], float]:
    """Return the pooled scores and the seconds spent decoding."""
    total, seconds = None, 0.0
    for field, channels in stored:
        start = time.perf_counter()
        smallest = spec.min_fraction * np.pi / 4 * field.diameter**2
        labels = target(spec.name).decode(channels, spec, smallest)
        seconds += time.perf_counter() - start
        one = count(field.labels, labels)
        total = one if total is None else total + one
    return (scores(total) if total is not None else {}), seconds


def main() -> None:
    """Train, choose, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--folder", type=Path, default=Path("runs/representations"))
    options = parser.parse_args()
    task = load_task("cell")
    spec = TrainSpec(name="representations", steps=options.steps, seed=1, every=50).filled(task)
    joint = Joint(NAMES)
    network = finish(
        fit(pairs_of("train", ("fluo",)), spec, options.folder, learn=joint),
        lambda p: sys.stderr.write(f"{time.strftime('%H:%M:%S')} {p.done}/{p.total} {p.note}\n"),
    )
    stored = {s: [(f, stored_scores(network, f, task.diameter)) for f in fields(s, ("fluo",))] for s in ("dev", "val")}
    at, report = 0, {}
    for name, part in zip(NAMES, joint.parts, strict=True):
        cut = slice(at, at := at + len(part.CHANNELS))
        chosen = search(name, [(f, s[cut]) for f, s in stored["dev"]])
        value, seconds = pooled([(f, s[cut]) for f, s in stored["val"]], chosen)
        report[name] = {
            "AP50": value["AP50"],
            "mAP": value["mAP"],
            "decode_seconds": seconds,
            "threshold": chosen.threshold,
            "persistence": chosen.persistence,
        }
        sys.stdout.write(f"{name:9} AP50 {value['AP50']:.3f}  mAP {value['mAP']:.3f}  decode {seconds:.2f} s\n")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"steps": options.steps, "results": report}, indent=1) + "\n")


if __name__ == "__main__":
    main()
