"""Bands of a raster, and where they hold data, as arrays that read where they are asked. Needs rasterio."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from ._windowed import Windowed

__all__ = ["BROKEN", "Bands", "Everywhere", "Filled", "Holds", "Labeled", "Opened", "open_raster"]

# What is decoded is kept by who reads; GDAL's own store would take a share of the whole memory of the machine.
CACHE_BYTES: Final = 64 << 20
BROKEN: Final = (RasterioError, OSError, ValueError, TypeError, IndexError, MemoryError, RuntimeError)
_EDGE: Final = 512  # of a chunk, at least, where there are more pixels


@contextmanager
def open_raster(path: str, level: int | None = None) -> Iterator[Any]:
    """Open a raster to read it, with what GDAL would say aloud kept quiet.

    Parameters
    ----------
    path : str
        Whatever GDAL opens.
    level : int, optional
        Number of an overview, from 0; the full image if missing.

    Yields
    ------
    rasterio.DatasetReader
        Closed at the end.
    """
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), _open(path, level) as raster:
        yield raster


def _open(path: str, level: int | None) -> Any:
    more = {} if level is None else {"overview_level": level}
    with warnings.catch_warnings():
        # A raster without a place is welcome.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, **more)


class Opened:
    """A raster that several threads read from: each with a handle of its own, since GDAL's bear only one.

    Parameters
    ----------
    path : str
        Whatever GDAL opens.
    level : int, optional
        Number of an overview, from 0.
    """

    def __init__(self, path: str, level: int | None = None) -> None:
        self.path, self.level = path, level
        self._free: list[Any] = []
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self) -> Iterator[Any]:
        """Lend a handle that nobody else uses; one that has failed is not lent again.

        Yields
        ------
        rasterio.DatasetReader
            Open.
        """
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
            with self._lock:
                handle = self._free.pop() if self._free else None
            handle = handle or self.start()
            try:
                yield handle
            except BaseException:
                handle.close()
                raise
            with self._lock:
                self._free.append(handle)

    def start(self) -> Any:
        """Return a new handle."""
        return _open(self.path, self.level)

    def close(self) -> None:
        """Close all handles that nobody uses; they are opened anew where they are needed."""
        with self._lock:
            free, self._free = self._free, []
        for handle in free:
            handle.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Open it anew where it is copied or sent to."""
        return Opened, (self.path, self.level)

    def __del__(self) -> None:
        for handle in self._free:
            handle.close()


