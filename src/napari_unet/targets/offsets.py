"""Foreground and offsets to the object's medoid, relative to its reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.errors import SpecError
from ..core.forest import Forest
from ..core.specs import TargetSpec
from . import ZERO
from ._basins import descend_offsets, grow, nearness
from ._fields import medoid_offsets, touching
from ._forest import Grow
from ._forest import explore as grow_forest
from ._losses import Classify, cross_entropy_and_dice, inside, masks

__all__ = ["CHANNELS", "DIRECTIONS", "activate", "decode", "encode", "explore", "loss"]

CHANNELS: Final = ("foreground", "offset_y", "offset_x")
DIRECTIONS: Final = (None, 0, 1)


def encode(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
    """Turn labels ``(y, x)`` into targets ``(4, y, x)``; the last, touching borders, only weighs the loss.

    Raises
    ------
    SpecError
        If the labels are not 2D.
    """
    if labels.ndim != 2:
        raise SpecError("The target 'offsets' is for 2D networks. Choose another, for example 'distance'.")
    vectors = np.clip(ZERO + (1 - ZERO) * medoid_offsets(labels), 0, 1)
    return np.concatenate([(labels > 0)[None], vectors, touching(labels)[None]]).astype(np.float32)


def activate(scores: Any) -> Any:
    """Bring raw scores into 0 to 1."""
    return scores.sigmoid()


def loss(scores: Any, target: Any, known: Any = None, classify: Classify = cross_entropy_and_dice) -> Any:
    """Compare raw scores ``(b, 3, y, x)`` with targets ``(b, 4, y, x)``."""
    mask, weight, (seen, whole) = target[:, 0], 1 + 4 * target[:, 3], masks(known)
    whole = None if whole is None else whole[:, None]
    return classify(scores[:, 0], mask, weight, seen) + 6 * inside(
        scores[:, 1:], target[:, 1:3], (mask * weight)[:, None], 0.0, whole
    )


def decode(scores: npt.NDArray[np.uint8], spec: TargetSpec, smallest: float) -> npt.NDArray[np.int32]:
    """Turn stored scores ``(3, y, x)`` into labels ``(y, x)``."""
    mask, vectors = _vectors(scores, spec)
    pointers, potential = descend_offsets(vectors, mask)
    labels: npt.NDArray[np.int32] = grow(pointers, potential, mask, spec.level, spec.least(smallest))[0]
    return labels


def explore(
    scores: npt.NDArray[np.uint8],
    spec: TargetSpec,
    window: Sequence[slice],
    shape: Sequence[int],
    grow: Grow | None = None,
) -> tuple[npt.NDArray[np.int32], Forest]:
    """Find the trees of one brick; see :mod:`napari_unet.targets`."""
    mask, vectors = _vectors(scores, spec)
    return grow_forest(nearness(vectors)[0], mask[0], window, shape, vectors)


def _vectors(scores: npt.NDArray[np.uint8], spec: TargetSpec) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int16]]:
    """Return foreground ``(1, y, x)`` and signed offsets ``(3, 1, y, x)``."""
    mask = (scores[0] > round(255 * spec.threshold))[None]
    vectors = np.zeros((3, *mask.shape), np.int16)
    vectors[1:, 0] = scores[1:].astype(np.int16) - round(255 * ZERO)
    return mask, vectors
