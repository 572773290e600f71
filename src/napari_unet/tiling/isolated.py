"""Single pixels far brighter or darker than all around them: hot and dead pixels, cosmic rays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..core.windows import since

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Plane

__all__ = ["read_steady", "steady"]

_SIDE: Final = 1  # pixels that are looked at on each side, along y and x
_PARTNER: Final = 1  # so many neighbors may be as extreme: two pixels side by side are still isolated
_MOST: Final = 2**18  # pixels whose neighbors are gathered at once
_SLAB: Final = 2**16  # pixels that are compared at once: they stay in the processor's cache


def read_steady(
    plane: Plane, window: Sequence[slice], limits: Sequence[float], level: int = 0
) -> npt.NDArray[np.generic]:
    """Load a window without isolated pixels.

    Parameters
    ----------
    plane : Plane
        With the channels that are used.
    window : sequence of slice
        One slice of non-negative bounds for each spatial axis; pixels of the level.
    limits : sequence of float
        See :func:`steady`; empty reads the image as it is.
    level : int
        See :meth:`~napari_unet.core.axes.Plane.read`.

    Returns
    -------
    ndarray, shape (channels, *window)
        In the dtype that the plane is read in. What a pixel becomes depends on its eight neighbors alone, so windows
        of one image fit together.

    Raises
    ------
    ImageError
        If the data cannot be read.
    """
    if not any(limit > 0 for limit in limits):
        return plane.read(tuple(window), level)
    *rest, down, across = window
    grown = [
        slice(max(part.start - _SIDE, 0), min(part.stop + _SIDE, n))
        for part, n in zip((down, across), plane.shape_of(level)[-2:], strict=True)
    ]
    block = steady(plane.read((*rest, *grown), level), limits)
    inner: Any = since((down, across), grown)
    return block[(..., *inner)]


def steady(block: npt.NDArray[Any], limits: Sequence[float]) -> npt.NDArray[Any]:
    """Bring isolated pixels near their neighbors.

    A pixel is isolated where it lies above both of its neighbors along y or along x, or below both, by more than the
    limit. It is brought to that distance from the second highest (lowest) of its eight neighbors, so that a pair of hot
    pixels goes and a line of one pixel stays. Light that went through a lens is never so sharp.

    Parameters
    ----------
    block : ndarray, shape (channels, ..., y, x)
        Any real dtype. At its border, what lies inside is taken for what lies outside.
    limits : sequence of float
        One for each channel, in the unit of the image; 0 leaves a channel as it is.

    Returns
    -------
    ndarray
        Shape and dtype of `block`; the same object where nothing is isolated.
    """
    if block.dtype.kind not in "uif" or min(block.shape[-2:]) < 1 + _SIDE:
        return block
    found = block
    for row, limit in enumerate(limits):
        if limit > 0 and math.isfinite(limit):
            padded = np.pad(block[row], [(0, 0)] * (block.ndim - 3) + [(_SIDE, _SIDE)] * 2, mode="reflect")
            places = np.nonzero(_isolated(block[row], padded, limit))
            if len(places[0]):
                found = block.copy() if found is block else found
                _settle(found[row], padded, places, limit)
    return found


def _isolated(values: npt.NDArray[Any], padded: npt.NDArray[Any], limit: float) -> npt.NDArray[np.bool_]:
    """Say which pixels lie above or below both neighbors along an axis."""
    found = np.zeros(values.shape, bool)
    kind = values.dtype.kind
    if kind == "u" and limit >= np.iinfo(values.dtype).max:
        return found
    most = math.floor(limit) if kind == "u" else limit
    height, width = values.shape[-2:]
    rows = max(1, _SLAB // max(1, values[..., :1, :].size))
    with np.errstate(invalid="ignore", over="ignore"):  # of what is not finite
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            own, near = values[..., start:stop, :], padded[..., start : stop + 2 * _SIDE, :]
            if kind == "i":  # differences of large numbers do not fit
                own, near = own.astype(np.float64), near.astype(np.float64)
            far = found[..., start:stop, :]
            for one, other in (
                (near[..., : stop - start, 1:-1], near[..., 2:, 1:-1]),
                (near[..., 1:-1, :width], near[..., 1:-1, 2:]),
            ):
                far |= own - np.minimum(own, np.fmax(one, other)) > most
                far |= np.maximum(own, np.fmin(one, other)) - own > most
    return found


def _settle(
    values: npt.NDArray[Any], padded: npt.NDArray[Any], places: tuple[npt.NDArray[np.intp], ...], limit: float
) -> None:
    for start in range(0, len(places[0]), _MOST):
        *rest, y, x = (place[start : start + _MOST] for place in places)
        around = np.stack(
            [padded[(*rest, y + dy, x + dx)] for dy in range(3) for dx in range(3) if (dy, dx) != (1, 1)]
        ).astype(np.float64)
        there = np.isfinite(around)
        highest = np.sort(np.where(there, around, -np.inf), axis=0)[-1 - _PARTNER]
        lowest = np.sort(np.where(there, around, np.inf), axis=0)[_PARTNER]
        own = values[(*rest, y, x)].astype(np.float64)
        lowest, highest = (np.where(np.isfinite(end), end, own) for end in (lowest, highest))
        new = np.minimum(np.maximum(own, lowest - limit), highest + limit)
        values[(*rest, y, x)] = (np.floor(new) if values.dtype.kind in "ui" else new).astype(values.dtype)
