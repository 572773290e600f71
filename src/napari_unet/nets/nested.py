"""U-Net++: Zhou et al. 2018 (Fig. 1), nested and dense skip pathways, in 2D and 3D.

Between the contracting and the expansive path stand further nodes: X(i, j) takes all nodes before it on level i, and
the one from below brought up. With deep supervision every X(0, j) has a head of its own, and a trained network can be
pruned to the first ones (the paper's L^j): evaluated only up to that depth, with the same weights.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Self

import torch
from torch import nn

from ..core.specs import NetSpec
from ._blocks import Pool, crop, level_block, pad, up
from ._check import check
from ._heads import enlarged, head
from ._reach import halo_of, multiple_of, patch_of, reach, stride

__all__ = ["NestedUNet", "build", "halo", "multiple", "patch"]


class NestedUNet(nn.Module):
    """A U-Net whose skips are networks themselves.

    Parameters
    ----------
    spec : NetSpec
        Dimensions, channels, widths of the levels, kind of block.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec, widths = spec, spec.widths
        incoming = enumerate(pairwise((spec.inputs, *widths)))
        self.down = nn.ModuleList(level_block(spec, level, features, down=True) for level, features in incoming)
        pools = (Pool(stride(spec, i)) if spec.down == "pool" and i else nn.Identity() for i in range(len(widths)))
        self.pool = nn.ModuleList(pools)
        self.up, self.node = nn.ModuleDict(), nn.ModuleDict()
        for level, step in self._places():
            width = widths[level]
            joined = width if spec.skip == "add" else (step + 1) * width
            self.up[_key(level, step)] = up(spec, level, (widths[level + 1], width))
            self.node[_key(level, step)] = level_block(spec, level, (joined, width), down=False)
        if spec.deep_supervision and spec.depth:
            self.head: nn.Module = nn.ModuleDict({str(step): self._head() for step in range(1, spec.depth + 1)})
        else:
            self.head = self._head()
        self.train()

    def _places(self) -> list[tuple[int, int]]:
        """Return level and step of all nodes besides those of the contracting path, in the order of computation."""
        depth = self.spec.depth
        return [(level, step) for step in range(1, depth + 1) for level in range(depth - step + 1)]

    def _head(self) -> nn.Module:
        width = self.spec.widths[0]
        # The last nodes feed each other, so the block that a head has of its own comes after them.
        blocks = [level_block(self.spec, 0, (width, width), down=False) for _ in self.spec.heads]
        return head(self.spec, width, blocks)

    def _head_of(self, step: int) -> nn.Module:
        return self.head[str(step)] if isinstance(self.head, nn.ModuleDict) else self.head

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Map ``(b, inputs, *spatial)`` to raw scores ``(b, outputs, *spatial)``.

        In training with deep supervision a list: the scores of X(0, depth), then those of the nodes before it.
        """
        last = self.spec.depth if self.training else _last(self.spec)
        rows: list[list[torch.Tensor]] = []
        for pool, down, _ in zip(self.pool, self.down, range(last + 1), strict=False):
            x = down(pool(x))
            rows.append([x])
        for level, step in self._places():
            if level + step <= last:
                below = self.up[_key(level, step)](rows[level + 1][step - 1])
                rows[level].append(self.node[_key(level, step)](self._joined(rows[level], below)))
        scores: torch.Tensor = self._head_of(last)(rows[0][last])
        if not (self.training and self.spec.deep_supervision):
            return scores
        earlier = [self._head_of(step)(rows[0][step]) for step in range(last - 1, 0, -1)]
        return enlarged(scores, earlier, [(1,) * self.spec.ndim] * len(earlier))

    def _joined(self, before: list[torch.Tensor], below: torch.Tensor) -> torch.Tensor:
        left = [crop(x, below) for x in before] if self.spec.padding == "valid" else before
        if self.spec.skip == "concat":
            return torch.cat([*left, below], 1)
        for x in left:
            below = below + x
        return below

    def train(self, mode: bool = True) -> Self:
        """Switch to training or, with False, to evaluation, in which convolutions are always padded."""
        super().train(mode)
        if self.spec.padding == "valid":
            pad(self, padded=not mode)
        return self

    def path(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """Return the blocks of the contracting and of the outermost expansive path, the finest first."""
        depth = self.spec.depth
        merge = [self.node[_key(level, depth - level)] for level in range(depth)]
        if self.spec.heads:
            merge[:1] = [nn.Sequential(*merge[:1], self._head_of(depth))]
        return list(self.down), merge

    def reach(self, radius: int, axis: int) -> int:
        """Return how far away lie the pixels that scores within `radius` depend on."""
        last = _last(self.spec)
        radii = {(0, last): reach(self._head_of(last), radius, axis)}

        def widen(place: tuple[int, int], wanted: int) -> None:
            radii[place] = max(wanted, radii.get(place, 0))

        for level, step in reversed(self._places()):
            if (level, step) in radii:
                entering = reach(self.node[_key(level, step)], radii[level, step], axis)
                widen((level + 1, step - 1), reach(self.up[_key(level, step)], entering, axis))
                for earlier in range(step):
                    widen((level, earlier), entering)
        for level in reversed(range(last + 1)):
            radius = reach(self.pool[level], reach(self.down[level], radii[level, 0], axis), axis)
            if level:
                widen((level - 1, 0), radius)
        return radius


def _key(level: int, step: int) -> str:
    return f"{level}_{step}"


def _last(spec: NetSpec) -> int:
    return spec.prune or spec.depth


def build(spec: NetSpec) -> NestedUNet:
    """Build a nested U-Net.

    Parameters
    ----------
    spec : NetSpec
        See :class:`NestedUNet`.

    Returns
    -------
    NestedUNet
        With He initialization.

    Raises
    ------
    SpecError
        If its choices do not go together.
    """
    check(spec, "growth", "doubling")
    return NestedUNet(spec)


def multiple(spec: NetSpec) -> int | tuple[int, ...]:
    """Return the product of the strides down to the coarsest level that is evaluated."""
    return multiple_of(spec, _last(spec))


def halo(spec: NetSpec) -> int | tuple[int, ...]:
    """Return how many pixels around it a score depends on, for tiles that start on the grid."""
    return halo_of(spec)


def patch(spec: NetSpec, wanted: int) -> int:
    """Return the smallest edge from `wanted` on that the network can be trained on, in pixels."""
    return patch_of(spec, wanted)
