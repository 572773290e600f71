"""Objects as basins of a stored potential: exact, whatever the image was cut into.

Every foreground pixel points to its highest neighbor (ties: the larger index), which makes a forest whose roots are
the potential's peaks. Two basins are one object when the lower of their peaks rises at most `persistence` above the
saddle between them (the elder rule of topological persistence, Edelsbrunner et al. 2002, applied from the highest
saddle down). Only stored integers are compared, so the result has no rounding in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["basins", "climb", "descend_offsets", "grow", "nearness"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]


def basins(potential: Bytes, mask: npt.NDArray[np.bool_], persistence: int, least: float | Sequence[float]) -> Ints:
    """Label the objects of a potential.

    Parameters
    ----------
    potential : ndarray of uint8
        Shape ``(y, x)`` or ``(z, y, x)``; high in the middle of objects.
    mask : ndarray of bool
        Foreground, same shape.
    persistence : int
        Largest rise of a peak above a saddle, in steps of the potential, at which two basins are one object.
    least : float or sequence of float
        Objects with fewer pixels are dropped; one number, or one for each height of an object's peak, 0 to 255.

    Returns
    -------
    ndarray of int32
        Labels 1 to n, ordered by first pixel.
    """
    volume = _volume(potential)
    solid = np.ascontiguousarray(_volume(mask))
    labels: Ints = grow(climb(volume, solid), volume, solid, persistence, least).reshape(potential.shape)
    return labels


def grow(
    pointers: npt.NDArray[np.integer[Any]],
    potential: Bytes,
    mask: npt.NDArray[np.bool_],
    persistence: int,
    least: float | Sequence[float],
) -> Ints:
    """Resolve a pointer forest, merge its shallow basins and number the objects; all arrays ``(z, y, x)``."""
    roots = _resolve(pointers, mask.ravel())
    peaks = potential.ravel()[roots]
    basin = pointers.reshape(mask.shape)
    count = len(roots)
    # Codes that come twice do no harm, and to sort is faster than to make them unique.
    edges = np.sort(_saddles(basin, potential, mask, count))[::-1] if count > 1 else np.zeros(0, np.int64)
    owner = _merge(edges, peaks.astype(np.int64), persistence)
    labels: Ints = _number(basin, mask, owner, np.broadcast_to(np.asarray(least, float), 256)[peaks])
    return labels


def _volume(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array)


def climb(potential: Bytes, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.integer[Any]]:
    """Point every foreground pixel to its highest neighbor or itself; flat indices, shape ``(z * y * x,)``."""
    dtype = np.int32 if potential.size < 2**31 else np.int64
    out = np.zeros(potential.shape, dtype)
    _climb(potential, mask, out)
    return out.ravel()


@numba.njit(cache=True, nogil=True)
def _climb(potential: Any, mask: Any, out: Any) -> None:
    depth, height, width = potential.shape
    steps = np.empty(27, np.int64)
    for k in range(27):
        steps[k] = ((k // 9 - 1) * height + k // 3 % 3 - 1) * width + k % 3 - 1
    near = np.empty(width + 2, np.int16)
    best = np.empty(width, np.int16)
    for z in range(depth):
        for y in range(height):
            if not mask[z, y].any():
                continue
            best[:] = 0
            for k in range(0, 27, 3):
                c, b = z + k // 9 - 1, y + k // 3 % 3 - 1
                if 0 <= c < depth and 0 <= b < height:
                    _code(potential[c, b], mask[c, b], near)
                    _best_of_row(near, np.int16(k), best)
            first = (z * height + y) * width
            for x in range(width):
                if mask[z, y, x]:
                    out[z, y, x] = first + x + steps[best[x] & 31]


@numba.njit(cache=True, nogil=True)
def _code(potential: Any, mask: Any, near: Any) -> None:
    """Leave 5 bits below each value for where it is, and mark the background."""
    near[0] = near[-1] = -32
    for x in range(potential.size):
        # Without a branch, so that many are done at once.
        near[x + 1] = np.int16((np.int16(potential[x]) + np.int16(1)) * np.int16(mask[x]) - np.int16(1)) * np.int16(32)


@numba.njit(cache=True, nogil=True)
def _best_of_row(near: Any, first: Any, best: Any) -> None:
    """Take in three neighbors in ascending index order: of equal values the larger index wins."""
    for x in range(best.size):
        left, middle = np.int16(near[x] + first), np.int16(near[x + 1] + np.int16(first + 1))
        best[x] = max(best[x], left, middle, np.int16(near[x + 2] + np.int16(first + 2)))


def descend_offsets(
    offsets: npt.NDArray[np.int16], mask: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.integer[Any]], Bytes]:
    """Point every foreground pixel one step along its stored offset, while the offsets get shorter.

    Parameters
    ----------
    offsets : ndarray of int16
        Shape ``(3, z, y, x)``: signed vector to the object's middle.
    mask : ndarray of bool
        Foreground ``(z, y, x)``.

    Returns
    -------
    pointers : ndarray of int
        Flat indices, shape ``(z * y * x,)``.
    potential : ndarray of uint8
        255 where the offset is zero, falling with its length.
    """
    dtype = np.int32 if mask.size < 2**31 else np.int64
    out = np.zeros(mask.shape, dtype)
    potential = nearness(offsets)
    _follow(offsets, potential, mask, out)
    return out.ravel(), potential


def nearness(offsets: npt.NDArray[np.int16]) -> Bytes:
    """Return 255 where an offset ``(3, z, y, x)`` is zero, less the longer it is."""
    length = np.sqrt((offsets.astype(np.float32) ** 2).sum(0))
    near: Bytes = (255 - np.clip(np.rint(length * 2), 0, 255)).astype(np.uint8)
    return near


@numba.njit(cache=True, nogil=True)
def _follow(offsets: Any, potential: Any, mask: Any, out: Any) -> None:
    depth, height, width = mask.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if not mask[z, y, x]:
                    continue
                own = (z * height + y) * width + x
                out[z, y, x] = own
                oz, oy, ox = offsets[0, z, y, x], offsets[1, z, y, x], offsets[2, z, y, x]
                largest = max(abs(oz), abs(oy), abs(ox))
                if largest == 0:
                    continue
                # Integer rounding of offset / largest to -1, 0 or 1: exact on every machine.
                c = z + (2 * oz + largest) // (2 * largest)
                b = y + (2 * oy + largest) // (2 * largest)
                a = x + (2 * ox + largest) // (2 * largest)
                if 0 <= c < depth and 0 <= b < height and 0 <= a < width and mask[c, b, a]:
                    other = (c * height + b) * width + a
                    rise = np.int64(potential[c, b, a]) - np.int64(potential[z, y, x])
                    if rise > 0 or (rise == 0 and other > own):
                        out[z, y, x] = other


@numba.njit(cache=True, nogil=True)
def _resolve(pointers: Any, mask: Any) -> Any:
    """Replace every pointer by the number of its root; return the roots' flat indices in order."""
    count = 0
    for i in range(pointers.size):
        if mask[i] and pointers[i] == i:
            count += 1
    roots = np.empty(count, np.int64)
    count = 0
    for i in range(pointers.size):
        if mask[i] and pointers[i] == i:
            roots[count] = i
            pointers[i] = -1 - count  # negative: resolved
            count += 1
    for i in range(pointers.size):
        if not mask[i] or pointers[i] < 0:
            continue
        at = i
        while pointers[at] >= 0:
            at = pointers[at]
        end = pointers[at]
        at = i
        while pointers[at] >= 0:
            after = pointers[at]
            pointers[at] = end
            at = after
    for i in range(pointers.size):
        pointers[i] = -1 - pointers[i] if mask[i] else 0
    return roots


