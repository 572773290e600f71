"""Foreground and heat diffused from each object's medoid."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.specs import TargetSpec
from ._fields import heat, touching
from ._hills import Hills, Landscape
from ._losses import Classify, cross_entropy_and_dice, inside, masks

__all__ = ["CHANNELS", "activate", "decode", "encode", "explore", "loss"]

CHANNELS: Final = ("foreground", "heat")


def encode(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
    """Turn labels ``(*s)`` into targets ``(3, *s)``; the last, touching borders, only weighs the loss."""
    return np.stack([(labels > 0).astype(np.float32), heat(labels), touching(labels)])


def activate(scores: Any) -> Any:
    """Bring raw scores into 0 to 1."""
    return scores.sigmoid()


def loss(scores: Any, target: Any, known: Any = None, classify: Classify = cross_entropy_and_dice) -> Any:
    """Compare raw scores ``(b, 2, *s)`` with targets ``(b, 3, *s)``."""
    mask, warm, touch = target.unbind(1)
    foreground, height = scores.unbind(1)
    (seen, whole), weight = masks(known), 1 + 4 * touch
    return classify(foreground, mask, weight, seen) + 2 * inside(height, warm, mask * weight, known=whole)


def _landscape(scores: npt.NDArray[np.uint8], spec: TargetSpec) -> Landscape:
    """Return the heat and the foreground."""
    return scores[1], scores[0] > round(255 * spec.threshold)


_HILLS: Final = Hills(_landscape)
decode, explore = _HILLS.decode, _HILLS.explore
