"""What :mod:`._forest_kernels` does with machine code, in operations of a graphics card: the same trees, bit by bit.

Steps are those of the same integer codes. Pointers are followed by doubling, every pixel at once (pointer jumping, JáJá
1992, section 2.2): after n rounds each points 2**n pixels on, until nothing changes.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch

from ._forest_kernels import SHIFT, Grown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["grow_on"]

_LOW_BITS = (1 << SHIFT) - 1


def grow_on(device: str, level: npt.NDArray[np.uint16], reach: int) -> Grown | None:
    """Grow the trees of one brick on a device.

    Parameters
    ----------
    device : str
        Where, in torch's words.
    level : ndarray of uint16, shape (z, y, x)
        See :mod:`._forest_kernels`: one pixel larger than the brick on each side, along z only if `reach` is 1.
    reach : int
        1 where trees may go along z, else 0.

    Returns
    -------
    Grown or None
        What the tables of a forest are made of; None where the device has no memory left for it.
    """
    try:
        return _grown(device, level, reach)
    except torch.OutOfMemoryError:
        return None


def _grown(device: str, level: npt.NDArray[np.uint16], reach: int) -> Grown:
    # Not all of torch's operations know 16 bits without sign; levels take 14 bits.
    high = torch.from_numpy(level.astype("int32")).to(device)
    inside = tuple(slice(r, n - r) for r, n in zip((reach, 1, 1), high.shape, strict=True))
    position = torch.arange(high.numel(), device=device).reshape(high.shape)
    own, solid = position[inside], high[inside] > 0
    ends = _ends(high, position, inside)[own][solid]
    first = torch.full((high.numel(),), high.numel(), dtype=torch.int64, device=device)
    first.scatter_reduce_(0, ends, own[solid], "amin")
    found = torch.nonzero(first < high.numel())[:, 0]
    found = found[torch.argsort(first[found])]
    number = torch.zeros(high.numel(), dtype=torch.int32, device=device)
    number[found] = torch.arange(1, found.numel() + 1, dtype=torch.int32, device=device)
    trees = torch.zeros(high.shape, dtype=torch.int32, device=device)
    trees[inside][solid] = number[ends]
    areas, boxes = _measured(trees, inside, found.numel())
    codes, saddles = _touching(trees, high, inside)
    return Grown(*(value.cpu().numpy() for value in (trees, found, first[found], areas, boxes, codes, saddles)))


def _views(values: torch.Tensor, inside: tuple[slice, ...]) -> list[tuple[tuple[int, ...], torch.Tensor]]:
    """Return what lies one step away from the inner pixels, for every step."""
    views = []
    for way in itertools.product(*[(-1, 0, 1) if part.start else (0,) for part in inside]):
        parts = tuple(slice(p.start + d, p.stop + d) for p, d in zip(inside, way, strict=True))
        views.append((way, values[parts]))
    return views


def _ends(high: torch.Tensor, position: torch.Tensor, inside: tuple[slice, ...]) -> torch.Tensor:
    """Return for every pixel, flat, the one where its pointers end."""
    codes = [seen + (9 * (dz + 1) + 3 * (dy + 1) + dx + 1) for (dz, dy, dx), seen in _views(high, inside)]
    best = codes[0]
    for code in codes[1:]:
        best = torch.maximum(best, code)
    step = (best & _LOW_BITS).long()
    height, width = high.shape[1:]
    move = ((step // 9 - 1) * height + step // 3 % 3 - 1) * width + step % 3 - 1
    to = position.clone()
    to[inside] += torch.where(high[inside] > 0, move, 0)
    to = to.ravel()
    while True:
        after = to[to]
        if torch.equal(after, to):
            return to
        to = after


def _measured(trees: torch.Tensor, inside: tuple[slice, ...], count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return areas and bounding boxes, int32 (count, 6)."""
    places = torch.nonzero(trees[inside])
    rows = trees[inside][places.unbind(1)].long() - 1
    places = places + torch.tensor([part.start for part in inside], device=trees.device)
    areas = torch.bincount(rows, minlength=count)
    lows = torch.full((count, 3), 2**31 - 1, dtype=torch.int64, device=trees.device)
    highs = torch.zeros_like(lows)
    each = rows[:, None].expand(-1, 3)
    lows.scatter_reduce_(0, each, places, "amin")
    highs.scatter_reduce_(0, each, places + 1, "amax")
    return areas, torch.cat([lows, highs], 1).int()


def _touching(trees: torch.Tensor, high: torch.Tensor, inside: tuple[slice, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pairs of trees that touch, as codes, and the highest level at which each does."""
    own, top = trees[inside], high[inside]
    codes, tops = [], []
    for (way, other), (_, level) in zip(_views(trees, inside), _views(high, inside), strict=True):
        if way <= (0, 0, 0):
            continue
        meets = (own > 0) & (other > 0) & (own != other)
        here, there = own[meets].long(), other[meets].long()
        codes.append(torch.minimum(here, there) << 32 | torch.maximum(here, there))
        tops.append(torch.minimum(top[meets], level[meets]))
    pairs, row = torch.unique(torch.cat(codes), return_inverse=True)
    highest = torch.zeros(pairs.numel(), dtype=torch.int32, device=trees.device)
    highest.scatter_reduce_(0, row, torch.cat(tops), "amax")
    return pairs, ((highest >> SHIFT) - 1).to(torch.uint8)
