"""U-Net: Ronneberger, Fischer and Brox 2015 (Fig. 1), in 2D and, after Cicek et al. 2016, in 3D.

A contracting path of 3x3 convolutions, ReLU and max pooling, an expansive path of up-convolutions, and skip connections
between them. Convolutions are padded here, which together with a halo read around every tile and cropped away gives the
same scores as the paper's unpadded ones.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Self

import torch
from torch import nn

from ..core.specs import NetSpec
from ._blocks import Pool, conv, level_block, pad, up
from ._check import check
from ._heads import enlarged, head
from ._reach import grid, halo_of, multiple_of, patch_of, reach, stride
from ._skips import Join

__all__ = ["UNet", "build", "halo", "multiple", "patch"]


class UNet(nn.Module):
    """One n-D encoder-decoder; its variants are choices of the spec.

    Parameters
    ----------
    spec : NetSpec
        Dimensions, channels, widths of the levels, kind of block and skip.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec, widths = spec, spec.widths
        levels, pairs = range(spec.depth), list(pairwise(widths))
        kept, added = spec.doubling and spec.skip != "add", spec.skip == "add"
        brought = [below if kept else width for width, below in pairs]
        joined = [width if added else width + more for (width, _), more in zip(pairs, brought, strict=True)]
        incoming = list(pairwise((spec.inputs, *widths)))
        # Several heads have a block each in the place of the last one.
        lost = [bool(spec.heads) and not spec.depth, bool(spec.heads) and spec.depth > 0]
        self.down = nn.ModuleList(
            nn.Identity() if lost[0] else level_block(spec, level, features, down=True)
            for level, features in enumerate(incoming)
        )
        self.up = nn.ModuleList(up(spec, level, (widths[level + 1], brought[level])) for level in levels)
        self.merge = nn.ModuleList(
            nn.Identity()
            if lost[1] and not level
            else level_block(spec, level, (joined[level], widths[level]), down=False)
            for level in levels
        )
        self.join = nn.ModuleList(Join(spec, level, *pairs[level]) for level in levels)
        pools = (Pool(stride(spec, i)) if spec.down == "pool" and i else nn.Identity() for i in range(len(widths)))
        self.pool = nn.ModuleList(pools)
        last = (joined or [spec.inputs])[0], widths[0]
        self.head = head(spec, widths[0], [level_block(spec, 0, last, down=not spec.depth) for _ in spec.heads])
        self._steps = [grid(spec, level) for level in range(1, spec.depth)]
        if spec.deep_supervision:
            self.sides = nn.ModuleList(conv((width, spec.outputs), (1,) * spec.ndim) for width in widths[1:-1])
        self.train()

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Map ``(b, inputs, *spatial)`` to raw scores ``(b, outputs, *spatial)``.

        Every spatial length must be a multiple of :func:`multiple`. In training a network without padding puts out less
        than it is given, and one with deep supervision a list: the scores, then those of the coarser levels.
        """
        left: list[torch.Tensor] = []
        for pool, down in zip(self.pool, self.down, strict=True):
            x = down(pool(x))
            left.append(x)
        left.pop()
        listed = self.spec.deep_supervision and self.training
        coarser: list[torch.Tensor] = []
        for level in reversed(range(len(self.up))):
            x = self.merge[level](self.join[level](left.pop(), self.up[level](x), x))
            if listed and level:
                coarser.insert(0, self.sides[level - 1](x))
        scores: torch.Tensor = self.head(x)
        return enlarged(scores, coarser, self._steps) if listed else scores

    def train(self, mode: bool = True) -> Self:
        """Switch to training or, with False, to evaluation, in which convolutions are always padded."""
        super().train(mode)
        if self.spec.padding == "valid":
            pad(self, padded=not mode)
        return self

    @torch.no_grad()
    def published(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores that evaluation without padding gives: 388 x 388 for 572 x 572 pixels, as in 2015."""
        pad(self.eval(), padded=False)
        try:
            scores: torch.Tensor = self(x)
        finally:
            pad(self, padded=True)
        return scores

    def path(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """Return the blocks of the contracting and of the expansive path, the finest first."""
        down, merge = list(self.down), list(self.merge)
        if self.spec.heads:
            (merge or down)[0] = self.head
        return down, merge

    def reach(self, radius: int, axis: int) -> int:
        """Return how far away lie the pixels that scores within `radius` depend on."""
        radius = reach(self.head, radius, axis)
        skips: list[int] = []
        for merge, join, raised in zip(self.merge, self.join, self.up, strict=True):
            left, gating = join.sources(reach(merge, radius, axis), axis)  # type: ignore[operator]
            radius = max(gating, reach(raised, reach(merge, radius, axis), axis))
            skips.append(left)
        for pool, down in reversed(list(zip(self.pool, self.down, strict=True))):
            radius = max(reach(pool, reach(down, radius, axis), axis), skips.pop() if skips else 0)
        return radius


def build(spec: NetSpec) -> UNet:
    """Build a U-Net.

    Parameters
    ----------
    spec : NetSpec
        See :class:`UNet`.

    Returns
    -------
    UNet
        With He initialization.

    Raises
    ------
    SpecError
        If its choices do not go together.
    """
    check(spec, "growth", "prune")
    return UNet(spec)


def multiple(spec: NetSpec) -> int | tuple[int, ...]:
    """Return 2^depth, or the product of the strides: the grid of the coarsest level (Rumberger et al., ICCV 2021)."""
    return multiple_of(spec)


def halo(spec: NetSpec) -> int | tuple[int, ...]:
    """Return how many pixels around it a score depends on, for tiles that start on the grid.

    Parameters
    ----------
    spec : NetSpec
        Its depth and convolutions a level.

    Returns
    -------
    int or tuple of int
        Pixels; the overlap of Ronneberger et al. 2015, Fig. 2. One for every axis where they differ.
    """
    return halo_of(spec)


def patch(spec: NetSpec, wanted: int) -> int:
    """Return the smallest edge from `wanted` on that the network can be trained on, in pixels."""
    return patch_of(spec, wanted)