@numba.njit(cache=True, nogil=True)
def _saddles(basin: Any, potential: Any, mask: Any, count: int) -> Any:
    """List touching basins as codes ``(saddle * count + lower) * count + higher``, many of them repeated."""
    depth, height, width = basin.shape
    size = 1024
    codes = np.empty(size, np.int64)
    used = 0
    last = np.int64(-1)
    touches = np.empty(width, np.bool_)
    for z in range(depth):
        for y in range(height):
            if not _touching(basin, mask, z, y, touches):
                continue
            for x in range(width):
                if not touches[x]:
                    continue
                own = np.int64(basin[z, y, x])
                for step in range(14, 18 if z + 1 == depth else 27):  # the neighbors that come later in index order
                    c = z + step // 9 - 1
                    b = y + step // 3 % 3 - 1
                    a = x + step % 3 - 1
                    if b < 0 or b >= height or a < 0 or a >= width or not mask[c, b, a]:
                        continue
                    other = np.int64(basin[c, b, a])
                    if other == own:
                        continue
                    saddle = np.int64(min(potential[z, y, x], potential[c, b, a]))
                    code = (saddle * count + min(own, other)) * count + max(own, other)
                    if code == last:
                        continue
                    last = code
                    if used == size:
                        size *= 2
                        bigger = np.empty(size, np.int64)
                        bigger[:used] = codes
                        codes = bigger
                    codes[used] = code
                    used += 1
    return codes[:used]


