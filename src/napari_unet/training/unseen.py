"""The loss on patches that nobody learns from, and what it says: whether a model begins to know its images by heart."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import nn

from ..core.specs import AugmentSpec, TrainSpec
from ..models.devices import mixed
from ..nets import patch
from ..targets import Target
from .loss import compare
from .pairs import Pair
from .patches import Batch, Sampler

__all__ = ["LOSS", "Unseen", "risen_since", "risen_words"]

LOSS: Final = "loss"  # its name among the scores of a validation
_PATCHES: Final = 16  # a few hundredths of the work between two reports
_LATE: Final = 4  # reports after the lowest loss, at least
_NEAR: Final = 3  # reports that are averaged, so that one of them alone says nothing
_RISE: Final = 1.05  # times the lowest
_STILL: Final = AugmentSpec(
    elastic=0, scale_jitter=0, wide_fraction=0, rotate=False, gamma=0, noise=0, blur=0, low_resolution=0, contrast=0,
    invert=0, gray=0, shuffle=0, drop_bands=0,
)  # fmt: skip


class Unseen:
    """Patches of held-out images, always the same and not varied.

    Parameters
    ----------
    pairs : sequence of Pair
        Held-out images, at least one of them with an object.
    spec : TrainSpec
        Of the run, complete.
    learn : Target
        The representation.
    device : str
        Where networks are.
    """

    def __init__(self, pairs: Sequence[Pair], spec: TrainSpec, learn: Target, device: str = "cpu") -> None:
        edge = patch(spec.net, spec.patch) if spec.net else spec.patch
        self._spec = spec.model_copy(update={"augment": _STILL, "batch": _PATCHES, "patch": edge})
        self._sampler = Sampler(pairs, self._spec, learn, device)
        self._loss, self._device = compare(learn, spec, device), device
        self._piece = max(1, spec.batch // spec.accumulate)
        self._batches: list[tuple[int, Batch]] = []

    def measure(self, network: nn.Module) -> float:
        """Return the mean loss of a network.

        Parameters
        ----------
        network : torch.nn.Module
            The averaged weights.

        Returns
        -------
        float
            To be compared with the loss of the training; it is lower by what variation makes harder.
        """
        if not self._batches:
            parts = [slice(at, min(at + self._piece, _PATCHES)) for at in range(0, _PATCHES, self._piece)]
            self._batches = [(part.stop - part.start, self._sampler.batch(0, part)) for part in parts]
        still = copy.deepcopy(network).eval()
        total = sum(count * self._of(still, batch) for count, batch in self._batches)
        return total / _PATCHES

    def _of(self, network: nn.Module, batch: Batch) -> float:
        with torch.inference_mode(), mixed(self._device):
            scores = network(batch.image.to(self._device))
        return float(self._loss(scores.float(), batch))


def risen_since(rows: Sequence[Mapping[str, float]]) -> int | None:
    """Find the step since which the loss on unseen patches rises while that of the training falls.

    Parameters
    ----------
    rows : sequence of mapping
        Reports of a run, with ``step``, ``loss`` and, where there is one, ``validation loss``.

    Returns
    -------
    int or None
        Of its lowest value. None if it has not risen: by a twentieth at least, in the mean of the last three reports,
        and not before the fourth report after the lowest.
    """
    known = [row for row in rows if f"validation {LOSS}" in row]
    unseen = np.array([row[f"validation {LOSS}"] for row in known])
    learned = np.array([row["loss"] for row in known])
    lowest = int(unseen.argmin()) if len(unseen) else 0
    if len(unseen) - 1 - lowest < _LATE:
        return None
    before = slice(max(0, lowest - _NEAR + 1), lowest + 1)
    rises = unseen[-_NEAR:].mean() > _RISE * unseen[lowest]
    falls = learned[-_NEAR:].mean() < learned[before].mean()
    return int(known[lowest]["step"]) if rises and falls else None


def risen_words(step: int, kept: bool) -> str:
    """Say what such a rise means.

    Parameters
    ----------
    step : int
        Since when.
    kept : bool
        Whether the weights of the best score are kept.

    Returns
    -------
    str
        Sentences.
    """
    best = "The weights with the best score are kept, so nothing is lost." if kept else "Train for fewer steps."
    return (
        f"The validation loss has risen since step {step}, while the loss on what it learns from still falls: it "
        f"begins to know its images by heart. {best} More annotated images help more than more time."
    )
