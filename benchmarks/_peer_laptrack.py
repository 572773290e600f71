"""Link with laptrack, in an environment of its own: labels (.npy) to rows of frame, label, track and parent (.npy)."""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd
from laptrack import LapTrack
from skimage.measure import regionprops_table

labels, out = np.load(sys.argv[1]), sys.argv[2]
tables = []
for t, frame in enumerate(labels):
    tables.append(pd.DataFrame(regionprops_table(frame, properties=("label", "centroid", "area"))).assign(frame=t))
table = pd.concat(tables)
start = time.process_time()
reach = 4 * table.area.median() / np.pi  # the square of an object's width
linker = LapTrack(cutoff=reach, splitting_cutoff=reach, gap_closing_cutoff=reach, gap_closing_max_frame_count=2)
found, splits, _ = linker.predict_dataframe(table, ["centroid-0", "centroid-1"], only_coordinate_cols=False)
seconds = time.process_time() - start
found = found.reset_index()
time_ = found["frame"] if "frame" in found else found["frame_y"]
parent = dict(zip(splits["child_track_id"], splits["parent_track_id"], strict=True)) if len(splits) else {}
above = [parent.get(i, -1) + 1 for i in found["track_id"]]
np.save(out, np.stack([time_, found["label"], found["track_id"] + 1, above, np.full(len(found), seconds)], axis=1))
