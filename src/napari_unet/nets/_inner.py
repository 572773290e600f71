"""The scores of a tile's inside, without computing most of what would be cropped away.

A tile is read with a halo, and the scores of the halo are thrown away. The contracting path needs all of it. The
expansive path does not: what it brings up is cropped to what the wanted scores depend on before it is joined, which is
the "copy and crop" of Ronneberger et al. 2015, Fig. 1. Every score that is left is computed from the same values.

On a processor, large flat tiles are computed band by band where features are fine, each level from its input to its
output: what a convolution puts out is still in the processor's cache when the next one wants it. Of the contracting
path only what is joined later is kept, and what is pooled.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from threading import local
from typing import Any, Final, NamedTuple

import torch
from torch import nn

from ._blocks import Pool
from .unet import UNet

__all__ = ["Inner"]

_CONVOLUTIONS: Final = (nn.Conv2d, nn.Conv3d)
_RAISING: Final = (nn.ConvTranspose2d, nn.ConvTranspose3d)
_FLAT: Final = 4  # axes of features of a plane
_BAND: Final = 2**17  # pixels, of all images together
Ends = tuple[tuple[bool, bool], ...]
Rim = tuple[tuple[int, int], ...]  # pixels at both ends of every axis


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

    def forward(self, x: torch.Tensor, ends: Ends = ()) -> torch.Tensor:
        """Map ``(b, inputs, *s)`` to raw scores ``(b, outputs, *(s - 2 * margin))``.

        There is no margin where `ends` says, for every axis, that nothing is beyond the first or the last pixels.
        """
        margin = _sides(self.margin, ends)
        if not self.rims:
            return _cut(self.network(x), margin)
        net: Any = self.network
        rims = tuple(_sides(rim, ends) for rim in self.rims)
        left: list[torch.Tensor] = []
        x = net.pool[0](x)
        for level, (down, pool, rim) in enumerate(zip(net.down, net.pool[1:], rims, strict=False)):
            skipped, x = _down(level, down, pool, x, rim)
            left.append(skipped)
        x = net.down[-1](x)
        gone: Rim = ((0, 0),) * len(margin)
        levels = list(enumerate(zip(net.up, net.join, net.merge, rims, strict=True)))
        for level, (raised, join, merge, rim) in reversed(levels):
            already = tuple((low * step, high * step) for (low, high), step in zip(gone, raised.stride, strict=True))
            # The head goes with the finest level: it leaves less to be kept than it is given.
            blocks = (merge,) if level else (merge, net.head)
            # What leaves the network is in memory of its own.
            up = _Up(raised, join, blocks, f"merged {level}" if level else "")
            x = _up(up, left.pop(), x, _less(rim, already), sum(_reach(block, len(rim))[0] for block in blocks))
            gone = rim
        return _cut(x, _less(margin, gone))


class _Up(NamedTuple):
    raised: Any
    join: Any
    blocks: tuple[nn.Module, ...]
    use: str

    def merge(self, skipped: torch.Tensor, raised: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = self.join(skipped, raised, coarse)
        for block in self.blocks:
            x = block(x)
        return x


class _Held(local):
    """Memory for features that a thread uses again for each tile: asking the system for it anew takes long."""

    def __init__(self) -> None:
        self.parts: dict[str, torch.Tensor] = {}
        self.lasting = threading.current_thread() is threading.main_thread()

    def take(self, use: str, size: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Return features of ``(b, c, y, x)`` of any values, channels last; with the same `use` in the same memory."""
        if not use or self.lasting or not torch.is_inference_mode_enabled():
            return torch.empty(size, dtype=dtype, memory_format=torch.channels_last)
        images, channels, *plane = size
        count = math.prod(size)
        held = self.parts.get(use)
        if held is None or held.numel() < count or held.dtype != dtype:
            held = None
            self.parts.pop(use, None)  # before more is asked for
            held = self.parts[use] = torch.empty(count, dtype=dtype)
        return held[:count].view(images, *plane, channels).permute(0, 3, 1, 2)


_HELD: Final = _Held()


class _Rows:
    """Features that are put together from bands, less so many pixels at both ends of every axis."""

    def __init__(self, height: int, rim: Rim, use: str) -> None:
        self.height, self.rim, self.use, self.features = height, rim, use, torch.empty(0)

    def put(self, start: int, band: torch.Tensor) -> None:
        (above, below), beside = self.rim
        if start == 0:
            size = (*band.shape[:2], self.height - above - below, band.shape[3] - sum(beside))
            self.features = _HELD.take(self.use, size, band.dtype)
        low, high = max(start, above), min(start + band.shape[2], self.height - below)
        if low < high:
            kept = _cut(band[:, :, low - start : high - start], ((0, 0), beside))
            self.features[:, :, low - above : high - above] = kept


