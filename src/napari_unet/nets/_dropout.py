"""Dropout of whole channels, and networks in which it has been drawn once and for all.

Tompson et al. 2015, "Efficient Object Localization Using Convolutional Networks", section 3.2: neighboring values of a
channel say nearly the same, so dropping single ones drops nothing; whole channels are dropped instead. Frozen, the mask
is the same for every pixel: a sample in the sense of Gal and Ghahramani 2016 is a network like any other, and does not
depend on tiles.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

__all__ = ["ChannelDropout", "ElementDropout", "frozen"]


class ChannelDropout(nn.Module):
    """Drop whole channels, each image its own, in training; nothing at inference.

    Parameters
    ----------
    rate : float
        Probability of a channel to be dropped; the others are scaled up so that the mean stays.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop channels of ``(b, features, *spatial)``."""
        return x * _mask(x.new_empty(x.shape[:2]), self.rate).reshape(_sides(x)) if self.training else x


class ElementDropout(ChannelDropout):
    """Drop single values, as in 2015 (Srivastava et al. 2014), in training; nothing at inference."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop values of ``(b, features, *spatial)``."""
        return functional.dropout(x, self.rate, self.training)


class _Frozen(nn.Module):
    """Channels dropped by one draw, which depends on the seed and the number of channels alone."""

    def __init__(self, rate: float, seed: int) -> None:
        super().__init__()
        self.rate, self.seed = rate, seed
        self._drawn: dict[int, torch.Tensor] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = self._drawn.get(x.shape[1])
        if mask is None or (mask.device, mask.dtype) != (x.device, x.dtype):
            generator = torch.Generator().manual_seed(self.seed)
            mask = _mask(torch.empty(1, x.shape[1]), self.rate, generator).to(x)
            self._drawn[x.shape[1]] = mask
        return x * mask.reshape(_sides(x))

    def reach(self, radius: int, axis: int) -> int:
        return radius


def _mask(empty: torch.Tensor, rate: float, generator: torch.Generator | None = None) -> torch.Tensor:
    return empty.bernoulli_(1 - rate, generator=generator).div_(1 - rate)


def _sides(x: torch.Tensor) -> tuple[int, ...]:
    return (-1, x.shape[1], *(1,) * (x.ndim - 2))


def frozen(network: nn.Module, seed: int) -> nn.Module:
    """Return a copy of a network in which dropout is always on, with masks drawn once.

    Parameters
    ----------
    network : torch.nn.Module
        With :class:`ChannelDropout` or :class:`ElementDropout` in it; left as it is.
    seed : int
        The same seed gives the same masks.

    Returns
    -------
    torch.nn.Module
        In evaluation mode. Whole channels are dropped, whichever kind of dropout the network was trained with.
    """
    # The seed itself is spread, so that neighboring seeds have nothing in common.
    spread = torch.Generator().manual_seed(seed)
    sample = copy.deepcopy(network).eval()
    for parent in list(sample.modules()):
        for name, part in list(parent.named_children()):
            if isinstance(part, ChannelDropout):
                own = int(torch.randint(2**31, (), generator=spread))
                setattr(parent, name, _Frozen(part.rate, own))
    return sample
