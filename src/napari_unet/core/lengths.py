"""What units of length are worth, for whatever is asked for in millimeters or milliliters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .axes import Image

__all__ = ["in_one_unit", "milliliters", "millimeters", "scaled_like", "sides_words", "symbol"]

_MILLIMETERS: Final = {
    "nanometer": 1e-6, "micrometer": 1e-3, "micron": 1e-3, "millimeter": 1.0, "centimeter": 10.0, "meter": 1e3,
    "metre": 1e3, "kilometer": 1e6, "nm": 1e-6, "um": 1e-3, "µm": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1e3, "km": 1e6,
}  # fmt: skip
_SYMBOLS: Final = {
    "nanometer": "nm", "micrometer": "µm", "um": "µm", "micron": "µm", "millimeter": "mm", "centimeter": "cm",
    "meter": "m", "metre": "m", "kilometer": "km",
}  # fmt: skip


def millimeters(unit: str) -> float:
    """Return how many millimeters a unit has; NaN for what is no length, such as ``"pixel"``."""
    plain = unit.replace("\N{GREEK SMALL LETTER MU}", "\N{MICRO SIGN}")
    return _MILLIMETERS.get(plain) or _MILLIMETERS.get(plain.lower().removesuffix("s"), math.nan)


def milliliters(image: Image) -> float:
    """Return how many milliliters a voxel has; NaN in 2D or if a unit is no length."""
    _, scale, units = image.along(image.spatial)
    lengths = [step * millimeters(unit) for step, unit in zip(scale, units, strict=True)]
    return math.prod(lengths) / 1000 if len(lengths) == 3 else math.nan


def in_one_unit(image: Image) -> Image:
    """Return an image whose sizes along all spatial axes are in the unit of x; as it is where one is no length."""
    _, sizes, units = image.along(image.spatial)
    unit = image.along("x")[2][0]
    worth = [millimeters(name) / millimeters(unit) for name in units]
    if len(set(units)) == 1 or any(map(math.isnan, worth)):
        return image
    known = {axis: size * times for axis, size, times in zip(image.spatial, sizes, worth, strict=True)}
    scale = tuple(known.get(axis, size) for axis, size in zip(image.axes, image.scale, strict=True))
    named = tuple(unit if axis in known else name for axis, name in zip(image.axes, image.units, strict=True))
    return replace(image, scale=scale, units=named)


def scaled_like(labels: Image, image: Image) -> Image:
    """Return labels with what their image knows and they do not tell, as in PNG and NumPy files: pixel sizes, time."""
    known: dict[str, tuple[float, str]] = {}
    for group in ("zyx", "t"):
        own, other = ("".join(a for a in group if a in one.axes) for one in (labels, image))
        _, sizes, units = labels.along(own)
        if own == other and set(units) == {"pixel"} and set(sizes) == {1.0}:
            known |= {axis: (size, unit) for axis, size, unit in zip(own, *image.along(own)[1:], strict=True)}
    if not known:
        return labels
    told = dict(zip(labels.axes, zip(labels.scale, labels.units, strict=True), strict=True)) | known
    scale, named = zip(*(told[axis] for axis in labels.axes), strict=True)
    return replace(labels, scale=scale, units=named)


def symbol(unit: str) -> str:
    """Return the symbol of a unit of length; other words stay as they are."""
    return _SYMBOLS.get(unit, unit)


def sides_words(scale: Sequence[float], units: Sequence[str]) -> str:
    """Write the size of a pixel.

    Parameters
    ----------
    scale, units : sequence of float, of str
        Along its axes.

    Returns
    -------
    str
        Such as ``"3 x 0.5 x 0.5 mm"``.
    """
    symbols = [symbol(unit) for unit in units]
    if len(set(symbols)) > 1:
        return " x ".join(f"{side:.3g} {name}" for side, name in zip(scale, symbols, strict=True))
    return f"{' x '.join(f'{side:.3g}' for side in scale)} {symbols[0]}"
