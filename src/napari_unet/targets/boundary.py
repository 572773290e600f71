"""Foreground and boundaries, as networks at bioimage.io often have them: objects are what boundaries part."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.specs import TargetSpec
from ._basins import basins
from ._fields import distances, touching
from ._losses import cross_entropy, dice

__all__ = ["CHANNELS", "activate", "decode", "encode", "loss"]

CHANNELS: Final = ("foreground", "boundary")
_WIDTH: Final = 2.0  # pixels of an object that count as its boundary


def encode(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
    """Turn labels ``(*s)`` into targets ``(3, *s)``; the last, touching borders, only weighs the loss."""
    solid = labels > 0
    edge = solid & (distances(labels) <= _WIDTH)
    return np.stack([solid.astype(np.float32), edge.astype(np.float32), touching(labels)])


def activate(scores: Any) -> Any:
    """Bring raw scores into 0 to 1."""
    return scores.sigmoid()


def loss(scores: Any, target: Any) -> Any:
    """Compare raw scores ``(b, 2, *s)`` with targets ``(b, 3, *s)``."""
    mask, edge, touch = target.unbind(1)
    foreground, boundary = scores.unbind(1)
    weight = 1 + 4 * touch
    return (
        cross_entropy(foreground, mask, weight)
        + dice(foreground, mask)
        + cross_entropy(boundary, edge, weight)
        + dice(boundary, edge)
    )


def decode(scores: npt.NDArray[np.uint8], spec: TargetSpec, smallest: float) -> npt.NDArray[np.int32]:
    """Turn stored scores ``(2, *s)`` into labels ``(*s)``: a watershed of what is no boundary."""
    mask = scores[0] > round(255 * spec.threshold)
    return basins(255 - scores[1], mask, round(255 * spec.persistence), smallest)
