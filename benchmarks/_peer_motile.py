"""Link with motile alone, in an environment of its own: labels (.npy) to rows of frame, label, track and parent (.npy).

Centroids within one width of an object, distances as costs, at most one parent and two children, all frames at once.
"""

from __future__ import annotations

import sys
import time

import ilpy
import motile
import numpy as np
from motile.constraints import MaxChildren, MaxParents, Pin
from motile.costs import EdgeSelectedCost, NodeAppearCost, NodeSplitCost
from scipy.spatial import KDTree
from skimage.measure import regionprops_table

labels, out = np.load(sys.argv[1]), sys.argv[2]
rows = []
for t, frame in enumerate(labels):
    seen = regionprops_table(frame, properties=("label", "centroid", "area"))
    rows += [(t, *row) for row in zip(*seen.values(), strict=True)]
time_, label, y, x, area = np.array(rows).T
start = time.process_time()
places = np.stack([y, x], axis=1) / (2 * np.sqrt(np.median(area) / np.pi))
graph = motile.TrackGraph()
for row, t in enumerate(time_.astype(int).tolist()):
    graph.add_node(row, {"t": t, "there": True})
for t in range(len(labels) - 1):
    before, here = (np.flatnonzero(time_ == at) for at in (t, t + 1))
    near = KDTree(places[before]).query_ball_point(places[here], 1.0)
    for child, parents in zip(here.tolist(), near, strict=True):
        for parent in before[parents].tolist():
            graph.add_edge((parent, child), {"far": float(np.linalg.norm(places[parent] - places[child]))})
solver = motile.Solver(graph)
# An object within reach is linked, if need be as a second daughter: to begin costs more than the farthest link.
for cost in (EdgeSelectedCost(attribute="far"), NodeAppearCost(constant=1.6), NodeSplitCost(constant=0.5)):
    solver.add_cost(cost)
for constraint in (MaxParents(1), MaxChildren(2), Pin("there")):
    solver.add_constraint(constraint)
solver.solve(timeout=120, backend=ilpy.Preference.Scip)
edges = list(solver.get_selected_subgraph().edges)
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
np.save(out, np.stack([time_, label, track, mother, np.full(len(rows), seconds)], axis=1))
