"""Whether what was taken for time is depth: sections through bodies come and go, small at first and at last."""

from __future__ import annotations

from typing import Final

import numpy as np

from napari_unet.core.results import Tracks

__all__ = ["warn_of_depth"]

_FRAMES: Final = 3  # shorter tracks have no middle
_TRACKS: Final = 5  # of fewer nothing is said
_MOST: Final = 0.85  # of the tracks, and of the ends within the movie
_ENDS: Final = 0.6  # of the largest size
_STILL: Final = 0.25  # object widths a frame


def warn_of_depth(tracks: Tracks) -> str:
    """Say in words that these may be the planes of a stack; empty where they look like frames.

    Cells are there when a movie begins and when it ends, go their ways, and are about as large when they are lost as
    they were before. Bodies in a stack begin and end within it, each section lies over the one before, and the first
    and the last one are small.

    Parameters
    ----------
    tracks : Tracks
        Of labels with a time axis.

    Returns
    -------
    str
        What to do.
    """
    time, name = (tracks.nodes[column].astype(np.int64) for column in ("t", "track"))
    areas = tracks.nodes["area"].astype(np.float64)
    if "z" in tracks.axes or not len(time):
        return ""
    order = np.lexsort((time, name))
    starts = np.flatnonzero(np.diff(name[order], prepend=-1))
    stops = np.append(starts[1:], len(order)) - 1
    first, last = order[starts], order[stops]
    long = stops - starts + 1 >= _FRAMES
    if long.sum() < _TRACKS:
        return ""
    within = np.stack([time[first] > time.min(), time[last] < time.max()])[:, long]
    small = (np.stack([areas[first], areas[last]]) < _ENDS * np.maximum.reduceat(areas[order], starts))[:, long]
    places = np.stack([tracks.nodes[axis].astype(np.float64) for axis in "yx"], axis=1)
    steps = np.linalg.norm(places[tracks.edges[:, 1]] - places[tracks.edges[:, 0]], axis=1)
    still = float(np.median(steps)) < _STILL * float(np.median(np.sqrt(areas)))
    if not still or within.any(axis=0).mean() < _MOST or small[within].mean() < _MOST:
        return ""
    return (
        "Most objects come and go within this movie, small at first and at last, and stay in place, as sections of "
        "bodies in a stack do. If its first axis is depth, the axes are zyx and there is nothing to track: segment the "
        "stack in 3D, or join its planes."
    )
