"""Windows that cut an array of any size, and their reading: no chunk of a store is decoded more often than it must be.

Windows follow from the shape alone, never from how an array is stored, so that what is summed up over them has the same
last digit for one image in whatever file.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from .errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Reader", "Window", "common", "count_windows", "meet", "since", "strips", "windows", "windows_before"]

_STEPS: Final[tuple[tuple[int, ...], ...]] = ((), (1 << 22,), (1024, 4096), (16, 512, 512))
_HELD_BYTES: Final = 64 << 20

Window = tuple[slice, ...]


def windows(shape: Sequence[int]) -> Iterator[Window]:
    """Cut an array into windows of at most 4 million pixels.

    Parameters
    ----------
    shape : sequence of int
        Of the array.

    Yields
    ------
    tuple of slice
        One for each axis. The first axis runs fastest, because the windows are thin along it: those that lie in one
        chunk of a store follow each other.
    """
    parts = [[slice(a, min(a + s, n)) for a in range(0, n, s)] for n, s in zip(shape, _step(shape), strict=True)]
    for window in itertools.product(*reversed(parts)):
        yield tuple(reversed(window))


def strips(shape: Sequence[int]) -> list[list[Window]]:
    """Cut an array into strips of :func:`windows`, each as wide as a window along the last axis.

    Parameters
    ----------
    shape : sequence of int
        Of the array.

    Returns
    -------
    list of list of tuple of slice
        The windows of each strip; one strip after the other they are those of :func:`windows`, in their order.
    """
    return [list(group) for _, group in itertools.groupby(windows(shape), key=lambda window: window[-1].start)]


def windows_before(parts: Sequence[Sequence[Window]], number: int) -> int:
    """Return how many windows come before a strip, where all :func:`strips` are gone through again and again.

    Parameters
    ----------
    parts : sequence of sequence of tuple of slice
        The strips.
    number : int
        Of the strip; goes on counting at each time they are gone through, such as time points.

    Returns
    -------
    int
        Windows.
    """
    before = list(itertools.accumulate(map(len, parts), initial=0))
    times, strip = divmod(number, len(parts))
    return times * before[-1] + before[strip]


def count_windows(shape: Sequence[int]) -> int:
    """Return how many :func:`windows` an array of a shape is cut into."""
    return math.prod(-(-n // s) for n, s in zip(shape, _step(shape), strict=True))


def common(one: Sequence[slice], other: Sequence[slice]) -> Window:
    """Return what two windows have in common; it ends before it starts where that is nothing."""
    return tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


def meet(one: Sequence[slice], other: Sequence[slice]) -> Window | None:
    """Return what two windows have in common, or None."""
    both = common(one, other)
    return both if all(s.start < s.stop for s in both) else None


def since(window: Sequence[slice], origin: Sequence[slice]) -> Window:
    """Return a window counted from the start of another one."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(window, origin, strict=True))


def _step(shape: Sequence[int]) -> tuple[int, ...]:
    return _STEPS[len(shape)] if len(shape) < len(_STEPS) else (1,) * (len(shape) - 3) + _STEPS[-1]


class Reader:
    """Reads windows of an array, one after the other.

    Of a store a whole block of chunks around a window is read, as far as 64 MB allow, and kept for the windows that
    follow; of arrays in memory nothing is copied.

    Parameters
    ----------
    data : array-like
        numpy, dask or zarr, or whatever else gives parts of itself.
    name : str
        For the user.
    """

    def __init__(self, data: Any, name: str) -> None:
        self.data, self.name = data, name
        self.shape = tuple(int(n) for n in data.shape)
        self._edges = _edges(data)
        self._at: Window = ()
        self._held: Any = None

    def read(self, window: Window) -> npt.NDArray[np.generic]:
        """Load a window.

        Parameters
        ----------
        window : tuple of slice
            One slice of bounds within the array for each axis, without steps.

        Returns
        -------
        ndarray
            In the array's own type; not to be written to.

        Raises
        ------
        ImageError
            If the data cannot be read; the message names the place.
        """
        if self._edges is None:
            return self._load(window)
        if self._held is None or any(
            w.start < a.start or a.stop < w.stop for a, w in zip(self._at, window, strict=True)
        ):
            self._held = None  # never two blocks at once
            self._at = self._around(window)
            self._held = self._load(self._at)
        part: npt.NDArray[np.generic] = self._held[since(window, self._at)]
        return part

    def _load(self, window: Window) -> npt.NDArray[np.generic]:
        import numpy as np

        try:
            return np.asarray(self.data[window])
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            place = ", ".join(f"{part.start}:{part.stop}" for part in window)
            raise ImageError(
                f"'{self.name}' could not be read at [{place}]: {error}. "
                "Check that the file is complete and still there."
            ) from error

    def _around(self, window: Window) -> Window:
        """Widen a window to whole chunks, axis by axis, as far as memory allows."""
        import numpy as np

        found = [(part.start, part.stop) for part in window]
        most = _HELD_BYTES // np.dtype(self.data.dtype).itemsize
        for axis, (start, stop) in enumerate(found):
            edges = (self._edges or [])[axis]
            first = int(edges[np.searchsorted(edges, start, side="right") - 1])
            last = int(edges[np.searchsorted(edges, stop)])
            others = int(np.prod([b - a for k, (a, b) in enumerate(found) if k != axis], dtype=np.int64))
            if (last - first) * others > most:
                # As many windows ahead as fit.
                first, last = start, min(last, start + max(1, most // others // (stop - start)) * (stop - start))
            found[axis] = (first, last)
        return tuple(slice(a, b) for a, b in found)


def _edges(data: Any) -> list[npt.NDArray[np.int64]] | None:
    """Return where the chunks of a store begin and end along each axis; None for an array without chunks."""
    import numpy as np

    chunks = getattr(data, "chunks", None)
    if isinstance(data, np.ndarray) or not chunks:
        return None
    pairs = [(chunk, int(n)) for chunk, n in zip(chunks, data.shape, strict=True)]
    # dask names the length of every chunk, zarr one for all.
    return [np.cumsum((0, *c)) if isinstance(c, tuple) else np.minimum(np.arange(0, n + c, c), n) for c, n in pairs]
