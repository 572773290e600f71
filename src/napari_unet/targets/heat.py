"""Foreground and heat diffused from each object's medoid."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.specs import TargetSpec
from ._basins import basins
from ._fields import heat, touching
from ._losses import cross_entropy, dice, inside

__all__ = ["CHANNELS", "activate", "decode", "encode", "loss"]

CHANNELS: Final = ("foreground", "heat")


def encode(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
    """Turn labels ``(*s)`` into targets ``(3, *s)``; the last, touching borders, only weighs the loss."""
    return np.stack([(labels > 0).astype(np.float32), heat(labels), touching(labels)])


def activate(scores: Any) -> Any:
    """Bring raw scores into 0 to 1."""
    return scores.sigmoid()


def loss(scores: Any, target: Any) -> Any:
    """Compare raw scores ``(b, 2, *s)`` with targets ``(b, 3, *s)``."""
    mask, warm, touch = target.unbind(1)
    foreground, height = scores.unbind(1)
    weight = 1 + 4 * touch
    return cross_entropy(foreground, mask, weight) + dice(foreground, mask) + 2 * inside(height, warm, mask * weight)


def decode(scores: npt.NDArray[np.uint8], spec: TargetSpec, smallest: float) -> npt.NDArray[np.int32]:
    """Turn stored scores ``(2, *s)`` into labels ``(*s)``."""
    mask = scores[0] > round(255 * spec.threshold)
    return basins(scores[1], mask, round(255 * spec.persistence), smallest)
