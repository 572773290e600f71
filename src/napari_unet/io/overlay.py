"""Pictures of an image with its objects outlined, for people to look at."""

from __future__ import annotations

import math
import os
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import PIL.Image
from skimage.segmentation import find_boundaries

from ..core.axes import Image, Plane
from ..core.errors import ImageError
from .atomic import atomic_file

__all__ = ["contrast", "write_overlay"]

_EDGE: Final = 2048  # pixels; larger planes are thinned out to this
_PERCENTILES: Final = (1.0, 99.8)
_COLOR: Final = (1.0, 0.85, 0.0)


def write_overlay(path: str | os.PathLike[str], image: Image, labels: Image) -> None:
    """Write a PNG of one plane with yellow outlines around the objects.

    Of stacks the middle plane is shown, of time series the middle time point. Planes above 2048 pixels are thinned
    out. 8-bit color is kept; everything else is stretched to its own percentiles, up to three channels as red, green
    and blue.

    Parameters
    ----------
    path : path-like
        File ending in ``.png``; an existing one is replaced.
    image : Image
        Any axes.
    labels : Image
        Its labels: the axes of the image without the channels.

    Raises
    ------
    ImageError
        If the labels do not fit the image.
    OutputError
        If the file cannot be written.
    """
    shape = image.along(image.label_axes)[0]
    if labels.axes != image.label_axes or labels.shape != shape:
        raise ImageError(
            f"The labels have the axes {labels.axes} and the shape {labels.shape}; those of '{image.name}' must have "
            f"{image.label_axes} and {shape}. Choose labels of this image."
        )
    plane, found = _middle(image), _middle(labels)
    step = max(1, math.ceil(max(plane.shape) / _EDGE))
    window = tuple(slice(0, n, step) for n in plane.shape)
    picture = _stretched(plane.read(window))
    # Outlines on the picture of twice the size would be finer, but these are drawn on the very pixels they are of.
    picture[find_boundaries(found.read(window)[0], mode="inner")] = _COLOR
    with atomic_file(path) as temporary:
        PIL.Image.fromarray(np.rint(picture * 255).astype(np.uint8)).save(temporary, format="PNG")


def _middle(image: Image) -> Plane:
    """Return the plane at the middle of every axis but y and x."""
    planes = image.planes(2)
    at = [n // 2 for n, axis in zip(image.shape, image.axes, strict=True) if axis not in "cyx"]
    return next(plane for plane in planes if list(plane.at) == at)


def _stretched(block: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Turn channels ``(c, y, x)`` into red, green and blue ``(y, x, 3)`` from 0 to 1."""
    color = block.dtype == np.uint8 and len(block) in (3, 4)
    shown = [channel / 255.0 if color else contrast(channel) for channel in block[:3]]
    while len(shown) < 3:
        shown.append(shown[0] if len(block) == 1 else np.zeros_like(shown[0]))
    return np.stack(shown, axis=-1)


def contrast(channel: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Stretch a channel from its 1st to its 99.8th percentile, to 0 to 1."""
    with np.errstate(over="ignore"):
        values = np.clip(channel.astype(np.float64), -1e300, 1e300)
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, _PERCENTILES) if known.size else (0.0, 0.0)
    if not high > low:
        return np.zeros(values.shape)
    return np.asarray(np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0.0, 1.0))
