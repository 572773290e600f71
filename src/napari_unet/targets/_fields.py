"""Fields inside objects that representations are made of. Work in 2D and 3D."""

from __future__ import annotations

from typing import Any

import edt
import numba
import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["distances", "heat", "medoid_offsets", "relative_distances", "touching"]

Labels = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float32]


def distances(labels: Labels) -> Floats:
    """Return every pixel's Euclidean distance to the nearest pixel outside its object, in pixels; float32."""
    # The library measures to the border between pixels of other labels; array edges are no border.
    field: Floats = edt.edt(np.ascontiguousarray(labels, dtype=np.uint32), black_border=False, parallel=1)
    # An object that fills the whole array has no border at all.
    field[~np.isfinite(field)] = max(labels.shape)
    return field


def relative_distances(labels: Labels) -> Floats:
    """Return :func:`distances` divided by their maximum in each object: 1 at its middle, 0 outside; float32."""
    field = distances(labels)
    flat = np.ascontiguousarray(labels).ravel().astype(np.int64)
    peaks = np.full(int(flat.max(initial=0)) + 1, 1e-6, np.float32)
    _peaks(flat, field.ravel(), peaks)
    peaks[0] = np.inf
    relative: Floats = field / peaks[labels]
    return relative


@numba.njit(cache=True, nogil=True)
def _peaks(labels: Any, field: Any, peaks: Any) -> None:
    for i in range(labels.size):
        peaks[labels[i]] = max(peaks[labels[i]], field[i])


def touching(labels: Labels, reach: int = 2) -> Floats:
    """Mark pixels of an object that have another object within `reach` pixels along an axis; float32."""
    near = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        for step in range(1, min(reach, labels.shape[axis] - 1) + 1):
            left = (*(slice(None),) * axis, slice(None, -step))
            right = (*(slice(None),) * axis, slice(step, None))
            other = (labels[left] != labels[right]) & (labels[left] > 0) & (labels[right] > 0)
            near[left] |= other
            near[right] |= other
    return near.astype(np.float32)


def _medoids(labels: Labels) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return object ids and, for each, the position of its pixel nearest to its centroid, shape ``(n, ndim)``."""
    solid, values = _solid(labels)
    count, at = _middles(solid, len(values) - 1)
    rows = np.flatnonzero(count)
    return values[rows].astype(np.int64), at[rows, 3 - labels.ndim :]


def _solid(labels: Labels) -> tuple[Labels, Labels]:
    """Return labels as a volume, with numbers that need no more room than the labels, and what these stand for."""
    top = int(labels.max(initial=0))
    solid: Labels = np.ascontiguousarray(labels).reshape((1,) * (3 - labels.ndim) + labels.shape)
    if top <= labels.size:
        return solid, np.arange(top + 1)
    values, inverse = np.unique(np.append(0, solid), return_inverse=True)
    return inverse[1:].reshape(solid.shape), values


@numba.njit(cache=True, nogil=True)
def _middles(labels: Any, top: int) -> Any:
    """Count the pixels of each object of a volume, and find the first of those nearest to its centroid."""
    count, away = np.zeros(top + 1, np.int64), np.full(top + 1, np.inf)
    sums, at = np.zeros((top + 1, 3)), np.zeros((top + 1, 3), np.int64)
    depth, height, width = labels.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                k = labels[z, y, x]
                if k > 0:
                    count[k] += 1
                    sums[k, 0] += z
                    sums[k, 1] += y
                    sums[k, 2] += x
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                k = labels[z, y, x]
                if k > 0:
                    n = count[k]
                    far = (z - sums[k, 0] / n) ** 2 + (y - sums[k, 1] / n) ** 2 + (x - sums[k, 2] / n) ** 2
                    if far < away[k]:
                        away[k], at[k, 0], at[k, 1], at[k, 2] = far, z, y, x
    return count, at


def medoid_offsets(labels: Labels) -> Floats:
    """Return each pixel's vector to its object's medoid over the object's largest such length; ``(ndim, *s)``."""
    out = np.zeros((labels.ndim, *labels.shape), np.float32)
    ids, centers = _medoids(labels)
    if not len(ids):
        return out
    where = np.nonzero(labels)
    row = np.searchsorted(ids, labels[where])
    vector = centers[row] - np.stack(where, 1)
    length = np.sqrt((vector**2).sum(1))
    reach = np.ones(len(ids))
    np.maximum.at(reach, row, length)
    everywhere: tuple[Any, ...] = (slice(None), *where)
    out[everywhere] = (vector / reach[row, None]).T
    return out


