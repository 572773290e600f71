"""Images that are stored in chunks, each of them decoded once while it is held.

Neighboring tiles read the same chunks. Without memory of them a flat image is decoded one and a half times, a deep one
more than three times.
"""

from __future__ import annotations

import itertools
import math
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..core.errors import ImageError, UNetError
from ..core.windows import since
from ._shelf import Shelf

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Image

    Block = npt.NDArray[np.generic]
    Box = tuple[slice, ...]
    Place = tuple[int, ...]
    Key = tuple[object, Place]

__all__ = ["LIMIT", "ChunkedArray", "cached"]

LIMIT: Final = 256 << 20
_TOGETHER: Final = 8  # what is asked for in one go takes at most this part of the limit


def cached(image: Image, limit: int = LIMIT) -> Image:
    """Let an image keep the chunks that it has decoded, as long as they fit.

    Parameters
    ----------
    image : Image
        Of any kind. Arrays without chunks (numpy, memory-mapped files) are left as they are.
    limit : int
        Bytes that may be held. A chunk that is larger is held alone.

    Returns
    -------
    Image
        Equal in all but the types of its data, levels and masks: each is a :class:`ChunkedArray` where it has chunks.
    """
    shelf, name = Shelf(limit), image.source or image.name

    def wrap(data: Any, axes: str = image.axes) -> Any:
        plain = isinstance(data, ChunkedArray) or not _chunks(data)
        return data if plain else ChunkedArray(data, axes, name, shelf)

    levels, valid = tuple(map(wrap, image.levels)), tuple(wrap(mask, "yx") for mask in image.valid)
    return replace(image, data=wrap(image.data), levels=levels, valid=valid)


