"""Link with btrack, in an environment of its own: labels (.npy) to rows of frame, label, track and parent (.npy).

Its settings for cells (cell_config) cannot be fetched everywhere, so they are written out here; they are for pixels, of
cells that are 20 wide, and lengths are scaled to the width of the cells at hand.
"""

from __future__ import annotations

import sys
import time

import btrack
import numpy as np
from btrack.models import HypothesisModel, MotionModel
from skimage.measure import regionprops_table

labels, out = np.load(sys.argv[1]), sys.argv[2]
rows = []
for t, frame in enumerate(labels):
    seen = regionprops_table(frame, properties=("label", "centroid", "area"))
    rows += [(t, *row) for row in zip(*seen.values(), strict=True)]
time_, label, y, x, area = np.array(rows).T
start = time.process_time()
width = 2 * np.sqrt(np.median(area) / np.pi)
scale = 20 / width
table = {"ID": np.arange(len(rows)), "t": time_.astype(int), "x": x * scale, "y": y * scale, "z": np.zeros(len(rows))}
still, none = np.eye(3), np.zeros((3, 3))
gain = np.array([[0.5, 0.5, 0.5, 1.0, 1.0, 1.0]]) * 15
motion = MotionModel(
    name="cell_motion", measurements=3, states=6, dt=1.0, accuracy=7.5, prob_not_assign=0.001, max_lost=5,
    A=np.block([[still, still], [none, still]]), H=np.block([still, none]), P=150 * np.diag([0.1] * 3 + [1.0] * 3),
    G=gain, Q=gain.T @ gain, R=5 * still,
)  # fmt: skip
hypotheses = HypothesisModel(
    name="cell_hypothesis", hypotheses=["P_FP", "P_init", "P_term", "P_link", "P_branch", "P_dead"], lambda_time=5.0,
    lambda_dist=3.0, lambda_link=10.0, lambda_branch=50.0, eta=1e-10, theta_dist=20.0, theta_time=5.0, dist_thresh=40,
    time_thresh=2, apop_thresh=5, segmentation_miss_rate=0.1, apoptosis_rate=0.001, relax=True,
)  # fmt: skip
with btrack.BayesianTracker(verbose=False) as tracker:
    tracker.configure(btrack.config.TrackerConfig(motion_model=motion, hypothesis_model=hypotheses))
    tracker.max_search_radius = 20.0
    tracker.append(btrack.io.objects_from_dict(table))
    shape = labels.shape[1:]
    tracker.volume = ((0, shape[1] * scale), (0, shape[0] * scale), (-1, 1))
    tracker.track(step_size=100)
    tracker.optimize(options={"tm_lim": 60_000})
    found = [
        (time_[ref], label[ref], track.ID, 0 if track.parent == track.ID else track.parent)
        for track in tracker.tracks
        for ref in track.refs
        if ref >= 0
    ]
seconds = time.process_time() - start
np.save(out, np.array([(*row, seconds) for row in found], np.float64))
