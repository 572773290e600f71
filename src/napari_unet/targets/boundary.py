"""Foreground and boundaries, as networks at bioimage.io often have them: objects are what boundaries part."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.specs import TargetSpec
from ._fields import distances, touching
from ._hills import Hills, Landscape
from ._losses import Classify, cross_entropy_and_dice, masks

__all__ = ["CHANNELS", "activate", "decode", "encode", "explore", "loss"]

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


def loss(scores: Any, target: Any, known: Any = None, classify: Classify = cross_entropy_and_dice) -> Any:
    """Compare raw scores ``(b, 2, *s)`` with targets ``(b, 3, *s)``."""
    mask, edge, touch = target.unbind(1)
    foreground, boundary = scores.unbind(1)
    (seen, whole), weight = masks(known), 1 + 4 * touch
    return classify(foreground, mask, weight, seen) + classify(boundary, edge, weight, whole)


def _landscape(scores: npt.NDArray[np.uint8], spec: TargetSpec) -> Landscape:
    """Return what is no boundary, and the foreground."""
    return 255 - scores[1], scores[0] > round(255 * spec.threshold)


_HILLS: Final = Hills(_landscape)
decode, explore = _HILLS.decode, _HILLS.explore
