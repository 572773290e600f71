"""Batch renormalization in training, nothing at inference.

Ioffe 2017, "Batch Renormalization", algorithm 1: activations are normalized by the batch but corrected toward the
running statistics, so that what is trained is what runs. Unlike instance or group normalization the result does not
look at the tile (Buglakova et al., ICCV 2025), and it folds into the convolution before it.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

__all__ = ["Affine", "BatchRenorm", "fold"]

_RECENT: Final = 6.0  # the running statistics are early on those of about the last sixth of all steps


class BatchRenorm(nn.Module):
    """Batch renormalization for any number of dimensions.

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
        """Normalize `x` of shape ``(b, features, *spatial)``."""
        if not self.training:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        with torch.no_grad():
            mean, var, inverse = _statistics(x.detach(), self.eps)
            spread = 1 / inverse
            loose = min(1.0, float(self.seen) / self.warmup)
            r_max, d_max = 1 + 2 * loose, 5 * loose
            sigma = (self.running_var + self.eps).sqrt()
            r = (spread / sigma).clamp(1 / r_max, r_max)
            d = ((mean - self.running_mean) / sigma).clamp(-d_max, d_max)
            # Early on weights change by a tenth a step: the mean of all batches so far would be a little off in each
            # layer, and after twenty of them nothing would be right.
            share = max(self.momentum, _RECENT / (_RECENT + float(self.seen)))
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(var, share)
            self.seen += 1
        # r and d are constants, so the corrected result is batch normalization with other weights.
        weight, bias = self.weight * r, self.weight * d + self.bias
        if x.device.type != "cpu":
            return functional.batch_norm(x, None, None, weight, bias, True, 0.0, self.eps)
        found: torch.Tensor = _Normalize.apply(x, weight, bias, mean, var, inverse, self.eps)  # type: ignore[no-untyped-call]
        return found


def _statistics(x: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return mean, variance and one over the deviation of every channel, in 32 bits.

    The normalization's own reduction is several times faster than var_mean on channels-last data.
    """
    blank = torch.zeros(x.shape[1], device=x.device)  # in 32 bits, so that what is returned is, too
    if x.device.type == "cpu":
        mean, var = torch.batch_norm_update_stats(x, blank, blank.clone(), 0.0)
        return mean, var, (var + eps).rsqrt()
    _, mean, inverse = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
    mean, inverse = mean.float(), inverse.float()
    return mean, inverse**-2 - eps, inverse


class _Normalize(torch.autograd.Function):
    """Batch normalization by statistics that are known already: one pass over the values instead of three."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> torch.Tensor:
        """Scale and shift; `given` are values, weight, bias, mean, variance, one over the deviation, eps."""
        x, weight, bias, mean, var, inverse, eps = given
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.eps = eps
        return functional.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        """Return the gradients of values, weight and bias; mean and deviation follow from the values."""
        x, weight, mean, inverse = ctx.saved_tensors
        found = torch.ops.aten.native_batch_norm_backward(
            slopes[0], x, weight, None, None, mean, inverse, True, ctx.eps, [True, True, True]
        )
        return *found, None, None, None, None


class Affine(nn.Module):
    """A normalization with no convolution before it, as what it comes to: ``gain * x + bias``, channel by channel.

    Parameters
    ----------
    norm : BatchRenorm
        Trained.
    """

    none: torch.Tensor
    one: torch.Tensor

    def __init__(self, norm: BatchRenorm) -> None:
        super().__init__()
        gain, bias = _gain(norm)
        self.weight, self.bias = nn.Parameter(gain), nn.Parameter(bias)
        self.register_buffer("none", torch.zeros_like(gain), persistent=False)
        self.register_buffer("one", torch.ones_like(gain), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale and shift ``(b, features, *spatial)``."""
        # One pass over the values, where a product and a sum would be two.
        return functional.batch_norm(x, self.none, self.one, self.weight, self.bias, False, 0.0, 0.0)


def fold(module: nn.Module) -> nn.Module:
    """Merge every normalization into the convolution before it, in place.

    Parameters
    ----------
    module : torch.nn.Module
        A network in which each :class:`BatchRenorm` stands inside a ``Sequential``, after a convolution or, as in dense
        blocks, before one.

    Returns
    -------
    torch.nn.Module
        The same module, in evaluation mode, equal up to rounding. Normalizations that no convolution precedes are left
        as an :class:`Affine`.
    """
    module.eval()
    for parent in list(module.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        for i, norm in enumerate(parent):
            if not isinstance(norm, BatchRenorm):
                continue
            before = parent[i - 1] if i else None
            if isinstance(before, nn.Conv2d | nn.Conv3d):
                _merge(before, norm)
                parent[i] = nn.Identity()
            else:
                parent[i] = Affine(norm)
    return module


@torch.no_grad()
def _gain(norm: BatchRenorm) -> tuple[torch.Tensor, torch.Tensor]:
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    return gain, norm.bias - norm.running_mean * gain


@torch.no_grad()
def _merge(convolution: Any, norm: BatchRenorm) -> None:
    gain, bias = _gain(norm)
    convolution.weight.mul_(gain.reshape(-1, *[1] * (convolution.weight.ndim - 1)))
    if convolution.bias is not None:
        bias = bias + convolution.bias * gain
    convolution.bias = nn.Parameter(bias)
