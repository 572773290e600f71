"""Convolutions of volumes that learn right where torch's own do not."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Conv3d"]

_DEEP = 2  # planes


class Conv3d(nn.Conv3d):
    """A convolution of volumes that learns two planes with 32 bits.

    On processors with 16-bit arithmetic torch 2.13 takes the slope of a kernel of three planes from memory that nobody
    has written where there are just two planes, as at the deepest level of patches of 32: a training then learns
    nonsense, or ends without numbers. Other depths, scores, and the slopes of what lies before are right.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve ``(b, c, z, y, x)``."""
        if self.training and x.shape[-3] == _DEEP and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)
