"""Machine code for :mod:`.stitch`: joining, merging and adding up trees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["look_up", "settle", "total", "touch", "unite"]


@njit(cache=True, nogil=True)
def look_up(trees: Any, numbers: Any, out: Any) -> bool:
    """Fill in the number of every pixel's tree; false if there are too few numbers."""
    depth, height, width = trees.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                tree = np.uint64(trees[z, y, x])
                if tree >= numbers.size:
                    return False
                out[z, y, x] = numbers[tree]
    return True


@njit(cache=True, nogil=True)
def touch(trees: Any, potential: Any, others: Any, beyond: Any, reach: int) -> Any:
    """List trees that touch across a border as codes ``tree << 32 | other``, and the saddles; some repeated.

    Pixels touch that are at most `reach` away from being right across.
    """
    depth, height, width = trees.shape
    codes, saddles = np.empty(64, np.int64), np.empty(64, np.uint8)
    used = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if trees[z, y, x] == 0:
                    continue
                for c in range(max(z - reach, 0), min(z + reach + 1, depth)):
                    for b in range(max(y - reach, 0), min(y + reach + 1, height)):
                        for a in range(max(x - reach, 0), min(x + reach + 1, width)):
                            if others[c, b, a] == 0:
                                continue
                            saddle = min(potential[z, y, x], beyond[c, b, a])
                            code = (np.int64(trees[z, y, x]) << 32) | others[c, b, a]
                            if used > 0 and codes[used - 1] == code:
                                saddles[used - 1] = max(saddles[used - 1], saddle)
                                continue
                            if used == codes.size:
                                codes, saddles = np.append(codes, codes), np.append(saddles, saddles)
                            codes[used], saddles[used] = code, saddle
                            used += 1
    return codes[:used], saddles[:used]


@njit(cache=True, nogil=True)
def settle(toward: Any) -> bool:
    """Replace what each tree flows into by where that ends; false if some go round in a ring."""
    for i in range(toward.size):
        end, steps = i, 0
        while toward[end] != end:
            end = toward[end]
            steps += 1
            if steps > toward.size:
                return False
        at = i
        while toward[at] != end:
            after = toward[at]
            toward[at] = end
            at = after
    return True


@njit(cache=True, nogil=True)
def _find(owner: Any, i: int) -> int:
    while owner[i] != i:
        owner[i] = owner[owner[i]]
        i = owner[i]
    return i


@njit(cache=True, nogil=True)
def unite(codes: Any, saddles: Any, peaks: Any, persistence: int) -> Any:
    """Merge basins from the last edge to the first; return the highest basin of each one's object."""
    count = peaks.size
    owner = np.arange(count)
    for k in range(codes.size - 1, -1, -1):
        a, b = _find(owner, codes[k] // count), _find(owner, codes[k] % count)
        if a == b or np.int64(min(peaks[a], peaks[b])) - np.int64(saddles[k]) > persistence:
            continue
        high, low = (a, b) if peaks[a] >= peaks[b] else (b, a)
        owner[low] = high
    for i in range(count):
        owner[i] = _find(owner, i)
    return owner


@njit(cache=True, nogil=True)
def total(group: Any, count: int, areas: Any, firsts: Any, lows: Any, highs: Any) -> Any:
    """Add up what was measured of each group's trees."""
    area, first = np.zeros(count, np.int64), np.full(count, 2**63 - 1)
    low, high = np.full((count, 3), 2**31 - 1, np.int32), np.zeros((count, 3), np.int32)
    for i in range(group.size):
        k = group[i]
        area[k] += areas[i]
        first[k] = min(first[k], firsts[i])
        for axis in range(3):
            low[k, axis] = min(low[k, axis], lows[i, axis])
            high[k, axis] = max(high[k, axis], highs[i, axis])
    return area, first, low, high
