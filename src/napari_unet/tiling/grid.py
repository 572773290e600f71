"""Geometry of tiles without arrays: 1-D arithmetic, multiplied out over the axes.

The network sees a *net grid*: the image resampled by a factor ``f`` (net pixels an image pixel). The center of image
pixel ``i`` lies at ``u = (i + 0.5) * f - 0.5`` on the net grid; that of net pixel ``j`` at ``(j + 0.5) / f - 0.5`` in
the image. What a tile reads starts at a multiple of the network's stride in these global coordinates, so that pooling
falls on the same pixels however the image is cut (Rumberger et al., ICCV 2021), and is wider than what it writes by the
halo (overlap-tile strategy of Ronneberger et al. 2015). An image goes on mirrored; or it is *closed*: reads stop on the
grid as soon as they hold all of it, and a network sees nothing beyond, as at the edge of a patch.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

__all__ = [
    "Cut", "Ends", "Grid", "Span", "Tile", "choose_grid", "cut_axis", "halves", "middle_part", "net_position",
    "per_axis",
]  # fmt: skip

# Splitting for the sake of more workers is not worth it below this many net pixels besides the halos,
# nor above this much more reading.
_WORTH_SPLITTING: Final = 64
_MAX_EXTRA_READING: Final = 1.3
_WORTH_HALVING: Final = 0.8  # what half a tile reads along an axis, of what the tile reads
Ends = tuple[tuple[bool, bool], ...]


@dataclass(frozen=True, slots=True)
class Span:
    """The pixels from `start` up to, not including, `stop`; they may lie before 0 or beyond the image."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.stop - self.start

    @property
    def slice(self) -> slice:
        """The same as a slice; only right where `start` is not negative."""
        return slice(self.start, self.stop)


@dataclass(frozen=True, slots=True)
class Cut:
    """A tile along one axis; the fields are those of :class:`Tile`."""

    read: Span
    write: Span
    crop: Span
    ends: tuple[bool, bool] = (False, False)


@dataclass(frozen=True, slots=True)
class Tile:
    """What the network bites off at once.

    Attributes
    ----------
    read : tuple of Span
        Net pixels it sees, global; may reach beyond the image, which is mirrored there.
    write : tuple of Span
        Image pixels it owns.
    crop : tuple of Span
        Net pixels that the written pixels are interpolated from, counted from the start of `read`.
        Where the factor is 1 there are as many as written pixels, one for one.
    ends : tuple of (bool, bool)
        For each axis whether a closed image ends where the read starts and stops: there is no halo there. Empty where
        it ends nowhere.
    """

    read: tuple[Span, ...]
    write: tuple[Span, ...]
    crop: tuple[Span, ...]
    ends: Ends = ()

    @property
    def read_shape(self) -> tuple[int, ...]:
        """Shape of what the network sees."""
        return tuple(s.size for s in self.read)

    @property
    def kind(self) -> tuple[tuple[int, ...], Ends]:
        """What tiles must have in common to go through a network together."""
        return self.read_shape, self.ends

    @property
    def window(self) -> tuple[slice, ...]:
        """What it owns, as an index of the image's spatial axes."""
        return tuple(s.slice for s in self.write)


