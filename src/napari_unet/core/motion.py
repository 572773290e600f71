"""What a network foretells of the motion of objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Motion"]


@dataclass(frozen=True)
class Motion:
    """Where objects come from; one entry a frame, and in it one row an object, ordered by label.

    Attributes
    ----------
    labels : tuple of ndarray of int64, shape (n,)
        Which objects.
    back : tuple of ndarray of float64, shape (n, d)
        From the middle of each to that of its parent in the frame before, pixels along the spatial axes of the labels;
        0 in the first frame.
    chances : tuple of ndarray of float64, shape (n,)
        Of having come out of a division since the frame before, 0 to 1; NaN in the first frame.
    """

    labels: tuple[npt.NDArray[np.int64], ...]
    back: tuple[npt.NDArray[np.float64], ...]
    chances: tuple[npt.NDArray[np.float64], ...]
