"""How large pixels are on the ground, for what counts them: maps seldom show all places equally large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["PixelAreas", "areas_in"]


class PixelAreas(Protocol):
    """The area of each pixel of a plane."""

    def __call__(self, rows: slice, columns: slice, /) -> npt.NDArray[np.float64]:
        """Return square meters, shape (rows, columns); or (1, 1) where all pixels are equally large."""


def areas_in(ground: PixelAreas, axes: str, window: Sequence[slice]) -> npt.NDArray[np.float64]:
    """Return the areas of the pixels of a window.

    Parameters
    ----------
    ground : callable
        Areas of pixels.
    axes : str
        Of the window, with y and x.
    window : sequence of slice
        One for each axis.

    Returns
    -------
    ndarray of float64
        Square meters; as many axes as the window, of length 1 where nothing differs along them.
    """
    at = dict(zip(axes, window, strict=True))
    found = ground(at["y"], at["x"])
    found = found if axes.index("y") < axes.index("x") else found.T
    sides = iter(found.shape)
    return found.reshape([next(sides) if axis in "yx" else 1 for axis in axes])
