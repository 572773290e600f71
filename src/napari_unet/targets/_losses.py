"""Losses written with the methods every torch tensor has, so that this room needs no import of torch."""

from __future__ import annotations

from typing import Any

__all__ = ["cross_entropy", "dice", "inside"]


def cross_entropy(scores: Any, target: Any, weight: Any = 1.0) -> Any:
    """Return the mean binary cross-entropy of raw `scores` against a `target` in 0 to 1, in the stable form."""
    return (weight * (scores.clamp(min=0) - scores * target + (-scores.abs()).exp().log1p())).mean()


def dice(scores: Any, target: Any) -> Any:
    """Return one minus the soft Dice coefficient over the whole batch (Milletari et al. 2016, eq. 2)."""
    probability = scores.sigmoid()
    return 1 - (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)


def inside(scores: Any, target: Any, mask: Any, outside: float = 0.1) -> Any:
    """Return the mean absolute error of sigmoid scores, counted fully in `mask` and by `outside` elsewhere."""
    weight = mask + outside * (1 - mask)
    return (weight * (scores.sigmoid() - target).abs()).sum() / weight.sum()
