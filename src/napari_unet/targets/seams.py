"""Foreground, heat diffused from each object's medoid, and the seams where objects touch."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.specs import TargetSpec
from ._fields import heat, touching
from ._hills import Hills, Landscape
from ._losses import Classify, cross_entropy, cross_entropy_and_dice, dice, inside, masks

__all__ = ["CHANNELS", "activate", "decode", "encode", "explore", "loss"]

CHANNELS: Final = ("foreground", "heat", "seam")


def encode(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
    """Turn labels ``(*s)`` into targets ``(3, *s)``; see :mod:`napari_unet.targets`."""
    return np.stack([(labels > 0).astype(np.float32), heat(labels), touching(labels)])


def activate(scores: Any) -> Any:
    """Bring raw scores into 0 to 1."""
    return scores.sigmoid()


def loss(scores: Any, target: Any, known: Any = None, classify: Classify = cross_entropy_and_dice) -> Any:
    """Compare raw scores with targets, both ``(b, 3, *s)``; seams weigh more.

    The weight plays the part of the border weight map of Ronneberger et al. 2015, eq. 2.
    """
    mask, warm, seam = target.unbind(1)
    foreground, height, line = scores.unbind(1)
    (seen, whole), weight = masks(known), 1 + 4 * seam
    return (
        classify(foreground, mask, weight, seen)
        + 2 * inside(height, warm, mask * (1 + 6 * seam), known=whole)
        + 2 * cross_entropy(line, seam, weight, whole)
        + dice(line, seam, whole)
    )


def _landscape(scores: npt.NDArray[np.uint8], spec: TargetSpec) -> Landscape:
    """Return the heat, lowered along the seams, and the foreground."""
    weight, mask = round(255 * spec.touch_weight), scores[0] > round(255 * spec.threshold)
    if not weight:
        return scores[1], mask
    # Whole numbers throughout, so that nothing depends on rounding: heat * (1 - weight * seam).
    lowered = scores[1].astype(np.uint32) * (255 * 255 - weight * scores[2].astype(np.uint32)) // (255 * 255)
    return lowered.astype(np.uint8), mask


_HILLS: Final = Hills(_landscape)
decode, explore = _HILLS.decode, _HILLS.explore
