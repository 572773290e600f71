"""Labels beside an axis of channels: they have none, and lie on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_unet.core.axes import Image

__all__ = ["channel_axis", "repeat"]


def channel_axis(layer: Layer, image: Image) -> tuple[int, int] | None:
    """Tell where labels need an axis of channels to lie where the image lies.

    napari aligns layers by their last dimensions. A channel axis in front can be left out; one in the middle must be
    kept, or time would lie on channels.

    Parameters
    ----------
    layer : napari.layers.Image
        The image layer.
    image : Image
        Its data with axes.

    Returns
    -------
    tuple of (int, int) or None
        The dimension and the number of channels; None if there is nothing to be put in.
    """
    at = image.axes.find("c")
    return None if at < 1 or at >= len(layer.scale) else (at, image.channels)


def repeat(array: npt.NDArray[Any], channels: tuple[int, int] | None) -> npt.NDArray[Any]:
    """Repeat labels along an axis of channels, without a copy.

    Parameters
    ----------
    array : ndarray
        Labels.
    channels : tuple of (int, int) or None
        See :func:`channel_axis`; None returns the array as it is.

    Returns
    -------
    ndarray
        A view: what is painted in one channel is there in all.
    """
    if channels is None:
        return array
    shape, strides = list(array.shape), list(array.strides)
    shape.insert(channels[0], channels[1])
    strides.insert(channels[0], 0)
    return np.lib.stride_tricks.as_strided(array, shape, strides)
