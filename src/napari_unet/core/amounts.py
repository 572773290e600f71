"""Lengths, areas and volumes as people write them: 5 µm, 12.3 mm², 0.5 ml, 2 km²."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

from .errors import SpecError
from .lengths import millimeters, symbol

__all__ = [
    "LARGEST", "UNITS", "Smallest", "amount_words", "count_pixels", "countable", "distance_in", "smallest_of",
    "split_amounts",
]  # fmt: skip

Smallest = float | tuple[float, ...]
"""The fewest pixels of an object, or of the pieces of each class; infinite where only the largest piece is kept."""

LARGEST: Final = "largest"

# What they are worth in mm² and mm³, small ones first.
_AREAS: Final = {"µm²": 1e-6, "mm²": 1.0, "cm²": 1e2, "m²": 1e6, "ha": 1e10, "km²": 1e12}
_VOLUMES: Final = {"µm³": 1e-9, "mm³": 1.0, "ml": 1e3, "l": 1e6, "m³": 1e9}
_LENGTHS: Final = ("nm", "µm", "mm", "cm", "m")
_SHOWN: Final = {2: ("µm²", "mm²", "m²", "km²"), 3: ("µm³", "mm³", "ml", "m³")}
UNITS: Final = {2: _AREAS, 3: _VOLUMES}
_PIXELS: Final = ("", "px", "pixel", "pixels", "voxel", "voxels")
_NUMBER: Final = r"\s*(\d+(?:[.,]\d*)?|[.,]\d+)\s*(\S*)\s*"
_NEXT: Final = r"[,;](?=[^,;]*=)"  # a comma before the name of a class, not that of 0,5 ml
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


def distance_in(text: str | float, scale: float, unit: str) -> float:
    """Read a distance, and say how long it is in the unit of an image.

    Parameters
    ----------
    text : str or float
        A number of pixels, or with a unit, such as ``"5 um"``.
    scale, unit : float, str
        Of the image along x.

    Returns
    -------
    float
        In `unit`; greater than 0.

    Raises
    ------
    SpecError
        If it cannot be read, or the image does not know the size of its pixels.
    """
    found = re.fullmatch(_NUMBER, str(text))
    name = "" if found is None else found[2].replace("\N{GREEK SMALL LETTER MU}", "µ").replace("um", "µm")
    if found is None or not (name in _LENGTHS or name in _PIXELS) or not float(found[1].replace(",", ".")):
        raise SpecError(
            f"'{str(text).strip()}' is no distance. Write a number of pixels, or with a unit: {', '.join(_LENGTHS)}."
        )
    number = float(found[1].replace(",", "."))
    if name in _PIXELS:
        return number * scale
    if math.isnan(millimeters(unit)):
        raise SpecError(
            f"The image has pixels of unknown size ({symbol(unit)}): '{str(text).strip()}' cannot be told in them. "
            "Give the distance in pixels, or set scale and units of the image."
        )
    return number * millimeters(name) / millimeters(unit)


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
    found, known = re.fullmatch(_NUMBER, text), UNITS[len(scale)]
    name = "" if found is None else _unit(found[2])
    if found is None or not (name in known or name in _PIXELS):
        what = {2: "area", 3: "volume"}[len(scale)]
        raise SpecError(f"'{text.strip()}' is no {what}. Write a number of pixels, or with a unit: {', '.join(known)}.")
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


def split_amounts(text: str) -> dict[str, str]:
    """Read sizes that are given class by class.

    Parameters
    ----------
    text : str
        Such as ``"whole=1 ml, core=50 mm3"``, or one for all: ``"50 mm3"``. The word ``largest`` in place of a size
        keeps only the largest piece.

    Returns
    -------
    dict of str to str
        Size by name; the name is empty where it is one for all.

    Raises
    ------
    SpecError
        If it cannot be read.
    """
    found: dict[str, str] = {}
    for part in re.split(_NEXT, text):
        name, _, size = ("", "", part) if "=" not in part else part.rpartition("=")
        match = re.fullmatch(_NUMBER, size)
        known = size.strip() == LARGEST or (match and _unit(match[2]) in (*UNITS[2], *UNITS[3], *_PIXELS))
        if not known or ("=" in part and not name.strip()):
            raise SpecError(
                f"'{part.strip()}' is no size. Write a number of pixels, or with a unit "
                f"({', '.join((*UNITS[2], *UNITS[3]))}); one for all, or one for each class: whole=1 ml, core=50 mm3."
            )
        if name.strip() in found or ("" in found):
            raise SpecError(f"'{text}' says twice how small '{name.strip() or 'all'}' may be. Say it once.")
        found[name.strip()] = size.strip()
    return found


def countable(text: str, units: Sequence[str]) -> bool:
    """Say whether sizes can be counted in the pixels of an image.

    Parameters
    ----------
    text : str
        As for :func:`split_amounts`.
    units : sequence of str
        Of the image along the two or three axes of what is measured.

    Returns
    -------
    bool
        No where they have a unit and the image does not know the size of its pixels.
    """
    found = [re.fullmatch(_NUMBER, size) for size in split_amounts(text).values() if size != LARGEST]
    plain = all(match is not None and _unit(match[2]) in _PIXELS for match in found)
    return plain or not any(math.isnan(millimeters(unit)) for unit in units)


def smallest_of(text: str, names: Sequence[str], scale: Sequence[float], units: Sequence[str]) -> tuple[float, ...]:
    """Say how many pixels the smallest piece of each class has.

    Parameters
    ----------
    text : str
        As for :func:`split_amounts`.
    names : sequence of str
        Of the classes 1, 2 and so on; their numbers are understood too.
    scale, units : sequence of float, of str
        Of the image along the two or three axes of what is measured.

    Returns
    -------
    tuple of float
        One for each class, not rounded; 0 where nothing is said of it, infinite where only the largest is kept.

    Raises
    ------
    SpecError
        If it cannot be read, there is no such class, or the image does not know the size of its pixels.
    """
    sizes = {
        name: math.inf if size == LARGEST else count_pixels(size, scale, units) or 0.0
        for name, size in split_amounts(text).items()
    }
    if "" in sizes:
        return (sizes[""],) * len(names)
    keys = [{name, str(number)} for number, name in enumerate(names, 1)]
    if strange := sizes.keys() - set().union(*keys):
        raise SpecError(f"There is no class '{min(strange)}' to say a smallest size of. There are: {', '.join(names)}.")
    return tuple(next((size for name, size in sizes.items() if name in own), 0.0) for own in keys)


def _unit(name: str) -> str:
    for old, new in _OTHER.items():
        name = name.replace(old, new)
    return name.replace("um", "µm")
