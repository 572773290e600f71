"""Images with parts that cannot be read: read around them, chunk by chunk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ImageError
from ..core.resolutions import coarseness
from ..core.windows import common, meet, since
from .chunks import ChunkedArray, cached

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Image, Plane
    from ..core.specs import SegmentSpec

    Chunk = tuple[int, ...]
    Box = tuple[slice, ...]

__all__ = ["Mended", "chunks_in", "is_readable", "lost_parts", "mended"]


def mended(image: Image, spec: SegmentSpec) -> Image:
    """Let an image be read although parts of it cannot, if that is asked for.

    Parameters
    ----------
    image : Image
        Of any kind.
    spec : SegmentSpec
        Says what to do with unreadable parts.

    Returns
    -------
    Image
        The same if the run is to stop at such a part, and where data have no chunks: what is lost with a part would
        depend on how much is read at once.
    """
    if spec.unreadable == "stop":
        return image
    data = cached(image).data
    if isinstance(data, Mended) or not isinstance(data, ChunkedArray):
        return image

    def mend(array: Any) -> Any:
        return Mended(array.source, array.axes, array.name, array.shelf) if isinstance(array, ChunkedArray) else array

    return replace(image, data=mend(data), levels=tuple(map(mend, cached(image).levels)))


class Mended(ChunkedArray):
    """An array of which chunks that cannot be read are not a number.

    What is read of it is of its own type where all chunks are there; else of a type of floating-point numbers. A chunk
    that could not be read once is not tried again.

    Attributes
    ----------
    lost : frozenset of tuple of int
        Chunks that could not be read so far: number along each axis.
    """

    def __init__(self, *source: Any) -> None:
        super().__init__(*source)
        self.lost: frozenset[Chunk] = frozenset()
        self._lock = Lock()

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Read a window; NaN in the chunks that cannot be read."""
        window, kept = self._window(index)
        if next(self.holes(window), None) is None:
            try:
                return super().__getitem__(index)
            except ImageError:
                pass  # one by one, to find out which chunks it is
        return self._by_chunk(window)[kept]

    def holes(self, window: Box) -> Iterator[tuple[Chunk, Box]]:
        """Go through what is known to be lost in a window.

        Parameters
        ----------
        window : tuple of slice
            Pixels of the array.

        Yields
        ------
        chunk : tuple of int
            Number along each axis.
        box : tuple of slice
            Its part of the window, pixels of the array.
        """
        for chunk in sorted(self.lost):
            if (box := meet(self.box(chunk), window)) is not None:
                yield chunk, box

    def _by_chunk(self, window: Box) -> npt.NDArray[Any]:
        out: npt.NDArray[Any] = np.zeros([s.stop - s.start for s in window], self.dtype)
        for chunk in chunks_in(self, window):
            box = common(self.box(chunk), window)
            block = self._or_none(chunk, box)
            if block is None and out.dtype.kind != "f":
                out = out.astype(np.float64)
            out[since(box, window)] = np.nan if block is None else block
        return out

    def _or_none(self, chunk: Chunk, box: Box) -> npt.NDArray[Any] | None:
        if chunk in self.lost:
            return None
        try:
            return super().__getitem__(box)
        except ImageError:
            with self._lock:
                self.lost |= {chunk}
            return None


def lost_parts(plane: Plane, window: Box, level: int = 0) -> Iterator[tuple[Chunk, Box]]:
    """Go through what is known to be lost in a window of a plane, in the channels that are used.

    Parameters
    ----------
    plane : Plane
        Of a mended image; of another, nothing is lost.
    window : tuple of slice
        Pixels of the plane.
    level : int
        What was read: 0 is the full image.

    Yields
    ------
    chunk : tuple of int
        Number along each axis of the full image.
    place : tuple of slice
        Its part, counted from the start of the window.
    """
    image = plane.image
    array = image.levels[level - 1] if level else image.data
    if not isinstance(array, Mended):
        return
    steps = coarseness(image.shape, array.shape, image.axes) if level else (1,) * len(image.axes)
    pixels = {image.axes[dimension]: slice(position, position + 1) for dimension, position in plane.fixed}
    pixels |= {"c": slice(0, image.channels)} | dict(zip(plane.axes, window, strict=True))
    asked = tuple(pixels[axis] for axis in image.axes)
    coarse = tuple(slice(s.start // step, -(-s.stop // step)) for s, step in zip(asked, steps, strict=True))
    for lost, coarse_box in array.holes(coarse):
        box = common(tuple(slice(s.start * n, s.stop * n) for s, n in zip(coarse_box, steps, strict=True)), asked)
        at = dict(zip(image.axes, box, strict=True))
        used = range(image.channels) if plane.channels is None else plane.channels
        if "c" in at and not any(at["c"].start <= c < at["c"].stop for c in used):
            continue
        for chunk in chunks_in(image.data, box) if level else [lost]:
            part = dict(zip(image.axes, common(image.data.box(chunk), box), strict=True))
            yield chunk, since(tuple(part[axis] for axis in plane.axes), window)


def is_readable(image: Image, place: Mapping[str, Sequence[int]]) -> bool:
    """Say whether a part of an image can be read, at every resolution.

    Parameters
    ----------
    image : Image
        Mended; of another this is not known, and the answer is no.
    place : mapping of str to (int, int)
        First and last pixel along each axis.

    Returns
    -------
    bool
        No where a chunk of it cannot be read.
    """
    if not isinstance(image.data, Mended) or set(place) != set(image.axes):
        return False
    for array in (image.data, *image.levels):
        steps = coarseness(image.shape, array.shape, image.axes) or (1,) * len(image.axes)
        ends = zip((place[axis] for axis in image.axes), steps, array.shape, strict=True)
        window = tuple(slice(first // step, min(last // step + 1, n)) for (first, last), step, n in ends)
        if isinstance(array, Mended) and all(s.start < s.stop for s in window):
            array[window]
            if next(array.holes(window), None) is not None:
                return False
    return True


def chunks_in(array: ChunkedArray, window: Box) -> Iterator[Chunk]:
    """Go through the chunks that a window lies in.

    Parameters
    ----------
    array : ChunkedArray
        Any.
    window : tuple of slice
        Pixels of the array, at least one along each axis.

    Yields
    ------
    tuple of int
        Number of a chunk along each axis.
    """
    ends = [(array.chunk_at(axis, s.start), array.chunk_at(axis, s.stop - 1)) for axis, s in enumerate(window)]
    yield from itertools.product(*(range(first, last + 1) for first, last in ends))
