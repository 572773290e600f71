"""Other trackers: which they are, and which of their settings are best for each kind of movie.

Divisions are enabled in all of them. Settings are chosen on movies with other seeds than those that are compared, from
the lists below: those with the highest mean of LNK, CHOTA and BC. ``python benchmarks/trackers.py`` chooses again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from peers_cells import ENVIRONMENTS, install

from napari_unet.core.graph import assemble
from napari_unet.core.results import Tracks
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import simulate
from napari_unet.workflows import score_tracks

CHOSEN = Path(__file__).with_name("results") / "trackers.json"
SEEDS = (0, 1, 2)
LIMIT = 1800.0  # seconds to install one
PEERS = {
    "laptrack": ("laptrack==0.17.0", "scikit-image==0.26.0"),
    # 0.7.0 needs a newer libstdc++ than many systems have, 0.6.5 the first pydantic.
    "btrack": ("btrack==0.6.5", "pydantic==1.10.24", "numpy==2.4.6", "scipy==1.17.1", "scikit-image==0.26.0"),
    "motile": ("motile==1.0.1", "pyscipopt==6.3.0", "scikit-image==0.26.0", "scipy==1.17.1"),
}
# Motion is such that other programs reach about what they reach on every sixth frame of HL60 nuclei; divisions are more
# frequent, so that there are enough to count.
MOVIES = {
    "nuclei": MovieSpec(shape=(300, 300), frames=20, count=45, diameter=28.0, cycle=14.0, speed=0.16),
    "phase": MovieSpec(
        kind="bacteria", shape=(260, 260), frames=28, count=12, diameter=9.0, cycle=9.0, speed=0.25, dropped=0.03
    ),
    "phase_calm": MovieSpec(
        kind="bacteria", shape=(260, 260), frames=28, count=14, diameter=9.0, cycle=14.0, speed=0.1, dropped=0.03
    ),
}


def grid(**names: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return all combinations."""
    return [dict(zip(names, values, strict=True)) for values in product(*names.values())]


# Lengths are in object widths; for btrack a width is 20.
WAYS = {
    "laptrack": grid(reach=(0.5, 0.75, 1.0), split=(0.5, 0.75, 1.0)),
    "laptrack_overlap": grid(overlap=("iou", "share"), reach=(0.8, 0.99), split=(0.7, 0.99)),
    "btrack": grid(radius=(6, 8, 10, 14, 20), visual=(False,), dist_thresh=(10.0, 15.0, 20.0, 40.0))
    + grid(radius=(10, 20), visual=(True,), dist_thresh=(15.0, 20.0)),
    "motile": grid(overlap=(0.0, 1.0), wait=(1, 3), appear=(1.6,), split=(0.1, 0.5)),
}


def follow(name: str, python: Path, labels: np.ndarray, settings: list[dict[str, Any]]) -> list[Tracks]:
    """Link with another program, once for each of the settings."""
    with tempfile.TemporaryDirectory() as folder:
        given, out, wishes = (Path(folder, part) for part in ("labels.npy", "tracks.npz", "settings.json"))
        np.save(given, labels)
        wishes.write_text(json.dumps(settings))
        script = Path(__file__).with_name(f"_peer_{name.split('_', maxsplit=1)[0]}.py")
        command = [str(python), str(script), str(given), str(out), str(wishes)]
        subprocess.run(command, check=True, env={"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
        with np.load(out) as tables:
            return [_read(name, tables[f"arr_{i}"]) for i in range(len(settings))]


def _read(name: str, table: np.ndarray) -> Tracks:
    t, label, track, parent, _ = table.T
    whole = {"t": t, "label": label, "track": track, "parent": parent}
    columns = {key: column.astype(np.int64) for key, column in whole.items()}
    return assemble(columns | {"y": t * 0.0, "x": t * 0.0}, name).tracks


def peer(name: str, movie: str, python: Path, labels: np.ndarray) -> Tracks:
    """Link with the settings that were chosen."""
    return follow(name, python, labels, [json.loads(CHOSEN.read_text())[name][movie]["settings"]])[0]


def ways_of(program: str) -> list[str]:
    """Return the ways to link with a program."""
    return [way for way in WAYS if way.split("_")[0] == program]


def tune(way: str, movie: str, python: Path) -> dict[str, Any]:
    """Choose among the settings of one way to link."""
    scores = np.zeros((len(WAYS[way]), 3))
    for seed in SEEDS:
        made = simulate(MOVIES[movie].model_copy(update={"seed": seed}))
        truth, given = made.tracks(), np.asarray(made.given.data)
        for i, found in enumerate(follow(way, python, given, WAYS[way])):
            values = score_tracks(found, given, truth, made.labels).scores
            scores[i] += [values[name] / len(SEEDS) for name in ("LNK", "CHOTA", "BC")]
    best = int(scores.mean(axis=1).argmax())
    names = dict(zip(("LNK", "CHOTA", "BC"), np.round(scores[best], 4).tolist(), strict=True))
    return {"settings": WAYS[way][best], "tried": len(WAYS[way]), **names}


def main() -> None:
    """Choose and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    wish = parser.parse_args()
    ENVIRONMENTS.mkdir(exist_ok=True)
    for program in wish.peers:
        python = install(program, LIMIT, PEERS[program])
        for way in ways_of(program):
            chosen = {movie: tune(way, movie, python) for movie in MOVIES}
            stored = json.loads(CHOSEN.read_text()) if CHOSEN.exists() else {}
            CHOSEN.write_text(json.dumps(stored | {way: chosen}, indent=1) + "\n")
            sys.stderr.write(f"{way}: {chosen}\n")


if __name__ == "__main__":
    main()