@numba.njit(cache=True, nogil=True)
def _touching(basin: Any, mask: Any, z: int, y: int, touches: Any) -> bool:
    """Mark the pixels of a row that have a later neighbor in another basin, without a branch for each."""
    depth, height, width = basin.shape
    own, solid = basin[z, y], mask[z, y]
    touches[:] = False
    if not solid.any():
        return False
    for x in range(width - 1):
        touches[x] |= solid[x] & solid[x + 1] & (own[x] != own[x + 1])
    for k in range(5, 9):  # below in the same plane, then the three rows of the next
        c, b = z + k // 6, y + (k - 7 if k > 5 else 1)
        if c >= depth or b < 0 or b >= height:
            continue
        row, there = basin[c, b], mask[c, b]
        for x in range(width):
            touches[x] |= solid[x] & there[x] & (own[x] != row[x])
        for x in range(width - 1):
            touches[x] |= solid[x] & there[x + 1] & (own[x] != row[x + 1])
        for x in range(1, width):
            touches[x] |= solid[x] & there[x - 1] & (own[x] != row[x - 1])
    return bool(touches.any())


@numba.njit(cache=True, nogil=True)
def _find(owner: Any, i: int) -> int:
    while owner[i] != i:
        owner[i] = owner[owner[i]]
        i = owner[i]
    return i


@numba.njit(cache=True, nogil=True)
def _merge(edges: Any, peaks: Any, persistence: int) -> Any:
    count = peaks.size
    owner = np.arange(count)
    for code in edges:
        saddle = code // count // count
        a = _find(owner, code // count % count)
        b = _find(owner, code % count)
        if a == b or min(peaks[a], peaks[b]) - saddle > persistence:
            continue
        high, low = (a, b) if peaks[a] >= peaks[b] else (b, a)
        owner[low] = high
    for i in range(count):
        owner[i] = _find(owner, i)
    return owner


@numba.njit(cache=True, nogil=True)
def _number(basin: Any, mask: Any, owner: Any, least: Any) -> Any:
    depth, height, width = basin.shape
    area = np.zeros(owner.size, np.int64)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if mask[z, y, x]:
                    area[owner[basin[z, y, x]]] += 1
    number = np.zeros(owner.size, np.int32)
    out = np.zeros(basin.shape, np.int32)
    count = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if not mask[z, y, x]:
                    continue
                own = owner[basin[z, y, x]]
                if area[own] < least[own]:
                    continue
                if number[own] == 0:
                    count += 1
                    number[own] = count
                out[z, y, x] = number[own]
    return out