class ChunkedArray:
    """An array that is read chunk by chunk, from several threads if need be.

    Parameters
    ----------
    source : array-like
        With ``shape``, ``dtype`` and ``chunks``: the length of all chunks along each axis (as zarr says it), or of each
        of them (as dask says it).
    axes : str
        Names of its axes, for messages.
    name : str
        Of the image, for messages.
    shelf : Shelf
        Where its chunks are held; may be shared.

    Attributes
    ----------
    decoded : int
        Chunks that were decoded so far, counted again if they were decoded again.
    """

    def __init__(self, source: Any, axes: str, name: str, shelf: Shelf) -> None:
        self.source, self.axes, self.name, self.shelf = source, axes, name, shelf
        self.shape = tuple(int(n) for n in source.shape)
        self.dtype = np.dtype(source.dtype).newbyteorder("=")
        self.chunks = _chunks(source)
        self.decoded = 0
        self._count = threading.Lock()
        self._self = object()  # unlike the number of this object, never another's
        self._starts: list[Sequence[int]] = [
            range(0, n, c) if isinstance(c, int) else tuple(itertools.accumulate((0, *c)))[:-1]
            for n, c in zip(self.shape, self.chunks, strict=True)
        ]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def longest(self) -> tuple[int, ...]:
        """Length of the longest chunk along each axis."""
        return tuple(c if isinstance(c, int) else max(c) for c in self.chunks)

    def chunk_at(self, axis: int, pixel: int) -> int:
        """Return the number of the chunk along an axis that a pixel lies in."""
        return bisect_right(self._starts[axis], pixel) - 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Block:
        """Load everything, as numpy asks for it."""
        return np.asarray(self[()], dtype=dtype)

    def __getitem__(self, index: Any) -> Block:
        """Read a window.

        Parameters
        ----------
        index : tuple of int or slice
            Not negative; axes at the end may be left out.

        Returns
        -------
        ndarray
            A copy.

        Raises
        ------
        ImageError
            If a chunk cannot be decoded; the message names its place.
        """
        window, kept = self._window(index)
        out: Block = np.empty([s.stop - s.start for s in window], self.dtype)
        if out.size:
            self._fill(out, window)
        return out[kept]

    def _window(self, index: Any) -> tuple[Box, tuple[int | slice, ...]]:
        """Return what an index takes as slices, and as what index of that it is returned."""
        parts = index if isinstance(index, tuple) else (index,)
        parts += (slice(None),) * (self.ndim - len(parts))
        window = tuple(_span(part, n) for part, n in zip(parts, self.shape, strict=True))
        return window, tuple(slice(None) if isinstance(part, slice) else 0 for part in parts)

    def box(self, chunk: Place) -> Box:
        """Return the pixels of a chunk."""
        return self._box(chunk, chunk)

    def _fill(self, out: Block, window: Box) -> None:
        pieces: dict[Key, tuple[Box, Box]] = {}
        sizes: dict[Key, int] = {}
        for along in itertools.product(*(self._pieces(axis, s) for axis, s in enumerate(window))):
            place, target, inner, lengths = zip(*along, strict=True)
            pieces[self._self, place] = target, inner
            sizes[self._self, place] = math.prod(lengths) * self.dtype.itemsize

        def copy(key: Key, block: Block) -> None:
            target, inner = pieces[key]
            out[target] = block[inner]

        # Not all at once: what is in use here cannot be let go of.
        for keys in _portions(sizes, self.shelf.limit // _TOGETHER):
            held, coming, owed = self.shelf.claim(keys)
            self._decode(owed, copy)
            for key, block in held.items():
                copy(key, block)
            for key, future in coming.items():
                copy(key, future.result())

    def _pieces(self, axis: int, window: slice) -> Iterator[tuple[int, slice, slice, int]]:
        """Go through the chunks along an axis: number, where it belongs in a window, what of it, and its length."""
        for number in range(self.chunk_at(axis, window.start), self.chunk_at(axis, window.stop - 1) + 1):
            low, high = self._bounds(axis, number)
            first, last = max(low, window.start), min(high, window.stop)
            target = slice(first - window.start, last - window.start)
            yield number, target, slice(first - low, last - low), high - low

    def _bounds(self, axis: int, number: int) -> tuple[int, int]:
        starts = self._starts[axis]
        return starts[number], starts[number + 1] if number + 1 < len(starts) else self.shape[axis]

    def _box(self, first: Place, last: Place) -> Box:
        """Return the pixels from one chunk to another."""
        ends = enumerate(zip(first, last, strict=True))
        return tuple(slice(self._bounds(axis, low)[0], self._bounds(axis, high)[1]) for axis, (low, high) in ends)

    def _decode(self, owed: list[Key], copy: Callable[[Key, Block], None]) -> None:
        """Decode chunks, hand them out and keep them; in few calls, since a call may take as long as a chunk."""
        try:
            for places in _boxes([place for _, place in owed]):
                box = self._box(places[0], places[-1])
                try:
                    whole = self._read(box)
                except ImageError:
                    if len(places) == 1:
                        raise
                    whole = None  # one by one, to tell which of them it is and to keep the others
                for place in places:
                    here = self._box(place, place)
                    # A copy: a view would hold on to all of what was read.
                    block = self._read(here) if whole is None else whole[since(here, box)].copy()
                    with self._count:
                        self.decoded += 1
                    copy((self._self, place), block)
                    self.shelf.bring((self._self, place), block)
        except BaseException as error:
            self.shelf.fail(owed, error)
            raise

    def _read(self, box: Box) -> Block:
        try:
            found = self.source[box]
            if hasattr(found, "__dask_graph__"):
                # In this thread: dask's own would compete with those of the run.
                found = found.compute(scheduler="synchronous")
            block: Block = np.asarray(found)
            if block.shape != tuple(s.stop - s.start for s in box):
                raise ValueError(f"it has the shape {block.shape}")
            if not np.can_cast(block.dtype, self.dtype, "equiv"):
                raise ValueError(f"it holds {block.dtype} where {self.dtype} was promised")
        except (UNetError, MemoryError):
            raise
        except Exception as error:
            # There is no end to what codecs, servers and other people's functions raise.
            where = ", ".join(f"{a} {s.start} to {s.stop - 1}" for a, s in zip(self.axes, box, strict=True))
            raise ImageError(
                f"'{self.name}' has a part that cannot be read, at the pixels {where}: "
                f"{str(error) or type(error).__name__}. Copy or export the image again, or have damaged parts skipped "
                "(unreadable: skip)."
            ) from error
        return block


def _chunks(data: Any) -> tuple[Any, ...]:
    """Return the chunks of an array; nothing where it has none."""
    chunks = getattr(data, "chunks", None)
    if isinstance(data, np.ndarray) or not isinstance(chunks, tuple | list):
        return ()
    return tuple(tuple(map(int, c)) if isinstance(c, tuple | list) else int(c) for c in chunks)


def _span(part: Any, n: int) -> slice:
    """Check an index along an axis of `n` pixels; return what it takes as a slice."""
    if isinstance(part, int | np.integer) and 0 <= part < n:
        return slice(int(part), int(part) + 1)
    if isinstance(part, slice) and part.step in (None, 1) and min(part.start or 0, part.stop or 0) >= 0:
        stop = n if part.stop is None else min(int(part.stop), n)
        return slice(min(int(part.start or 0), stop), stop)
    raise IndexError(f"An image that is read chunk by chunk takes whole numbers from 0 to {n - 1} and slices.")


def _portions(sizes: dict[Key, int], most: int) -> Iterator[list[Key]]:
    """Group keys, in order, so that only a single one may be larger than `most` bytes."""
    some: list[Key] = []
    taken = 0
    for key, size in sizes.items():
        if some and taken + size > most:
            yield some
            some, taken = [], 0
        some.append(key)
        taken += size
    yield some


def _boxes(places: list[Place]) -> Iterator[list[Place]]:
    """Group places, in order, so that each group fills a box from its first to its last."""
    if not places:
        return
    along = [sorted({*values}) for values in zip(*places, strict=True)]
    if math.prod(values[-1] - values[0] + 1 for values in along) == len(places):
        yield places
        return
    axis = next(axis for axis, values in enumerate(along) if len(values) > 1)
    for value in along[axis]:
        yield from _boxes([place for place in places if place[axis] == value])
