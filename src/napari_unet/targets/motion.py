"""Foreground, where each object comes from, and whether it has just divided; learned from two frames.

The network sees a frame and the one before as channels, as in DeLTA (Lugagne et al. 2020, PLoS Comput Biol
16:e1007673) and MPM (Hayashida et al. 2020, CVPR); each pixel of an object says how far away its parent's middle was,
as in EmbedTrack (Löffler and Mikut 2022, IEEE Access 10).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.errors import SpecError
from ..core.forest import Forest
from ..core.specs import TargetSpec
from . import ZERO
from . import foreground as _foreground
from ._forest import Grow
from ._losses import Classify, cross_entropy, cross_entropy_and_dice, inside, masks
from ._weights import parted

__all__ = ["CHANNELS", "DIRECTIONS", "FRAMES", "REACH", "activate", "decode", "encode", "explore", "loss"]

CHANNELS: Final = ("foreground", "back_y", "back_x", "division")
DIRECTIONS: Final = (None, 0, 1, None)
FRAMES: Final = 2
REACH: Final = 32.0  # pixels of the network's grid that a score of 0 or 1 stands for

Labels = npt.NDArray[np.integer[Any]]


def encode(labels: Labels, before: Labels | None = None) -> npt.NDArray[np.float32]:
    """Turn labels of two frames, both ``(y, x)``, into targets ``(5, y, x)``; the last says where motion is known.

    Objects have the numbers ``2 * p`` and ``2 * p + 1`` if they come from the object ``2 * p`` of the frame before. It
    is not known of an object that has no parent, or where one of both is cut by the edge. Without `before` all stay
    where they are.

    Raises
    ------
    SpecError
        If the labels are not 2D.
    """
    if labels.ndim != 2:
        raise SpecError("The target 'motion' is for 2D networks. Choose another, for example 'distance'.")
    made = np.zeros((5, *labels.shape), np.float32)
    made[0], made[1:3] = parted(labels), ZERO
    if before is None:
        made[4] = labels > 0
        return made
    here, then = _middles(labels), _middles(before)
    cut = [{int(i) for rim in (a[0], a[-1], a[:, 0], a[:, -1]) for i in np.unique(rim)} for a in (labels, before)]
    for name, (middle, pixels) in here.items():
        parent = name - name % 2
        if parent not in then or name in cut[0] or parent in cut[1]:
            continue
        back = (then[parent][0] - middle) / REACH
        made[1:3, pixels[0], pixels[1]] = np.clip(ZERO + (1 - ZERO) * back, 0, 1)[:, None]
        made[3, pixels[0], pixels[1]] = parent in here and parent + 1 in here
        made[4, pixels[0], pixels[1]] = 1
    return made


def _middles(labels: Labels) -> dict[int, tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]]:
    """Return the middle and the pixels ``(2, n)`` of each object."""
    where = np.flatnonzero(labels)
    order = where[np.argsort(labels.reshape(-1)[where], kind="stable")]
    names, first = np.unique(labels.reshape(-1)[order], return_index=True)
    parts = (
        [np.stack(np.unravel_index(part, labels.shape)) for part in np.split(order, first[1:])] if len(names) else []
    )
    return {int(name): (part.mean(axis=1), part) for name, part in zip(names, parts, strict=True)}


def activate(scores: Any) -> Any:
    """Bring raw scores into 0 to 1."""
    return scores.sigmoid()


def loss(scores: Any, target: Any, known: Any = None, classify: Classify = cross_entropy_and_dice) -> Any:
    """Compare raw scores ``(b, 4, y, x)`` with targets ``(b, 5, y, x)``."""
    (seen, whole), moved = masks(known), target[:, 4]
    there = moved if whole is None else moved * whole
    # Divisions are rare: those few pixels count as much as a tenth of all others.
    weight = 1 + 9 * target[:, 3]
    back = inside(scores[:, 1:3], target[:, 1:3], moved[:, None], 0.0, there[:, None])
    value = classify(scores[:, 0], target[:, 0], 1.0, seen) + 20 * back
    return value + cross_entropy(scores[:, 3], target[:, 3], weight, there)


def decode(scores: npt.NDArray[np.uint8], spec: TargetSpec, smallest: float) -> npt.NDArray[np.int32]:
    """Turn stored scores ``(4, y, x)`` into labels ``(y, x)``: pixels of the foreground that share a side."""
    return _foreground.decode(scores[:1], spec, smallest)


def explore(
    scores: npt.NDArray[np.uint8],
    spec: TargetSpec,
    window: Sequence[slice],
    shape: Sequence[int],
    grow: Grow | None = None,
) -> tuple[npt.NDArray[np.int32], Forest]:
    """Find the parts of one brick; see :mod:`napari_unet.targets`."""
    return _foreground.explore(scores[:1], spec, window, shape, grow)
