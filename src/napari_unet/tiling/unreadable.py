"""Images with parts that cannot be read: read around them, chunk by chunk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ImageError
from .chunks import ChunkedArray, cached

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Image, Plane
    from ..core.specs import SegmentSpec

    Chunk = tuple[int, ...]
    Box = tuple[slice, ...]

__all__ = ["Mended", "lost_parts", "mended"]


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
    return replace(image, data=Mended(data.source, data.axes, data.name, data.shelf))


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
            box = _common(self.box(chunk), window)
            if all(s.start < s.stop for s in box):
                yield chunk, box

    def _by_chunk(self, window: Box) -> npt.NDArray[Any]:
        out: npt.NDArray[Any] = np.zeros([s.stop - s.start for s in window], self.dtype)
        ends = [(self.chunk_at(axis, s.start), self.chunk_at(axis, s.stop - 1)) for axis, s in enumerate(window)]
        for chunk in itertools.product(*(range(first, last + 1) for first, last in ends)):
            box = _common(self.box(chunk), window)
            block = self._or_none(chunk, box)
            if block is None and out.dtype.kind != "f":
                out = out.astype(np.float64)
            out[_since(box, window)] = np.nan if block is None else block
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


def lost_parts(plane: Plane, window: Box) -> Iterator[tuple[Chunk, Box]]:
    """Go through what is known to be lost in a window of a plane, in the channels that are used.

    Parameters
    ----------
    plane : Plane
        Of a mended image; of another, nothing is lost.
    window : tuple of slice
        Pixels of the plane.

    Yields
    ------
    chunk : tuple of int
        Number along each axis of the image.
    place : tuple of slice
        Its part, counted from the start of the window.
    """
    image = plane.image
    if not isinstance(image.data, Mended):
        return
    pixels = {image.axes[dimension]: slice(position, position + 1) for dimension, position in plane.fixed}
    pixels |= {"c": slice(0, image.channels)} | dict(zip(plane.axes, window, strict=True))
    for chunk, box in image.data.holes(tuple(pixels[axis] for axis in image.axes)):
        at = dict(zip(image.axes, box, strict=True))
        if "c" not in at or plane.channels is None or any(at["c"].start <= c < at["c"].stop for c in plane.channels):
            yield chunk, _since(tuple(at[axis] for axis in plane.axes), window)


def _common(one: Box, other: Box) -> Box:
    return tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


def _since(box: Box, origin: Box) -> Box:
    return tuple(slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, origin, strict=True))
