"""What one level of the encoder-decoder computes: choices of ``NetSpec.block``."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

from ..core.specs import NetSpec
from ._dropout import ChannelDropout, ElementDropout
from ._norm import BatchRenorm
from ._reach import kernel, reach, stride
from ._volumes import Conv3d

__all__ = ["Pool", "conv", "crop", "dropout", "level_block", "pad", "start", "unit", "up"]

_CONV: Final[dict[int, Any]] = {2: nn.Conv2d, 3: Conv3d}
_UP: Final[dict[int, Any]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_MAX: Final[dict[int, Any]] = {2: functional.max_pool2d, 3: functional.max_pool3d}
Size = tuple[int, ...]


def conv(
    features: tuple[int, int], size: Size, step: Size | int = 1, *, groups: int = 1, bias: bool = True
) -> nn.Conv2d | nn.Conv3d:
    """Return a padded convolution with He initialization (He et al. 2015, eq. 10).

    Parameters
    ----------
    features : tuple of int
        Channels in and out.
    size : tuple of int
        Along every axis, odd.
    step : tuple of int or int
        Stride.
    groups : int
        Channels are convolved in so many groups.
    bias : bool
        Whether a constant is added.

    Returns
    -------
    torch.nn.Conv2d or torch.nn.Conv3d
        For as many axes as `size` has.
    """
    rim = tuple(n // 2 for n in size)
    layer: nn.Conv2d | nn.Conv3d = _CONV[len(size)](*features, size, stride=step, padding=rim, groups=groups, bias=bias)
    if not layer.weight.is_meta:  # random numbers for no memory load torch's compiler, which takes seconds
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def up(spec: NetSpec, level: int, features: tuple[int, int]) -> nn.Module:
    """Return the 2015 paper's up-convolution to `level`: transposed, its kernel as large as its stride."""
    steps = stride(spec, level + 1)
    layer: nn.Module = _UP[spec.ndim](*features, steps, stride=steps, bias=not spec.doubling)
    if spec.norm == "none":
        start(layer, features[0])
    return layer


def start(layer: Any, features: int) -> None:
    """Initialise a transposed convolution after He et al. 2015, and its biases with 0.

    torch takes the outputs for the inputs of a transposed convolution, and its kernel for what enters each sum.
    """
    entering = features * math.prod(layer.kernel_size) / math.prod(layer.stride)
    if not layer.weight.is_meta:
        nn.init.normal_(layer.weight, std=math.sqrt(2 / entering))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def unit(spec: NetSpec, layer: nn.Conv2d | nn.Conv3d) -> list[nn.Module]:
    """Return a convolution with what follows it: normalization, where there is one, and ReLU."""
    if spec.norm == "none":
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        return [layer, nn.ReLU(inplace=True)]
    return [layer, BatchRenorm(layer.out_channels), nn.ReLU(inplace=True)]


def dropout(spec: NetSpec, level: int, *, down: bool) -> list[nn.Module]:
    """Return the dropout at the end of a block, where there is one."""
    deepest = not spec.dropout_levels or (down and level > spec.depth - spec.dropout_levels)
    if not (spec.dropout and deepest):
        return []
    return [(ChannelDropout if spec.dropout_kind == "channels" else ElementDropout)(spec.dropout)]


