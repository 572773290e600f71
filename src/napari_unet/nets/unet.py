"""U-Net: Ronneberger, Fischer and Brox 2015 (Fig. 1), in 2D and, after Cicek et al. 2016, in 3D.

A contracting path of 3x3 convolutions, ReLU and max pooling, an expansive path of up-convolutions, and skip connections
between them. Convolutions are padded here, which together with a halo read around every tile and cropped away gives the
same scores as the paper's unpadded ones.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from ..core.specs import NetSpec
from ._blocks import block, conv, up
from ._skips import features, join

__all__ = ["UNet", "build", "halo", "multiple"]

_POOL = {2: functional.max_pool2d, 3: functional.max_pool3d}


class UNet(nn.Module):
    """One n-D encoder-decoder; its variants are choices of the spec.

    Parameters
    ----------
    spec : NetSpec
        Dimensions, channels, widths of the levels, kind of block and skip.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = spec.widths
        self.down = nn.ModuleList(
            block(spec, before, width) for before, width in zip((spec.inputs, *widths), widths, strict=False)
        )
        pairs = list(pairwise(widths))
        self.up = nn.ModuleList(up(spec.ndim, below, width) for width, below in pairs)
        self.merge = nn.ModuleList(block(spec, features(spec.skip, width), width) for width, _ in pairs)
        self.head = conv(spec.ndim, widths[0], spec.outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(b, inputs, *spatial)`` to raw scores ``(b, outputs, *spatial)``.

        Every spatial length must be a multiple of :func:`multiple`.
        """
        left: list[torch.Tensor] = []
        for level, down in enumerate(self.down):
            x = down(self._pool(x) if level else x)
            left.append(x)
        for level in reversed(range(len(self.up))):
            x = self.merge[level](join(self.spec.skip, left[level], self.up[level](x)))
        scores: torch.Tensor = self.head(x)
        return scores

    def _pool(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            return _POOL[self.spec.ndim](x, 2)
        # The same maxima; torch's pooling also finds where they are, which takes three times as long.
        for axis in range(2, x.ndim):
            before = (slice(None),) * axis
            x = torch.maximum(x[(*before, slice(0, None, 2))], x[(*before, slice(1, None, 2))])
        return x


def build(spec: NetSpec) -> UNet:
    """Build a U-Net.

    Parameters
    ----------
    spec : NetSpec
        See :class:`UNet`.

    Returns
    -------
    UNet
        With He initialisation.
    """
    return UNet(spec)


def multiple(spec: NetSpec) -> int:
    """Return 2^depth: the grid of the coarsest level (Rumberger et al., ICCV 2021)."""
    return 1 << (len(spec.widths) - 1)


def halo(spec: NetSpec) -> int:
    """Return how many pixels around it a score depends on, for tiles that start on the grid.

    Parameters
    ----------
    spec : NetSpec
        Its depth and convolutions a level.

    Returns
    -------
    int
        Pixels; the overlap of Ronneberger et al. 2015, Fig. 2.
    """
    radius = spec.convolutions
    for _ in spec.widths[1:]:
        # One level coarser: pixel p comes from p // 2, so an interval of r reaches ceil(r / 2).
        radius = (radius + 1) // 2 + spec.convolutions
    for _ in spec.widths[1:]:
        # One level finer: a coarse pixel covers 2p and 2p + 1.
        radius = 2 * radius + 1 + spec.convolutions
    return radius
