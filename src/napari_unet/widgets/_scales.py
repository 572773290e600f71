"""Pixel sizes that a layer was given, and those that its file says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pint

from napari_unet import workflows
from napari_unet.core.errors import UNetError

from ._layers import KEY, SIZES

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_unet.core.axes import Image

__all__ = ["given_sizes"]


def given_sizes(
    layer: Layer | None, image: Image, file: str | tuple[str, ...] | None
) -> tuple[tuple[str, float, str], ...]:
    """Return the pixel sizes of a layer that its file does not say.

    Parameters
    ----------
    layer : napari.layers.Layer or None
        An image.
    image : Image
        What a run sees of it.
    file : str or tuple of str or None
        Where it is read from; looked at only if the layer was opened by another reader.

    Returns
    -------
    tuple of (str, float, str)
        Axis, size and unit of those that differ; empty where nobody can tell.
    """
    record = layer.metadata.get(KEY) if layer is not None else None
    told = record.get(SIZES) if isinstance(record, dict) else None
    told = _read(file) if told is None else told
    axes = image.label_axes
    _, scale, units = image.along(axes)
    return tuple(
        (axis, size, unit)
        for axis, size, unit in zip(axes, scale, units, strict=True)
        if axis in told and not _same(told[axis], (size, unit))
    )


def _read(file: str | tuple[str, ...] | None) -> dict[str, tuple[float, str]]:
    first = file[0] if isinstance(file, tuple) else file
    if not first:
        return {}
    try:
        image = workflows.read_image(first)
    except UNetError:
        return {}
    return dict(zip(image.axes, zip(image.scale, image.units, strict=True), strict=True))


def _same(one: tuple[float, str], other: tuple[float, str]) -> bool:
    return math.isclose(one[0], other[0], rel_tol=1e-6) and _unit(one[1]) == _unit(other[1])


def _unit(name: str) -> Any:
    """Return a unit that napari knows; all others are pixels there."""
    known = pint.application_registry
    return known.Unit(name if name in known else "pixel")
