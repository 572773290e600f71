"""Learn motion from simulated movies, and link other movies in which cells move farther than they are wide.

Of three kinds: a flow that goes one way in all movies, as in a channel on a chip; cells of which each keeps a way of
its own (``ways``); and cells that move at random (``random``, Brownian). How far they move differs from movie to movie.
What is tested has other seeds, and steps that were not learned. Settings of linking were chosen on seeds 0 and 1.
"bare assignment" is the textbook's: from frame to frame, the links between centers that are at most three widths apart
whose squares of length sum up to the least (the first step of Jaqaman et al. 2008, without divisions).

``--minutes`` is the time of each training, on one thread, 0 for none; ``--folder`` keeps the models (a folder for each
kind), or names those that are there; ``--kinds`` are the kinds to measure, the others stay as they are stored.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from napari_unet.core.axes import Image
from napari_unet.core.examples import Example
from napari_unet.core.graph import assemble
from napari_unet.core.results import Tracks
from napari_unet.core.specs import NetSpec
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import Movie, simulate
from napari_unet.workflows import score_tracks, track, train

RESULTS = Path(__file__).with_name("results") / "motion.json"
LEARNED = range(100, 108)
TESTED = (10, 11, 12)
CELLS = MovieSpec(shape=(256, 256), frames=7, count=34, diameter=24.0, cycle=14.0, speed=0.2, death=0.0, heading=25.0)
FEWER = CELLS.model_copy(update={"frames": 10, "count": 26, "speed": 0.1})
KINDS: dict[str, tuple[MovieSpec, str, tuple[float, float], tuple[float, ...]]] = {
    "flow": (CELLS, "drift", (1.0, 1.8), (1.2, 1.4, 1.6)),
    "ways": (FEWER, "roam", (0.6, 1.6), (0.8, 1.2, 1.6)),
    "random": (FEWER.model_copy(update={"memory": 0.0}), "speed", (0.4, 1.2), (0.6, 1.0)),
}  # what is learned from lies between two steps; those are tested that follow; all in widths of a cell
NET = NetSpec(inputs=2, outputs=5, widths=(8, 16, 32, 64))
WAYS: dict[str, dict[str, Any]] = {
    "bare assignment": {},
    "plain, reach 1.5": {"max_distance": 1.5},  # the usual one
    "plain, reach 3": {"max_distance": 3.0},  # holds every step
    "plain, reach 3, image": {"max_distance": 3.0, "image": True},
    "steady": {"max_distance": 3.0, "steady": True},
    "steady, image": {"max_distance": 3.0, "steady": True, "image": True},
}


def assigned(labels: np.ndarray, reach: float) -> Tracks:
    """Link centers from frame to frame, those that are at most `reach` pixels apart."""
    rows: list[tuple[float, ...]] = []
    edges: list[tuple[int, int]] = []
    before: range = range(0)
    for t, frame in enumerate(labels):
        names = np.unique(frame[frame > 0])
        places = ndimage.center_of_mass(frame > 0, frame, names)
        now = range(len(rows), len(rows) + len(names))
        rows += [
            (t, label, len(rows) + i, *place) for i, (label, place) in enumerate(zip(names, places, strict=True), 1)
        ]
        if before and now:
            old, new = (np.array([rows[i][3:] for i in which]) for which in (before, now))
            cost = ((old[:, None] - new[None]) ** 2).sum(-1)
            # To leave a cell alone costs more than any link that may be.
            chosen = zip(*linear_sum_assignment(np.where(cost > reach**2, 1e9, cost)), strict=True)
            edges += [(before[i], now[j]) for i, j in chosen if cost[i, j] <= reach**2]
        before = now
    table = np.array(rows)
    columns = {name: table[:, i].astype(int) for i, name in enumerate(("t", "label", "track"))}
    places = {"y": table[:, 3], "x": table[:, 4]}
    return assemble(columns | places, "assigned", np.array(edges).reshape(-1, 2)).tracks


def movie(kind: str, seed: int, step: float) -> Movie:
    """Simulate one."""
    spec, field = KINDS[kind][:2]
    return simulate(spec.model_copy(update={"seed": seed, field: step}))


def examples(kind: str) -> list[Example]:
    """Make movies to learn from."""
    found = []
    for i, seed in enumerate(LEARNED):
        made = movie(kind, seed, float(np.linspace(*KINDS[kind][2], len(LEARNED))[i]))
        image, labels = (
            Image(np.asarray(each.data), "tyx", name=f"{each.name} {seed}") for each in (made.image, made.labels)
        )
        found.append(Example(image, labels, tracks=made.tracks(), group=str(seed)))
    return found


def compare(kind: str, model: str, step: float) -> dict[str, Any]:
    """Link with and without the model."""
    ways = dict(WAYS)
    if model:
        ways["learned"] = {"model": model, "image": True}
        ways["learned, steady"] = {"model": model, "image": True, "max_distance": 3.0, "steady": True}
    found: dict[str, list[list[float]]] = {}
    for seed in TESTED:
        made = movie(kind, seed, step)
        image, given = (Image(np.asarray(each.data), "tyx") for each in (made.image, made.given))
        for name, options in ways.items():
            more = options | {"image": image if "image" in options else None}
            linked = assigned(np.asarray(given.data), 3 * CELLS.diameter) if not options else track(given, **more)
            scores = score_tracks(linked, given, made.tracks(), made.labels).scores
            found.setdefault(name, []).append([scores[key] for key in ("LNK", "CHOTA", "BC")])
    means = {name: np.mean(rows, axis=0).tolist() for name, rows in found.items()}
    return {
        name: {k: round(v, 4) for k, v in zip(("LNK", "CHOTA", "BC"), row, strict=True)} for name, row in means.items()
    }


def learn(kind: str, folder: Path, minutes: float) -> str:
    """Train a model, if it is not there."""
    if minutes and not folder.exists():
        train(
            examples(kind), name=f"motion-{kind}", task="motion", folder=folder, minutes=minutes, patch=96, batch=4,
            net=NET, average=0.97, threads=1, device="cpu", every=50, show=lambda p: sys.stderr.write(f"{p.note}\n"),
        )  # fmt: skip
    return str(folder) if folder.exists() else ""


def main() -> None:
    """Train, measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    given = parser.parse_args()
    report: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as place:
        for kind in given.kinds:
            model = learn(kind, (given.folder or Path(place)) / f"motion-{kind}", given.minutes)
            report[kind] = {"minutes": given.minutes, "movies": len(LEARNED)}
            for step in KINDS[kind][3]:
                report[kind][f"{step:g}"] = compare(kind, model, step)
                sys.stderr.write(f"{kind} {step}: {report[kind][f'{step:g}']}\n")
    text = json.dumps(report, indent=1)
    sys.stdout.write(text + "\n")
    RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
