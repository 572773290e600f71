"""From what a network puts out to scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["activated"]

_LANES: Final = 64  # values that a processor's vector instructions take together, at most


def activated(raw: torch.Tensor, activate: Callable[[Any], Any]) -> npt.NDArray[np.float32]:
    """Bring raw scores ``(b, k, *s)`` of any precision and layout into 0 to 1, each as if it stood alone.

    On a processor torch computes the last values of a tensor, those that do not fill its vector instructions, by
    another formula. So rows are filled up, and no score is among the last.
    """
    length = raw.shape[-1]
    filled = torch.zeros((*raw.shape[:-1], -(-length // _LANES) * _LANES), dtype=torch.float32, device=raw.device)
    filled[..., :length] = raw
    scores: npt.NDArray[np.float32] = activate(filled)[..., :length].cpu().numpy()
    return scores
