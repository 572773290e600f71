"""How many annotated images, and how long? napari-unet beside StarDist 0.9.2 and Cellpose 3.1, learning from scratch.

The same fluorescence images, the same processor time on the same machine, one contender after another; each trains
from random weights and then finds the nuclei of the same 50 validation images, which nobody has seen and whose object
size nobody is told. AP50 and mean AP are pooled over all of them. Smaller sets are part of the larger ones. Cellpose
has two recipes of its own, that of its function (AdamW) and that of its command (SGD); both are measured.

Minutes are those that the processor worked for the training loop, with validation during it, in all threads of the
process: on a machine that others use too a clock on the wall would tell who had to wait. Importing, compiling,
preparing and predicting are left out for all. Everybody has ``--threads`` threads.

Usage: ``python benchmarks/learning_curve.py --images 10 --minutes 15``; without numbers all cells of the table, which
takes more than a day; ``--methods``, ``--images`` and ``--minutes`` do a part of it. What is done already is kept in
the results and not done again, unless ``--again``: the same command goes on after a stop. The pictures for the manual
are drawn from all that there is for ``--drawn`` minutes, and for ten images, once two points are known.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from _chart import draw_lines
from machine import machine
from nuclei_data import fields
from peers_cells import install

from napari_unet.metrics.matching import Counts, count, scores

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "learning_curve.json"
CONTENDERS = ("napari-unet", "stardist", "cellpose", "cellpose-sgd")
IMAGES = (1, 5, 10, 50, 0)  # 0: all
MINUTES = (5.0, 15.0, 60.0)
SEED = 0
PICTURES = HERE.parent / "docs" / "images"
DRAWN = 10  # images, in the picture against time
LIMIT = 7200  # seconds to install, and to predict when the time of the training is over
PATIENCE = 6  # seconds on the wall that a second of the processor may take on a busy machine
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def write_split(folder: Path, images: int, asked: str = "val") -> int:
    """Write the first images of a fixed random order and those that are asked; return how many the first are."""
    known = [f for f in fields("train", ("fluo",)) if f.diameter > 0]
    order = np.random.default_rng(SEED).permutation(len(known))
    chosen = [known[i] for i in (order[:images] if images else order)]
    for name, split in (("train", chosen), ("val", fields(asked, ("fluo",)))):
        (folder / name).mkdir()
        for field in split:
            image = field.image if field.image.ndim == 2 else field.image.mean(-1).astype(np.uint8)
            np.savez(folder / name / f"{field.id}.npz", image=image, labels=field.labels)
    return len(chosen)


def learn(contender: str, folder: Path, seconds: float, threads: int, settings: str = "") -> dict[str, Any]:
    """Train a contender in a process of its own and let it find the nuclei of the validation images.

    `settings` are for napari-unet: JSON of what is not to be as its defaults.
    """
    ours = contender == CONTENDERS[0]
    program, _, recipe = contender.partition("-")
    python = Path(sys.executable) if ours else install(program, LIMIT)
    command = [str(python), str(HERE / f"_learn_{'ours' if ours else program}.py"), str(folder), str(seconds)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "", "PYTHONNOUSERSITE": "1"}
    more = settings if ours else recipe
    done = subprocess.run(
        [*command, more] if more else command, stdout=subprocess.PIPE, text=True, check=True,
        env=environment | dict.fromkeys(THREADS, str(threads)), timeout=PATIENCE * seconds + LIMIT,
    )  # fmt: skip
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def judged(folder: Path) -> dict[str, float]:
    """Compare what was found with the truth."""
    total = Counts()
    for file in sorted((folder / "val").glob("*.npz")):
        total = total + count(np.load(file)["labels"], np.load(folder / "found" / f"{file.stem}.npy"))
    found = scores(total)
    return {name: found[name] for name in ("AP50", "mAP")}


def keep(results: dict[str, Any], file: Path) -> None:
    """Store the results, whole or not at all."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    part.replace(file)


def draw(results: dict[str, Any], images: int, minutes: float, folder: Path) -> None:
    """Draw AP50 against the number of images, and against the minutes, one line a contender, where that is a line."""
    by_images: dict[str, list[tuple[float, float]]] = {}
    by_minutes: dict[str, list[tuple[float, float]]] = {}
    for cell, known in results["cells"].items():
        after = float(cell.split()[-2])
        for name, found in known.items():
            if after == minutes:
                by_images.setdefault(name, []).append((found["images"], found["AP50"]))
            if found["images"] == images:
                by_minutes.setdefault(name, []).append((after, found["AP50"]))
    for file, lines, across, up in (
        ("learning-curve.svg", by_images, "annotated images", f"AP50 after {minutes:g} processor minutes"),
        ("learning-time.svg", by_minutes, "minutes of the processor", f"AP50 from {images} annotated images"),
    ):
        drawn = {name: sorted(points) for name, points in lines.items() if len(points) > 1}
        if drawn:
            draw_lines(folder / file, drawn, (across, up), log=True)


def main() -> None:
    """Fill the table cell by cell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES, help="how many to learn from; 0 is all")
    parser.add_argument("--minutes", type=float, nargs="+", default=MINUTES, help="of the processor")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--methods", "--contenders", dest="contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS
    )
    parser.add_argument("--again", action="store_true", help="do cells that are done already again")
    parser.add_argument("--drawn", type=float, default=15.0, help="minutes of the training that the picture shows")
    parser.add_argument("--result", type=Path, default=RESULTS)
    options = parser.parse_args()
    file: Path = options.result
    results = json.loads(file.read_text()) if file.exists() else {"cells": {}}
    for minutes, images, contender in product(options.minutes, options.images, options.contenders):
        cell = f"{images or 'all'} images, {minutes:g} minutes"
        known = results["cells"].setdefault(cell, {})
        if contender in known and not options.again:
            continue
        with tempfile.TemporaryDirectory() as place:
            count_of = write_split(Path(place), images)
            sys.stderr.write(f"{cell}: {contender} begins\n")
            before = os.getloadavg()[0]
            about = learn(contender, Path(place), 60 * minutes, options.threads)
            known[contender] = judged(Path(place)) | {
                "images": count_of, "about": about, "load before": round(before, 1), "threads": options.threads,
                "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(),
            }  # fmt: skip
        sys.stderr.write(f"{cell}: {contender} AP50 {known[contender]['AP50']:.3f}\n")
        keep(results, file)
    draw(results, DRAWN, options.drawn, PICTURES if file == RESULTS else file.parent)


if __name__ == "__main__":
    main()
