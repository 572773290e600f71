"""What satellite.py and inspection.py have in common: folds, learners side by side, scores, the file of results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("NAPARI_UNET_DATA", HERE.parents[1] / "shared" / "data"))
LEARNERS = ("ours", "peer")


@dataclass(frozen=True)
class Annotated:
    """An image of 8 bits, its classes, and what is held out together."""

    name: str
    image: np.ndarray
    labels: np.ndarray
    group: str


@dataclass(frozen=True)
class Subject:
    """What is learned: ``how`` goes to the learners."""

    name: str
    how: dict[str, Any]
    images: list[Annotated]
    folds: list[set[str]]


def options(description: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, default=20.0, help="of the processor to train, for each learner and fold"
    )
    parser.add_argument("--folds", type=int, default=99, help="how many, at most")
    parser.add_argument("--first", type=int, default=0, help="the fold to begin with")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=LEARNERS, help="who learns")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--settings", type=json.loads, default={}, help="of TrainSpec for ours, as JSON")
    parser.add_argument("--together", action="store_true", help="both at once, each on its own threads")
    parser.add_argument("--only", help="one of the subjects")
    parser.add_argument("--name", default="", help="added to the subject's name in the results, where others stay")
    return parser.parse_args()


def compare(subjects: list[Subject], wish: argparse.Namespace, results: Path) -> None:
    """Train both on every fold, score them, and write the results after each fold."""
    for subject in subjects:
        if wish.only in (None, subject.name):
            folds = [_fold(subject, out, wish) for out in subject.folds[wish.first :][: wish.folds]]
            said = json.loads(results.read_text()) if results.is_file() else {}
            name = subject.name + wish.name
            said[name] = _summary(subject, folds, wish)
            results.write_text(json.dumps(said, indent=1) + "\n")
            sys.stdout.write(json.dumps({name: said[name]["pooled"]}, indent=1) + "\n")


def _fold(subject: Subject, out: set[str], wish: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for side in ("train", "test"):
            (folder / side).mkdir()
        for number, each in enumerate(subject.images):
            side = "test" if each.group in out else "train"
            np.savez(folder / side / f"{number:04d}.npz", image=each.image, labels=each.labels)
        (folder / "how.json").write_text(json.dumps(subject.how | {"settings": wish.settings}))
        told = _learned(folder, wish)
        kinds = len(subject.how["classes"])
        found = {learner: _tables(folder, subject, learner, kinds) for learner in wish.learners}
    return {"held_out": sorted(out), "told": told, "tables": found}


def _learned(folder: Path, wish: argparse.Namespace) -> dict[str, Any]:
    settings = os.environ | {"OMP_NUM_THREADS": str(wish.threads), "MKL_NUM_THREADS": str(wish.threads)}
    words = [str(folder), str(wish.minutes), str(wish.threads)]
    jobs: dict[str, subprocess.Popen[str]] = {}
    told = {}
    for learner in wish.learners:
        command = [sys.executable, str(HERE / "_learn_pixels.py"), learner, *words]
        jobs[learner] = subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True)
        if not wish.together:
            jobs[learner].wait()
    for learner, job in jobs.items():
        said, _ = job.communicate()
        if job.returncode:
            raise SystemExit(f"{learner} failed")
        told[learner] = json.loads(said.splitlines()[-1])
    return told


def _tables(folder: Path, subject: Subject, learner: str, kinds: int) -> dict[str, list[list[int]]]:
    """Return for each group how many pixels of each class (rows) were found to be of each."""
    tables: dict[str, np.ndarray] = {}
    for number, each in enumerate(subject.images):
        file = folder / f"found-{learner}" / f"{number:04d}.npy"
        if not file.is_file():
            continue
        known = each.labels > 0 if not subject.how["background"] else np.ones(each.labels.shape, bool)
        pairs = each.labels[known].astype(int) * (kinds + 1) + np.load(file)[known]
        table = np.bincount(pairs, minlength=(kinds + 1) ** 2).reshape(kinds + 1, kinds + 1)
        tables[each.group] = tables.get(each.group, 0) + table
    return {name: table.tolist() for name, table in tables.items()}


def scores(table: np.ndarray, classes: list[str], background: bool) -> dict[str, float]:
    """Return the IoU of each class that occurs, their mean, and the share of right pixels."""
    both = np.diag(table).astype(float)
    either = table.sum(0) + table.sum(1) - both
    names = [("background" if background else "unknown"), *classes]
    iou = {name: both[k] / either[k] for k, name in enumerate(names) if either[k] and table[k].sum()}
    mean = float(np.mean([value for name, value in iou.items() if name in classes]))
    found = {name: round(float(value), 4) for name, value in iou.items() if name != "unknown"}
    return {"mIoU": round(mean, 4), "accuracy": round(float(both.sum() / table.sum()), 4), **found}


def _summary(subject: Subject, folds: list[dict[str, Any]], wish: argparse.Namespace) -> dict[str, Any]:
    classes, background = subject.how["classes"], subject.how["background"]
    pooled, confused, by_group = {}, {}, {}
    for learner in wish.learners:
        tables = [(name, np.array(t)) for fold in folds for name, t in fold["tables"][learner].items()]
        whole = sum(table for _, table in tables)
        pooled[learner] = scores(whole, classes, background)
        confused[learner] = whole.tolist()
        by_group[learner] = {name: scores(table, classes, background) for name, table in tables}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "load": round(os.getloadavg()[0], 1)},
        "minutes": wish.minutes, "settings": wish.settings, "threads": wish.threads, "together": wish.together,
        "first_fold": wish.first, "folds_done": len(folds), "folds": len(subject.folds), "images": len(subject.images),
        "pooled": pooled, "pixels of each class found as each": confused, "by_group": by_group,
        "told": [fold["told"] for fold in folds],
    }  # fmt: skip