def _down(
    level: int, block: nn.Module, pool: nn.Module, x: torch.Tensor, rim: Rim
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute a level of the contracting path; return what is skipped, less its rim, and what goes on, pooled."""
    rows = _rows(x)
    if not rows or _strided(block) or not isinstance(pool, Pool):
        whole = block(x)
        return _cut(whole, rim), pool(whole)
    height, step = x.shape[2], pool.steps[0]
    skipped = _Rows(height, rim, f"skipped {level}")
    pooled = _Rows(height // step, ((0, 0), (0, 0)), f"pooled {level}")
    rows = -(-rows // step) * step
    for start, band in _bands(lambda low, high: block(x[:, :, low:high]), height, rows, _reach(block, len(rim))[0]):
        skipped.put(start, band)
        pooled.put(start // step, pool(band))
    return skipped.features, pooled.features


def _up(blocks: _Up, skipped: torch.Tensor, x: torch.Tensor, less: Rim, reach: int) -> torch.Tensor:
    """Bring features up, less so many pixels at both ends of every axis, and merge them with what was skipped."""
    rows, step = _rows(skipped), blocks.raised.stride[0]
    if not rows:
        return blocks.merge(skipped, _cut(blocks.raised(x), less), x)

    def compute(low: int, high: int) -> torch.Tensor:
        from_top = less[0][0]
        first, end = (low + from_top) // step, -(-(high + from_top) // step)
        above = low + from_top - first * step
        raised = blocks.raised(x[:, :, first:end])[:, :, above : above + high - low]
        return blocks.merge(skipped[:, :, low:high], _cut(raised, ((0, 0), *less[1:])), x)

    found = _Rows(skipped.shape[2], ((0, 0), (0, 0)), blocks.use)
    for start, band in _bands(compute, found.height, rows, reach):
        found.put(start, band)
    return found.features


def _bands(
    compute: Callable[[int, int], torch.Tensor], height: int, rows: int, reach: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield where bands start, and what is computed of their rows; at each cut `reach` more are given for context."""
    for start in range(0, height, rows):
        stop, low = min(start + rows, height), max(start - reach, 0)
        yield start, compute(low, min(stop + reach, height))[:, :, start - low : stop - low]


def _rows(x: torch.Tensor) -> int:
    """Return how many rows of features go into a band; 0 where bands do not pay."""
    # What is traced or compiled is to be good for other sizes.
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if recorded or x.ndim != _FLAT or x.device.type != "cpu":
        return 0
    count = -(-x.shape[0] * x.shape[2] * x.shape[3] // _BAND)
    return -(-x.shape[2] // count) if count > 1 else 0


def _can_be_cropped(network: UNet) -> bool:
    # A gate interpolates on a grid that a crop would shift.
    gated = any(getattr(join, "gate", None) is not None for join in network.join)
    raised = all(isinstance(up, _RAISING) and up.kernel_size == up.stride for up in network.up)
    return bool(len(network.up)) and raised and not gated


def _rims(network: Any, margin: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return, for every level, how many pixels along every axis can be cropped at both ends of what is joined."""
    rims, ndim = [], len(margin)
    rim = tuple(n - reach for n, reach in zip(margin, _reach(network.head, ndim), strict=True))
    for merge, up in zip(network.merge, network.up, strict=True):
        rim = tuple(max(0, n - reach) for n, reach in zip(rim, _reach(merge, ndim), strict=True))
        rims.append(rim)
        # Each coarse pixel covers a whole step of fine ones, and lengths are multiples of it.
        rim = tuple(n // step for n, step in zip(rim, up.stride, strict=True))
    return tuple(rims)


def _reach(block: nn.Module, ndim: int) -> tuple[int, ...]:
    """Return how far a block without strides looks at most along every axis: as far as its convolutions in a row."""
    convolutions = [part for part in block.modules() if isinstance(part, _CONVOLUTIONS)]
    return tuple(
        sum(conv.dilation[axis] * (conv.kernel_size[axis] // 2) for conv in convolutions) for axis in range(ndim)
    )


def _strided(block: nn.Module) -> bool:
    """Say whether a block puts out fewer pixels than it is given."""
    return any(set(part.stride) != {1} for part in block.modules() if isinstance(part, _CONVOLUTIONS))


def _sides(rim: tuple[int, ...], ends: Ends) -> Rim:
    """Return a rim at both ends of every axis; 0 where nothing is beyond."""
    known = ends or ((False, False),) * len(rim)
    return tuple((0 if low else n, 0 if high else n) for n, (low, high) in zip(rim, known, strict=True))


def _less(rim: Rim, already: Rim) -> Rim:
    return tuple((a - c, b - d) for (a, b), (c, d) in zip(rim, already, strict=True))


def _cut(x: torch.Tensor, rim: Rim) -> torch.Tensor:
    return x[(..., *(slice(low, -high or None) for low, high in rim))]
