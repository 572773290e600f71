"""What units of length are worth, for whatever is asked for in millimeters or milliliters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .axes import Image

__all__ = ["milliliters", "millimeters"]

_MILLIMETERS: Final = {
    "nanometer": 1e-6, "micrometer": 1e-3, "millimeter": 1.0, "centimeter": 10.0, "meter": 1000.0,
    "nm": 1e-6, "um": 1e-3, "µm": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1000.0,
}  # fmt: skip


def millimeters(unit: str) -> float:
    """Return how many millimeters a unit has; NaN for what is no length, such as ``"pixel"``."""
    return _MILLIMETERS.get(unit, math.nan)


def milliliters(image: Image) -> float:
    """Return how many milliliters a voxel has; NaN in 2D or if a unit is no length."""
    _, scale, units = image.along(image.spatial)
    lengths = [step * millimeters(unit) for step, unit in zip(scale, units, strict=True)]
    return math.prod(lengths) / 1000 if len(lengths) == 3 else math.nan
