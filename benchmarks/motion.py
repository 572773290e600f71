"""Learn motion from simulated movies of a flow, and link other movies in which cells move farther than they are wide.

The flow goes one way in all movies, as in a channel on a chip; how fast it is differs from movie to movie, and each
cell moves for itself, too. What is tested has other seeds, and speeds that were not learned.

``--minutes`` is the time of the training, on one thread; ``--folder`` keeps the model, or names one that is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.core.axes import Image
from napari_unet.core.examples import Example
from napari_unet.core.specs import NetSpec
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import Movie, simulate
from napari_unet.workflows import score_tracks, track, train

RESULTS = Path(__file__).with_name("results") / "motion.json"
LEARNED = range(100, 108)
TESTED = (10, 11, 12)
CELLS = MovieSpec(shape=(256, 256), frames=7, count=34, diameter=24.0, cycle=14.0, speed=0.2, death=0.0, heading=25.0)
FLOWS = (1.0, 1.8)  # learned from, in widths of a cell
STEPS = {"1.2": 1.2, "1.4": 1.4, "1.6": 1.6}
NET = NetSpec(inputs=2, outputs=5, widths=(8, 16, 32, 64))
REACHES = (1.5, 3.0)  # plain linking with its usual reach, and with one that holds every step


def movie(seed: int, drift: float) -> Movie:
    """Simulate one."""
    return simulate(CELLS.model_copy(update={"seed": seed, "drift": drift}))


def examples() -> list[Example]:
    """Make movies to learn from."""
    found = []
    for i, seed in enumerate(LEARNED):
        made = movie(seed, float(np.linspace(*FLOWS, len(LEARNED))[i]))
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
        if not folder.exists():
            train(
                examples(), name="motion-simulated", task="motion", folder=folder, minutes=given.minutes, patch=96,
                batch=4, net=NET, average=0.97, threads=1, device="cpu", every=50,
                show=lambda p: sys.stderr.write(f"{p.note}\n"),
            )  # fmt: skip
        report: dict[str, Any] = {"minutes": given.minutes, "movies": len(LEARNED)}
        for name, drift in STEPS.items():
            report[name] = compare(str(folder), drift)
            sys.stderr.write(f"{name}: {report[name]}\n")
    text = json.dumps(report, indent=1)
    sys.stdout.write(text + "\n")
    RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
