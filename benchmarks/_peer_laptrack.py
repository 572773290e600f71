"""Link with laptrack, in an environment of its own: labels (.npy) to rows of frame, label, track and parent (.npz).

A third file holds settings (JSON); each gives one table. Centroids, lengths in object widths, or the overlap of masks.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from laptrack import LapTrack, OverLapTrack
from skimage.measure import regionprops_table

warnings.simplefilter("ignore")
labels, out, settings = np.load(sys.argv[1]), sys.argv[2], json.loads(Path(sys.argv[3]).read_text())
tables = []
for t, frame in enumerate(labels):
    tables.append(pd.DataFrame(regionprops_table(frame, properties=("label", "centroid", "area"))).assign(frame=t))
table = pd.concat(tables)
width = 2 * np.sqrt(table.area.median() / np.pi)


def by_centroids(wish: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Link centroids; the cost is the square of the distance, as in the paper."""
    reach, split = ((wish[name] * width) ** 2 for name in ("reach", "split"))
    linker = LapTrack(cutoff=reach, splitting_cutoff=split, gap_closing_cutoff=reach, gap_closing_max_frame_count=3)
    found, splits, _ = linker.predict_dataframe(table, ["centroid-0", "centroid-1"], only_coordinate_cols=False)
    found = found.reset_index()
    return found.assign(frame=found["frame"] if "frame" in found else found["frame_y"]), splits


def by_overlap(wish: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Link masks: 1 minus the intersection over union, or minus its share of the later mask."""
    weights = (1.0, 0.0, -1.0, 0.0, 0.0) if wish["overlap"] == "iou" else (1.0, 0.0, 0.0, 0.0, -1.0)
    linker = OverLapTrack(
        metric_coefs=weights, gap_closing_metric_coefs=weights, splitting_metric_coefs=(1.0, 0.0, 0.0, 0.0, -1.0),
        cutoff=wish["reach"], splitting_cutoff=wish["split"], gap_closing_cutoff=wish["reach"],
        gap_closing_max_frame_count=3,
    )  # fmt: skip
    found, splits, _ = linker.predict_overlap_dataframe(labels)
    return found.reset_index(), splits


made = []
for wish in settings:
    start = time.process_time()
    found, splits = by_overlap(wish) if "overlap" in wish else by_centroids(wish)
    seconds = time.process_time() - start
    parent = dict(zip(splits["child_track_id"], splits["parent_track_id"], strict=True)) if len(splits) else {}
    above = [parent.get(i, -1) + 1 for i in found["track_id"]]
    rows = [found["frame"], found["label"], found["track_id"] + 1, above, np.full(len(found), seconds)]
    made.append(np.stack(rows, axis=1).astype(np.float64))
np.savez(out, *made)
