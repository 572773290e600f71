"""Link with btrack, in an environment of its own: labels (.npy) to rows of frame, label, track and parent (.npz).

A third file holds settings (JSON); each gives one table. What is not set there is as in its example for cells
(cell_config.json), which cannot be fetched everywhere and so is written out; that is for cells that are 20 pixels wide,
and lengths are scaled to the width of the cells at hand.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import btrack
import numpy as np
from btrack.constants import BayesianUpdateFeatures
from btrack.models import HypothesisModel, MotionModel
from skimage.measure import regionprops_table

logging.disable(logging.INFO)
labels, out, settings = np.load(sys.argv[1]), sys.argv[2], json.loads(Path(sys.argv[3]).read_text())
FEATURES = ("area", "eccentricity", "axis_major_length")
rows = []
for t, frame in enumerate(labels):
    seen = regionprops_table(frame, properties=("label", "centroid", *FEATURES))
    rows += [(t, *row) for row in zip(*seen.values(), strict=True)]
time_, label, y, x, area, eccentricity, length = np.array(rows).T
scale = 20 / (2 * np.sqrt(np.median(area) / np.pi))
table = {
    "ID": np.arange(len(rows)), "t": time_.astype(int), "x": x * scale, "y": y * scale, "z": np.zeros(len(rows)),
    "area": area, "eccentricity": eccentricity, "axis_major_length": length,
}  # fmt: skip


def follow(wish: dict[str, Any]) -> list[tuple[float, float, int, int]]:
    """Link, then choose among hypotheses for all tracklets at once."""
    still, none = np.eye(3), np.zeros((3, 3))
    gain = np.array([[0.5, 0.5, 0.5, 1.0, 1.0, 1.0]]) * 15
    motion = MotionModel(
        name="cell_motion", measurements=3, states=6, dt=1.0, accuracy=7.5, prob_not_assign=0.1, max_lost=5,
        A=np.block([[still, still], [none, still]]), H=np.block([still, none]), P=150 * np.diag([0.1] * 3 + [1.0] * 3),
        G=gain, Q=gain.T @ gain, R=5 * still,
    )  # fmt: skip
    hypotheses = HypothesisModel(
        name="cell_hypothesis", hypotheses=["P_FP", "P_init", "P_term", "P_link", "P_branch", "P_dead"],
        lambda_time=5.0, lambda_dist=3.0, lambda_link=10.0, lambda_branch=50.0, eta=1e-10, theta_dist=20.0,
        theta_time=5.0, dist_thresh=wish["dist_thresh"], time_thresh=2, apop_thresh=5, segmentation_miss_rate=0.1,
        apoptosis_rate=0.001, relax=True,
    )  # fmt: skip
    updates = [BayesianUpdateFeatures.MOTION] + [BayesianUpdateFeatures.VISUAL] * wish["visual"]
    configuration = btrack.config.TrackerConfig(
        motion_model=motion, hypothesis_model=hypotheses, tracking_updates=updates,
        features=list(FEATURES) if wish["visual"] else [],
    )  # fmt: skip
    with btrack.BayesianTracker(verbose=False) as tracker:
        tracker.configure(configuration)
        tracker.max_search_radius = wish["radius"]
        tracker.append(btrack.io.objects_from_dict(table))
        tracker.volume = ((0, labels.shape[2] * scale), (0, labels.shape[1] * scale), (-1, 1))
        tracker.track(step_size=100)
        tracker.optimize(options={"tm_lim": 60_000, "msg_lev": "GLP_MSG_OFF"})
        return [
            (time_[ref], label[ref], track.ID, 0 if track.parent == track.ID else track.parent)
            for track in tracker.tracks
            for ref in track.refs
            if ref >= 0
        ]


made = []
for wish in settings:
    start = time.process_time()
    found = follow(wish)
    seconds = time.process_time() - start
    made.append(np.array([(*row, seconds) for row in found], np.float64))
np.savez(out, *made)
