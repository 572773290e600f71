"""From the last features to scores: one head or several, and what is compared with the truth besides in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import nn
from torch.nn import functional

from ..core.specs import NetSpec
from ._blocks import conv, crop
from ._reach import reach

__all__ = ["Heads", "enlarged", "head"]

_LINEAR: Final = {2: "bilinear", 3: "trilinear"}


class Heads(nn.Module):
    """Heads side by side, their outputs one after the other.

    Parameters
    ----------
    branches : sequence of torch.nn.Module
        Each from the same features to its own outputs.
    """

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(b, features, *spatial)`` to ``(b, outputs, *spatial)``."""
        return torch.cat([branch(x) for branch in self.branches], 1)

    def reach(self, radius: int, axis: int) -> int:
        """Return how far away lies what enters what lies within `radius`."""
        return max(reach(branch, radius, axis) for branch in self.branches)


def head(spec: NetSpec, features: int, blocks: Sequence[nn.Module] = ()) -> nn.Module:
    """Return a 1x1 convolution of the last features, or one for every block in `blocks`, which comes before it."""
    one = (1,) * spec.ndim
    if not blocks:
        return conv((features, spec.outputs), one)
    each = zip(blocks, spec.heads, strict=True)
    return Heads([nn.Sequential(block, conv((features, outputs), one)) for block, outputs in each])


def enlarged(
    finest: torch.Tensor, coarser: Sequence[torch.Tensor], steps: Sequence[tuple[int, ...]]
) -> list[torch.Tensor]:
    """Return the scores of all levels as large as the finest ones, these first.

    The coarse scores are enlarged by their steps, not the truth thinned out: a seam one pixel wide would be lost.
    """
    scores = [finest]
    for each, step in zip(coarser, steps, strict=True):
        shape = [n * by for n, by in zip(each.shape[2:], step, strict=True)]
        large = functional.interpolate(each, shape, mode=_LINEAR[len(shape)], align_corners=False)
        scores.append(crop(large, finest))
    return scores
