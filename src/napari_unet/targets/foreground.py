"""Foreground alone: objects are what hangs together. For networks that know nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..core.forest import Forest
from ..core.specs import TargetSpec
from ._forest import Grow, explore_parts
from ._losses import Classify, cross_entropy_and_dice, masks
from ._weights import parted

__all__ = ["CHANNELS", "activate", "decode", "encode", "explore", "loss"]

CHANNELS: Final = ("foreground",)


def encode(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
    """Turn labels ``(*s)`` into targets ``(1, *s)``; a line of background parts objects that touch."""
    return parted(labels).astype(np.float32)[None]


def activate(scores: Any) -> Any:
    """Bring raw scores into 0 to 1."""
    return scores.sigmoid()


def loss(scores: Any, target: Any, known: Any = None, classify: Classify = cross_entropy_and_dice) -> Any:
    """Compare raw scores with targets, both ``(b, 1, *s)``."""
    return classify(scores[:, 0], target[:, 0], 1.0, masks(known)[0])


def decode(scores: npt.NDArray[np.uint8], spec: TargetSpec, smallest: float) -> npt.NDArray[np.int32]:
    """Turn stored scores ``(1, *s)`` into labels ``(*s)``: pixels of the foreground that share a side."""
    found, count = ndimage.label(scores[0] > round(255 * spec.threshold))
    kept = np.bincount(found.ravel(), minlength=count + 1) >= smallest
    kept[0] = False
    # Parts are numbered by their first pixel, and those that are left keep that order.
    labels: npt.NDArray[np.int32] = np.where(kept, np.cumsum(kept), 0).astype(np.int32)[found]
    return labels


def explore(
    scores: npt.NDArray[np.uint8],
    spec: TargetSpec,
    window: Sequence[slice],
    shape: Sequence[int],
    grow: Grow | None = None,
) -> tuple[npt.NDArray[np.int32], Forest]:
    """Find the parts of one brick; see :mod:`napari_unet.targets`."""
    inside = tuple(slice(int(s.start > 0), int(s.start > 0) + s.stop - s.start) for s in window)
    return explore_parts((scores[0] > round(255 * spec.threshold))[inside], window, shape)
