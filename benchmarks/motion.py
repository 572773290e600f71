"""Learn motion from simulated movies, and link movies with other seeds in which cells move farther than they are wide.

``--minutes`` is the time of the training, on one thread; ``--folder`` keeps the model, or names one that is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.core.axes import Image
from napari_unet.core.examples import Example
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import Movie, simulate
from napari_unet.workflows import score_tracks, track, train

RESULTS = Path(__file__).with_name("results") / "motion.json"
LEARNED = range(100, 124)
TESTED = (10, 11, 12)
# All cells move together, in a direction that the seed draws, and each for itself.
CELLS = MovieSpec(shape=(256, 256), frames=9, count=34, diameter=24.0, cycle=14.0, speed=0.3, death=0.0)
STEPS = {"half a cell": 0.5, "one cell": 1.0, "one and a half": 1.5, "two cells": 2.0}  # drift, in widths of a cell
REACHES = (1.5, 3.0)  # plain linking with its usual reach, and with one that holds every step


def movie(seed: int, drift: float) -> Movie:
    """Simulate one."""
    return simulate(CELLS.model_copy(update={"seed": seed, "drift": drift}))


def examples() -> list[Example]:
    """Make movies to learn from, with drifts from none to more than is tested."""
    found = []
    for i, seed in enumerate(LEARNED):
        made = movie(seed, 2.2 * i / (len(LEARNED) - 1))
        image, labels = (
            Image(np.asarray(each.data), "tyx", name=f"{each.name} {seed}") for each in (made.image, made.labels)
        )
        found.append(Example(image, labels, tracks=made.tracks(), group=str(seed)))
    return found


def compare(model: str, drift: float) -> dict[str, Any]:
    """Link with and without the model."""
    ways: dict[str, dict[str, Any]] = {f"plain, reach {reach:g}": {"max_distance": reach} for reach in REACHES}
    ways["learned"] = {"model": model}
    found: dict[str, list[list[float]]] = {}
    for seed in TESTED:
        made = movie(seed, drift)
        image, given = (Image(np.asarray(each.data), "tyx") for each in (made.image, made.given))
        for name, options in ways.items():
            more = {"image": image} if "model" in options else {}
            scores = score_tracks(track(given, **options, **more), given, made.tracks(), made.labels).scores
            found.setdefault(name, []).append([scores[key] for key in ("LNK", "CHOTA", "BC")])
    means = {name: np.mean(rows, axis=0).tolist() for name, rows in found.items()}
    return {
        name: {k: round(v, 4) for k, v in zip(("LNK", "CHOTA", "BC"), row, strict=True)} for name, row in means.items()
    }


def main() -> None:
    """Train, measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = given.folder or Path(place, "motion-simulated")
        start = time.perf_counter()
        if not folder.exists():
            train(
                examples(), name="motion-simulated", task="motion", folder=folder, minutes=given.minutes, patch=160,
                batch=4, threads=1, device="cpu", every=50, show=lambda p: sys.stderr.write(f"{p.note}\n"),
            )  # fmt: skip
        report: dict[str, Any] = {"minutes": round((time.perf_counter() - start) / 60, 1), "movies": len(LEARNED)}
        for name, drift in STEPS.items():
            report[name] = compare(str(folder), drift)
            sys.stderr.write(f"{name}: {report[name]}\n")
    text = json.dumps(report, indent=1)
    sys.stdout.write(text + "\n")
    RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
