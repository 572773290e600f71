"""Ground of labels that lie on no map: their pixels, and how large these are."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.lengths import millimeters
from ..core.place import GeoReference

__all__ = ["PixelGround"]

_MICROMETERS: Final = 1e3  # in a millimeter


class PixelGround:
    """Pixels, with what :class:`~napari_unet.io._ground.Ground` has.

    Parameters
    ----------
    labels : Image
        In pixels.

    Attributes
    ----------
    geo : GeoReference
        Says nothing.
    stretch : float
        Height of a pixel in parts of its width.
    known : bool
        False: there are no square meters.
    pixel : float
        Square micrometers of a pixel; NaN if they are not known.
    """

    def __init__(self, labels: Image) -> None:
        _, scale, units = labels.along("yx")
        sides = [step * millimeters(unit) * _MICROMETERS for step, unit in zip(scale, units, strict=True)]
        self.geo, self.stretch, self.known = GeoReference(), 1.0, False
        self.pixel = math.prod(sides)

    def place(self, points: Any) -> Any:
        """Return columns and rows as they are."""
        return points

    def areas(self, shapes: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
        """Return square meters: NaN."""
        return np.full(len(shapes), np.nan)
