"""Machine code for :mod:`._forest`: pointers, trees and where they touch, inside one brick.

All arrays ``(z, y, x)`` are one pixel larger than the brick on each side, along z only where `reach` is 1: planes have
no neighbors there. A level is ``(potential + 1) << SHIFT`` in the foreground and 0 elsewhere; its low bits have room
for a step to a neighbor. So the largest sum of level and step is the highest neighbor, ties going to the one that comes
later in the order of pixels, in 16-bit arithmetic that processors do for many pixels at once.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["BEYOND", "SHIFT", "STAY", "Grown", "climb", "follow", "resolve", "survey"]

SHIFT: Final = 5
STAY: Final = 13  # the step 9 * (dz + 1) + 3 * (dy + 1) + dx + 1 that leads nowhere
NONE: Final = 30  # marks background
BEYOND: Final = 31  # marks a pixel of another brick
_LOW_BITS: Final = 31
_EIGHT_NONE: Final = np.uint64(0x1E1E1E1E1E1E1E1E)
_NEW: Final = np.uint8(1)
_TOUCHING: Final = np.uint8(2)
_HASH: Final = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio (Knuth, vol. 3, section 6.4)


class Grown(NamedTuple):
    """The trees of a brick and the pixels around it, which have none.

    Attributes
    ----------
    trees : ndarray of int32, shape (z, y, x)
        Numbered from 1, ordered by first pixel.
    ends, begins : ndarray of int64, shape (n,)
        Flat indices where each tree ends, perhaps beyond the brick, and where it begins.
    areas : ndarray of int64, shape (n,)
        Number of pixels.
    boxes : ndarray of int32, shape (n, 6)
        Of all that is looked at: first pixel and the one after the last.
    codes : ndarray of int64, shape (m,)
        Pairs of trees that touch, in any order: the lower number times 2**32, and the higher.
    saddles : ndarray of uint8, shape (m,)
        The highest potential at which they do.
    """

    trees: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]
    begins: npt.NDArray[np.int64]
    areas: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int32]
    codes: npt.NDArray[np.int64]
    saddles: npt.NDArray[np.uint8]


@numba.njit(cache=True, nogil=True)
def climb(level: Any, steps: Any, reach: int) -> None:
    """Step to the highest neighbor: down the columns first, then along the row, in vector instructions."""
    depth, height, width = level.shape
    best = np.empty(width, np.uint16)
    for z in range(reach, depth - reach):
        for y in range(1, height - 1):
            own = level[z, y]
            best[:] = 0
            for dz in range(-reach, reach + 1):
                for dy in range(-1, 2):
                    turn = 9 * (dz + 1) + 3 * (dy + 1)
                    other = level[z + dz, y + dy]
                    for x in range(width):
                        code = np.uint16(other[x] + turn)
                        best[x] = code if code > best[x] else best[x]
            for x in range(1, width - 1):
                code = best[x - 1]
                middle, right = np.uint16(best[x] + 1), np.uint16(best[x + 1] + 2)
                code = middle if middle > code else code
                code = right if right > code else code
                steps[z, y, x] = np.uint8(code & _LOW_BITS) if own[x] > 0 else np.uint8(NONE)


@numba.njit(cache=True, nogil=True)
def follow(offsets: Any, lead: Any, level: Any, steps: Any, reach: int) -> None:
    """Step along the offset, where that leads to the foreground and not down."""
    depth, height, width = level.shape
    for z in range(reach, depth - reach):
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                own = level[z, y, x]
                steps[z, y, x] = STAY if own > 0 else NONE
                oz = np.int64(offsets[0, z - lead[0], y - lead[1], x - lead[2]])
                oy = np.int64(offsets[1, z - lead[0], y - lead[1], x - lead[2]])
                ox = np.int64(offsets[2, z - lead[0], y - lead[1], x - lead[2]])
                largest = max(abs(oz), abs(oy), abs(ox))
                if own == 0 or largest == 0:
                    continue
                # Integer rounding of offset / largest to -1, 0 or 1, as for the whole plane.
                dz, dy = (2 * oz + largest) // (2 * largest), (2 * oy + largest) // (2 * largest)
                dx = (2 * ox + largest) // (2 * largest)
                if dz != 0 and reach == 0:
                    continue
                other = level[z + dz, y + dy, x + dx]
                step = 9 * (dz + 1) + 3 * (dy + 1) + dx + 1
                if other > own or (other == own and step > STAY):
                    steps[z, y, x] = step


@numba.njit(cache=True, nogil=True)
def resolve(steps: Any, trees: Any, moves: Any) -> Any:
    """Give every tree a number; return the pixels where each ends and begins, as flat indices of `steps`."""
    to, tree = steps.ravel(), trees.ravel()
    words = to[: to.size // 8 * 8].view(np.uint64)
    # No more trees than there are peaks and pixels around the brick.
    most = 0
    for step in to:
        most += (step == STAY) | (step == BEYOND)
    ends, firsts = np.empty(most, np.uint64), np.empty(most, np.uint64)
    count = 0
    for word in range(words.size + 1):
        # Background is skipped, eight pixels at a time.
        if word < words.size and words[word] == _EIGHT_NONE:
            continue
        for first in range(np.uint64(8 * word), np.uint64(min(8 * word + 8, to.size))):
            if to[first] >= NONE or tree[first] != 0:
                continue
            at = first
            while tree[at] == 0:
                after = at + moves[to[at]]
                if after == at:
                    ends[count], firsts[count] = at, first
                    count += 1
                    tree[at] = count
                at = after
            number = tree[at]
            at = first
            while tree[at] == 0:
                tree[at] = number
                at += moves[to[at]]
    # What lies around the brick belongs to others.
    for k in range(count):
        if to[ends[k]] == BEYOND:
            tree[ends[k]] = 0
    return ends[:count].astype(np.int64), firsts[:count].astype(np.int64)


@numba.njit(cache=True, nogil=True)
def survey(trees: Any, level: Any, count: int, ahead: Any, reach: int) -> Any:
    """Measure the trees and find where they touch."""
    depth, height, width = trees.shape
    tree, top = trees.ravel(), level.ravel()
    areas = np.zeros(count, np.int64)
    boxes = np.zeros((count, 6), np.int32)
    boxes[:, :3] = 2**31 - 1
    codes, tops = np.zeros(1024, np.int64), np.zeros(1024, np.uint16)
    marks = np.zeros((width + 7) // 8 * 8, np.uint8)
    words = marks.view(np.uint64)
    used = 0
    for z in range(reach, depth - reach):
        for y in range(1, height - 1):
            most = used + ahead.size * _mark(trees, z, y, reach, marks)
            while 2 * most > codes.size:
                codes, tops = _widen(codes, tops)
            row, start = np.uint64((z * height + y) * width), 0
            for word in range(words.size):
                if words[word] == 0:
                    continue
                for x in range(8 * word, min(8 * word + 8, width)):
                    if marks[x] & _NEW:
                        _measure(tree[row + np.uint64(x) - np.uint64(1)], (z, y, start, x), areas, boxes)
                        start = x
                    if marks[x] & _TOUCHING:
                        used += _meet(tree, top, row + np.uint64(x), ahead, codes, tops)
    pairs, saddles = np.empty(used, np.int64), np.empty(used, np.uint8)
    used = 0
    for i in range(codes.size):
        if codes[i] != 0:
            pairs[used], saddles[used] = codes[i], (tops[i] >> SHIFT) - 1
            used += 1
    return areas, boxes, pairs, saddles


@numba.njit(cache=True, nogil=True)
def _mark(trees: Any, z: int, y: int, reach: int, marks: Any) -> int:
    """Mark the pixels of a row where a run begins and those that touch a later one of another tree; count these."""
    own, width = trees[z, y], trees.shape[2]
    for x in range(1, width):
        marks[x] = _NEW if own[x] != own[x - 1] else 0
    for x in range(1, width - 1):
        marks[x] |= np.uint8((own[x + 1] != own[x]) & (own[x + 1] != 0) & (own[x] != 0)) * _TOUCHING
    for dz in range(reach + 1):
        for dy in range(-1 if dz else 1, 2):
            other = trees[z + dz, y + dy]
            for x in range(1, width - 1):
                number = own[x]
                left = (other[x - 1] != number) & (other[x - 1] != 0)
                middle = (other[x] != number) & (other[x] != 0)
                right = (other[x + 1] != number) & (other[x + 1] != 0)
                marks[x] |= np.uint8((left | middle | right) & (number != 0)) * _TOUCHING
    touching = 0
    for mark in marks:
        touching += (mark & _TOUCHING) != 0
    return touching


@numba.njit(cache=True, nogil=True)
def _measure(number: int, run: Any, areas: Any, boxes: Any) -> None:
    """Take in a run: pixels from `start` to `stop` of the row at z and y."""
    if number == 0:
        return
    z, y, start, stop = run
    areas[number - 1] += stop - start
    box = boxes[number - 1]
    box[0], box[3] = min(box[0], z), max(box[3], z + 1)
    box[1], box[4] = min(box[1], y), max(box[4], y + 1)
    box[2], box[5] = min(box[2], start), max(box[5], stop)


@numba.njit(cache=True, nogil=True)
def _meet(tree: Any, top: Any, at: Any, ahead: Any, codes: Any, tops: Any) -> int:
    """Note the trees that a pixel touches later in the order of pixels; return how many pairs are new."""
    number, new = tree[at], 0
    for move in ahead:
        other = tree[at + move]
        if other > 0 and other != number:
            code = (np.int64(min(number, other)) << 32) | max(number, other)
            new += _note(code, min(top[at], top[at + move]), codes, tops)
    return new


@numba.njit(cache=True, nogil=True)
def _note(code: int, top: int, codes: Any, tops: Any) -> int:
    """Keep the highest saddle of a pair in a hash table; return 1 if the pair is new."""
    last = np.uint64(codes.size - 1)
    slot = (np.uint64(code ^ (code >> 29)) * _HASH >> np.uint64(32)) & last
    while codes[slot] != 0 and codes[slot] != code:
        slot = (slot + np.uint64(1)) & last
    if codes[slot] == code:
        tops[slot] = max(tops[slot], top)
        return 0
    codes[slot], tops[slot] = code, top
    return 1


@numba.njit(cache=True, nogil=True)
def _widen(codes: Any, tops: Any) -> Any:
    wide, high = np.zeros(2 * codes.size, np.int64), np.zeros(2 * codes.size, np.uint16)
    for i in range(codes.size):
        if codes[i] != 0:
            _note(codes[i], tops[i], wide, high)
    return wide, high
