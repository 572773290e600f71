"""Where an image is too dark for objects: coarse, and the same however the image is cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from ..core.resolutions import choose_level
from ..core.windows import since
from .statistics import Statistics, normalize
from .unreadable import lost_parts

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Plane

    Mask = npt.NDArray[np.bool_]

__all__ = ["Background"]

_EDGE: Final = 64  # of a block, pixels along y and x; along z a block is one plane
_MOST: Final = 2**22  # pixels that are read at once
_UNKNOWN, _DARK, _BRIGHT = range(3)


class Background:
    """What is not near anything bright.

    The plane is divided into blocks of 64 x 64 pixels, counted from its origin. A block is bright where one of its
    pixels is, in any channel. What lies in a bright block or in one beside it is looked at. Blocks are measured when
    they are first asked for; a byte of each is kept.

    Parameters
    ----------
    level : float
        Normalized intensity from which a pixel is bright.
    statistics : Statistics
        Of the image, one pair for each channel that is used.
    factor : tuple of float
        Net pixels an image pixel, along each axis: where the network sees a coarser version of the image, that is what
        is measured. Empty measures the full image.
    """

    def __init__(self, level: float, statistics: Statistics, factor: tuple[float, ...] = ()) -> None:
        self._level, self._statistics, self._factor = level, statistics, factor
        self._known: dict[tuple[tuple[int, int], ...], npt.NDArray[np.uint8]] = {}

    def mask(self, plane: Plane, window: Sequence[slice]) -> Mask:
        """Tell what of a window is to be looked at.

        Parameters
        ----------
        plane : Plane
            With the channels that are used.
        window : sequence of slice
            Pixels of the plane.

        Returns
        -------
        ndarray of bool, shape of the window
            False where nothing bright is near.

        Raises
        ------
        ImageError
            If the image cannot be read.
        """
        edges = _edges(plane)
        counts = [-(-n // edge) for n, edge in zip(plane.shape, edges, strict=True)]
        known = self._known.setdefault(plane.fixed, np.zeros(counts, np.uint8))
        inner = [slice(s.start // edge, -(-s.stop // edge)) for s, edge in zip(window, edges, strict=True)]
        outer = [slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(inner, counts, strict=True)]
        self._measure(plane, known, outer)
        bright: Mask = known[tuple(outer)] == _BRIGHT
        near: Mask = ndimage.maximum_filter(bright, 3, mode="constant") if bright.any() else bright
        near = near[since(inner, outer)]
        for axis, (edge, block, asked) in enumerate(zip(edges, inner, window, strict=True)):
            pixels = np.arange(asked.start, asked.stop) // edge - block.start
            near = near.take(pixels, axis=axis)
        return near

    def _measure(self, plane: Plane, known: npt.NDArray[np.uint8], blocks: list[slice]) -> None:
        """Find out which blocks are bright; another thread that does the same at the same time finds the same."""
        if known[tuple(blocks)].all():
            return
        edges = _edges(plane)
        sizes = [(s.stop - s.start) * edge for s, edge in zip(blocks, edges, strict=True)]
        longest = max(range(len(sizes)), key=lambda axis: (blocks[axis].stop - blocks[axis].start > 1, sizes[axis]))
        part = blocks[longest]
        if math.prod(sizes) > _MOST and part.stop - part.start > 1:
            middle = (part.start + part.stop) // 2
            for half in (slice(part.start, middle), slice(middle, part.stop)):
                self._measure(plane, known, [*blocks[:longest], half, *blocks[longest + 1 :]])
            return
        known[tuple(blocks)] = np.where(self._are_bright(plane, blocks), _BRIGHT, _DARK)

    def _are_bright(self, plane: Plane, blocks: list[slice]) -> Mask:
        edges, (version, steps) = _edges(plane), self._version(plane)
        ends = zip(blocks, edges, steps, plane.shape_of(version), strict=True)
        read = [slice(min(s.start * e // step, n - 1), min(s.stop * e // step, n)) for s, e, step, n in ends]
        highest = plane.read(tuple(read), version)
        if highest.dtype.kind == "f":
            highest = np.where(np.isfinite(highest), highest, -np.inf)
        for axis, (block, edge, step) in enumerate(zip(blocks, edges, steps, strict=True), start=1):
            highest = np.maximum.reduceat(highest, range(0, highest.shape[axis], edge // step), axis=axis)
            if highest.shape[axis] < block.stop - block.start:
                # A coarser version lacks what is part of a pixel: that is taken for what is beside it.
                highest = np.concatenate([highest, highest.take([-1], axis=axis)], axis=axis)
        bright: Mask = np.any(normalize(highest, self._statistics) >= self._level, axis=0)
        axes = zip(blocks, edges, plane.shape, strict=True)
        window = tuple(slice(s.start * edge, min(s.stop * edge, n)) for s, edge, n in axes)
        for _, place in lost_parts(plane, window, version):
            # Nobody knows how bright it is: it must not go unnoticed.
            lost = tuple(slice(s.start // edge, -(-s.stop // edge)) for s, edge in zip(place, edges, strict=True))
            bright[lost] = True
        return bright

    def _version(self, plane: Plane) -> tuple[int, tuple[int, ...]]:
        """Return which version of the image is measured, and how coarse it is: blocks hold whole pixels of it."""
        full = 0, (1,) * len(plane.axes)
        version, steps = choose_level(plane, self._factor) if self._factor else full
        return full if any(edge % step for edge, step in zip(_edges(plane), steps, strict=True)) else (version, steps)


def _edges(plane: Plane) -> tuple[int, ...]:
    return (1,) * (len(plane.shape) - 2) + (_EDGE, _EDGE)