class Bands(Windowed):
    """Bands of a raster.

    Parameters
    ----------
    opened : Opened
        Where from.
    numbers : sequence of int
        Which bands, from 1.
    axes : {"yx", "cyx", "yxc"}
        Order of the axes.
    dtype : dtype
        Of the values.
    """

    def __init__(self, opened: Opened, numbers: Sequence[int], axes: str, dtype: npt.DTypeLike) -> None:
        self.opened, self.numbers, self.axes, self.dtype = opened, tuple(numbers), axes, np.dtype(dtype)
        with opened.borrow() as raster:
            flat, interleaved = (raster.height, raster.width), raster.interleaving
            edges = [min(n, edge * -(-_EDGE // edge)) for n, edge in zip(flat, raster.block_shapes[0], strict=True)]
        one_by_one = axes == "cyx" and str(getattr(interleaved, "value", interleaved)).upper() == "BAND"
        sizes = {"y": flat[0], "x": flat[1], "c": len(self.numbers)}
        chunks = {"y": edges[0], "x": edges[1], "c": 1 if one_by_one else len(self.numbers)}
        self.shape = tuple(sizes[a] for a in axes)
        self.chunks = tuple(chunks[a] for a in axes)

    def _read(self, window: Sequence[slice]) -> npt.NDArray[Any]:
        at = dict(zip(self.axes, window, strict=True))
        numbers = self.numbers[at.get("c", slice(None))]
        out: npt.NDArray[Any] = np.empty([len(numbers), *(at[a].stop - at[a].start for a in "yx")], self.dtype)
        with self.opened.borrow() as raster:
            raster.read(list(numbers), out=out, window=_window(at["y"], at["x"]))
        if self.axes == "yx":
            return np.asarray(out[0])
        return np.ascontiguousarray(np.moveaxis(out, 0, -1)) if self.axes == "yxc" else out


class Holds(Windowed):
    """Where a raster holds data, along ``yx``.

    Parameters
    ----------
    opened : Opened
        Where from.
    alpha : int
        Number of the band that says it, from 1: 0 in it is nothing. 0: the mask that is stored beside the bands.
    empty : sequence of (int, float or int)
        Bands and the values that stand for nothing in them, in place of both.
    """

    def __init__(self, opened: Opened, alpha: int = 0, empty: Sequence[tuple[int, Any]] = ()) -> None:
        self.opened, self.alpha, self.empty, self.dtype = opened, alpha, tuple(empty), np.dtype(bool)
        with opened.borrow() as raster:
            self.shape = raster.height, raster.width
            self.chunks = tuple(
                min(n, edge * -(-_EDGE // edge)) for n, edge in zip(self.shape, raster.block_shapes[0], strict=True)
            )

    def _read(self, window: Sequence[slice]) -> npt.NDArray[Any]:
        at = _window(*window)
        with self.opened.borrow() as raster:
            if self.alpha:
                return np.asarray(raster.read(self.alpha, window=at) != 0)
            if not self.empty:
                return np.asarray(raster.read_masks(1, window=at) != 0)
            here = [_differs(raster.read(number, window=at), value) for number, value in self.empty]
            whole = np.dtype(raster.dtypes[self.empty[0][0] - 1]).kind != "f"
        # A dark pixel may well be 0 in one band. A number with a fraction is no nodata by chance.
        return np.asarray(np.logical_or.reduce(here) if whole else np.logical_and.reduce(here))


class Labeled(Windowed):
    """Where labels are known: NaN is no label, nor is the number that stands for nothing.

    Parameters
    ----------
    labels : array-like of int or float
        As they are stored.
    nothing : int or float or None
        What stands for nothing, besides NaN.
    """

    def __init__(self, labels: Any, nothing: Any) -> None:
        self.labels, self.nothing, self.dtype, self.shape = labels, nothing, np.dtype(bool), labels.shape
        self.chunks = getattr(labels, "chunks", None) or labels.shape

    def _read(self, window: Sequence[slice]) -> npt.NDArray[Any]:
        values = self.labels[tuple(window)]
        known = np.ones(values.shape, bool) if self.nothing is None else _differs(values, self.nothing)
        return known & ~np.isnan(values) if values.dtype.kind == "f" else known


class Filled(Windowed):
    """Labels with a number of its own where none are known.

    Parameters
    ----------
    labels : array-like of int or float
        As they are stored.
    known : array-like of bool
        Where they are known.
    number : int
        What the others become.
    dtype : dtype, optional
        In which that fits.
    """

    def __init__(self, labels: Any, known: Any, number: int = 0, dtype: Any = None) -> None:
        self.labels, self.known, self.number = labels, known, number
        self.dtype, self.shape = np.dtype(dtype or labels.dtype), labels.shape
        self.chunks = getattr(labels, "chunks", None) or labels.shape

    def _read(self, window: Sequence[slice]) -> npt.NDArray[Any]:
        found = np.array(self.labels[tuple(window)], self.dtype)
        found[~np.asarray(self.known[tuple(window)])] = self.number
        return found


class Everywhere(Windowed):
    """Where all of several masks hold data.

    Parameters
    ----------
    masks : sequence of array-like of bool
        Of one shape.
    """

    def __init__(self, masks: Sequence[Any]) -> None:
        self.masks, self.shape, self.dtype = masks, tuple(masks[0].shape), np.dtype(bool)
        self.chunks = tuple(min(n, _EDGE) for n in self.shape)

    def _read(self, window: Sequence[slice]) -> npt.NDArray[Any]:
        return np.asarray(np.logical_and.reduce([np.asarray(mask[tuple(window)]) for mask in self.masks]))


def _differs(values: npt.NDArray[Any], nothing: Any) -> npt.NDArray[np.bool_]:
    return ~np.isnan(values) if nothing != nothing else np.asarray(values != nothing)  # noqa: PLR0124  # NaN alone


def _window(y: slice, x: slice) -> Window:
    return Window(x.start, y.start, x.stop - x.start, y.stop - y.start)
