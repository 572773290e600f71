"""Size, place, shape and intensity of every object.

Lengths, areas and volumes are in the units of the image (see :func:`units`); columns that end in ``_px`` and the
bounding box are in pixels. Positions count from the center of the first pixel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError
from napari_unet.core.results import Table
from napari_unet.core.steps import Progress, Steps, finish
from napari_unet.core.windows import Reader, count_windows, windows

from ._intensity import Intensities
from ._moments import Moments
from ._outline import Outlines
from ._runs import Numbers, find_runs
from ._source import Source, check_fit, spatial

__all__ = ["measure", "measure_steps", "units"]

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
        - ``intensity_mean``, ``_std``, ``_min``, ``_max``, ``_sum``, with ``_c0``, ``_c1`` ... appended where the
          image has a channel axis. NaN in an object makes its intensities NaN.

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
    if labels.channels > 1:
        raise AxesError(f"'{labels.name}' has {labels.channels} channels; labels have none. Choose one channel.")
    if image is not None:
        check_fit(labels, image)
    times = range(labels.along("t")[0][0]) if "t" in labels.axes else (None,)
    own, channels, suffixes = Source(labels, Reader(labels.data, labels.name)), [], []
    if image is not None:
        reader, several = Reader(image.data, image.name), "c" in image.axes
        channels = [Source(image, reader, channel) for channel in range(image.channels)]
        suffixes = [f"_c{channel}" if several else "" for channel in range(image.channels)]
    tables, each = [], count_windows(own.shape)
    for number, t in enumerate(times):
        steps = _measure_time(own, channels, t, suffixes)
        tables.append((yield from _counted(steps, number * each, len(times) * each)))
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


def _counted(steps: Generator[None, None, Table], done: int, total: int) -> Steps[Table]:
    """Report windows, `done` of them before these."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        done += 1
        yield Progress(done, total, "Measuring the objects")


def _measure_time(
    labels: Source, channels: list[Source], t: int | None, suffixes: list[str]
) -> Generator[None, None, Table]:
    """Measure one time point; give way after every window."""
    axes, scale = labels.axes, labels.scale
    shape = labels.shape
    numbers, moments = Numbers(), Moments()
    outlines = Outlines(shape[0]) if len(axes) == 2 else None
    intensities = [Intensities() for _ in channels]
    for window in windows(shape):
        values = labels.read(t, window)
        runs = find_runs(values, numbers, labels.name)
        count, at = len(numbers.ids), [part.start for part in window]
        moments.add(runs, count, (0, *at)[-3:], values.shape[-2])
        if outlines is not None:
            outlines.add(runs, count, (at[0], at[1]), values.shape)
        for channel, sums in zip(channels, intensities, strict=True):
            sums.add(runs, count, channel.read(t, window))
        yield
    order = np.argsort(numbers.ids)
    moments.take(order)
    table: Table = {"index": numbers.ids[order]}
    if t is not None:
        table["t"] = np.full(len(order), t, np.int64)
    table |= _shape(moments, axes, scale) | _box(moments, axes, shape)
    if outlines is not None:
        table |= _outline(outlines, moments.pixels, order, (scale[0], scale[1]))
    for suffix, sums in zip(suffixes, intensities, strict=True):
        table |= {f"intensity_{name}{suffix}": column for name, column in sums.columns(order).items()}
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
