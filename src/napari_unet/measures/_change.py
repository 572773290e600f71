"""What a map of classes becomes from one date to the next: how much of each class, and what turned into what.

The change table is the transition matrix of land cover monitoring (Pontius, Shusas and McEachern 2004): the diagonal is
what persisted; a row sums up to what a class was, a column to what it has become.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.classes import as_classes
from napari_unet.core.errors import AxesError, ImageError, SpecError
from napari_unet.core.ground import PixelAreas
from napari_unet.core.lengths import millimeters
from napari_unet.core.results import Table
from napari_unet.core.steps import Progress, Steps
from napari_unet.core.windows import Reader, count_windows, windows

__all__ = ["AREAS", "measure_change"]

# Square meters in a unit of area.
AREAS: Final = {"m2": 1.0, "ha": 1e4, "km2": 1e6, "mm2": 1e-6}
_MOST: Final = 256
_ADVICE: Final = "change is measured of maps of classes only: follow objects with 'track'"


Floats = npt.NDArray[np.float64]


def measure_change(
    labels: Image,
    names: Sequence[str] = (),
    unit: str = "",
    empty: bool = True,
    ground: PixelAreas | None = None,
) -> Steps[tuple[Table, Table]]:
    """Measure how classes change, window by window: memory is that of a window and the tables.

    Parameters
    ----------
    labels : Image
        Class numbers from 0 to 255 with the axes ``tyx``, in any order, all dates on one grid.
    names : sequence of str
        Of the classes 1, 2 and so on.
    unit : str
        ``"m2"``, ``"ha"``, ``"km2"``, ``"mm2"`` or ``"pixels"``; empty: square meters where the size of a pixel is
        known, else pixels.
    empty : bool
        Whether 0 is a class like the others (background). If not it means that nothing is known there, and is left out.
    ground : callable, optional
        How large pixels are on the ground. Without it their size is that of the map.

    Returns
    -------
    areas : dict of str to ndarray
        A row for each date and class: ``t``, ``class``, ``name``, ``pixels``, ``area``, ``share`` (of what is known at
        that date) and ``unit``.
    changes : dict of str to ndarray
        A row for each two dates that follow each other (and for the first and the last, if there are more), and each
        two classes: ``t_from``, ``t_to``, ``from``, ``to``, ``name_from``, ``name_to``, ``pixels``, ``area``, ``share``
        (of what the class was) and ``unit``. Only what is known at both dates counts.

    Yields
    ------
    Progress
        One for each window.

    Raises
    ------
    AxesError
        If labels have no time, planes in depth, or channels.
    ImageError
        If they are no classes, or nothing is known of them.
    SpecError
        If the unit is none, the size of a pixel is not known in a unit of length, or two classes bear one name.
    """
    axes = labels.axes
    if sorted(axes) != ["t", "x", "y"]:
        raise AxesError(
            f"'{labels.name}' has the axes '{axes}', but change is measured along t, y and x. Put the dates into one "
            "image with the axes tyx, on one grid."
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise SpecError(f"Two classes are called '{twice[0]}'. Give each a name of its own.")
    pixel, unit = _pixel(labels, unit, ground is not None)
    times = labels.along("t")[0][0]
    both = [(t, t + 1) for t in range(times - 1)] + ([(0, times - 1)] if times > 2 else [])
    tables = _Sums(len(both) * _MOST**2, ground is not None and unit != "pixels")
    counts = _Sums(times * _MOST, tables.weighed)
    reader, plane = Reader(labels.data, labels.name), labels.along("yx")[0]
    total = count_windows(plane)
    for done, window in enumerate(windows(plane)):
        values = _read(reader, axes, window, labels.name)
        areas = ground(*window) if ground is not None and tables.weighed else None
        for t in range(times):
            counts.add(t * _MOST, _MOST, values[t], areas)
        for k, (t, later) in enumerate(both):
            tables.add(k * _MOST**2, _MOST**2, values[t].astype(np.int64) * _MOST + values[later], areas)
        yield Progress(done + 1, total, "Comparing the dates")
    dated, turned = counts.shaped((times, _MOST), pixel), tables.shaped((len(both), _MOST, _MOST), pixel)
    if not empty:
        for each in (*dated, *turned):
            each[:, 0] = 0
        for each in turned:
            each[:, :, 0] = 0
    told = _Told(_kinds(dated[0], len(names), empty), names, unit)
    if not told.kinds:
        raise ImageError(
            f"'{labels.name}' holds nothing but 0, which is to mean that nothing is known there: there is nothing to "
            "compare. If 0 is a class like the others, leave out --unknown (in Python: empty=True)."
        )
    return told.areas(*dated), told.changes(both, *turned)


class _Sums:
    """Pixels by number, and their areas."""

    def __init__(self, length: int, weighed: bool) -> None:
        self.weighed = weighed
        self._pixels, self._areas = np.zeros(length, np.int64), np.zeros(length if weighed else 0)

    def add(self, start: int, length: int, numbers: npt.NDArray[Any], areas: Floats | None) -> None:
        """Count the pixels of a window, row by row, whose areas are given if they are weighed."""
        many = np.bincount(numbers, minlength=length)
        self._pixels[start : start + length] += many
        if areas is None:
            return
        if areas.size == 1:
            self._areas[start : start + length] += many * areas.item()
        else:
            self._areas[start : start + length] += np.bincount(numbers, areas.ravel(), length)

    def shaped(self, shape: tuple[int, ...], pixel: float) -> tuple[npt.NDArray[np.int64], Floats]:
        """Return pixels and areas: of one pixel, or of one square meter if they are weighed, as given."""
        pixels = self._pixels.reshape(shape)
        return pixels, np.asarray((self._areas.reshape(shape) if self.weighed else pixels) * pixel, np.float64)


def _read(reader: Reader, axes: str, window: Sequence[slice], name: str) -> npt.NDArray[np.uint8]:
    """Return the classes of a window, ``(t, pixels)``."""
    at = {"t": slice(0, reader.shape[axes.index("t")]), "y": window[0], "x": window[1]}
    block = reader.read(tuple(at[axis] for axis in axes)).transpose([axes.index(axis) for axis in "tyx"])
    return as_classes(block.reshape(len(block), -1), name, _ADVICE)


def _pixel(labels: Image, unit: str, grounded: bool) -> tuple[float, str]:
    """Return the area of a pixel, or of a square meter where the ground is known, and its unit."""
    _, scale, units = labels.along("yx")
    sides = [step * millimeters(word) / 1000 for step, word in zip(scale, units, strict=True)]
    square = 1.0 if grounded else math.prod(sides)
    if unit in ("px", "pixels") or (not unit and math.isnan(square)):
        return 1.0, "pixels"
    if unit and unit not in AREAS:
        raise SpecError(f"'{unit}' is no unit of area here. Choose one of {', '.join(AREAS)}, or pixels.")
    if math.isnan(square):
        raise SpecError(
            f"'{labels.name}' does not say how large a pixel is in a unit of length ({', '.join(units)}), so areas "
            f"cannot be in {unit}. Give maps that know their coordinate reference system and install the "
            "extra 'geo', or count pixels."
        )
    return square / AREAS[unit or "m2"], unit or "m2"


def _kinds(counts: npt.NDArray[np.int64], named: int, empty: bool) -> list[int]:
    """Return the classes of the tables: all that have a name, and all that occur."""
    there = set(np.flatnonzero(counts.any(0)).tolist()) | set(range(1, named + 1))
    return sorted(there if empty else there - {0})


class _Told:
    """Tables as they are written."""

    def __init__(self, kinds: list[int], names: Sequence[str], unit: str) -> None:
        self.kinds, self.unit = kinds, unit
        known = {0: "background"} | dict(enumerate(names, 1))
        self.names = [known.get(kind, f"class {kind}") for kind in kinds]

    def areas(self, counts: npt.NDArray[np.int64], areas: Floats) -> Table:
        pixels, dates = counts[:, self.kinds], len(counts)
        sums = np.maximum(pixels.sum(1, keepdims=True), 1)
        return {
            "t": np.repeat(np.arange(dates), len(self.kinds)),
            "class": np.tile(self.kinds, dates),
            "name": np.tile(self.names, dates),
            **self._sizes(pixels, areas[:, self.kinds], pixels / sums),
        }

    def changes(self, both: Sequence[tuple[int, int]], tables: npt.NDArray[np.int64], areas: Floats) -> Table:
        k, pixels = len(self.kinds), tables[:, self.kinds][:, :, self.kinds]
        sums = np.maximum(pixels.sum(2, keepdims=True), 1)
        pairs = np.array(both, np.int64).reshape(-1, 2)
        return {
            "t_from": np.repeat(pairs[:, 0], k * k),
            "t_to": np.repeat(pairs[:, 1], k * k),
            "from": np.tile(np.repeat(self.kinds, k), len(both)),
            "to": np.tile(np.tile(self.kinds, k), len(both)),
            "name_from": np.tile(np.repeat(self.names, k), len(both)),
            "name_to": np.tile(np.tile(self.names, k), len(both)),
            **self._sizes(pixels, areas[:, self.kinds][:, :, self.kinds], pixels / sums),
        }

    def _sizes(self, pixels: npt.NDArray[np.int64], areas: Floats, share: Floats) -> dict[str, Any]:
        flat = pixels.ravel()
        return {
            "pixels": flat,
            "area": areas.ravel(),
            "share": share.ravel(),
            "unit": np.full(len(flat), self.unit),
        }
