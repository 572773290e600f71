"""Images with named axes, and the only questions about dimensions that the engine asks.

Axes are named by one letter each, after OME: ``t`` time, ``c`` channel, ``z``, ``y`` and ``x``.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .anatomy import Anatomy, extent
from .axis_names import AXES, guess_axes, parse_axes
from .errors import AxesError, ImageError, UNetError
from .holes import find_holes, punched
from .place import GeoReference
from .resolutions import coarseness, true_levels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["AXES", "Image", "Plane", "as_image", "guess_axes", "parse_axes"]


@dataclass(frozen=True)
class Image:
    """An array of any kind with named axes.

    Attributes
    ----------
    data : array-like
        numpy, dask or zarr array; never loaded as a whole unless it is numpy already.
    axes : str
        One letter of ``tczyx`` for each dimension, in the order of `data`.
    scale : tuple of float
        Size of one element along each axis (1.0 for channels).
    units : tuple of str
        Unit of each scale, e.g. ``"micrometer"``; ``"pixel"`` where nothing is known.
    name : str
        Shown to the user and written to records.
    source : str
        File or address that it was read from; empty where there is none.
    levels : tuple of array-like
        Coarser versions of `data`, finest first; what is none is left out (:mod:`napari_unet.core.resolutions`).
    geo : GeoReference or None
        Where on Earth it lies, if that is known.
    valid : tuple of array-like of bool
        Where there is something to be seen, along ``yx``: for `data`, then for its levels as far as known. Planes hold
        no number elsewhere, whatever `data` holds. Empty: everywhere.
    anatomy : Anatomy or None
        Of medical images: where in the patient the voxels lie. Left out where it is of another size.
    channel_names : tuple of str
        What the channels are called. Left out where there are not as many channels.
    files : tuple of str
        Of an image whose channels are files of their own: these, in order; `source` is the first.
    remarks : tuple of str
        What its reader has to say to the user.
    start : tuple of float
        Where the center of the first pixel lies along each axis, in its unit: 0, unless the file or the viewer says
        otherwise. Nothing is counted from it; labels lie at the same place. Left out where it has other axes.
    guessed : bool
        Whether nobody has said what the axes are.
    """

    data: Any
    axes: str
    scale: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    name: str = "image"
    source: str = ""
    levels: tuple[Any, ...] = ()
    geo: GeoReference | None = None
    valid: tuple[Any, ...] = ()
    anatomy: Anatomy | None = None
    channel_names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    start: tuple[float, ...] = ()
    guessed: bool = False

    def __post_init__(self) -> None:
        """Fill in missing scales and units, and check that everything fits."""
        shape = tuple(int(n) for n in self.data.shape)
        if len(shape) != len(self.axes):
            raise AxesError(
                f"'{self.name}' has {len(shape)} dimensions {shape} but the axes '{self.axes}' name "
                f"{len(self.axes)}. Give one letter of {AXES} for each dimension."
            )
        object.__setattr__(self, "scale", tuple(map(float, self.scale)) or (1.0,) * len(shape))
        object.__setattr__(self, "units", tuple(self.units) or ("pixel",) * len(shape))
        if not len(self.scale) == len(self.units) == len(shape):
            raise AxesError(f"'{self.name}': scale, units and axes must have {len(shape)} entries each.")
        known = len(self.start) == len(shape)
        object.__setattr__(self, "start", tuple(map(float, self.start)) if known else (0.0,) * len(shape))
        if 0 in shape:
            raise ImageError(f"'{self.name}' is empty (shape {shape}). Choose an image with pixels in it.")
        if self.anatomy is not None and self.anatomy.shape != extent(self):
            object.__setattr__(self, "anatomy", None)
        if len(self.channel_names) != self.channels:
            object.__setattr__(self, "channel_names", ())
        object.__setattr__(self, "levels", true_levels(self.data, self.axes, self.levels))

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""
        return tuple(int(n) for n in self.data.shape)

    @property
    def spatial(self) -> str:
        """The spatial axes, e.g. ``"yx"`` or ``"zyx"``."""
        return "".join(a for a in self.axes if a in "zyx")

    @property
    def channels(self) -> int:
        """Number of channels, 1 where there is no channel axis."""
        return self.shape[self.axes.index("c")] if "c" in self.axes else 1

    @property
    def origin(self) -> str | tuple[str, ...]:
        """What it was read from, as it is given to read it again: a file, or one for each channel."""
        return self.files or self.source

    @property
    def label_axes(self) -> str:
        """Axes of the labels of this image: its own without the channels."""
        return self.axes.replace("c", "")

    @property
    def said(self) -> tuple[str, ...]:
        """What its reader has to say: of the file, and of where it lies in a patient or on Earth."""
        return (*self.remarks, *(remark for place in (self.anatomy, self.geo) if place for remark in place.remarks))

    def along(self, axes: str) -> tuple[tuple[int, ...], tuple[float, ...], tuple[str, ...]]:
        """Return shape, scale and units of the named axes, in that order."""
        where = [self.axes.index(a) for a in axes]
        return (
            tuple(self.shape[i] for i in where),
            tuple(self.scale[i] for i in where),
            tuple(self.units[i] for i in where),
        )

    def scaled(self, **sizes: tuple[float, str]) -> Image:
        """Return the same image with other sizes of its pixels.

        Parameters
        ----------
        **sizes : tuple of (float, str)
            By axis, such as ``y=(0.5, "micrometer")``; axes that the image has not are left out.

        Returns
        -------
        Image
            Nothing is copied.
        """
        own = dict(zip(self.axes, zip(self.scale, self.units, strict=True), strict=True))
        known = [sizes.get(axis, own[axis]) for axis in self.axes]
        return replace(self, scale=tuple(size for size, _ in known), units=tuple(unit for _, unit in known))

    def start_of(self, axes: str) -> tuple[float, ...]:
        """Return where the named axes start, in that order."""
        return tuple(self.start[self.axes.index(a)] for a in axes)

    def read(self, window: tuple[int | slice, ...], level: int = 0) -> npt.NDArray[np.generic]:
        """Load a window.

        Parameters
        ----------
        window : tuple of int or slice
            One for each axis, of non-negative bounds; pixels of the level.
        level : int
            0 for the full image, or the number of one of its levels.

        Returns
        -------
        ndarray
            In the image's own dtype.

        Raises
        ------
        ImageError
            If the data cannot be read; the message names the place.
        """
        import numpy as np

        try:
            return np.asarray((self.levels[level - 1] if level else self.data)[window])
        except (UNetError, MemoryError, IndexError):
            raise
        except Exception as error:
            # There is no end to what codecs, servers and other people's functions raise.
            where = ", ".join(
                f"{a} {part}" if isinstance(part, int) else f"{a} {part.start or 0} to {(part.stop or n) - 1}"
                for a, part, n in zip(self.axes, window, self.shape, strict=True)
            )
            where += f" of level {level}" if level else ""
            raise ImageError(
                f"'{self.source or self.name}' could not be read at the pixels {where}: "
                f"{str(error) or type(error).__name__}. Check that the file is complete and still there."
            ) from error

    def planes(self, ndim: int) -> list[Plane]:
        """Cut the image into the pieces that an `ndim`-dimensional network sees one by one.

        Parameters
        ----------
        ndim : int
            Spatial dimensions of the network, 2 or 3.

        Returns
        -------
        list of Plane
            For 2: one a time point and z-plane; for 3: one a time point.

        Raises
        ------
        AxesError
            If the image has fewer spatial axes than the network.
        """
        if len(self.spatial) < ndim:
            raise AxesError(
                f"'{self.name}' has the spatial axes '{self.spatial}' but the model needs {ndim}. "
                f"Choose a {len(self.spatial)}D model or an image with more dimensions."
            )
        # In this order, however they are stored: a network sees no image transposed.
        inner = "zyx"[3 - ndim :]
        outer = [i for i, a in enumerate(self.axes) if a != "c" and a not in inner]
        ranges = [range(self.shape[i]) for i in outer]
        return [Plane(self, inner, tuple(zip(outer, at, strict=True))) for at in itertools.product(*ranges)]


@dataclass(frozen=True)
class Plane:
    """What a network sees at once: all channels of one time point (and z-plane, for a 2D network).

    Attributes
    ----------
    image : Image
        Where it comes from.
    axes : str
        Its spatial axes.
    fixed : tuple of (int, int)
        Dimension and position of every axis that is held.
    channels : tuple of int or None
        Channels to read, in that order; -1 is one that the image lacks, and reads as zeros. None reads all.
    """

    image: Image
    axes: str
    fixed: tuple[tuple[int, int], ...] = ()
    channels: tuple[int, ...] | None = field(default=None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape."""
        return self.image.along(self.axes)[0]

    def steps_of(self, level: int) -> tuple[int, ...]:
        """Return how many pixels of the full image one of a level is long, along each spatial axis."""
        if not level:
            return (1,) * len(self.axes)
        steps = coarseness(self.image.shape, self.image.levels[level - 1].shape, self.image.axes)
        return tuple(steps[self.image.axes.index(a)] for a in self.axes)

    def shape_of(self, level: int) -> tuple[int, ...]:
        """Return the spatial shape of a level; 0 is the full image."""
        shape = self.image.levels[level - 1].shape if level else self.image.shape
        return tuple(int(shape[self.image.axes.index(a)]) for a in self.axes)

    @property
    def at(self) -> tuple[int, ...]:
        """Position of this plane along the leading axes of the labels."""
        return tuple(position for _, position in self.fixed)

    def pick(self, channels: Sequence[int] | None) -> Plane:
        """Return the same plane with only the given channels, in that order."""
        return replace(self, channels=None if channels is None else tuple(channels))

    def read(self, window: tuple[slice, ...], level: int = 0) -> npt.NDArray[np.generic]:
        """Load a window.

        Parameters
        ----------
        window : tuple of slice
            One slice of non-negative bounds for each spatial axis; pixels of the level.
        level : int
            0 for the full image, or the number of one of its levels.

        Returns
        -------
        ndarray
            Shape ``(channels, *window)`` in the image's own dtype; floating-point numbers with NaN in them where the
            image says that there is nothing to be seen.

        Raises
        ------
        ImageError
            If the data cannot be read; the message names the place.
        """
        index: list[Any] = [slice(None)] * len(self.image.axes)
        for dimension, position in self.fixed:
            index[dimension] = position
        for axis, part in zip(self.axes, window, strict=True):
            index[self.image.axes.index(axis)] = part
        block = self.image.read(tuple(index), level)
        held = {dimension for dimension, _ in self.fixed}
        left = [a for i, a in enumerate(self.image.axes) if i not in held]
        block = block.transpose([left.index(a) for a in "c" * ("c" in left) + self.axes])
        block = block if "c" in left else block[None]
        block = block if self.channels is None else _picked(block, self.channels)
        # y and x are the last axes of every plane.
        return punched(block, find_holes(self.image, window[-2], window[-1], level))


