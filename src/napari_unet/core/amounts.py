"""Areas and volumes as people write them: 12.3 mm², 0.5 ml, 2 km²."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .errors import SpecError
from .lengths import millimeters, symbol

if TYPE_CHECKING:
    from .axes import Image

__all__ = ["UNITS", "amount_words", "count_pixels", "count_pixels_of"]

# What they are worth in mm² and mm³, small ones first.
_AREAS: Final = {"µm²": 1e-6, "mm²": 1.0, "cm²": 1e2, "m²": 1e6, "ha": 1e10, "km²": 1e12}
_VOLUMES: Final = {"µm³": 1e-9, "mm³": 1.0, "ml": 1e3, "l": 1e6, "m³": 1e9}
_SHOWN: Final = {2: ("µm²", "mm²", "m²", "km²"), 3: ("µm³", "mm³", "ml", "m³")}
UNITS: Final = {2: _AREAS, 3: _VOLUMES}
_PIXELS: Final = ("", "px", "pixel", "pixels", "voxel", "voxels")
_OTHER: Final = {"2": "²", "3": "³", "^": "", "\N{GREEK SMALL LETTER MU}": "\N{MICRO SIGN}"}


def amount_words(value: float, units: Sequence[str]) -> str:
    """Write an area or a volume in a unit that gives a readable number.

    Parameters
    ----------
    value : float
        In the product of `units`.
    units : sequence of str
        Of the two or three axes.

    Returns
    -------
    str
        With three digits; empty if a unit is no length.
    """
    worth = math.prod(millimeters(unit) for unit in units)
    if math.isnan(worth):
        return ""
    size, known = value * worth, UNITS[len(units)]
    names = _SHOWN[len(units)]
    fitting = [name for name in names if size >= known[name]]
    name = fitting[-1] if fitting else names[0]
    number = size / known[name]
    return f"{number:.0f} {name}" if number >= 100 else f"{number:.3g} {name}"


def count_pixels(text: str, scale: Sequence[float], units: Sequence[str]) -> float | None:
    """Read an area or a volume, and say how many pixels of an image it is.

    Parameters
    ----------
    text : str
        Such as ``"50"`` (pixels), ``"50 mm3"``, ``"0.5 ml"``, ``"20 m²"``; empty for none.
    scale, units : sequence of float, of str
        Of the image along the two or three axes of what is measured.

    Returns
    -------
    float or None
        Pixels or voxels, not rounded; None for none.

    Raises
    ------
    SpecError
        If it cannot be read, or the image does not know the size of its pixels.
    """
    if not text.strip():
        return None
    found = re.fullmatch(r"\s*(\d+(?:[.,]\d*)?|[.,]\d+)\s*(\S*)\s*", text)
    known = UNITS[len(scale)]
    name = "" if found is None else found[2]
    for old, new in _OTHER.items():
        name = name.replace(old, new)
    name = name.replace("um", "µm")
    if found is None or not (name in known or name in _PIXELS):
        names = ", ".join(known)
        raise SpecError(f"'{text.strip()}' is no size. Write a number of pixels, or with a unit: {names}.")
    number = float(found[1].replace(",", "."))
    if name in _PIXELS:
        return number
    pixel = math.prod(side * millimeters(unit) for side, unit in zip(scale, units, strict=True))
    if math.isnan(pixel):
        raise SpecError(
            f"The image has pixels of unknown size ({', '.join(map(symbol, units))}): '{text.strip()}' cannot be "
            "counted in them. Give the smallest size in pixels, or set scale and units of the image."
        )
    return number * known[name] / pixel


def count_pixels_of(image: Image, text: str) -> float | None:
    """Say how many pixels of an image an area is, or how many voxels a volume.

    Parameters
    ----------
    image : Image
        A volume needs one with depth.
    text : str
        As for :func:`count_pixels`.

    Returns
    -------
    float or None
        Pixels in a plane for an area, voxels for a volume; None for none.

    Raises
    ------
    SpecError
        If it cannot be read, or the image does not know the size of its pixels.
    """
    deep = "z" in image.axes and not text.rstrip().endswith(("2", "²", "ha"))
    _, scale, units = image.along("zyx" if deep else "yx")
    return count_pixels(text, scale, units)
