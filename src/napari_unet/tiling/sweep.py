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
from typing import TYPE_CHECKING, Final

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
    data = planes[0].image.data
    if not isinstance(data, ChunkedArray):
        yield from ((number, tile) for number in numbers for tile in grid)
        return
    tiles = list(_strips(grid, planes[0], data))
    for _, group in itertools.groupby(numbers, lambda number: _shared(planes[number], data)):
        some = list(group)
        if _whole_fits(planes[0], data):
            yield from ((number, tile) for number in some for tile in tiles)
        else:
            yield from ((number, tile) for tile in tiles for number in some)


def share_chunks(planes: Sequence[Plane]) -> int:
    """Count the planes that should be gone through together because they lie in the same chunks.

    Parameters
    ----------
    planes : sequence of Plane
        All planes of an image.

    Returns
    -------
    int
        1 where every plane has chunks of its own, or where those of a whole plane can be held.
    """
    data = planes[0].image.data
    if not isinstance(data, ChunkedArray) or _whole_fits(planes[0], data):
        return 1
    return max(len(list(group)) for _, group in itertools.groupby(planes, lambda plane: _shared(plane, data)))


def bundle(planes: Sequence[Plane], least: int, most: int) -> Iterator[range]:
    """Group planes that are worked on together: those that share chunks, and others to fill the group up.

    Parameters
    ----------
    planes : sequence of Plane
        All planes of an image.
    least, most : int
        How many to take together, if there are so many; `most` may split those that share chunks.

    Yields
    ------
    range
        Numbers of planes, in order.
    """
    data, start = planes[0].image.data, 0
    deep = share_chunks(planes) > 1
    shared = [_shared(plane, data) if deep else (number,) for number, plane in enumerate(planes)]
    for number in range(1, len(planes) + 1):
        size = number - start
        new = number == len(planes) or shared[number] != shared[number - 1]
        if (new and size >= least) or size >= most or number == len(planes):
            yield range(start, number)
            start = number


def _shared(plane: Plane, data: ChunkedArray) -> tuple[int, ...]:
    """Return the chunk that a plane lies in, along the axes that it holds."""
    return tuple(data.chunk_at(dimension, position) for dimension, position in plane.fixed)


def _whole_fits(plane: Plane, data: ChunkedArray) -> bool:
    return math.prod(plane.shape) * _pixel_bytes(plane, data) <= _SHARE * data.shelf.limit


def _pixel_bytes(plane: Plane, data: ChunkedArray) -> int:
    """Return what is decoded for a pixel of a plane: chunks may hold other planes and channels, too."""
    longest = dict(zip(plane.image.axes, data.longest, strict=True))
    used = plane.image.channels if plane.channels is None else len(plane.channels)
    channels = min(plane.image.channels, used * longest.get("c", 1))
    others = math.prod(data.longest[dimension] for dimension, _ in plane.fixed)
    return int(data.dtype.itemsize) * channels * others


def _strips(grid: Grid, plane: Plane, data: ChunkedArray) -> Iterator[Tile]:
    """Go through the tiles strip by strip, each from its first layer to its last."""
    longest = dict(zip(plane.image.axes, data.longest, strict=True))
    room = int(_SHARE * data.shelf.limit) // _pixel_bytes(plane, data)
    first, strips = _choose(grid, [longest[a] for a in plane.axes], room)
    order = [first, *(axis for axis in range(len(strips)) if axis != first)]
    corners = (range(0, len(grid.cuts[axis]), strips[axis]) for axis in order)
    for corner in itertools.product(*corners):
        parts = (grid.cuts[axis][i : i + strips[axis]] for axis, i in zip(order, corner, strict=True))
        for cuts in itertools.product(*parts):
            yield grid.tile([cut for _, cut in sorted(zip(order, cuts, strict=True), key=lambda pair: pair[0])])


def _choose(grid: Grid, chunks: Sequence[int], room: int) -> tuple[int, list[int]]:
    """Choose the axis along which to go from layer to layer, and how many tiles along each axis make a strip.

    A layer is what is read of a strip at one place along that axis. Of the strips whose layers have at most `room`
    pixels, those are taken for which the fewest pixels are decoded in all.
    """
    counts = [len(cuts) for cuts in grid.cuts]
    fewest, chosen = math.inf, (0, counts)
    for first in range(len(counts)):
        widths = [sorted({-(-n // k) for k in range(1, _WIDTHS)}, reverse=True) for n in counts]
        widths[first] = counts[first : first + 1]
        sizes = [{w: _decoded(grid, axis, w, chunks[axis]) for w in some} for axis, some in enumerate(widths)]
        depth = _decoded(grid, first, 1, chunks[first])[1]
        for strips in itertools.product(*widths):
            found = [by_width[w] for by_width, w in zip(sizes, strips, strict=True)]
            total = math.prod(whole for whole, _ in found)
            layer = depth * math.prod(widest for axis, (_, widest) in enumerate(found) if axis != first)
            if layer <= room and total < fewest:
                fewest, chosen = total, (first, list(strips))
    return chosen


def _decoded(grid: Grid, axis: int, width: int, chunk: int) -> tuple[int, int]:
    """Return how many pixels along an axis are decoded for strips of `width` tiles: in all, and for the widest."""
    cuts = grid.cuts[axis]
    strips = (cuts[i : i + width] for i in range(0, len(cuts), width))
    sizes = [_aligned(strip, grid.shape[axis], grid.factor[axis], chunk) for strip in strips]
    return sum(sizes), max(sizes)


def _aligned(strip: Sequence[Cut], n: int, factor: float, chunk: int) -> int:
    """Return the length of the chunks that a strip reads from."""
    low = max(0, math.floor(strip[0].read.start / factor) - 1)
    high = min(n, math.ceil(strip[-1].read.stop / factor) + 1)
    return min(n, -(-high // chunk) * chunk) - low // chunk * chunk
