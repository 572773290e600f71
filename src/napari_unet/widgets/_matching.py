"""Which labels were drawn on which image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, UNetError

from ._layers import layer_axes, layer_image

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["axes_on", "in_words", "matching"]


def matching(viewer: Viewer) -> list[tuple[Layer, Layer]]:
    """Find images and the labels that were drawn on them.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layers.

    Returns
    -------
    list of (layer, layer)
        Image and labels, topmost labels first; labels of no image are left out.
    """
    images = [y for y in reversed(viewer.layers) if isinstance(y, ImageLayer)]
    found = []
    for labels in (y for y in reversed(viewer.layers) if isinstance(y, LabelsLayer)):
        fitting = [image for image in images if _fits(image, labels)]
        # Labels that a dock has made bear the name of their image.
        fitting.sort(key=lambda image: not labels.name.startswith(image.name))
        found += [(fitting[0], labels)] if fitting else []
    return found


def _fits(image: Layer, labels: Layer) -> bool:
    axes, _ = layer_axes(image)
    if not axes:
        return False
    try:
        source = layer_image(image, axes)
        given = layer_image(labels, axes_on(labels, source))
        return bool(given.along(source.label_axes)[0] == source.along(source.label_axes)[0])
    except UNetError:
        return False


def axes_on(labels: Layer, image: Image) -> str:
    """Tell the axes of labels from those of their image.

    Parameters
    ----------
    labels : napari.layers.Labels
        With the channels of the image, along which they repeat, or without.
    image : Image
        What they were drawn on.

    Returns
    -------
    str
        One letter for each dimension.

    Raises
    ------
    AxesError
        If the numbers of dimensions do not fit.
    """
    ndim = len(_shape(labels))
    for axes in (image.label_axes, image.axes):
        if len(axes) == ndim:
            return axes
    raise AxesError(
        f"'{labels.name}' has {ndim} dimensions, but '{image.name}' has the axes {image.axes}. "
        "Choose the labels that were drawn on this image."
    )


def _shape(layer: Layer) -> tuple[int, ...]:
    data: Any = layer.data[0] if layer.multiscale else layer.data
    return tuple(data.shape)


def in_words(shape: tuple[int, ...]) -> str:
    """Write a shape: ``"512 × 512"``."""
    return " × ".join(map(str, shape))