class Pool(nn.Module):
    """Maximum pooling, or a mean.

    Parameters
    ----------
    steps : tuple of int
        Along every axis.
    mean : bool
        Average instead.
    """

    def __init__(self, steps: Size, *, mean: bool = False) -> None:
        super().__init__()
        self.steps, self.mean = steps, mean

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Make ``(b, features, *spatial)`` smaller by the steps."""
        if torch.is_grad_enabled() and not self.mean:
            pooled: torch.Tensor = _MAX[len(self.steps)](x, self.steps)
            return pooled
        # The same maxima; torch's pooling also finds where they are, which takes three times as long.
        # Its mean of volumes is not made for bfloat16.
        for axis, step in enumerate(self.steps, start=2):
            before = (slice(None),) * axis
            parts = [x[(*before, slice(phase, None, step))] for phase in range(step)]
            x = reduce(torch.add if self.mean else torch.maximum, parts)
            x = x / step if self.mean and step > 1 else x
        return x

    def reach(self, radius: int, axis: int) -> int:
        """Return how far away lies what enters what lies within `radius`."""
        return self.steps[axis] * (radius + 1) - 1


class _Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module, *, cropped: bool = False) -> None:
        super().__init__()
        self.body, self.shortcut, self.cropped = body, shortcut, cropped

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner, outer = self.body(x), self.shortcut(x)
        if self.cropped:  # an unpadded body comes out smaller
            outer = crop(outer, inner)
        result: torch.Tensor = torch.relu(inner + outer)
        return result

    def reach(self, radius: int, axis: int) -> int:
        return max(reach(self.body, radius, axis), reach(self.shortcut, radius, axis))


def level_block(spec: NetSpec, level: int, features: tuple[int, int], *, down: bool) -> nn.Sequential | _Residual:
    """Return the block of one level.

    Parameters
    ----------
    spec : NetSpec
        Gives the kind of block, the dimensions and the number of convolutions.
    level : int
        The finest is 0.
    features : tuple of int
        Channels in and out.
    down : bool
        In the contracting path; else in the expansive one.

    Returns
    -------
    torch.nn.Module
        Convolution, batch renormalization and ReLU, repeated; residual adds a shortcut (He et al. 2016).
    """
    drop = dropout(spec, level, down=down)
    step = stride(spec, level) if down and spec.down == "stride" else (1,) * spec.ndim
    if spec.block != "residual" or (spec.decoder and not down):
        return nn.Sequential(*_chain(spec, level, features, step, down=down), *drop)
    if not spec.blocks:
        only = _residual(spec, level, features, step)
        return nn.Sequential(only, *drop) if drop else only
    inputs, outputs = features
    parts: list[nn.Module] = []
    if down and level == 0:
        parts, inputs = unit(spec, conv(features, kernel(spec, 0), bias=spec.norm == "none")), outputs
    parts.append(_residual(spec, level, (inputs, outputs), step))
    for _ in range(1, spec.blocks[level]):
        parts.append(_residual(spec, level, (outputs, outputs), (1,) * spec.ndim))
    return nn.Sequential(*parts, *drop)


def _chain(spec: NetSpec, level: int, features: tuple[int, int], step: Size, *, down: bool) -> list[nn.Module]:
    """Return convolutions one after the other, plain or separable."""
    count = spec.blocks[level] if spec.blocks else spec.convolutions
    if not down and spec.decoder:
        count = spec.decoder
    before, outputs = features
    layers: list[nn.Module] = []
    for i in range(count):
        first, last = i == 0, i == count - 1
        after = outputs // 2 if spec.doubling and down and first and not last else outputs
        here = step if first else (1,) * spec.ndim
        size, bias = kernel(spec, level), spec.norm == "none"
        # Howard et al. 2017: the first convolution is a full one, a channel alone says too little there.
        if spec.block == "separable" and not (down and level == 0 and first):
            layers += unit(spec, conv((before, before), size, here, groups=before, bias=bias))
            size, here = (1,) * spec.ndim, (1,) * spec.ndim
        layers += unit(spec, conv((before, after), size, here, bias=bias))
        before = after
    return layers


def _residual(spec: NetSpec, level: int, features: tuple[int, int], step: Size) -> _Residual:
    """Return a residual block; where it strides, the shortcut averages first (He et al. 2019, ResNet-D)."""
    before, outputs = features
    layers: list[nn.Module] = []
    for i in range(spec.convolutions):
        here = (1,) * spec.ndim if i else step
        layers += unit(spec, conv((before, outputs), kernel(spec, level), here, bias=spec.norm == "none"))
        before = outputs
    return _Residual(nn.Sequential(*layers[:-1]), _shortcut(spec, features, step), cropped=spec.padding == "valid")


def _shortcut(spec: NetSpec, features: tuple[int, int], step: Size) -> nn.Module:
    one = (1,) * spec.ndim
    if spec.down == "pool":
        return nn.Identity() if features[0] == features[1] else conv(features, one)
    parts: list[nn.Module] = [] if step == one else [Pool(step, mean=True)]
    if features[0] != features[1]:
        parts += unit(spec, conv(features, one, bias=spec.norm == "none"))[:-1]
    return nn.Sequential(*parts)


def crop(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the middle of `x`, as large as `like`: the crop of Ronneberger et al. 2015, Fig. 1."""
    for axis in range(2, x.ndim):
        rim = (x.shape[axis] - like.shape[axis]) // 2
        x = x.narrow(axis, rim, like.shape[axis])
    return x


def pad(network: nn.Module, *, padded: bool) -> None:
    """Let every convolution of a network pad what it is given, or not."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            layer.padding = tuple(n // 2 if padded else 0 for n in layer.kernel_size)
