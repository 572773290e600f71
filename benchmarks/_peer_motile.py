"""Link with motile alone, in an environment of its own: labels (.npy) to rows of frame, label, track and parent (.npz).

A third file holds settings (JSON); each gives one table. A link costs its distance in object widths, and what the masks
do not have in common (1 minus the intersection over union) times a weight; at most one parent and two children, all
frames at once. Links may leave out frames.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import ilpy
import motile
import numpy as np
from motile.constraints import MaxChildren, MaxParents, Pin
from motile.costs import EdgeSelectedCost, NodeAppearCost, NodeSplitCost
from scipy.spatial import KDTree
from skimage.measure import regionprops_table

labels, out, settings = np.load(sys.argv[1]), sys.argv[2], json.loads(Path(sys.argv[3]).read_text())
rows = []
for t, frame in enumerate(labels):
    seen = regionprops_table(frame, properties=("label", "centroid", "area"))
    rows += [(t, *row) for row in zip(*seen.values(), strict=True)]
time_, label, y, x, area = np.array(rows).T
places = np.stack([y, x], axis=1) / (2 * np.sqrt(np.median(area) / np.pi))
nodes = [np.flatnonzero(time_ == t) for t in range(len(labels))]


def overlap(t: int, later: int) -> np.ndarray:
    """Return the intersection over union of all masks of two frames, by label."""
    one, two = labels[t].astype(np.int64), labels[later].astype(np.int64)
    width = int(two.max()) + 1
    both = np.bincount((one * width + two).ravel(), minlength=(int(one.max()) + 1) * width).reshape(-1, width)
    return both / np.maximum(both.sum(1)[:, None] + both.sum(0)[None] - both, 1)


def follow(wish: dict[str, Any]) -> list[tuple[int, int]]:
    """Choose links."""
    graph = motile.TrackGraph()
    for row, t in enumerate(time_.astype(int).tolist()):
        graph.add_node(row, {"t": t, "there": True})
    for wait in range(1, wish["wait"] + 1):
        for t in range(len(labels) - wait):
            before, here, shared = nodes[t], nodes[t + wait], overlap(t, t + wait)
            if not len(before) or not len(here):
                continue
            near = KDTree(places[before]).query_ball_point(places[here], np.sqrt(wait))
            for child, parents in zip(here.tolist(), near, strict=True):
                for parent in before[parents].tolist():
                    far = float(np.linalg.norm(places[parent] - places[child])) / np.sqrt(wait)
                    unlike = 1 - float(shared[int(label[parent]), int(label[child])])
                    cost = far + wish["overlap"] * unlike + 0.2 * (wait - 1)
                    graph.add_edge((parent, child), {"cost": cost})
    solver = motile.Solver(graph)
    # An object within reach is linked, if need be as a second daughter: to begin costs more than most links.
    costs = (NodeAppearCost(constant=wish["appear"]), NodeSplitCost(constant=wish["split"]))
    for cost in (EdgeSelectedCost(attribute="cost"), *costs):
        solver.add_cost(cost)
    for constraint in (MaxParents(1), MaxChildren(2), Pin("there")):
        solver.add_constraint(constraint)
    solver.solve(timeout=120, backend=ilpy.Preference.Scip)
    return list(solver.get_selected_subgraph().edges)


made = []
for wish in settings:
    start = time.process_time()
    edges = follow(wish)
    seconds = time.process_time() - start
    above = {child: parent for parent, child in edges}
    children = np.bincount([parent for parent, _ in edges], minlength=len(rows))
    track, mother = np.zeros(len(rows), int), np.zeros(len(rows), int)
    for row in range(len(rows)):
        parent = above.get(row)
        if parent is not None and children[parent] == 1:
            track[row], mother[row] = track[parent], mother[parent]
        else:
            track[row], mother[row] = row + 1, 0 if parent is None else track[parent]
    made.append(np.stack([time_, label, track, mother, np.full(len(rows), seconds)], axis=1))
np.savez(out, *made)
