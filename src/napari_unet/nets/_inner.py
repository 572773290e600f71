"""The scores of a tile's inside, without computing most of what would be cropped away.

A tile is read with a halo, and the scores of the halo are thrown away. The contracting path needs all of it. The
expansive path does not: what it brings up is cropped to what the wanted scores depend on before it is joined, which is
the "copy and crop" of Ronneberger et al. 2015, Fig. 1. Every score that is left is computed from the same values.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn

from .unet import UNet

__all__ = ["Inner"]

_CONVOLUTIONS: Final = (nn.Conv2d, nn.Conv3d)
_RAISING: Final = (nn.ConvTranspose2d, nn.ConvTranspose3d)
Rim = tuple[int, ...]


class Inner(nn.Module):
    """A network that puts out only scores with their whole context.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode. An architecture that cannot be cropped on the way is cropped at its end.
    margin : tuple of int
        Pixels along every axis, at least its halo, that are left out at both ends.
    """

    def __init__(self, network: nn.Module, margin: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.margin = network, margin
        self.rims = _rims(network, margin) if isinstance(network, UNet) and _can_be_cropped(network) else ()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(b, inputs, *s)`` to raw scores ``(b, outputs, *(s - 2 * margin))``."""
        if not self.rims:
            return _cut(self.network(x), self.margin)
        net: Any = self.network
        left: list[torch.Tensor] = []
        for pool, down in zip(net.pool, net.down, strict=True):
            x = down(pool(x))
            left.append(x)
        left.pop()
        gone: Rim = (0,) * len(self.margin)
        for raised, join, merge, rim in reversed(list(zip(net.up, net.join, net.merge, self.rims, strict=True))):
            already = tuple(n * step for n, step in zip(gone, raised.stride, strict=True))
            x = merge(join(_cut(left.pop(), rim), _cut(raised(x), _less(rim, already)), x))
            gone = rim
        return _cut(net.head(x), _less(self.margin, gone))


def _can_be_cropped(network: UNet) -> bool:
    # A gate interpolates on a grid that a crop would shift.
    gated = any(getattr(join, "gate", None) is not None for join in network.join)
    raised = all(isinstance(up, _RAISING) and up.kernel_size == up.stride for up in network.up)
    return bool(len(network.up)) and raised and not gated


def _rims(network: Any, margin: tuple[int, ...]) -> tuple[Rim, ...]:
    """Return, for every level, how many pixels along every axis can be cropped at both ends of what is joined."""
    rims = []
    rim = _less(margin, _reach(network.head, margin))
    for merge, up in zip(network.merge, network.up, strict=True):
        rim = tuple(max(0, n) for n in _less(rim, _reach(merge, margin)))
        rims.append(rim)
        # Each coarse pixel covers a whole step of fine ones, and lengths are multiples of it.
        rim = tuple(n // step for n, step in zip(rim, up.stride, strict=True))
    return tuple(rims)


def _reach(block: nn.Module, margin: tuple[int, ...]) -> Rim:
    """Return how far a block without strides looks at most along every axis: as far as its convolutions in a row."""
    convolutions = [part for part in block.modules() if isinstance(part, _CONVOLUTIONS)]
    return tuple(
        sum(conv.dilation[axis] * (conv.kernel_size[axis] // 2) for conv in convolutions) for axis in range(len(margin))
    )


def _less(rim: Rim, already: Rim) -> Rim:
    return tuple(a - b for a, b in zip(rim, already, strict=True))


def _cut(x: torch.Tensor, rim: Rim) -> torch.Tensor:
    return x[(..., *(slice(n, -n or None) for n in rim))]
