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
    where = np.nonzero(labels)
    ids, inverse = np.unique(labels[where], return_inverse=True)
    at = np.stack(where, 1)
    count = np.bincount(inverse)
    centroid = np.stack([np.bincount(inverse, at[:, d]) / count for d in range(labels.ndim)], 1)
    away = ((at - centroid[inverse]) ** 2).sum(1)
    order = np.lexsort((np.arange(len(away)), away, inverse))
    first = np.searchsorted(inverse[order], np.arange(len(ids)))
    return ids.astype(np.int64), at[order[first]].astype(np.int64)


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
    ids, centers = _medoids(labels)
    boxes = ndimage.find_objects(np.asarray(labels, dtype=np.int32))
    for label, center in zip(ids, centers, strict=True):
        box = boxes[label - 1]
        mask = labels[box] == label
        start = tuple(int(c) - b.start for c, b in zip(center, box, strict=True))
        solid = np.pad(mask, 1).astype(np.float32)
        volume = solid[None] if solid.ndim == 2 else solid
        seed = (0, *[s + 1 for s in start]) if solid.ndim == 2 else tuple(s + 1 for s in start)
        warm = np.log1p(_diffuse(volume, seed, sum(mask.shape))).reshape(solid.shape)
        warm = warm[(slice(1, -1),) * mask.ndim]
        out[box][mask] = (warm / max(float(warm.max()), 1e-6))[mask]
    return out


@numba.njit(cache=True, nogil=True)
def _diffuse(mask: Any, seed: Any, rounds: int) -> Any:
    """Average each pixel with its neighbors `rounds` times; `mask` is 1 inside and 0 outside, with a rim of 0."""
    depth, height, width = mask.shape
    now = np.zeros(mask.shape, np.float32)
    new = np.zeros(mask.shape, np.float32)
    z0, z1, reach = (0, 1, 0) if depth == 1 else (1, depth - 1, 1)
    share = np.float32(1.0 / (9 * (1 + 2 * reach)))
    for _ in range(rounds):
        now[seed[0], seed[1], seed[2]] += 1
        for z in range(z0, z1):
            for y in range(1, height - 1):
                new[z, y, :] = 0
                for c in range(z - reach, z + reach + 1):
                    for b in range(y - 1, y + 2):
                        for x in range(1, width - 1):
                            new[z, y, x] += now[c, b, x - 1] + now[c, b, x] + now[c, b, x + 1]
                for x in range(1, width - 1):
                    new[z, y, x] *= share * mask[z, y, x]
        now, new = new, now
    return now
