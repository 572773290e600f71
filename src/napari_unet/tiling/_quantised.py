"""Scores as they are stored, in one pass over the values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["quantised"]

_AXES: Final = 5  # of a batch of volumes


def quantised(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Round 0 ... 1 to 0 ... 255, halves to even; what is not a number counts as 0.

    Parameters
    ----------
    scores : ndarray of float32
        At most five axes, in any layout.

    Returns
    -------
    ndarray of uint8
        Of the same shape.
    """
    out = np.empty(scores.shape, np.uint8)
    more = (None,) * (_AXES - scores.ndim)
    _quantise(scores[more], out[more])
    return out


@njit(cache=True, nogil=True)
def _quantise(scores: Any, out: Any) -> None:
    batch, channels, depth, height, width = scores.shape
    for b in range(batch):
        for c in range(channels):
            for z in range(depth):
                for y in range(height):
                    row, target = scores[b, c, z, y], out[b, c, z, y]
                    for x in range(width):
                        value = row[x] * np.float32(255)
                        # What is not a number is not above 0.
                        value = value if value > 0 else np.float32(0)
                        target[x] = np.uint8(np.rint(min(value, np.float32(255))))
