"""Batch renormalisation in training, nothing at inference.

Ioffe 2017, "Batch Renormalization", algorithm 1: activations are normalised by the batch but corrected towards the
running statistics, so that what is trained is what runs. Unlike instance or group normalisation the result does not
look at the tile (Buglakova et al., ICCV 2025), and it folds into the convolution before it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["BatchRenorm", "fold"]


class BatchRenorm(nn.Module):
    """Batch renormalisation for any number of dimensions.

    Parameters
    ----------
    features : int
        Channels.
    momentum : float
        Share of the newest batch in the running statistics.
    eps : float
        Added to variances.
    warmup : int
        Steps over which the corrections r and d are let loose (the paper's r_max from 1 to 3, d_max from 0 to 5).
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    seen: torch.Tensor

    def __init__(self, features: int, momentum: float = 0.02, eps: float = 1e-5, warmup: int = 400) -> None:
        super().__init__()
        self.momentum, self.eps, self.warmup = momentum, eps, warmup
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise `x` of shape ``(b, features, *spatial)``."""
        if not self.training:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        with torch.no_grad():
            # The normalisation's own reduction is several times faster than var_mean on channels-last data.
            _, mean, inverse = torch.native_batch_norm(x.detach(), None, None, None, None, True, 0.0, self.eps)
            mean, spread = mean.float(), 1 / inverse.float()
            var = spread**2 - self.eps
            loose = min(1.0, float(self.seen) / self.warmup)
            r_max, d_max = 1 + 2 * loose, 5 * loose
            sigma = (self.running_var + self.eps).sqrt()
            r = (spread / sigma).clamp(1 / r_max, r_max)
            d = ((mean - self.running_mean) / sigma).clamp(-d_max, d_max)
            # Early on the average must follow quickly, or the corrections aim at values nobody ever had.
            share = max(self.momentum, 1 / (1 + float(self.seen)))
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(var, share)
            self.seen += 1
        # r and d are constants, so the corrected result is batch normalisation with other weights.
        return functional.batch_norm(x, None, None, self.weight * r, self.weight * d + self.bias, True, 0.0, self.eps)


def fold(module: nn.Module) -> nn.Module:
    """Merge every normalisation into the convolution before it, in place.

    Parameters
    ----------
    module : torch.nn.Module
        A network in which each :class:`BatchRenorm` follows a convolution inside a ``Sequential``.

    Returns
    -------
    torch.nn.Module
        The same module, in evaluation mode, without normalisations; equal up to rounding.
    """
    module.eval()
    for parent in list(module.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        for i, norm in enumerate(parent):
            if isinstance(norm, BatchRenorm):
                _merge(parent[i - 1], norm)
                parent[i] = nn.Identity()
    return module


@torch.no_grad()
def _merge(convolution: Any, norm: BatchRenorm) -> None:
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    convolution.weight.mul_(gain.reshape(-1, *[1] * (convolution.weight.ndim - 1)))
    bias = norm.bias - norm.running_mean * gain
    if convolution.bias is not None:
        bias = bias + convolution.bias * gain
    convolution.bias = nn.Parameter(bias)
