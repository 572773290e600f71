"""Dense U-Net: the FC-DenseNet of Jegou et al. 2017, in 2D and 3D.

Each layer of a dense block takes what all layers before it have made and adds a few features of its own. Transitions go
down through a 1x1 convolution and pooling, and up with the features that the block below has added, no others. Skips
join them as in a U-Net (Jegou et al. 2017, Fig. 1; H-DenseUNet, Li et al. 2018, adds them instead).
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn

from ..core.specs import NetSpec
from ._blocks import Pool, conv, dropout, start
from ._check import check
from ._heads import enlarged, head
from ._norm import BatchRenorm
from ._reach import grid, halo_of, kernel, multiple_of, patch_of, reach, stride
from ._skips import Join

__all__ = ["DenseUNet", "build", "halo", "multiple", "patch"]

_UP: Final[dict[int, Any]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class _Block(nn.Module):
    """Layers of a dense block; puts out what enters, then what each layer has added."""

    def __init__(self, spec: NetSpec, level: int, inputs: int, *, down: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                *_activated(spec, inputs + i * spec.growth),
                conv((inputs + i * spec.growth, spec.growth), kernel(spec, level)),
                *dropout(spec, level, down=down),
            )
            for i in range(_layers(spec, level))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x

    def reach(self, radius: int, axis: int) -> int:
        for layer in reversed(self.layers):
            radius = reach(layer, radius, axis)
        return radius


class DenseUNet(nn.Module):
    """One n-D encoder-decoder of dense blocks.

    Parameters
    ----------
    spec : NetSpec
        ``widths`` are the features that enter the dense block of each level, ``blocks`` its layers, and each layer adds
        ``growth`` features.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec, widths, levels = spec, spec.widths, range(spec.depth)
        new = [_layers(spec, level) * spec.growth for level in range(len(widths))]
        whole = [width + more for width, more in zip(widths, new, strict=True)]
        brought = [whole[level] if spec.skip == "add" else new[level + 1] for level in levels]
        joined = [whole[level] + (0 if spec.skip == "add" else brought[level]) for level in levels]
        several, one = bool(spec.heads), (1,) * spec.ndim
        self.first = conv((spec.inputs, widths[0]), kernel(spec, 0))
        self.down = nn.ModuleList(
            nn.Identity() if several and not spec.depth else _Block(spec, level, width, down=True)
            for level, width in enumerate(widths)
        )
        self.shrink = nn.ModuleList(_shrink(spec, level, (whole[level], widths[level + 1])) for level in levels)
        self.up = nn.ModuleList(_raise(spec, level, (new[level + 1], brought[level])) for level in levels)
        self.join = nn.ModuleList(Join(spec, level, whole[level], new[level + 1]) for level in levels)
        self.merge = nn.ModuleList(
            nn.Identity() if several and not level else _Block(spec, level, joined[level], down=False)
            for level in levels
        )
        last = joined[0] if spec.depth else widths[0]
        blocks = [_Block(spec, 0, last, down=not spec.depth) for _ in spec.heads]
        self.head = head(spec, last + new[0], blocks)
        self._steps = [grid(spec, level) for level in range(1, spec.depth)]
        if spec.deep_supervision:
            self.sides = nn.ModuleList(conv((more, spec.outputs), one) for more in new[1:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Map ``(b, inputs, *spatial)`` to raw scores ``(b, outputs, *spatial)``.

        In training with deep supervision a list: the scores, then those of the coarser levels.
        """
        left: list[torch.Tensor] = []
        x = self.first(x)
        for level, down in enumerate(self.down):
            x = down(self.shrink[level - 1](x) if level else x)
            left.append(x)
        left.pop()
        listed = self.spec.deep_supervision and self.training
        coarser: list[torch.Tensor] = []
        for level in reversed(range(len(self.up))):
            # Only what the block below has added goes up.
            x = x[:, -_layers(self.spec, level + 1) * self.spec.growth :]
            if listed and level + 1 < len(self.up):
                coarser.insert(0, self.sides[level](x))
            x = self.merge[level](self.join[level](left.pop(), self.up[level](x), x))
        scores: torch.Tensor = self.head(x)
        return enlarged(scores, coarser, self._steps) if listed else scores

    def reach(self, radius: int, axis: int) -> int:
        """Return how far away lie the pixels that scores within `radius` depend on."""
        radius = reach(self.head, radius, axis)
        skips: list[int] = []
        for merge, join, raised in zip(self.merge, self.join, self.up, strict=True):
            left, gating = join.sources(reach(merge, radius, axis), axis)  # type: ignore[operator]
            radius = max(gating, reach(raised, reach(merge, radius, axis), axis))
            skips.append(left)
        for level in reversed(range(len(self.down))):
            radius = reach(self.down[level], radius, axis)
            if level:
                radius = max(reach(self.shrink[level - 1], radius, axis), skips.pop())
        return reach(self.first, radius, axis)


def _layers(spec: NetSpec, level: int) -> int:
    return spec.blocks[level] if spec.blocks else spec.convolutions


def _activated(spec: NetSpec, features: int) -> list[nn.Module]:
    """Return what stands before a convolution here; a ReLU with nothing before it must not change what it is given."""
    return [BatchRenorm(features), nn.ReLU(inplace=True)] if spec.norm == "batch" else [nn.ReLU()]


def _shrink(spec: NetSpec, level: int, features: tuple[int, int]) -> nn.Sequential:
    """Return the transition down from a level (Jegou et al. 2017, table 1)."""
    layer = conv(features, (1,) * spec.ndim)
    drop = dropout(spec, level, down=True)
    return nn.Sequential(*_activated(spec, features[0]), layer, *drop, Pool(stride(spec, level + 1)))


def _raise(spec: NetSpec, level: int, features: tuple[int, int]) -> nn.Module:
    """Return the transition up to a level: a transposed convolution of size 3 that makes each axis exactly longer."""
    steps = stride(spec, level + 1)
    sizes = tuple(max(3, step) for step in steps)
    rims = tuple((size - step + 1) // 2 for size, step in zip(sizes, steps, strict=True))
    more = tuple(step - size + 2 * rim for step, size, rim in zip(steps, sizes, rims, strict=True))
    layer: nn.Module = _UP[spec.ndim](*features, sizes, stride=steps, padding=rims, output_padding=more)
    start(layer, features[0])
    return layer


def build(spec: NetSpec) -> DenseUNet:
    """Build a dense U-Net.

    Parameters
    ----------
    spec : NetSpec
        See :class:`DenseUNet`.

    Returns
    -------
    DenseUNet
        With He initialization.

    Raises
    ------
    SpecError
        If its choices do not go together.
    """
    check(spec, "block", "decoder", "doubling", "down", "padding", "prune")
    return DenseUNet(spec)


def multiple(spec: NetSpec) -> int | tuple[int, ...]:
    """Return the product of the strides: the grid of the coarsest level."""
    return multiple_of(spec)


def halo(spec: NetSpec) -> int | tuple[int, ...]:
    """Return how many pixels around it a score depends on, for tiles that start on the grid."""
    return halo_of(spec)


def patch(spec: NetSpec, wanted: int) -> int:
    """Return the smallest edge from `wanted` on that the network can be trained on, in pixels."""
    return patch_of(spec, wanted)
