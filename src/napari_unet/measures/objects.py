"""Size, place, shape and intensity of every object.

Lengths, areas and volumes are in the units of the image (see :func:`units`); columns that end in ``_px`` and the
bounding box are in pixels. Positions count from the center of the first pixel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.results import Table
from napari_unet.core.steps import Progress, Steps, finish

from ._moments import Moments
from ._outline import Outlines
from ._parts import Parts, Sums
from ._source import spatial

if TYPE_CHECKING:
    from ._inside import SharedParts

__all__ = ["counted_steps", "measure", "measure_steps", "tabulate", "units"]

_ZYX: Final = {"z": 0, "y": 1, "x": 2}

Ints = npt.NDArray[np.integer[Any]]


def measure(labels: Image, image: Image | None = None) -> Table:
    """Measure all objects, in windows: memory is needed for the table, not for the image.

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
        - ``intensity_mean``, ``_std``, ``_min``, ``_max``, ``_sum``; where the image has a channel axis the names of
          its channels are appended, as in ``intensity_mean_FLAIR``, or ``_c0``, ``_c1`` ... if they have none. NaN in
          an object makes its intensities NaN.

    Raises
    ------
    ImageError
        If the values are not labels.
    AxesError
        If `image` does not fit `labels`, or labels have more than one channel.
    """
    return finish(measure_steps(labels, image))


def measure_steps(labels: Image, image: Image | None = None) -> Steps[Table]:
    """Measure all objects, window by window; see :func:`measure`.

    Parameters
    ----------
    labels, image : Image
        As for :func:`measure`.

    Returns
    -------
    dict of str to ndarray
        As :func:`measure` returns it.

    Yields
    ------
    Progress
        One for every window.

    Raises
    ------
    ImageError, AxesError
        As :func:`measure`.
    """
    parts = Parts(labels, image)
    yield from counted_steps(parts, "Measuring the objects")
    return tabulate(labels, parts)


def counted_steps(parts: Parts | SharedParts, words: str) -> Steps[None]:
    """Measure all parts, one after the other.

    Parameters
    ----------
    parts : Parts or SharedParts
        None of them measured.
    words : str
        What is done, for the user.

    Yields
    ------
    Progress
        One for every window.

    Raises
    ------
    ImageError
        If the values are not labels.
    """
    for number in range(len(parts)):
        steps: Generator[None, None, Any] = parts.measure(number)
        before = parts.windows(number)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                parts.add(number, end.value)
                break
            before += 1
            yield Progress(before, parts.windows(len(parts)), words)


def tabulate(labels: Image, parts: Parts) -> Table:
    """Make the table of :func:`measure`.

    Parameters
    ----------
    labels : Image
        What was measured.
    parts : Parts
        All of them measured.

    Returns
    -------
    dict of str to ndarray
        See :func:`measure`.
    """
    tables = [_table(spatial(labels), t, sums, parts) for t, sums in zip(parts.times, parts.sums, strict=True)]
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
    axes = spatial(labels)
    named = labels.along(axes)[2]
    one = named[0] if len(set(named)) == 1 else ""
    size = f"{one}{'²³'[len(axes) - 2]}" if one else "·".join(named)
    # A length in no one direction has no unit if the axes have different ones.
    lengths = ["equivalent_diameter", "major_axis", "minor_axis"] + (["perimeter"] if len(axes) == 2 else [])
    lengths += ["middle_axis"] if len(axes) == 3 else []
    found = {"area" if len(axes) == 2 else "volume": size} | dict.fromkeys(lengths, one or "mixed")
    return found | {f"centroid_{a}": u for a, u in zip(axes, named, strict=True)}


def _table(axes: str, t: int | None, sums: Sums, parts: Parts) -> Table:
    """Make the table of one time point."""
    scale, order = parts.scale, np.argsort(sums.ids)
    moments, outlines = sums.moments, sums.outlines
    moments.take(order)
    table: Table = {"index": sums.ids[order]}
    if t is not None:
        table["t"] = np.full(len(order), t, np.int64)
    table |= _shape(moments, axes, scale) | _box(moments, axes, parts.shape)
    if outlines is not None:
        table |= _outline(outlines, moments.pixels, order, (scale[0], scale[1]))
    for suffix, channel in zip(parts.suffixes, sums.intensities, strict=True):
        table |= {f"intensity_{name}{suffix}": column for name, column in channel.columns(order).items()}
    return table


def _shape(moments: Moments, axes: str, scale: tuple[float, ...]) -> Table:
    """Size, centroid and axes of the equivalent ellipse or ellipsoid, from the moments of the pixels."""
    ndim, element, pixels = len(axes), math.prod(scale), moments.pixels
    name = "area" if ndim == 2 else "volume"
    size = pixels * element
    table: Table = {name: size, f"{name}_px": pixels}
    table |= {f"centroid_{a}": moments.center(_ZYX[a]) * step for a, step in zip(axes, scale, strict=True)}
    covariance = np.empty((len(pixels), ndim, ndim))
    for i, j in itertools.combinations_with_replacement(range(ndim), 2):
        found = moments.covariance(_ZYX[axes[i]], _ZYX[axes[j]]) * (scale[i] * scale[j])
        # A pixel is a box and not a point.
        covariance[:, i, j] = covariance[:, j, i] = found + (scale[i] ** 2 / 12 if i == j else 0.0)
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


def _box(moments: Moments, axes: str, shape: tuple[int, ...]) -> Table:
    bounds = [moments.bounds(_ZYX[a]) for a in axes]
    edge = np.zeros(len(bounds[0][0]), np.bool_)
    for a, n, (first, last) in zip(axes, shape, bounds, strict=True):
        # A depth of one plane is no border in depth.
        if n > 1 or a in "yx":
            edge |= (first == 0) | (last == n)
    table: Table = {f"bbox_{a}{k}": pair[k] for k in (0, 1) for a, pair in zip(axes, bounds, strict=True)}
    return table | {"touches_border": edge}


def _outline(outlines: Outlines, pixels: Ints, order: Ints, scale: tuple[float, float]) -> Table:
    length = outlines.perimeter(pixels, order, scale)
    return {
        "perimeter": length,
        "circularity": np.minimum(1.0, 4 * math.pi * (pixels * math.prod(scale)) / length**2),
        "solidity": pixels / outlines.convex_area(order),
    }
