"""Machine code for :mod:`.depth`: pixels that two planes have in common, and who is whose best partner."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["best_partners", "count_pairs", "count_pixels"]


@njit(cache=True, nogil=True)
def count_pixels(labels: Any, areas: Any) -> bool:
    """Add the pixels of each label to `areas`; false if there are too few places."""
    run, held = 0, 0
    for i in range(labels.size):
        label = labels[i]
        # Neighbors mostly have one label: memory is written once for all of them.
        if label == held:
            run += 1
            continue
        areas[held] += run
        if label < 0 or label >= areas.size:
            return False
        held, run = label, 1
    areas[held] += run
    return True


@njit(cache=True, nogil=True)
def _slot(keys: Any, key: Any) -> Any:
    """Find a key, or the free place where it belongs, in a table of 2**k places; 0 is no key."""
    last = keys.size - 1
    at = ((key >> 32) * 0x9E3779B1 + (key & 0xFFFFFFFF) * 0x85EBCA77) >> 7 & last
    while keys[at] != 0 and keys[at] != key:
        at = at + 1 & last
    return at


@njit(cache=True, nogil=True)
def _grown(keys: Any, counts: Any) -> Any:
    more, sums = np.zeros(4 * keys.size, np.int64), np.zeros(4 * keys.size, np.int64)
    for i in range(keys.size):
        if keys[i] != 0:
            at = _slot(more, keys[i])
            more[at], sums[at] = keys[i], counts[i]
    return more, sums


@njit(cache=True, nogil=True)
def count_pairs(upper: Any, lower: Any) -> Any:
    """Count pixels that are labeled in both planes, by codes ``upper << 32 | lower``; in no order."""
    keys, counts = np.zeros(1024, np.int64), np.zeros(1024, np.int64)
    used, run = 0, 0
    above, below = upper[0], lower[0]
    for i in range(upper.size + 1):
        if i < upper.size and upper[i] == above and lower[i] == below:
            run += 1
            continue
        if above != 0 and below != 0:
            key = np.int64(above) << 32 | np.int64(below)
            at = _slot(keys, key)
            if keys[at] == 0:
                keys[at] = key
                used += 1
            counts[at] += run
            if 2 * used > keys.size:
                keys, counts = _grown(keys, counts)
        if i < upper.size:
            above, below, run = upper[i], lower[i], 1
    there = keys != 0
    return keys[there], counts[there]


@njit(cache=True, nogil=True)
def best_partners(rows: Any, above: Any, below: Any, threshold: float) -> Any:
    """Return for each lower outline the upper one that it is the best partner of and that is its own, or 0."""
    high, low = np.zeros(above.size), np.zeros(below.size)
    down, up = np.zeros(above.size, np.int32), np.zeros(below.size, np.int32)
    for i in range(rows.shape[0]):
        a, b, shared = rows[i, 0], rows[i, 1], rows[i, 2]
        if shared / min(above[a], below[b]) < threshold:
            continue
        score = shared / (above[a] + below[b] - shared)
        if score > high[a] or (score == high[a] and b < down[a]):
            high[a], down[a] = score, b
        if score > low[b] or (score == low[b] and a < up[b]):
            low[b], up[b] = score, a
    for b in range(1, below.size):
        if down[up[b]] != b:
            up[b] = 0
    return up
