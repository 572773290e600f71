"""Between the image and the net grid, with values that do not depend on how the image is cut.

Every resampled value is a fixed sum of source pixels: which ones and with what weights follows from its global
position alone, in float64, and they are added in a fixed order. So pieces are bit-identical to the whole, and what is
constant stays exactly as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from .grid import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = ["Taps", "apply_taps", "interpolation_taps", "mirror", "resample", "sampling_taps"]


@dataclass(frozen=True, eq=False)
class Taps:
    """Where every output pixel along an axis takes its value from.

    Attributes
    ----------
    indices : ndarray of int64, shape (m, k)
        Source pixels.
    weights : ndarray of float32, shape (m, k)
        Their weights; the sum over ``k`` is 1. ``k == 1`` means a plain copy.
    """

    indices: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]

    @property
    def box(self) -> Span:
        """The smallest span that holds all source pixels."""
        return Span(int(self.indices.min()), int(self.indices.max()) + 1)

    def since(self, origin: int) -> Taps:
        """Count the source pixels from `origin`."""
        return Taps(self.indices - origin, self.weights)


def mirror(indices: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """Fold positions into an axis by reflection that does not repeat the border pixel.

    Parameters
    ----------
    indices : ndarray of int64
        Any positions, however far outside.
    n : int
        Length of the axis.

    Returns
    -------
    ndarray of int64
        Positions in ``[0, n)``; the period is ``2 * (n - 1)``.
    """
    if n == 1:
        return np.zeros_like(indices)
    folded = np.mod(indices, 2 * (n - 1))
    mirrored: npt.NDArray[np.int64] = np.minimum(folded, 2 * (n - 1) - folded)
    return mirrored


def sampling_taps(span: Span, n: int, factor: float) -> Taps:
    """Sample the net pixels of a span from an image axis.

    Enlarged is by cubic convolution (Keys, IEEE Transactions on Acoustics, Speech, and Signal Processing 1981, eq. 15),
    which keeps edges of small objects sharper than linear interpolation does. Shrunk is with a triangle of half-width
    ``1 / factor`` image pixels, which removes what the coarser grid cannot hold.

    Parameters
    ----------
    span : Span
        Net pixels, global; may reach beyond the image.
    n : int
        Image pixels along the axis.
    factor : float
        Net pixels an image pixel.

    Returns
    -------
    Taps
        Indices into the image axis.
    """
    net = np.arange(span.start, span.stop, dtype=np.int64)
    if factor == 1:
        return Taps(mirror(net, n)[:, None], np.ones((net.size, 1), np.float32))
    width = 2.0 if factor > 1 else 1.0 / factor
    center = (net + 0.5) / factor - 0.5
    first = np.floor(center - width).astype(np.int64) + 1
    indices = first[:, None] + np.arange(math.ceil(2 * width), dtype=np.int64)
    far = np.abs(indices - center[:, None])
    weights = _cubic(far) if factor > 1 else np.maximum(0.0, 1.0 - far / width)
    weights /= weights.sum(axis=1, keepdims=True)
    return Taps(mirror(indices, n), weights.astype(np.float32))


def _cubic(far: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the weights of cubic convolution at distances in pixels: Keys 1981, eq. 15."""
    near = (1.5 * far - 2.5) * far**2 + 1
    beyond = ((-0.5 * far + 2.5) * far - 4) * far + 2
    weights: npt.NDArray[np.float64] = np.where(far < 1, near, np.where(far < 2, beyond, 0.0))
    return weights


def interpolation_taps(span: Span, factor: float) -> Taps:
    """Interpolate image pixels linearly from the net grid.

    Parameters
    ----------
    span : Span
        Image pixels.
    factor : float
        Net pixels an image pixel.

    Returns
    -------
    Taps
        Indices are global net pixels.
    """
    position = (np.arange(span.start, span.stop) + 0.5) * factor - 0.5
    low = np.floor(position)
    indices = low.astype(np.int64)[:, None]
    if factor == 1:
        return Taps(indices, np.ones((span.size, 1), np.float32))
    share = (position - low)[:, None]
    return Taps(np.hstack([indices, indices + 1]), np.hstack([1 - share, share]).astype(np.float32))


@njit(cache=True, nogil=True)
def _weigh(
    block: npt.NDArray[np.float32],
    indices: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Fill out (outer, m, inner) from block (outer, n, inner); the taps are added in their order.

    What is added is how much a source pixel differs from the first: where all are equal, rounding changes nothing.
    """
    outer, m, inner = out.shape
    taps = indices.shape[1]
    for a in range(outer):
        for j in range(m):
            first = indices[j, 0]
            if inner == 1:
                base = block[a, first, 0]
                total = base
                for t in range(1, taps):
                    total += weights[j, t] * (block[a, indices[j, t], 0] - base)
                out[a, j, 0] = total
                continue
            for b in range(inner):
                out[a, j, b] = block[a, first, b]
            for t in range(1, taps):
                weight, i = weights[j, t], indices[j, t]
                for b in range(inner):
                    out[a, j, b] += weight * (block[a, i, b] - block[a, first, b])


def _weigh_axis(block: npt.NDArray[np.float32], axis: int, taps: Taps) -> npt.NDArray[np.float32]:
    n = block.shape[axis]
    if taps.indices.shape[1] == 1:
        index = taps.indices[:, 0]
        first = int(index[0])
        if np.array_equal(index, np.arange(first, first + index.size)):
            return block[(slice(None),) * axis + (slice(first, first + index.size),)]
        return block.take(index, axis=axis)
    before, after = block.shape[:axis], block.shape[axis + 1 :]
    out = np.empty((math.prod(before), len(taps.indices), math.prod(after)), np.float32)
    flat = np.ascontiguousarray(block).reshape(len(out), n, out.shape[2])
    _weigh(flat, np.ascontiguousarray(taps.indices), np.ascontiguousarray(taps.weights), out)
    return out.reshape(*before, len(taps.indices), *after)


def apply_taps(block: npt.NDArray[np.float32], taps: Sequence[Taps]) -> npt.NDArray[np.float32]:
    """Resample a block, one axis after the other.

    Parameters
    ----------
    block : ndarray of float32, shape (c, *s)
        Finite values.
    taps : sequence of Taps
        One for each spatial axis, counted from the start of `block`.

    Returns
    -------
    ndarray of float32, shape (c, *m)
        A view of `block` where nothing had to be computed.
    """
    for axis, each in enumerate(taps, start=1):
        block = _weigh_axis(block, axis, each)
    return block


def resample(block: npt.NDArray[np.float32], factor: Sequence[float]) -> npt.NDArray[np.float32]:
    """Bring a whole image to the net grid.

    Parameters
    ----------
    block : ndarray of float32, shape (c, *s)
        Finite values.
    factor : sequence of float
        Net pixels an image pixel, along each spatial axis.

    Returns
    -------
    ndarray of float32, shape (c, *m)
        With ``m = round(s * factor)``, at least 1; the same values as the tiles of a run see.
    """
    sizes = [max(1, round(n * f)) for n, f in zip(block.shape[1:], factor, strict=True)]
    axes = zip(sizes, block.shape[1:], factor, strict=True)
    return apply_taps(block, [sampling_taps(Span(0, m), n, f) for m, n, f in axes])
