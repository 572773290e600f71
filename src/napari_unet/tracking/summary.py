"""One row a track: how long it was there, how fast, how large, and from whom it came."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from napari_unet.core.results import Table, Tracks

__all__ = ["frame_table", "summarize", "tree"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def summarize(tracks: Tracks) -> Table:
    """Measure every track.

    Parameters
    ----------
    tracks : Tracks
        Any; its scale makes the columns physical.

    Returns
    -------
    dict of ndarray
        One row a track, ordered by number. ``track``, ``lineage``, ``parent`` (0 for none), ``children`` (how many),
        ``generation`` (from 1), ``first`` and ``last`` frame, ``frames`` (in which it is seen), ``lifetime`` (last less
        first, plus one frame) and ``start`` in units of time, ``path`` (sum of all steps), ``displacement`` (first to
        last) and ``speed`` (path by time, NaN for one frame) in units of length, ``area`` (or ``volume``: the median)
        in units of the image, ``growth`` (last by first). ``complete`` says that the track begins and ends with a
        division: its lifetime is that of a cell cycle.
    """
    nodes = tracks.nodes
    number = nodes["track"].astype(np.int64)
    order = np.lexsort((nodes["t"], number))
    ids, begin = np.unique(number[order], return_index=True)
    end = np.append(begin[1:], len(order))[: len(begin)] - 1
    axes, (step, *scale) = tracks.axes[1:], tracks.scale
    t = nodes["t"].astype(np.float64)[order]
    places = np.stack([nodes[a] for a in axes], axis=1).astype(np.float64)[order] * np.array(scale)
    areas = nodes["area"].astype(np.float64)[order] * math.prod(scale)
    parent, lineage = (nodes[name].astype(np.int64)[order][begin] for name in ("parent", "lineage"))
    strides = np.linalg.norm(np.diff(places, axis=0), axis=1)
    so_far = np.concatenate([[0.0], np.cumsum(strides)]) if len(order) else np.zeros(0)
    path, time = so_far[end] - so_far[begin], (t[end] - t[begin]) * step
    children = np.bincount(np.searchsorted(ids, parent[parent > 0]), minlength=len(ids))
    size = "area" if len(axes) == 2 else "volume"
    return {
        "track": ids,
        "lineage": lineage,
        "parent": parent,
        "children": children,
        "generation": _generations(ids, parent),
        "first": t[begin].astype(np.int64),
        "last": t[end].astype(np.int64),
        "frames": end - begin + 1,
        "start": t[begin] * step,
        "lifetime": time + step,
        "path": path,
        "displacement": np.linalg.norm(places[end] - places[begin], axis=1),
        "speed": np.divide(path, time, out=np.full(len(ids), np.nan), where=time > 0),
        size: _medians(areas, begin, end),
        "growth": areas[end] / areas[begin],
        "complete": (parent > 0) & (np.append(children, 0)[np.searchsorted(ids, parent)] > 1) & (children > 1),
    }


def frame_table(tracks: Tracks) -> Table:
    """Count and measure what happens in every frame.

    Parameters
    ----------
    tracks : Tracks
        Any.

    Returns
    -------
    dict of ndarray
        One row a frame: ``t``, ``time``, ``cells``, ``divisions`` (mothers seen for the last time), ``speed`` (mean of
        the steps that end here within a track, length by time; NaN without. From a mother to a daughter is none).
    """
    nodes = tracks.nodes
    t = nodes["t"].astype(np.int64)
    count = int(t.max(initial=-1)) + 1
    step, *scale = tracks.scale
    places = np.stack([nodes[a] for a in tracks.axes[1:]], axis=1).astype(np.float64) * np.array(scale)
    above, below = tracks.edges[:, 0], tracks.edges[:, 1]
    own = nodes["track"][above] == nodes["track"][below]
    first, then = above[own], below[own]
    speed = np.linalg.norm(places[then] - places[first], axis=1) / ((t[then] - t[first]) * step)
    steps = np.bincount(t[then], minlength=count)
    total = np.bincount(t[then], weights=speed, minlength=count)
    mothers = np.flatnonzero(np.bincount(above, minlength=len(t)) > 1)
    return {
        "t": np.arange(count),
        "time": np.arange(count) * step,
        "cells": np.bincount(t, minlength=count),
        "divisions": np.bincount(t[mothers], minlength=count),
        "speed": np.divide(total, steps, out=np.full(count, np.nan), where=steps > 0),
    }


def tree(tracks: Tracks) -> Table:
    """Lay lineages out as a tree: time along one side, tracks side by side along the other.

    Mothers stand in the middle above their daughters, lineages side by side, largest first.

    Parameters
    ----------
    tracks : Tracks
        Any.

    Returns
    -------
    dict of ndarray
        One row a track, ordered by number: ``track``, ``lineage``, ``parent``, ``first`` and ``last`` frame, and
        ``place`` (float64): where it stands, leaves one apart.
    """
    table = summarize(tracks)
    ids, parent, lineage = table["track"], table["parent"].astype(np.int64), table["lineage"].astype(np.int64)
    row_of = np.where(parent > 0, np.searchsorted(ids, parent), -1).tolist()
    daughters: list[list[int]] = [[] for _ in row_of]
    roots: list[int] = []
    for row, above in enumerate(row_of):
        (daughters[above] if above >= 0 else roots).append(row)
    size = np.bincount(lineage)
    roots.sort(key=lambda row: (-size[lineage[row]], lineage[row], row))
    place = [0.0] * len(row_of)
    leaves = 0
    stack = [(row, False) for row in reversed(roots)]
    while stack:  # depth first; a mother is placed once her daughters are
        row, ready = stack.pop()
        if not daughters[row]:
            place[row] = float(leaves)
            leaves += 1
        elif ready:
            place[row] = sum(place[d] for d in daughters[row]) / len(daughters[row])
        else:
            stack.append((row, True))
            stack += [(d, False) for d in reversed(daughters[row])]
    found = {name: table[name] for name in ("track", "lineage", "parent", "first", "last")}
    return found | {"place": np.array(place, np.float64)}


def _generations(ids: Ints, parent: Ints) -> Ints:
    above = np.where(parent > 0, np.searchsorted(ids, parent), -1).tolist()
    found: list[int] = []
    for row, mother in enumerate(above):  # numbers follow the first cells: a mother comes before her daughters
        found.append(found[mother] + 1 if 0 <= mother < row else 1)
    return np.array(found, np.int64)


def _medians(values: Floats, begin: Ints, end: Ints) -> Floats:
    """Return the median of each part, from `begin` to `end` inclusive."""
    part = np.repeat(np.arange(len(begin)), end - begin + 1)
    ordered = values[np.lexsort((values, part))]
    return np.asarray((ordered[(begin + end) // 2] + ordered[(begin + end + 1) // 2]) / 2)
