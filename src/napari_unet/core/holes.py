"""Where an image has nothing to be seen: outside of what a satellite or a drone has taken, or under its clouds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .errors import ImageError, UNetError
from .resolutions import coarseness

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .axes import Image

__all__ = ["find_holes", "punched", "without_holes"]


def find_holes(image: Image, y: slice, x: slice, level: int = 0) -> npt.NDArray[np.bool_] | None:
    """Tell where a window holds nothing to be seen.

    Parameters
    ----------
    image : Image
        Says it, see its ``valid``.
    y, x : slice
        Of non-negative bounds, in pixels of the level.
    level : int
        0 for the full image, or the number of one of its levels.

    Returns
    -------
    ndarray of bool or None
        Shape of the window; None if there is something everywhere.

    Raises
    ------
    ImageError
        If that cannot be read.
    """
    if not image.valid:
        return None
    import numpy as np

    shape = tuple((image.levels[level - 1] if level else image.data).shape)
    flat = tuple(int(shape[image.axes.index(a)]) for a in "yx")
    mask = next((mask for mask in image.valid if tuple(mask.shape) == flat), None)
    steps = (1, 1)
    if mask is None:  # the first pixel of those that a pixel of the level stands for is taken for all of them
        full = coarseness(image.shape, shape, image.axes)
        steps, mask = (full[image.axes.index("y")], full[image.axes.index("x")]), image.valid[0]
    spans = ((s.start or 0, n if s.stop is None else min(s.stop, n)) for s, n in zip((y, x), flat, strict=True))
    at = tuple(slice(start * step, stop * step) for (start, stop), step in zip(spans, steps, strict=True))
    try:
        found = ~np.asarray(mask[at], bool)[tuple(slice(None, None, step) for step in steps)]
    except (UNetError, MemoryError, IndexError):
        raise
    except Exception as error:
        # There is no end to what codecs and other people's functions raise.
        raise ImageError(
            f"It could not be read of '{image.source or image.name}' where it holds data: "
            f"{str(error) or type(error).__name__}. Check that the file is complete and still there."
        ) from error
    return found if found.any() else None


def punched(block: npt.NDArray[Any], holes: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
    """Put what is no number where there is nothing to be seen.

    Parameters
    ----------
    block : ndarray, shape (..., y, x)
        Any real dtype.
    holes : ndarray of bool, shape (y, x), or None
        From :func:`find_holes`.

    Returns
    -------
    ndarray
        The same without holes; else a copy of floating-point numbers. All other values are exactly as they were, save
        for 64-bit integers beyond 2**53.
    """
    if holes is None:
        return block
    import numpy as np

    if block.dtype.kind != "f":
        block = block.astype(np.float32 if np.can_cast(block.dtype, np.float32) else np.float64)
    found = np.array(block)
    found[..., holes] = np.nan
    return found


def without_holes(image: Image) -> Image:
    """Return an image that says by what is no number alone where there is nothing to be seen.

    Parameters
    ----------
    image : Image
        Is read as a whole if it has holes.

    Returns
    -------
    Image
        The same if there are none; else y and x are its last axes, and it has no levels.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    if not image.valid:
        return image
    rest = image.axes.replace("y", "").replace("x", "")
    axes = f"{rest}yx"
    data = image.read(tuple(slice(0, n) for n in image.shape)).transpose([image.axes.index(axis) for axis in axes])
    holes = find_holes(image, slice(0, data.shape[-2]), slice(0, data.shape[-1]))
    _, scale, units = image.along(axes)
    return replace(image, data=punched(data, holes), axes=axes, scale=scale, units=units, levels=(), valid=())
