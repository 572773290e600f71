"""In which order tiles are gone through, so that the chunks they share need not be held for long.

Row by row, a wide image would have to be held over its whole width until the next row has read what it shares with this
one. Where that is too much, the image is gone through in strips that are narrow enough: then only what lies along the
borders of the strips is decoded twice. Likewise for chunks that reach over many planes, of a volume that a 2D network
sees plane by plane: all of these planes are gone through together. Scores do not depend on the order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..core.resolutions import choose_level
from .chunks import ChunkedArray

if TYPE_CHECKING:
    from ..core.axes import Plane
    from .grid import Cut, Grid, Tile

__all__ = ["bundle", "share_chunks", "sweep"]

_SHARE: Final = 0.8  # of what may be held that a layer of tiles may take; the rest is for the tiles in work
_WIDTHS: Final = 48  # that are looked at for strips, along each axis


def sweep(grid: Grid, planes: Sequence[Plane], numbers: range) -> Iterator[tuple[int, Tile]]:
    """Go through the tiles of some planes in the order in which the fewest chunks are decoded twice.

    Parameters
    ----------
    grid : Grid
        Of each plane.
    planes : sequence of Plane
        All planes of an image.
    numbers : range
        Which of them to go through.

    Yields
    ------
    number : int
        Of a plane.
    tile : Tile
        In it; the grid's own order where the data are not read chunk by chunk.
    """
    source = _Source.of(grid, planes)
    if source is None:
        yield from ((number, tile) for number in numbers for tile in grid)
        return
    tiles = [*source.tiles()]
    if source.whole_fits:
        yield from ((number, tile) for number in numbers for tile in tiles)
        return
    for _, some in itertools.groupby(numbers, lambda number: source.chunk_of(planes[number])):
        together = [*some]
        yield from ((number, tile) for tile in tiles for number in together)


def share_chunks(planes: Sequence[Plane], grid: Grid) -> int:
    """Count the planes that should be gone through together because they lie in the same chunks.

    Parameters
    ----------
    planes : sequence of Plane
        All planes of an image.
    grid : Grid
        Of each.

    Returns
    -------
    int
        1 where every plane has chunks of its own, or where those of a whole plane can be held.
    """
    source = _Source.of(grid, planes)
    if source is None or source.whole_fits:
        return 1
    return max(len([*some]) for _, some in itertools.groupby(planes, source.chunk_of))


def bundle(planes: Sequence[Plane], grid: Grid, least: int, most: int) -> Iterator[range]:
    """Group planes that are worked on together: those that share chunks, and others to fill the group up.

    Parameters
    ----------
    planes : sequence of Plane
        All planes of an image.
    grid : Grid
        Of each.
    least, most : int
        How many to take together, if there are so many; `most` may split those that share chunks.

    Yields
    ------
    range
        Numbers of planes, in order.
    """
    source = _Source.of(grid, planes)
    shared: list[object] = [*range(len(planes))]
    if source is not None and not source.whole_fits:
        shared = [source.chunk_of(plane) for plane in planes]
    start = 0
    for number in range(1, len(planes) + 1):
        end = number == len(planes)
        full = number - start >= least and (end or shared[number] != shared[number - 1])
        if full or end or number - start >= most:
            yield range(start, number)
            start = number


@dataclass(frozen=True)
class _Source:
    """What the tiles of a plane are read from: the image or one of its levels.

    Attributes
    ----------
    grid : Grid
        Of the plane.
    data : ChunkedArray
        The level.
    shape : tuple of int
        Of a plane, in pixels of the level.
    factor : tuple of float
        Net pixels to a pixel of the level.
    chunks : tuple of int
        Length of a chunk along each axis of a plane.
    pixel_bytes : int
        What is decoded for a pixel of a plane: chunks may hold other planes and channels, too.
    """

    grid: Grid
    data: ChunkedArray
    shape: tuple[int, ...]
    factor: tuple[float, ...]
    chunks: tuple[int, ...]
    pixel_bytes: int

    @classmethod
    def of(cls, grid: Grid, planes: Sequence[Plane]) -> _Source | None:
        """Return what is read, if it is read chunk by chunk."""
        plane = planes[0]
        image = plane.image
        level, steps = choose_level(plane, grid.factor)
        data = image.levels[level - 1] if level else image.data
        if not isinstance(data, ChunkedArray):
            return None
        longest = dict(zip(image.axes, data.longest, strict=True))
        used = image.channels if plane.channels is None else len(plane.channels)
        values = min(image.channels, used * longest.get("c", 1))
        values *= math.prod(data.longest[dimension] for dimension, _ in plane.fixed)
        factor = tuple(f * step for f, step in zip(grid.factor, steps, strict=True))
        chunks = tuple(longest[a] for a in plane.axes)
        return cls(grid, data, plane.shape_of(level), factor, chunks, int(data.dtype.itemsize) * values)

    def chunk_of(self, plane: Plane) -> tuple[int, ...]:
        """Return the chunk that a plane lies in, along the axes that it holds."""
        return tuple(self.data.chunk_at(dimension, position) for dimension, position in plane.fixed)

    @property
    def room(self) -> int:
        """Pixels of a plane that can be held."""
        return int(_SHARE * self.data.shelf.limit) // self.pixel_bytes

    @property
    def whole_fits(self) -> bool:
        """Whether all of a plane can be held."""
        return math.prod(self.shape) <= self.room

    def tiles(self) -> Iterator[Tile]:
        """Go through the tiles strip by strip, each from its first layer to its last."""
        first, strips = self._choose()
        order = [first, *(axis for axis in range(len(strips)) if axis != first)]
        corners = (range(0, len(self.grid.cuts[axis]), strips[axis]) for axis in order)
        for corner in itertools.product(*corners):
            parts = (self.grid.cuts[axis][i : i + strips[axis]] for axis, i in zip(order, corner, strict=True))
            for cuts in itertools.product(*parts):
                yield self.grid.tile(
                    [cut for _, cut in sorted(zip(order, cuts, strict=True), key=lambda pair: pair[0])]
                )

    def _choose(self) -> tuple[int, list[int]]:
        """Choose the axis along which to go from layer to layer, and how many tiles along each axis make a strip.

        A layer is what is read of a strip at one place along that axis. Of the strips whose layers can be held, those
        are taken for which the fewest pixels are decoded in all.
        """
        counts = [len(cuts) for cuts in self.grid.cuts]
        fewest, chosen = math.inf, (0, counts)
        for first in range(len(counts)):
            widths = [sorted({-(-n // k) for k in range(1, _WIDTHS)}, reverse=True) for n in counts]
            widths[first] = counts[first : first + 1]
            sizes = [{w: self._decoded(axis, w) for w in some} for axis, some in enumerate(widths)]
            depth = self._decoded(first, 1)[1]
            for strips in itertools.product(*widths):
                found = [by_width[w] for by_width, w in zip(sizes, strips, strict=True)]
                total = math.prod(whole for whole, _ in found)
                layer = depth * math.prod(widest for axis, (_, widest) in enumerate(found) if axis != first)
                if layer <= self.room and total < fewest:
                    fewest, chosen = total, (first, list(strips))
        return chosen

    def _decoded(self, axis: int, width: int) -> tuple[int, int]:
        """Return how many pixels along an axis are decoded for strips of `width` tiles: in all, and for the widest."""
        cuts = self.grid.cuts[axis]
        sizes = [self._chunked(axis, cuts[i : i + width]) for i in range(0, len(cuts), width)]
        return sum(sizes), max(sizes)

    def _chunked(self, axis: int, strip: Sequence[Cut]) -> int:
        """Return the length of the chunks that a strip reads from."""
        n, factor, chunk = self.shape[axis], self.factor[axis], self.chunks[axis]
        low = max(0, math.floor(strip[0].read.start / factor) - 1)
        high = min(n, math.ceil(strip[-1].read.stop / factor) + 1)
        return min(n, -(-high // chunk) * chunk) - low // chunk * chunk
