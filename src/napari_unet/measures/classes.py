"""Classes of pixels: how much of an image is of each."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.ground import PixelAreas, areas_in
from napari_unet.core.results import Table
from napari_unet.core.windows import Reader, windows

__all__ = ["measure", "with_inner"]

Floats = npt.NDArray[np.float64]

_SUMS: Final = ("pixels", "area", "volume", "share", "area_m2")


def measure(labels: Image, image: Image | None = None, ground: PixelAreas | None = None) -> Table:
    """Count the pixels of every class; memory is needed for the table, not for the image.

    Parameters
    ----------
    labels : Image
        Whole numbers from 0, any axes; planes and time points are counted together.
    image : Image, optional
        Of no use here.
    ground : callable, optional
        How large pixels are on the ground; of no use for stacks.

    Returns
    -------
    dict of str to ndarray
        One row for each class that is there: ``index``, its number; ``pixels``; ``area`` (2D) or ``volume`` (3D) in the
        units of the image, as the map shows it; ``share`` of all pixels, 0 to 1; and ``area_m2``, square meters on the
        ground, where they are known.
    """
    reader = Reader(labels.data, labels.name)
    spatial = labels.along(labels.spatial)[1]
    ground = None if len(spatial) == 3 else ground
    sums: dict[int, tuple[int, float]] = {}
    for window in windows(labels.shape):
        areas = None if ground is None else areas_in(ground, labels.axes, window)
        for number, count, area in zip(*_count(reader.read(window), areas), strict=True):
            known = sums.get(int(number), (0, 0.0))
            sums[int(number)] = known[0] + count, known[1] + area
    total = sum(count for count, _ in sums.values())
    found = sorted(number for number in sums if number)
    pixels = np.array([sums[number][0] for number in found], np.int64)
    size = "volume" if len(spatial) == 3 else "area"
    table: Table = {"index": np.array(found, np.int64), "pixels": pixels, size: pixels * math.prod(spatial)}
    table["share"] = pixels / max(total, 1)
    if ground is not None:
        table["area_m2"] = np.array([sums[number][1] for number in found], np.float64)
    return table


def with_inner(table: Table) -> Table:
    """Count classes that lie within each other as the regions that they are.

    Parameters
    ----------
    table : dict of str to ndarray
        Of :func:`measure`, where each pixel counts for the innermost class; perhaps with means of each class.

    Returns
    -------
    dict of str to ndarray
        The same columns, one row for each region that is there: counts, sizes and shares with all that lies within it,
        other columns as means over the pixels.
    """
    known: dict[str, Any] = dict(table)
    found = np.arange(1, int(known["index"].max(initial=0)) + 1)
    inner = known["index"] >= found[:, None]
    pixels = inner @ known["pixels"]
    sums = {name: inner @ known[name] for name in _SUMS if name in known}
    means = {n: inner @ (c * known["pixels"]) / pixels for n, c in known.items() if n not in (*_SUMS, "index")}
    return {name: ({"index": found} | sums | means)[name] for name in known}


def _count(values: npt.NDArray[Any], areas: Floats | None) -> tuple[list[Any], list[int], list[float]]:
    """Return the numbers of a window, how many pixels there are of each, and their areas: 0 where none are given."""
    if areas is None or areas.size == 1:
        numbers, many = np.unique(values, return_counts=True)
        sizes = np.asarray(many * (0.0 if areas is None else areas.item()), np.float64)
    else:
        numbers, where, many = np.unique(values, return_inverse=True, return_counts=True)
        sizes = np.asarray(
            np.bincount(where.ravel(), np.broadcast_to(areas, values.shape).ravel(), len(many)), np.float64
        )
    return numbers.tolist(), many.tolist(), sizes.tolist()
