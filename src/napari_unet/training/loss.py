"""How far scores are from the truth, where it is known: the target's loss and that of the object size."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..core.specs import TrainSpec
from ..targets import Target, classifier
from .patches import Batch

__all__ = ["compare"]

_SIZE_WEIGHT = 4.0


def compare(learn: Target, spec: TrainSpec, device: str = "cpu") -> Callable[[torch.Tensor, Batch], torch.Tensor]:
    """Return the loss of a batch of patches.

    Parameters
    ----------
    learn : Target
        The representation.
    spec : TrainSpec
        Says how classes are compared, and whether the size of objects decides how images are seen: only then it is
        learned.
    device : str
        Where the scores are.

    Returns
    -------
    callable
        Of raw scores ``(b, k + 1, *s)``, the object size last, and the batch; gives one number. Scores of an unpadded
        network are compared with the middle of the truth.
    """
    channels, sized = len(learn.CHANNELS), spec.grid is None or spec.grid.sized

    def loss(scores: torch.Tensor, batch: Batch) -> torch.Tensor:
        objects, sizes = torch.split(scores, [channels, 1], 1)
        wanted, size = (_middle(truth.to(device), scores) for truth in (batch.target, batch.size))
        known = None if batch.known is None else _middle(batch.known.to(device), scores)
        borders = None if batch.borders is None else _middle(batch.borders.to(device), scores)
        value: torch.Tensor = learn.loss(objects, wanted, known, classifier(spec.loss, spec.balance, borders))
        if not sized:
            return value
        measured = (size > 0).float()
        wrong = (sizes[:, 0].sigmoid() - size).abs() * measured
        return value + _SIZE_WEIGHT * wrong.sum() / (measured.sum() + 1)

    return loss


def _middle(truth: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return the part of the truth ``(b, ..., *s)`` that scores ``(b, k, *s)`` speak of."""
    axes = scores.ndim - 2
    for axis, size in zip(range(-axes, 0), scores.shape[2:], strict=True):
        truth = truth.narrow(axis, (truth.shape[axis] - size) // 2, size)
    return truth
