"""Losses written with the methods every torch tensor has, so that this room needs no import of torch.

`known` says for every pixel whether its truth is known: 1 or 0, the shape of the scores or one that spreads over them.
None: everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = [
    "LOSSES", "Classify", "balanced", "class_weights", "cross_entropy", "cross_entropy_and_dice", "dice", "focal",
    "inside", "masks", "tversky",
]  # fmt: skip

# Scores, target, how much pixels at touching borders weigh, known; to one number.
Classify = Callable[[Any, Any, Any, Any], Any]
_MOST: Final = 10.0  # of a class weight: a few pixels of a class must not drown all others


def masks(known: Any) -> tuple[Any, Any]:
    """Part what a target is told of the truth ``(b, 2, *s)``: where classes are known, and where shapes are too."""
    return (None, None) if known is None else tuple(known.unbind(1))


def cross_entropy(scores: Any, target: Any, weight: Any = 1.0, known: Any = None) -> Any:
    """Return the mean binary cross-entropy of raw `scores` against a `target` in 0 to 1, in the stable form."""
    return _mean(weight * (scores.clamp(min=0) - scores * target + (-scores.abs()).exp().log1p()), known)


def dice(scores: Any, target: Any, known: Any = None, smooth: float = 1.0) -> Any:
    """Return one minus the soft Dice coefficient over the whole batch (Milletari et al. 2016, eq. 2).

    With `smooth` pixels more in all three sums: where they are many beside an object, it is best not to be found.
    """
    probability, target = _seen(scores.sigmoid(), target, known)
    return 1 - (2 * (probability * target).sum() + smooth) / (probability.sum() + target.sum() + smooth)


def tversky(
    scores: Any, target: Any, weight: Any = 1.0, known: Any = None, false: float = 0.3, missed: float = 0.7
) -> Any:
    """Return one minus the Tversky index over the whole batch (Salehi et al. 2017, eq. 2).

    Parameters
    ----------
    scores, target : Tensor
        Raw scores, and the truth in 0 to 1.
    weight : float or Tensor
        Of every pixel.
    known : Tensor, optional
        Where it is known.
    false, missed : float
        How much pixels count that are found and wrong, and that are missed: alpha and beta of the paper. A half each
        is Dice; missed pixels weigh more where objects are small and rare.

    Returns
    -------
    Tensor
        One number.
    """
    probability, target = _seen(weight * scores.sigmoid(), weight * target, known)
    right = (scores.sigmoid() * target).sum()
    wrong, lost = probability.sum() - right, target.sum() - right
    return 1 - (right + 1) / (right + false * wrong + missed * lost + 1)


def focal(scores: Any, target: Any, weight: Any = 1.0, known: Any = None) -> Any:
    """Return the mean focal loss (Lin et al. 2017, eq. 5, with gamma = 2 and alpha = 0.25)."""
    sure = (-scores.abs()).exp().log1p()
    hit, no = scores.clamp(max=0) - sure, (-scores).clamp(max=0) - sure  # log p and log (1 - p)
    value = -0.25 * target * no.exp() ** 2 * hit - 0.75 * (1 - target) * hit.exp() ** 2 * no
    return _mean(weight * value, known)


def inside(scores: Any, target: Any, mask: Any, outside: float = 0.1, known: Any = None) -> Any:
    """Return the mean absolute error of sigmoid scores, counted fully in `mask` and by `outside` elsewhere."""
    weight = mask + outside * (1 - mask)
    if known is not None:
        weight = weight * known
        return (weight * (scores.sigmoid() - target).abs()).sum() / weight.sum().clamp(min=1)
    return (weight * (scores.sigmoid() - target).abs()).sum() / weight.sum()


def cross_entropy_and_dice(scores: Any, target: Any, weight: Any = 1.0, known: Any = None) -> Any:
    """Return the sum of both: what targets ask for themselves."""
    return cross_entropy(scores, target, weight, known) + dice(scores, target, known)


def balanced(scores: Any, target: Any, weight: Any = 1.0, known: Any = None) -> Any:
    """Return the same sum, with the rarer of object and background weighing more in the cross-entropy."""
    return cross_entropy_and_dice(scores, target, weight * class_weights(target, known), known)


def class_weights(target: Any, known: Any = None) -> Any:
    """Return a weight for every pixel that lets object and background count alike, at most ten times as much.

    The weight of the class in eq. 2 of Ronneberger et al. 2015, from its share of the batch; on average 1.
    """
    target_, seen = _seen(target, target * 0 + 1, known)
    count, total = target_.sum(), seen.sum().clamp(min=1)
    solid = (total / (2 * count.clamp(min=1))).clamp(max=_MOST)
    empty = (total / (2 * (total - count).clamp(min=1))).clamp(max=_MOST)
    return empty + (solid - empty) * target


def _mean(values: Any, known: Any) -> Any:
    if known is None:
        return values.mean()
    seen = known.expand_as(values)
    return (values * seen).sum() / seen.sum().clamp(min=1)


def _seen(one: Any, other: Any, known: Any) -> tuple[Any, Any]:
    return (one, other) if known is None else (one * known, other * known)


LOSSES: Final[dict[str, Classify]] = {
    "own": cross_entropy_and_dice,
    "cross-entropy": cross_entropy,
    "border": cross_entropy,
    "dice": cross_entropy_and_dice,
    "focal": focal,
    "tversky": tversky,
}
