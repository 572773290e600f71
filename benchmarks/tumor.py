"""Tumors and organs: napari-unet beside MONAI's DynUNet and nnU-Net v2, all from random weights.

The same folds of patients (those of ``recipes/bundled.py``), machine, threads and time to train, one after another:

- ``ours``: the plain ``train``, with the defaults of its task;
- ``windows`` and ``sliding``: of volumes, the same network asked in overlapping windows, and as nnU-Net asks by
  default, which is so and averaged over mirrored images: what the way of asking costs and brings;
- ``dynunet`` and ``nnunet``: see ``_learn_volumes.py`` and ``_learn_nnunet.py``. nnU-Net runs in an environment of its
  own under ``.benchmark-envs/`` (2 GB), which is made on first use.

Time to train is that of the training loop on a clock; planning, preprocessing and loading are left out for all. For
each held-out patient: Dice and HD95 of each class, and the seconds from the array to the labels, loading left out.
Means over patients have 95 % intervals (bootstrap over patients). Results are kept after each fold; with ``--learners``
those of the others stay, where they had as long and as many threads.

Usage: ``python benchmarks/tumor.py --minutes 30 --threads 2``. To see that it works: ``--only hippocampus --folds 1
--minutes 2 --patients 6 --output trial.json``. Only a quiet machine tells the truth.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from machine import machine
from peers_cells import PeerError, install

from napari_unet.core.axes import Image
from napari_unet.metrics import overlap, surfaces

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "recipes"))
import bundled  # noqa: E402  # the folds and the data of the models that come along

RESULTS = HERE / "results" / "tumor.json"
LEARNERS = ("ours", "dynunet", "nnunet")
WAYS = {"ours": "ours", "windows": "ours", "sliding": "ours", "dynunet": "dynunet", "nnunet": "nnunet"}  # by learner
LIMIT = 3 * 3600  # seconds to install, and to prepare and predict
DRAWS = 1000
# The patches are those that nnU-Net's rules give, where a processor can train with them in time.
SETS: dict[str, dict[str, Any]] = {
    "hippocampus": {"task": "organ", "classes": ["anterior", "posterior"], "patch": [40, 56, 40], "modality": "MRI"},
    "sarcoma-mri": {"task": "tumor", "classes": ["tumor"], "patch": [24, 128, 128], "modality": "MRI"},
    "breast-ultrasound": {"task": "tumor", "classes": ["tumor"], "patch": [256, 256], "modality": "ultrasound"},
}
NNUNET = (
    "nnunetv2==2.8.1", "torch==2.13.0", "torchvision==0.28.0", "numpy==2.4.6", "dynamic_network_architectures==0.4.4",
    "batchgenerators==0.25.5", "batchgeneratorsv2==0.3.6", "acvl_utils==0.2.6", "scipy==1.17.1", "scikit-image==0.26.0",
    "simpleitk==2.5.7", "blosc2==4.14.1",
)  # fmt: skip


def write_fold(folder: Path, name: str, fold: int, most: int) -> dict[str, Image]:
    """Write the images of a fold; return the truth of those that are left out, `most` at most."""
    truth, units = {}, set()
    for side in ("train", "test"):
        (folder / side).mkdir()
    for number, example in enumerate(bundled.folded(bundled.MODELS[name][0](), fold)):
        if example.held_out and len(truth) >= most:
            continue
        image, labels = example.image, example.labels
        known = "millimeter" in image.units
        axes = "".join(axis for axis in image.axes if axis in "zyx")
        spacing = image.along(axes)[1] if known else (1.0,) * len(axes)
        units.add("millimeter" if known else "pixel")
        pixels, drawn = np.asarray(image.data), np.asarray(labels.data).astype(np.uint8)
        if len(SETS[name]["classes"]) == 1:
            drawn = (drawn > 0).astype(np.uint8)  # masks are white, not 1
        gray = pixels.mean(-1).astype(pixels.dtype) if "c" in image.axes else pixels
        case = f"{number:04d}"
        file = folder / ("test" if example.held_out else "train") / f"{case}.npz"
        np.savez(file, image=gray, labels=drawn, spacing=np.array(spacing))
        if example.held_out:
            truth[case] = Image(drawn, axes, scale=spacing, units=(*units,) * len(axes))
    if len(units) != 1:
        raise SystemExit(f"{name}: some images say how large their pixels are and some do not.")
    (folder / "how.json").write_text(json.dumps(SETS[name] | {"unit": units.pop()}))
    return truth


def learn(learner: str, folder: Path, minutes: float, threads: int) -> dict[str, Any]:
    """Train a learner in a process of its own and let it segment what is left out."""
    words = [str(folder), str(minutes), str(threads)]
    if learner == "nnunet":
        command = [str(install("nnunet", LIMIT, NNUNET)), str(HERE / "_learn_nnunet.py"), *words]
    else:
        command = [sys.executable, str(HERE / "_learn_volumes.py"), learner, *words]
    alike = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, text=True, timeout=60 * minutes + LIMIT, env=os.environ | alike
    )
    if done.returncode:
        raise PeerError(f"{learner} ended early; what it said is above")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def judged(truth: Image, found: np.ndarray, classes: int) -> dict[str, float]:
    """Compare one patient: Dice and HD95 of each class that the truth or the prediction has."""
    guess = Image(found, truth.axes, scale=truth.scale, units=truth.units)
    scored: dict[str, float] = {}
    for metric, name in ((overlap, "dice"), (surfaces, "hd95")):
        table = metric.count(truth, guess).classes
        scored |= {f"{name}_{kind}": table[kind][name][0] for kind in range(1, classes + 1) if kind in table}
    dice = [value for name, value in scored.items() if name.startswith("dice")]
    return scored | ({"dice": fmean(dice)} if dice else {})


def summarized(patients: Iterable[dict[str, float]], name: str) -> dict[str, float] | None:
    """Return the mean of a score over patients, and its 95 % interval: percentiles of 1000 draws (Efron 1979)."""
    values = np.array([scores[name] for scores in patients if name in scores])
    if not len(values):
        return None
    rng = np.random.default_rng(0)
    draws = values[rng.integers(len(values), size=(DRAWS, len(values)))].mean(1)
    low, high = np.percentile(draws, (2.5, 97.5))
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def do_fold(name: str, fold: int, wish: argparse.Namespace) -> dict[str, Any]:
    """Let all learn one fold."""
    told: dict[str, Any] = {}
    patients: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as place:
        truth = write_fold(Path(place), name, fold, wish.patients)
        for learner in wish.learners:
            sys.stderr.write(f"{name}, fold {fold}: {learner} begins\n")
            try:
                told[learner] = learn(learner, Path(place), wish.minutes, wish.threads)
            except PeerError as error:
                sys.stderr.write(f"{learner} dropped out: {error}\n")
                told[learner] = {"error": str(error)}
                continue
            for way, seconds in told[learner].pop("inference").items():
                patients[way], found = {}, Path(place) / f"found-{way}"
                for case, true in truth.items():
                    scored = judged(true, np.load(found / f"{case}.npy"), len(SETS[name]["classes"]))
                    patients[way][case] = scored | {"seconds": seconds[case]}
    return {"patients": patients, "told": told, "load": round(os.getloadavg()[0], 1)}


def earlier(file: Path, name: str, wish: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the folds that were learned for as long before, by other learners than those that learn now."""
    known = (json.loads(file.read_text()) if file.is_file() else {}).get(name, {})
    if (known.get("minutes"), known.get("threads")) != (wish.minutes, wish.threads):
        return {}
    return {
        fold: each
        | {
            "told": {who: said for who, said in each["told"].items() if who not in wish.learners},
            "patients": {way: ps for way, ps in each["patients"].items() if WAYS[way] not in wish.learners},
        }
        for fold, each in known["folds"].items()
    }


