"""Size, place, shape and intensity of every object.

Lengths, areas and volumes are in the units of the image (see :func:`units`); columns that end in ``_px`` and the
bounding box are in pixels. Positions count from the center of the first pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.core.axes import AXES, Image
from napari_unet.core.errors import AxesError, ImageError
from napari_unet.core.results import Table

from ._outline import convex_area, perimeter

__all__ = ["measure", "units"]

_DENSE_ID: Final = 1 << 26

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def measure(labels: Image, image: Image | None = None) -> Table:
    """Measure all objects, time point by time point; only one time point and channel is in memory at once.

    Parameters
    ----------
    labels : Image
        Whole numbers from 0 with the axes ``yx`` or ``zyx``, in any order, and perhaps ``t``. All pixels of one value
        (at one time) are one object; a mask of booleans is one object.
    image : Image, optional
        Of the same size along the axes of `labels`; its intensities are measured for each channel.

    Returns
    -------
    dict of str to ndarray
        One row for each object and time point, ordered by time and label:

        - ``index``: the label; ``t``: the time point (only where labels have time).
        - 2D: ``area``, ``area_px``; 3D: ``volume``, ``volume_px``.
        - ``centroid_z`` (3D), ``centroid_y``, ``centroid_x``.
        - ``equivalent_diameter``: of the disk or ball of the same size.
        - ``major_axis``, ``middle_axis`` (3D), ``minor_axis``: of the ellipse or ellipsoid with the same second
          moments, each pixel counted as a full rectangle or box.
        - 2D: ``eccentricity`` (0 for a disk); ``perimeter`` (Crofton's formula); ``circularity``,
          ``4 pi area / perimeter**2``, at most 1; ``solidity``, the share of the pixels within the convex hull of the
          pixel centers that belong to the object.
        - ``bbox_y0``, ``bbox_y1`` and so on: first pixel and the one after the last.
        - ``touches_border``: whether the object may continue outside of the image.
        - ``intensity_mean``, ``_std``, ``_min``, ``_max``, ``_sum``, with ``_c0``, ``_c1`` ... appended where the
          image has a channel axis. NaN in an object makes its intensities NaN.

    Raises
    ------
    ImageError
        If the values are not labels.
    AxesError
        If `image` does not fit `labels`, or labels have more than one channel.
    """
    if labels.channels > 1:
        raise AxesError(f"'{labels.name}' has {labels.channels} channels; labels have none. Choose one channel.")
    if image is not None:
        _check_fit(labels, image)
    times = range(labels.along("t")[0][0]) if "t" in labels.axes else (None,)
    tables = [_measure_time(labels, image, t) for t in times]
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def units(labels: Image) -> dict[str, str]:
    """Say in which unit each column of :func:`measure` is.

    Parameters
    ----------
    labels : Image
        The labels that are measured.

    Returns
    -------
    dict of str to str
        Unit of each column that has one; the others are counts or pure numbers.
    """
    axes = _spatial(labels)
    named = labels.along(axes)[2]
    one = named[0] if len(set(named)) == 1 else ""
    size = f"{one}{'²³'[len(axes) - 2]}" if one else "·".join(named)
    # A length in no one direction has no unit if the axes have different ones.
    lengths = ["equivalent_diameter", "major_axis", "minor_axis"] + (["perimeter"] if len(axes) == 2 else [])
    lengths += ["middle_axis"] if len(axes) == 3 else []
    found = {"area" if len(axes) == 2 else "volume": size} | dict.fromkeys(lengths, one or "mixed")
    return found | {f"centroid_{a}": u for a, u in zip(axes, named, strict=True)}


@dataclass(frozen=True)
class _Objects:
    """The pixels of all objects at one time, in the order of memory."""

    ids: Ints
    labels: Ints
    where: npt.NDArray[np.intp]
    which: Ints
    pixels: Ints

    def sums(self, weights: npt.NDArray[np.floating[Any]]) -> Floats:
        totals: Floats = np.bincount(self.which, weights=weights, minlength=len(self.ids)).astype(np.float64)
        return totals


def _spatial(labels: Image) -> str:
    return "".join(a for a in AXES if a in labels.spatial)


def _check_fit(labels: Image, image: Image) -> None:
    own, other = labels.label_axes, image.label_axes
    if set(own) != set(other) or labels.along(own)[0] != image.along(own)[0]:
        raise AxesError(
            f"The labels '{labels.name}' ({labels.axes} {labels.shape}) and the image '{image.name}' "
            f"({image.axes} {image.shape}) do not cover the same pixels. Choose the image that was segmented."
        )


def _measure_time(labels: Image, image: Image | None, t: int | None) -> Table:
    axes = _spatial(labels)
    objects = _find(_read(labels, axes, t), labels.name)
    scale = labels.along(axes)[1]
    table: Table = {"index": objects.ids}
    if t is not None:
        table["t"] = np.full(len(objects.ids), t, np.int64)
    table |= _shape(objects, axes, scale)
    table |= _box(objects, axes)
    if len(axes) == 2:
        table |= _outline(objects, (scale[0], scale[1]), table)
    if image is not None:
        for channel in range(image.channels):
            suffix = f"_c{channel}" if "c" in image.axes else ""
            values = _read(image, axes, t, channel).reshape(-1)[objects.where].astype(np.float64)
            table |= {f"intensity_{name}{suffix}": column for name, column in _intensity(objects, values).items()}
    return table


def _read(image: Image, axes: str, t: int | None, channel: int = 0) -> npt.NDArray[Any]:
    """Load one time point of one channel with the given order of axes."""
    held = {"t": t, "c": channel}
    index = tuple(held.get(a, slice(None)) for a in image.axes)
    try:
        block = np.asarray(image.data[index])
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ImageError(f"'{image.name}' could not be read: {error}. Check that the file is complete.") from error
    left = [a for a in image.axes if a not in held]
    return block.transpose([left.index(a) for a in axes])


def _find(values: npt.NDArray[Any], name: str) -> _Objects:
    """List the objects and their pixels, numbered 0..n-1 in `which` and 1..n in `labels`."""
    kind = values.dtype.kind
    if kind not in "buif" or (kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all())):
        raise ImageError(
            f"'{name}' does not hold labels ({values.dtype}). Labels are whole numbers: 0 is background, "
            "each object has its own."
        )
    values = np.ascontiguousarray(values, dtype=np.int64)
    if int(values.min()) < 0:
        raise ImageError(f"'{name}' holds negative numbers. Labels are 0 (background) or from 1 up.")
    where = np.flatnonzero(values)
    inside = values.reshape(-1)[where]
    if inside.size and int(inside.max()) < max(_DENSE_ID, 4 * values.size):
        table = np.bincount(inside)
        ids = np.flatnonzero(table)
        which = (np.cumsum(table > 0) - 1)[inside]
        pixels = table[ids]
    else:
        ids, which, pixels = np.unique(inside, return_inverse=True, return_counts=True)
    labels = np.zeros(values.shape, np.int64)
    labels.reshape(-1)[where] = which + 1
    return _Objects(ids, labels, where, which, pixels)


def _shape(objects: _Objects, axes: str, scale: tuple[float, ...]) -> Table:
    """Size, centroid and axes of the equivalent ellipse or ellipsoid, from the moments of the pixels."""
    ndim, element = len(axes), math.prod(scale)
    name = "area" if ndim == 2 else "volume"
    size = objects.pixels * element
    table: Table = {name: size, f"{name}_px": objects.pixels}
    offsets = []
    for a, index, step in zip(axes, np.unravel_index(objects.where, objects.labels.shape), scale, strict=True):
        position = index * step
        center = objects.sums(position) / objects.pixels
        table[f"centroid_{a}"] = center
        offsets.append(position - center[objects.which])
    covariance = np.empty((len(objects.ids), ndim, ndim))
    for i in range(ndim):
        for j in range(i, ndim):
            covariance[:, i, j] = covariance[:, j, i] = objects.sums(offsets[i] * offsets[j]) / objects.pixels
        # A pixel is a box and not a point.
        covariance[:, i, i] += scale[i] ** 2 / 12
    spread = np.linalg.eigvalsh(covariance)
    # Along an axis of half length a, the variance of a filled ellipse is a²/4, of an ellipsoid a²/5.
    lengths = 2 * np.sqrt((ndim + 2) * spread)
    table["equivalent_diameter"] = 2 * np.sqrt(size / math.pi) if ndim == 2 else np.cbrt(6 * size / math.pi)
    table["major_axis"] = lengths[:, -1]
    if ndim == 3:
        table["middle_axis"] = lengths[:, 1]
    table["minor_axis"] = lengths[:, 0]
    if ndim == 2:
        table["eccentricity"] = np.sqrt(np.maximum(0.0, 1 - spread[:, 0] / spread[:, 1]))
    return table


def _box(objects: _Objects, axes: str) -> Table:
    shape = objects.labels.shape
    # A depth of one plane is no border in depth.
    open_axes = [n > 1 or a in "yx" for a, n in zip(axes, shape, strict=True)]
    found = ndimage.find_objects(objects.labels) if len(objects.ids) else []
    bounds = np.array([[(s.start, s.stop) for s in box] for box in found], np.int64).reshape(-1, len(axes), 2)
    edge = (bounds[:, :, 0] == 0) | (bounds[:, :, 1] == np.array(shape))
    table: Table = {f"bbox_{a}{k}": bounds[:, i, k] for k in (0, 1) for i, a in enumerate(axes)}
    return table | {"touches_border": (edge & np.array(open_axes)).any(axis=1)}


def _outline(objects: _Objects, scale: tuple[float, float], table: Table) -> Table:
    count = len(objects.ids)
    length = perimeter(objects.labels, count, scale)
    top, bottom = table["bbox_y0"].astype(np.int64), table["bbox_y1"].astype(np.int64)
    hull = convex_area(objects.labels, count, top, bottom - top)
    area = objects.pixels * math.prod(scale)
    return {
        "perimeter": length,
        "circularity": np.minimum(1.0, 4 * math.pi * area / length**2),
        "solidity": objects.pixels / hull,
    }


def _intensity(objects: _Objects, values: Floats) -> dict[str, Floats]:
    count = len(objects.ids)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    with np.errstate(invalid="ignore"):
        np.minimum.at(low, objects.which, values)
        np.maximum.at(high, objects.which, values)
        total = objects.sums(values)
        mean = total / objects.pixels
        spread = np.sqrt(objects.sums((values - mean[objects.which]) ** 2) / objects.pixels)
    return {"mean": mean, "std": spread, "min": low, "max": high, "sum": total}
