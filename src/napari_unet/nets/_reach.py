"""How far a score looks, counted on the built network: the overlap of Ronneberger et al. 2015, Fig. 2.

Backwards and one axis at a time: a pixel depends on what lies within a radius of it, and each module widens the radius.
Where a coarse pixel covers several fine ones, the worst of them is taken. Modules with branches count themselves, in a
method ``reach(radius, axis)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import torch
from torch import nn

from ..core.errors import ModelError, SpecError
from ..core.networks import NetSpec
from ..core.registry import load
from ._dropout import ChannelDropout
from ._norm import Affine, BatchRenorm

__all__ = ["grid", "halo_of", "kernel", "multiple_of", "patch_of", "reach", "stride"]

_POINTWISE: Final = (Affine, BatchRenorm, ChannelDropout, nn.Identity, nn.ReLU)
_LARGEST_PATCH: Final = 1 << 14


def stride(spec: NetSpec, level: int) -> tuple[int, ...]:
    """Return the step along every axis from the level above to `level`; 1 for the finest."""
    if level == 0:
        return (1,) * spec.ndim
    return spec.strides[level - 1] if spec.strides else (2,) * spec.ndim


def kernel(spec: NetSpec, level: int) -> tuple[int, ...]:
    """Return the size of the convolutions of a level along every axis."""
    return spec.kernels[level] if spec.kernels else (3,) * spec.ndim


def grid(spec: NetSpec, level: int) -> tuple[int, ...]:
    """Return how many pixels of the finest level a pixel of `level` covers along every axis."""
    steps = [stride(spec, finer) for finer in range(level + 1)]
    return tuple(math.prod(along) for along in zip(*steps, strict=True))


def multiple_of(spec: NetSpec, depth: int | None = None) -> int | tuple[int, ...]:
    """Return the grid of the coarsest level: the product of all strides (Rumberger et al., ICCV 2021)."""
    return _plain(grid(spec, spec.depth if depth is None else depth))


def _plain(sides: Sequence[int]) -> int | tuple[int, ...]:
    """Return one number where all axes are alike."""
    return sides[0] if len(set(sides)) == 1 else tuple(sides)


def reach(module: nn.Module, radius: int, axis: int) -> int:
    """Return how far away lie the values that enter a module, where those that leave it lie within `radius`.

    Parameters
    ----------
    module : torch.nn.Module
        A part of a network.
    radius : int
        Pixels of what it puts out.
    axis : int
        Spatial axis.

    Returns
    -------
    int
        Pixels of what enters it.

    Raises
    ------
    ModelError
        If the module is of a kind that nothing is known of.
    """
    own = getattr(module, "reach", None)
    if own is not None:
        return int(own(radius, axis))
    if isinstance(module, nn.Sequential):
        for part in reversed(module):
            radius = reach(part, radius, axis)
        return radius
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        step, half = module.stride[axis], module.dilation[axis] * (module.kernel_size[axis] // 2)
        return step * radius + half + step - 1
    if isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
        size, step, rim = module.kernel_size[axis], module.stride[axis], int(module.padding[axis])
        left = max((size - 1 - rim - place + radius) // step for place in range(step))
        return max(left, (step - 1 + radius + rim) // step)
    if isinstance(module, _POINTWISE):
        return radius
    raise ModelError(f"How far a {type(module).__name__} looks is not known. Give it a method reach(radius, axis).")


@lru_cache(maxsize=64)
def _frame(spec: NetSpec) -> nn.Module:
    """Return the network without memory for its weights."""
    with torch.device("meta"):
        network: nn.Module = load("nets", spec.architecture).build(spec)
    return network.eval()


def halo_of(spec: NetSpec) -> int | tuple[int, ...]:
    """Return how many pixels around it a score depends on, for tiles that start on the grid.

    Parameters
    ----------
    spec : NetSpec
        The network.

    Returns
    -------
    int or tuple of int
        Pixels; one for every axis where they differ.
    """
    return _plain([reach(_frame(spec), 0, axis) for axis in range(spec.ndim)])


def patch_of(spec: NetSpec, wanted: int) -> int:
    """Return the smallest edge from `wanted` on that a network can be trained on.

    Padded, a multiple of all strides. Unpadded, so that all pooling starts from an even length (Ronneberger et al.
    2015, section 2) and something is left.

    Parameters
    ----------
    spec : NetSpec
        The network.
    wanted : int
        Pixels.

    Returns
    -------
    int
        Pixels, along every axis.

    Raises
    ------
    SpecError
        If no edge will do.
    """
    if spec.padding == "same":
        step = multiple_of(spec)
        every = step if isinstance(step, int) else math.lcm(*step)
        return -(-wanted // every) * every
    edges = range(wanted, wanted + _LARGEST_PATCH)
    fits = (edge for edge in edges if all(_left(spec, edge, axis) > 0 for axis in range(spec.ndim)))
    found = next(fits, None)
    if found is None:
        raise SpecError(f"No patch of {wanted} pixels or more suits this network. Choose other strides or kernels.")
    return found


def _left(spec: NetSpec, edge: int, axis: int) -> int:
    """Return what an unpadded network makes of `edge` pixels; 0 where they cannot be pooled evenly or used up."""
    lost, levels = _lost(spec, axis), range(spec.depth + 1)
    for level in levels:
        step = stride(spec, level)[axis]
        if edge % step:
            return 0
        edge = edge // step - lost[0][level]
    for level in reversed(levels[:-1]):
        edge = edge * stride(spec, level + 1)[axis] - lost[1][level]
    return max(edge, 0)


@lru_cache(maxsize=64)
def _lost(spec: NetSpec, axis: int) -> tuple[list[int], list[int]]:
    """Return how many pixels the blocks of the contracting and of the expansive path take away."""
    down, merge = _frame(spec).path()  # type: ignore[operator]
    return [2 * reach(block, 0, axis) for block in down], [2 * reach(block, 0, axis) for block in merge]