def per_axis(value: int | tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """Return one number for each of `ndim` axes: `value` itself, or the same for all."""
    return (value,) * ndim if isinstance(value, int) else value


def net_position(i: int, factor: float) -> float:
    """Return where the center of image pixel `i` lies on the net grid (net pixels)."""
    return (i + 0.5) * factor - 0.5


def _net_length(n: int, factor: float) -> int:
    return math.floor(net_position(n - 1, factor)) + 1


def _first_pixel(net: int, n: int, factor: float) -> int:
    """Return the first image pixel that lies at or beyond a net pixel; `n` if none does."""
    return bisect_left(range(n), net, key=lambda i: math.floor(net_position(i, factor)))


def cut_axis(n: int, factor: float, tile: int, halo: int, multiple: int, closed: bool = False) -> list[Cut]:
    """Cut one axis.

    Parameters
    ----------
    n : int
        Image pixels along it.
    factor : float
        Net pixels an image pixel.
    tile : int
        Wanted edge of what a tile writes, net pixels; rounded up to `multiple` and evened out over the axis.
    halo : int
        Net pixels read on both sides of what is needed.
    multiple : int
        Reads start and stop at multiples of this, global net pixels.
    closed : bool
        Read no more than the image, up to the next multiple.

    Returns
    -------
    list of Cut
        Their `write` spans are not empty and cover ``[0, n)`` once, in order.
    """
    length = max(1, _net_length(n, factor))
    count = -(-length // tile)
    edge = -(-length // count)
    edge = -(-edge // multiple) * multiple
    # Borders lie on the net grid, so that reads have equal shapes and nothing is read for alignment alone.
    borders = [_first_pixel(k * edge, n, factor) for k in range(1, count)]
    whole = _cut(Span(0, n), factor, 0, multiple).read if closed else None
    pairs = itertools.pairwise([0, *borders, n])
    return [_cut(Span(first, stop), factor, halo, multiple, whole) for first, stop in pairs if first != stop]


def _cut(
    write: Span,
    factor: float,
    halo: int,
    multiple: int,
    within: Span | None = None,
    ends: tuple[bool, bool] = (True, True),
) -> Cut:
    """Cut a tile that reads nothing outside of a span, at whose `ends` there is nothing to be read."""
    low = math.floor(net_position(write.start, factor))
    high = math.floor(net_position(write.stop - 1, factor)) + 1 + (factor != 1)
    read = Span((low - halo) // multiple * multiple, -(-(high + halo) // multiple) * multiple)
    at = (False, False)
    if within is not None:
        at = (ends[0] and read.start <= within.start, ends[1] and read.stop >= within.stop)
        read = Span(max(read.start, within.start), min(read.stop, within.stop))
    return Cut(read, write, Span(low - read.start, high - read.start), at)


def halves(
    tile: Tile, factor: tuple[float, ...], halo: int | tuple[int, ...], multiple: int | tuple[int, ...]
) -> tuple[Tile, Tile] | None:
    """Cut a tile in two, on the grid: together they own the same pixels, and each of them has the same score.

    Parameters
    ----------
    tile : Tile
        Of a grid.
    factor : tuple of float
        Of the grid, like the rest.
    halo, multiple : int or tuple of int
        See :func:`cut_axis`; one number, or one for each axis.

    Returns
    -------
    tuple of Tile or None
        Cut where they read the least; None where that is hardly less than what the tile reads.
    """
    ndim = len(factor)
    axes = list(zip(factor, per_axis(halo, ndim), per_axis(multiple, ndim), strict=True))
    axis = max(range(ndim), key=lambda a: tile.crop[a].size)
    write, read = tile.write[axis], tile.read[axis].size
    middle = (write.start + write.stop) // 2
    spans = (Span(write.start, middle), Span(middle, write.stop))
    if any(not span.size for span in spans):
        return None
    ends = tile.ends or ((False, False),) * ndim
    whole = [Cut(*parts) for parts in zip(tile.read, tile.write, tile.crop, ends, strict=True)]
    cuts = [_cut(span, *axes[axis], tile.read[axis], ends[axis]) for span in spans]
    if max(cut.read.size for cut in cuts) > _WORTH_HALVING * read:
        return None
    one, other = (Grid.tile([*whole[:axis], cut, *whole[axis + 1 :]]) for cut in cuts)
    return one, other


def middle_part(
    tile: Tile,
    window: Sequence[slice],
    small: int,
    factor: tuple[float, ...],
    halo: int | tuple[int, ...],
    multiple: int | tuple[int, ...],
) -> Tile:
    """Return the part of a tile that is nearest to the middle of a window.

    Parameters
    ----------
    tile : Tile
        Of a grid.
    window : sequence of slice
        Image pixels.
    small : int
        Net pixels along an axis that are few enough; tiles hardly larger than their halos are left larger.
    factor : tuple of float
        Of the grid, like the rest.
    halo, multiple : int or tuple of int
        See :func:`halves`.

    Returns
    -------
    Tile
        On the grid.
    """
    middle = [(s.start + s.stop) / 2 for s in window]

    def distance(part: Tile) -> float:
        return math.dist(middle, [(s.start + s.stop) / 2 for s in part.write])

    while max(span.size for span in tile.crop) > small and (pair := halves(tile, factor, halo, multiple)):
        tile = min(pair, key=distance)
    return tile


@dataclass(frozen=True)
class Grid:
    """All tiles of a plane.

    Attributes
    ----------
    shape : tuple of int
        Of the plane, image pixels.
    factor : tuple of float
        Net pixels an image pixel along each axis.
    edges : tuple of int
        Wanted edges of what a tile writes, net pixels.
    halo, multiple : int or tuple of int
        See :func:`cut_axis`; one number, or one for each axis.
    closed : bool
        See :func:`cut_axis`.
    """

    shape: tuple[int, ...]
    factor: tuple[float, ...]
    edges: tuple[int, ...]
    halo: int | tuple[int, ...]
    multiple: int | tuple[int, ...]
    closed: bool = False

    @cached_property
    def cuts(self) -> tuple[list[Cut], ...]:
        """The cuts of every axis."""
        halos, multiples = per_axis(self.halo, len(self.shape)), per_axis(self.multiple, len(self.shape))
        axes = zip(self.shape, self.factor, self.edges, halos, multiples, strict=True)
        return tuple(cut_axis(*axis, self.closed) for axis in axes)

    def __len__(self) -> int:
        """Count the tiles."""
        return math.prod(map(len, self.cuts))

    def __iter__(self) -> Iterator[Tile]:
        """Go through the tiles, the last axis fastest."""
        yield from map(self.tile, itertools.product(*self.cuts))

    @staticmethod
    def tile(cuts: Sequence[Cut]) -> Tile:
        """Put a tile together from a cut of each axis."""
        read, write, crop, ends = zip(*((c.read, c.write, c.crop, c.ends) for c in cuts), strict=True)
        return Tile(read, write, crop, ends if any(map(any, ends)) else ())

    @property
    def reads(self) -> int:
        """Net pixels that all tiles read together."""
        return math.prod(sum(c.read.size for c in cuts) for cuts in self.cuts)

    @property
    def ratio(self) -> float:
        """How many times a net pixel is read on average; the price of the halos."""
        lengths = (max(1, _net_length(n, f)) for n, f in zip(self.shape, self.factor, strict=True))
        return self.reads / math.prod(lengths)


def choose_grid(grid: Grid, workers: int) -> Grid:
    """Cut finer where that gives every worker a tile and costs little.

    The longest edge is halved until there are as many tiles as workers, as long as that reads less than 30 % more.
    Planes hardly larger than the halos are left as they are. Scores do not depend on the choice.

    Parameters
    ----------
    grid : Grid
        With the edges that were asked for.
    workers : int
        Tiles that can be worked on at once.

    Returns
    -------
    Grid
        `grid` or a finer one.
    """
    lengths = [max(1, _net_length(n, f)) for n, f in zip(grid.shape, grid.factor, strict=True)]
    edges = [min(edge, length) for edge, length in zip(grid.edges, lengths, strict=True)]
    halos, multiples = per_axis(grid.halo, len(edges)), per_axis(grid.multiple, len(edges))
    worth = any(n > 2 * halo + _WORTH_SPLITTING for n, halo in zip(lengths, halos, strict=True))
    chosen = grid
    while worth and len(chosen) < workers:
        axis = max(range(len(edges)), key=edges.__getitem__)
        edges[axis] = -(-edges[axis] // 2)
        finer = replace(grid, edges=tuple(edges))
        if edges[axis] < multiples[axis] or finer.reads >= _MAX_EXTRA_READING * grid.reads:
            break
        chosen = finer
    return chosen
