"""What reports of lesions say, whatever they are written in: heads, units, numbers, captions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from napari_unet.core.lesions import Growth, Lesions

if TYPE_CHECKING:
    import PIL.Image

__all__ = [
    "RECIST", "WARNING", "Figure", "caption", "cell", "columns", "facts", "grid_words", "head", "short", "sums", "unit",
]  # fmt: skip

_SHORT_UNITS: Final = {"millimeter": "mm", "micrometer": "µm", "centimeter": "cm", "pixel": "px"}
_HEADS: Final = {
    "index": "Lesion", "t": "Time", "class": "Class", "volume_ml": "Volume", "volume": "Volume", "area": "Area",
    "longest_diameter": "Longest diameter", "short_diameter": "Across", "slice": "Slice", "sphericity": "Sphericity",
    "circularity": "Circularity", "border_distance": "From border", "organ_distance": "From organ's border",
    "confidence": "Confidence", "lesions": "Lesions", "diameter_sum": "Sum of diameters", "largest": "Largest lesion",
    "before": "Before", "after": "After", "status": "What", "volume_before": "Volume before",
    "volume_after": "Volume after", "volume_change": "Volume, change", "volume_ml_before": "Volume before",
    "volume_ml_after": "Volume after", "area_before": "Area before",
    "area_after": "Area after", "area_change": "Area, change", "diameter_before": "Diameter before",
    "diameter_after": "Diameter after", "diameter_change": "Diameter, change", "moved": "Moved",
    "diameter_sum_before": "Sum of diameters before", "diameter_sum_after": "Sum of diameters after",
    "diameter_sum_change": "Sum of diameters, change", "matched": "Found again", "new": "New", "vanished": "Vanished",
    "split": "Split off", "merged": "Merged", "part_of": "Part of",
}  # fmt: skip
_MEAN: Final = "intensity_mean"
_INTENSITIES: Final = {_MEAN: "Mean", "intensity_std": "SD", "intensity_p95": "95th percentile"}
RECIST: Final = (
    "Targets are the longest lesions of 10 mm or more, five at most; PD is a new lesion or a sum that has grown by "
    "20 % and 5 mm, PR a sum that is 30 % smaller, CR no lesion any more (Eisenhauer et al. 2009). Nobody has chosen "
    "the targets, and lymph nodes are not told apart."
)
WARNING: Final = "Not for clinical use. Measured by a program; nobody has checked it."


@dataclass(frozen=True)
class Figure:
    """A picture and what it shows; the color of the lesion's outline, empty if it shows all."""

    picture: PIL.Image.Image
    caption: str
    color: str = ""


def columns(lesions: Lesions) -> list[str]:
    """Return the columns of the table that are shown."""
    found = [n for n in lesions.table if n in _HEADS and not (n == "volume" and "volume_ml" in lesions.table)]
    return found + [n for n in lesions.table if n.startswith(tuple(_INTENSITIES))]


def facts(lesions: Lesions) -> Iterator[tuple[str, str]]:
    """Return what is told first: names and values."""
    known: dict[str, Any] = dict(lesions.table)
    yield "Lesions", str(len(known["index"]))
    size = _size(known)
    yield f"Total {_HEADS[size].lower()}", _number(float(known[size].sum())) + unit(size, lesions.units)
    total = float(np.sum(lesions.totals["diameter_sum"])) if len(lesions.totals["lesions"]) == 1 else math.nan
    if not math.isnan(total):
        yield "Sum of diameters", _number(total) + unit("longest_diameter", lesions.units)
    if len(known["index"]):
        longest = float(known["longest_diameter"].max())
        yield "Longest diameter", _number(longest) + unit("longest_diameter", lesions.units)


def sums(growth: Growth, units: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Return what has changed in all: names and values."""
    if len(growth.classes):
        yield "Sums of", f"all {len(growth.classes['class'])} classes"
    for name, value in growth.summary.items():
        yield _HEADS[name], (_number(value) if "_" in name else f"{value:.0f}") + unit(name, units)


def grid_words(lesions: Lesions) -> str:
    """Say how large the image and its voxels are, and which of several channels the pictures show."""
    labels, several = lesions.labels, sum(name.startswith(_MEAN) for name in lesions.table) > 1
    axes = "".join(a for a in "zyx" if a in labels.axes)
    shape, scale, named = labels.along(axes)
    size = " × ".join(f"{step:.4g} {short(one)}" for step, one in zip(scale, named, strict=True))
    seen = " Pictures show channel 0." if several else ""
    return f"Image of {' × '.join(map(str, shape))} voxels ({', '.join(axes)}), each {size}.{seen}"


def caption(lesions: Lesions, row: int, length: str) -> str:
    """Say which lesion it is, where, and how large."""
    known: dict[str, Any] = dict(lesions.table)
    size = _size(known)
    place = f", slice {int(known['slice'][row])}" if "slice" in known else ""
    lines = " × ".join(_number(float(known[f"{name}_diameter"][row])) for name in ("longest", "short"))
    value = _number(float(known[size][row])) + unit(size, lesions.units)
    return f"Lesion {int(known['index'][row])}{place}: {lines} {length}, {value}"


def head(name: str, lesions: Lesions) -> str:
    """Return the head of a column, with its unit. Channels are counted: their names may be those of files."""
    words, named = _HEADS.get(name, ""), unit(name, lesions.units).strip()
    if not words:
        kind, suffix = next((k, name.removeprefix(k)) for k in _INTENSITIES if name.startswith(k))
        number = [n.removeprefix(_MEAN) for n in lesions.table if n.startswith(_MEAN)].index(suffix)
        words = _INTENSITIES[kind] + (f", channel {number}" if suffix else "")
    return f"{words} ({named})" if named else words


def cell(value: Any) -> str:
    """Write a value of a table."""
    if isinstance(value, np.bool_):
        return "yes" if value else "no"
    return _number(float(value)) if isinstance(value, np.floating) else str(value)


def _number(value: float) -> str:
    """Write a number with three digits, or all before the point."""
    if math.isnan(value):
        return "–"
    digits = 0 if not value else min(4, max(0, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:.{digits}f}"


def unit(name: str, units: Mapping[str, str]) -> str:
    """Return the unit of a column, a blank before it; empty if it has none."""
    if name.endswith("_change"):
        return " %"
    plain = "longest_diameter" if name.startswith("diameter") or name == "moved" else name
    found = short(units.get(plain.removesuffix("_before").removesuffix("_after"), ""))
    return f" {found}" if found else ""


def short(unit: str) -> str:
    """Abbreviate a unit."""
    for name, brief in _SHORT_UNITS.items():
        unit = unit.replace(name, brief)
    return unit


def _size(known: Mapping[str, Any]) -> str:
    return next(name for name in ("volume_ml", "volume", "area") if name in known)
