"""Classes of pixels: labels are the numbers of classes, not of objects. For organs, land cover, kinds of tissue.

Each pixel gets the class with the highest score (softmax), or, where classes lie within each other (the whole of a
tumor, its core, the enhancing part of the core), the innermost one whose score and those around it are above the
threshold: a sigmoid for each, as for the regions of BraTS (Baid et al. 2021). Pieces of a class that are too small may
be left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from ..core.amounts import Smallest
from ..core.forest import Forest
from ..core.specs import TargetSpec
from ._forest import Grow, explore_pieces
from ._losses import Classify, balanced, cross_entropy_and_dice, dice, masks

__all__ = ["Classes", "bind"]

_UNNAMED = ("object",)
_MOST: Final = 10.0  # of the weight of a rare class
_SMOOTH: Final = 1e-5  # pixels, as in nnU-Net: with a whole one it pays not to find a class of few pixels


@dataclass(frozen=True)
class Classes:
    """The representation of a table of classes.

    Attributes
    ----------
    names : tuple of str
        Of the classes 1, 2 and so on.
    background : bool
        Whether a pixel may be none of them.
    nested : bool
        Whether each class lies within the one before it.
    """

    names: tuple[str, ...]
    background: bool = True
    nested: bool = False

    @property
    def CHANNELS(self) -> tuple[str, ...]:  # noqa: N802  # the contract's name
        """Names of the score channels."""
        return ("background", *self.names) if self._other else self.names

    @property
    def CLASSES(self) -> int:  # noqa: N802  # the contract's name
        """How many classes there are."""
        return len(self.names)

    @property
    def _other(self) -> bool:
        """Whether the first channel is that of the background."""
        return self.background and not self.nested

    def encode(self, labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
        """Turn class numbers ``(*s)`` into targets ``(k, *s)`` of 0 and 1."""
        numbers = np.arange(1 - int(self._other), len(self.names) + 1).reshape((-1,) + (1,) * labels.ndim)
        return (labels >= numbers if self.nested else labels == numbers).astype(np.float32)

    def activate(self, scores: Any) -> Any:
        """Bring raw scores into 0 to 1; what comes after the classes, such as a size, has no share in theirs."""
        count = len(self.CHANNELS)
        if self.nested:
            return scores.sigmoid()
        if scores.shape[1] == count:
            return scores.softmax(1)
        return torch.cat([scores[:, :count].softmax(1), scores[:, count:].sigmoid()], 1)

    def loss(self, scores: Any, target: Any, known: Any = None, classify: Classify = cross_entropy_and_dice) -> Any:
        """Compare raw scores with targets, both ``(b, k, *s)``.

        Cross-entropy, and the Dice loss of each class without the background, as in nnU-Net (Isensee et al. 2021), but
        averaged over those that occur in the batch: of many rare ones each would have little say. Balanced, the pixels
        of a class weigh in the cross-entropy by the square root of how much rarer it is than the most frequent one, at
        most ten times. Other losses compare each class with all others: the odds of ``softmax`` as one raw score.
        """
        seen, first = masks(known)[0], int(self._other)
        if self.nested:
            parts = [classify(scores[:, k], target[:, k], 1.0, seen) for k in range(scores.shape[1])]
            return sum(parts) / len(parts)
        sure = scores.log_softmax(1)
        # log p - log (1 - p): the sigmoid of it is p.
        odds = [_odds(sure[:, k]) for k in range(first, scores.shape[1])]
        wanted = target[:, first:].unbind(1)
        if classify not in (cross_entropy_and_dice, balanced):
            parts = [classify(one, truth, 1.0, seen) for one, truth in zip(odds, wanted, strict=True)]
            return sum(parts) / len(parts)
        entropy = -(sure * target).sum(1)
        weight = _rarity(target, seen) if classify is balanced else seen
        mean = entropy.mean() if weight is None else (entropy * weight).sum() / weight.sum().clamp(min=1)
        # What a class that does not occur would add is the same whatever the scores.
        shares = [(truth if seen is None else truth * seen).sum() > 0 for truth in wanted]
        parts = [
            share * dice(one, truth, seen, _SMOOTH) for one, truth, share in zip(odds, wanted, shares, strict=True)
        ]
        return mean + sum(parts) / sum(shares).clamp(min=1)

    def decode(self, scores: npt.NDArray[np.uint8], spec: TargetSpec, smallest: Smallest) -> npt.NDArray[np.int32]:
        """Turn stored scores ``(k, *s)`` into class numbers ``(*s)``; equal scores go to the lower number."""
        found = self._chosen(scores, spec)
        return drop_pieces(found, smallest, self.nested) if isinstance(smallest, tuple) else found

    def _chosen(self, scores: npt.NDArray[np.uint8], spec: TargetSpec) -> npt.NDArray[np.int32]:
        if self.nested:
            inside = np.logical_and.accumulate(scores > round(255 * spec.threshold), 0)
            return np.asarray(inside.sum(0, dtype=np.int32))
        best: npt.NDArray[np.int32] = scores.argmax(0).astype(np.int32)
        if self._other:
            return best
        # Where nobody looked, all scores are 0.
        return np.where(scores.any(0), best + 1, 0).astype(np.int32)

    def confidence(self, scores: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the score of the class that each pixel is given; of the outermost one where they are nested."""
        return scores[0] if self.nested else np.asarray(scores.max(0))

    def anomaly(self, scores: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return what is left to the score of the background, or of the class that each pixel is given."""
        if self.nested:
            return np.asarray(scores[0])
        rest = np.uint8(255) - (scores[0] if self._other else scores.max(0))
        return np.asarray(rest * scores.any(0), np.uint8)  # where nobody looked, all scores are 0

    def explore(
        self,
        scores: npt.NDArray[np.uint8],
        spec: TargetSpec,
        window: Sequence[slice],
        shape: Sequence[int],
        grow: Grow | None = None,
    ) -> tuple[npt.NDArray[np.int32], Forest]:
        """Find the classes of one brick, a tree for each; or for each piece of one, where small ones are dropped."""
        inside = tuple(slice(int(s.start > 0), int(s.start > 0) + s.stop - s.start) for s in window)
        found = self._chosen(scores[(slice(None), *inside)], spec)
        if spec.min_size:
            return explore_pieces(found, window, shape, self.nested)
        return _trees(found, window, shape)


def bind(spec: TargetSpec) -> Classes:
    """Return the representation of the classes that a spec names; of one class if it names none."""
    return Classes(spec.classes or _UNNAMED, spec.background, spec.nested)


def drop_pieces(found: npt.NDArray[np.int32], smallest: Sequence[float], nested: bool = False) -> npt.NDArray[np.int32]:
    """Leave out pieces that are too small; pixels that share a corner are of one piece.

    Parameters
    ----------
    found : ndarray of int32, shape (*s)
        Class of each pixel, 0 for background; changed.
    smallest : sequence of float
        The fewest pixels of a piece of each class; infinite: only the largest is kept, of equal ones the first.
    nested : bool
        Whether each class lies within the one before it: then a piece of it has what lies within, and what takes its
        place is the class around it, else the background.

    Returns
    -------
    ndarray of int32
        `found`.
    """
    together = np.ones((3,) * found.ndim, bool)
    for kind, least in enumerate(smallest, 1):  # from the outermost: what lies within goes with it
        pieces, count = ndimage.label(found >= kind if nested else found == kind, together)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        small = sizes < least
        small[0] = False
        if math.isinf(least) and count:
            small[1 + sizes[1:].argmax()] = False
        if small.any():
            found[small[pieces]] = kind - 1 if nested else 0
    return found


def _rarity(target: Any, seen: Any) -> Any:
    """Return how much each pixel weighs, ``(b, *s)``: by the root of how rare its class is among what is seen."""
    known = target if seen is None else target * seen.unsqueeze(1)
    count = known.sum((0, *range(2, target.ndim))).clamp(min=1)
    weight = (count.max() / count).sqrt().clamp(max=_MOST)
    return (known * weight.reshape(1, -1, *[1] * (target.ndim - 2))).sum(1)


def _odds(sure: Any) -> Any:
    """Return log p - log (1 - p) for log p; finite, with gradients that are."""
    sure = sure.clamp(max=-1e-6)
    return sure - (-sure.exp()).log1p()


def _trees(
    found: npt.NDArray[np.int32], window: Sequence[slice], shape: Sequence[int]
) -> tuple[npt.NDArray[np.int32], Forest]:
    """Give every class of a brick a tree, by first pixel, and tabulate where each is."""
    deep = found.reshape((1,) * (3 - found.ndim) + found.shape)
    start = np.array([0] * (3 - len(window)) + [s.start for s in window])
    plane = (1,) * (3 - len(shape)) + tuple(shape)
    kinds, begins, areas = np.unique(deep.ravel(), return_index=True, return_counts=True)
    solid = kinds > 0
    order = np.argsort(begins[solid])
    kinds, begins, areas = kinds[solid][order], begins[solid][order], areas[solid][order]
    number = np.zeros(int(found.max(initial=0)) + 1, np.int32)
    number[kinds] = np.arange(1, len(kinds) + 1)
    lows, highs = np.zeros((len(kinds), 3), np.int32), np.zeros((len(kinds), 3), np.int32)
    for row, kind in enumerate(kinds):
        mask = deep == kind
        for axis in range(3):
            at = np.flatnonzero(mask.any(tuple(other for other in range(3) if other != axis)))
            lows[row, axis], highs[row, axis] = at[0] + start[axis], at[-1] + 1 + start[axis]
    at = np.stack(np.unravel_index(begins, deep.shape), 1) + start
    firsts = np.ravel_multi_index(tuple(at.T), plane).astype(np.int64) if len(kinds) else np.zeros(0, np.int64)
    forest = Forest(
        peaks=firsts,
        heights=np.zeros(len(kinds), np.uint8),
        areas=areas.astype(np.int64),
        firsts=firsts,
        lows=lows,
        highs=highs,
        exits=np.zeros((0, 3), np.int32),
        pairs=np.zeros((0, 2), np.int32),
        saddles=np.zeros(0, np.uint8),
        rims={},
        corners=False,
        kinds=kinds.astype(np.uint8),
    )
    return number[found], forest