def _picked(block: npt.NDArray[np.generic], channels: tuple[int, ...]) -> npt.NDArray[np.generic]:
    if min(channels, default=0) >= 0:
        return block[list(channels)]
    found = block[[max(0, channel) for channel in channels]]
    found[[channel < 0 for channel in channels]] = 0
    return found


def as_image(data: Any, axes: str | Sequence[str] | None = None, **more: Any) -> Image:
    """Wrap an array, with its axes given or guessed.

    Parameters
    ----------
    data : array-like or Image
        An Image is returned as it is.
    axes : str or sequence of str, optional
        See :func:`parse_axes`; guessed by :func:`guess_axes` if missing.
    **more : Any
        ``scale``, ``units``, ``name`` and so on of :class:`Image`.

    Returns
    -------
    Image
        The same data, not copied.

    Raises
    ------
    AxesError
        If the axes do not fit the array or cannot be guessed.
    ImageError
        If the array is empty or its values are not numbers.
    """
    if isinstance(data, Image):
        return data
    if isinstance(data, str | os.PathLike):
        raise ImageError(
            f"'{data}' is the name of a file, where an array or Image is needed. Open it: read_image, read_labels."
        )
    if not hasattr(data, "shape") or not hasattr(data, "dtype"):
        import numpy as np

        try:
            data = np.asarray(data)
        except ValueError as error:
            raise ImageError(f"This is no image: {error}. Give one array whose rows are equally long.") from error
    if str(getattr(data.dtype, "kind", "f")) not in "buif" or getattr(data.dtype, "itemsize", 8) > 8:
        raise ImageError(f"Images must hold real numbers of 64 bits at most, not {data.dtype}. Convert it first.")
    if any(math.isnan(n) for n in data.shape):  # dask does not know it of some
        raise ImageError("The size of this array is not known. Compute it first (dask: compute_chunk_sizes).")
    shape = tuple(int(n) for n in data.shape)
    if 0 in shape or len(shape) < 2:
        raise ImageError(f"An image needs pixels along y and x; this one has shape {shape}.")
    if axes:
        return Image(data, parse_axes(axes), **more)
    return Image(data, guess_axes(shape, data.dtype), **({"guessed": len(shape) > 2} | more))