def heat(labels: Labels) -> Floats:
    """Diffuse heat from each object's medoid inside it; log scale, 1 at the medoid, 0 outside; float32.

    The potential whose gradient Cellpose learns (Stringer et al. 2021, Methods, "Model training").
    """
    out = np.zeros(labels.shape, np.float32)
    solid, values = _solid(labels)
    count, middles = _middles(solid, len(values) - 1)
    boxes = ndimage.find_objects(solid.astype(np.int32, copy=False), len(values) - 1)
    for number in np.flatnonzero(count).tolist():
        low, high = np.array([(span.start, span.stop) for span in boxes[number - 1]]).T
        _warm(solid, out.reshape(solid.shape), number, (low, high, middles[number]), labels.ndim - 2)
    return out


@numba.njit(cache=True, nogil=True)
def _warm(labels: Any, out: Any, number: int, place: Any, reach: int) -> None:
    """Write the heat of one object, which lies between `low` and `high`; `reach` is 1 where planes are neighbors."""
    low, high, middle = place
    depth, height, width = high - low
    mask = np.zeros((depth + 2 * reach, height + 2, width + 2), np.float32)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if labels[low[0] + z, low[1] + y, low[2] + x] == number:
                    mask[z + reach, y + 1, x + 1] = 1
    seed = middle - low
    now = _diffuse(mask, (seed[0] + reach, seed[1] + 1, seed[2] + 1), depth * reach + height + width, reach)
    most = np.float32(1e-6)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                now[z + reach, y + 1, x + 1] = np.log1p(now[z + reach, y + 1, x + 1])
                most = max(most, now[z + reach, y + 1, x + 1])
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if mask[z + reach, y + 1, x + 1]:
                    out[low[0] + z, low[1] + y, low[2] + x] = now[z + reach, y + 1, x + 1] / most


@numba.njit(cache=True, nogil=True)
def _diffuse(mask: Any, seed: Any, rounds: int, reach: int) -> Any:
    """Average each pixel with its neighbors `rounds` times; `mask` is 1 inside and 0 outside, with a rim of 0."""
    depth, height, width = mask.shape
    now = np.zeros(mask.shape, np.float32)
    rows = np.zeros(mask.shape, np.float32)
    share = mask * np.float32(1.0 / (9 * (1 + 2 * reach)))
    for _ in range(rounds):
        now[seed[0], seed[1], seed[2]] += 1
        for z in range(depth):
            for y in range(height):
                # Views of a line: loops over them are vectorized.
                line, three = now[z, y], rows[z, y]
                for x in range(1, width - 1):
                    three[x] = line[x - 1] + line[x] + line[x + 1]
        for z in range(reach, depth - reach):
            for y in range(1, height - 1):
                new, own = now[z, y], share[z, y]
                a, b, c = rows[z, y - 1], rows[z, y], rows[z, y + 1]
                for x in range(1, width - 1):
                    new[x] = a[x] + b[x] + c[x]
                for side in range(-reach, 2 * reach, 2):
                    a, b, c = rows[z + side, y - 1], rows[z + side, y], rows[z + side, y + 1]
                    for x in range(1, width - 1):
                        new[x] += a[x] + b[x] + c[x]
                for x in range(1, width - 1):
                    new[x] *= own[x]
    return now
