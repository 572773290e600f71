"""How many doubts about tracks are true errors: simulated movies, tracked from their true masks, some left out.

Run it as ``python benchmarks/doubts.py``; it writes ``benchmarks/results/doubts.json``. An event is an error if the
cell that it leads to has a link that is not true, or lacks one that is. Chance is what random cells would show.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_unet import workflows
from napari_unet.core.graph import relink
from napari_unet.core.results import Tracks

RESULTS = Path(__file__).resolve().parent / "results" / "doubts.json"
MOVIES = {"nuclei": ("nuclei-movie", 3), "bacteria": ("bacteria-movie", 2)}  # every so many frames
SEEDS = (11, 12, 13)  # others than those the weights of the kinds were chosen with
FRAMES = 36
DROPPED = 0.03
FIRST = (10, 20, 50)


def links(tracks: Tracks) -> set[tuple[tuple[int, int], tuple[int, int]]]:
    cells = list(zip(tracks.nodes["t"].tolist(), tracks.nodes["label"].tolist(), strict=True))
    return {(cells[a], cells[b]) for a, b in tracks.edges.tolist()}


def thinned(truth: Tracks, step: int, kept: np.ndarray) -> Tracks:
    """Keep every `step`-th frame and the cells that are `kept`: a link leads to the last ancestor that is left."""
    parent = np.full(len(kept), -1)
    parent[truth.edges[:, 1]] = truth.edges[:, 0]
    left = kept & (truth.nodes["t"] % step == 0)
    row = np.cumsum(left) - 1
    edges = []
    for child in np.flatnonzero(left).tolist():
        above = parent[child]
        while above >= 0 and not left[above]:
            above = parent[above]
        if above >= 0:
            edges.append((row[above], row[child]))
    nodes = {name: column[left] for name, column in truth.nodes.items()}
    nodes["t"] = nodes["t"] // step
    bare = replace(truth, costs=np.zeros(0), margins=np.zeros(0))
    return relink(replace(bare, nodes=nodes, edges=np.zeros((0, 2), np.int64)), np.array(edges))


def measure(name: str, step: int, seed: int) -> tuple[np.ndarray, float, int]:
    """Return for each doubt, in order, whether it is an error; the share of all cells; and the number of errors."""
    _image, labels, truth = workflows.sample_movie(name, frames=FRAMES, seed=seed)
    masks = np.asarray(labels.data)
    rng = np.random.default_rng(seed)
    kept = rng.random(len(truth.nodes["t"])) >= DROPPED
    gone = {(int(t), int(i)) for t, i in zip(truth.nodes["t"][~kept], truth.nodes["label"][~kept], strict=True)}
    for t, label in gone:
        masks[t][masks[t] == label] = 0
    true = thinned(truth, step, kept)
    found = workflows.track(masks[::step])
    wrong = links(found) ^ links(true)
    cells = {cell for link in wrong for cell in link}
    listed = workflows.list_doubts(found)
    told = [(int(t), int(i)) in cells for t, i in zip(listed["t"], listed["label"], strict=True)]
    return np.array(told, bool), len(cells) / len(found.nodes["t"]), len(wrong)


def main() -> None:
    found = {}
    for title, (name, step) in MOVIES.items():
        runs = [measure(name, step, seed) for seed in SEEDS]
        row = {f"first_{n}": float(np.mean([told[:n].mean() for told, _, _ in runs])) for n in FIRST}
        row |= {"chance": float(np.mean([share for _, share, _ in runs])), "wrong_links": sum(n for *_, n in runs)}
        found[title] = row
        print(title, row)
    RESULTS.write_text(json.dumps({"frames": FRAMES, "dropped": DROPPED, "results": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
