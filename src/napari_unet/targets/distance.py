"""Foreground, relative distance to the border, and touching borders."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.specs import TargetSpec
from ._fields import relative_distances, touching
from ._hills import Hills, Landscape
from ._losses import Classify, cross_entropy, cross_entropy_and_dice, dice, inside, masks

__all__ = ["CHANNELS", "activate", "decode", "encode", "explore", "loss"]

CHANNELS: Final = ("foreground", "distance", "touching")
_TOUCH_WEIGHT: Final = 4.0


def encode(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
    """Turn labels ``(*s)`` into targets ``(3, *s)``; see :mod:`napari_unet.targets`."""
    return np.stack([(labels > 0).astype(np.float32), relative_distances(labels), touching(labels)])


def activate(scores: Any) -> Any:
    """Bring raw scores into 0 to 1."""
    return scores.sigmoid()


def loss(scores: Any, target: Any, known: Any = None, classify: Classify = cross_entropy_and_dice) -> Any:
    """Compare raw scores with targets, both ``(b, 3, *s)``; pixels at touching borders weigh more.

    The weight plays the part of the border weight map of Ronneberger et al. 2015, eq. 2.
    """
    mask, distance, touch = target.unbind(1)
    foreground, height, border = scores.unbind(1)
    (seen, whole), weight = masks(known), 1 + _TOUCH_WEIGHT * touch
    return (
        classify(foreground, mask, weight, seen)
        + 2 * inside(height, distance, mask * weight, known=whole)
        + cross_entropy(border, touch, weight, whole)
        + 0.5 * dice(border, touch, whole)
    )


def _landscape(scores: npt.NDArray[np.uint8], spec: TargetSpec) -> Landscape:
    """Return the distance, lowered where borders touch, and the foreground."""
    mask, potential = scores[0] > round(255 * spec.threshold), scores[1]
    if spec.touch_weight:
        # 16-bit integer arithmetic keeps the potential exact: distance lowered where borders touch.
        kept = 255 - np.uint16(round(255 * spec.touch_weight)) * scores[2].astype(np.uint16) // 255
        potential = (potential.astype(np.uint16) * kept // 255).astype(np.uint8)
    return potential, mask


_HILLS: Final = Hills(_landscape)
decode, explore = _HILLS.decode, _HILLS.explore
