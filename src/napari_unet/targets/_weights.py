"""The border weight map of 2015: background between two close objects counts more."""

from __future__ import annotations

from typing import Any, Final

import edt
import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["border_weights", "parted"]

_REACH: Final = 5.0  # standard deviations beyond which a weight is nothing: less than 0.00004 of w0


def border_weights(labels: npt.NDArray[np.integer[Any]], w0: float = 10.0, sigma: float = 5.0) -> npt.NDArray[Any]:
    """Return how much more every background pixel weighs because it lies between objects.

    ``w0 exp(-(d1 + d2)^2 / (2 sigma^2))``, where d1 and d2 are the distances to the nearest and the second nearest
    object (Ronneberger et al. 2015, eq. 2, without the weight of the class; Fig. 3d shows it in the background only).

    Parameters
    ----------
    labels : ndarray of int, shape (*s)
        2D or 3D.
    w0 : float
        Weight where two objects all but touch.
    sigma : float
        Reach of the weight, pixels.

    Returns
    -------
    ndarray of float32, shape (*s)
        0 in objects and far from a second one.
    """
    nearest = np.full(labels.shape, np.inf, np.float32)
    second = nearest.copy()
    margin = int(np.ceil(_REACH * sigma))
    # What is farther from an object than the reach needs no distance to it: each is measured in its own surroundings.
    for label, box in enumerate(ndimage.find_objects(np.asarray(labels, dtype=np.int32)), 1):
        if box is None:
            continue
        near = tuple(
            slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(box, labels.shape, strict=True)
        )
        away = edt.edt(np.ascontiguousarray(labels[near] != label), black_border=False, parallel=1)
        first = nearest[near]
        np.minimum(second[near], np.maximum(first, away), out=second[near])
        np.minimum(first, away, out=first)
    with np.errstate(over="ignore"):
        weight = w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    return np.where(labels > 0, 0, weight).astype(np.float32)


def parted(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Return the foreground with a line of background where objects touch (Ronneberger et al. 2015, section 3)."""
    solid: npt.NDArray[np.bool_] = labels > 0
    for axis in range(labels.ndim):
        left = (*(slice(None),) * axis, slice(None, -1))
        right = (*(slice(None),) * axis, slice(1, None))
        # The pixel of the larger label gives way.
        for one, other in ((left, right), (right, left)):
            solid[one] &= ~((labels[one] > labels[other]) & (labels[other] > 0))
    return solid