def summary(name: str, folds: dict[str, dict[str, Any]], wish: argparse.Namespace) -> dict[str, Any]:
    """Pool the folds."""
    methods: dict[str, Any] = {}
    for way in WAYS:
        pooled = [one for fold in folds.values() for one in fold["patients"].get(way, {}).values()]
        names = sorted({score for one in pooled for score in one})
        if pooled:
            methods[way] = {score: summarized(pooled, score) for score in names} | {"patients": len(pooled)}
    ratio = None
    if "sliding" in methods:
        ratio = methods["sliding"]["seconds"]["mean"] / methods["ours"]["seconds"]["mean"]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "minutes": wish.minutes,
        "threads": wish.threads, "classes": SETS[name]["classes"], "times_faster_than_sliding": ratio,
        "methods": methods, "folds": folds,
    }  # fmt: skip


def lay_out(found: dict[str, Any]) -> str:
    """Return one line a method."""
    lines = [f"{'':10}{'Dice':>24}{'HD95':>10}{'seconds':>10}"]
    for way, scores in found["methods"].items():
        dice = scores["dice"]
        far = fmean(value["mean"] for name, value in scores.items() if name.startswith("hd95"))
        low, high = dice["low"], dice["high"]
        lines.append(
            f"{way:10}{dice['mean']:8.3f} ({low:.3f} to {high:.3f}){far:10.2f}{scores['seconds']['mean']:10.2f}"
        )
    ratio = found["times_faster_than_sliding"] or math.nan
    return "\n".join([*lines, f"the same network, nnU-Net's way of asking, takes {ratio:.1f} times as long", ""])


def main() -> int:
    """Compare; 0 if nobody dropped out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="to train, for each learner and fold")
    parser.add_argument("--folds", type=int, default=bundled.FOLDS, help="how many, at most")
    parser.add_argument("--patients", type=int, default=10**6, help="held out, at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=sorted(SETS), nargs="+", default=[*SETS])
    parser.add_argument("--learners", choices=LEARNERS, nargs="+", default=LEARNERS)
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON to write")
    wish = parser.parse_args()
    whole = True
    for name in wish.only:
        folds = earlier(wish.output, name, wish)
        for fold in range(min(wish.folds, bundled.FOLDS)):
            now, before = do_fold(name, fold, wish), folds.get(str(fold), {})
            whole &= not any("error" in told for told in now["told"].values())
            folds[str(fold)] = now | {key: before.get(key, {}) | now[key] for key in ("told", "patients")}
            said = json.loads(wish.output.read_text()) if wish.output.is_file() else {}
            said[name] = summary(name, folds, wish)
            part = wish.output.with_suffix(".part")
            part.write_text(json.dumps(said, indent=1) + "\n")
            part.replace(wish.output)
        sys.stdout.write(f"{name}\n{lay_out(said[name])}")
    return int(not whole)


if __name__ == "__main__":
    sys.exit(main())
