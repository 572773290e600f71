"""The demo's results in a viewer of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import napari
import numpy as np

from napari_unet.core.axes import Image
from napari_unet.core.results import Table

__all__ = ["fill", "show_demo"]

Found = tuple[Image, Image, Table]


def show_demo(found: Sequence[Found]) -> None:
    """Open a viewer with images and their labels; return when it is closed.

    Parameters
    ----------
    found : sequence of (Image, Image, Table)
        Image, labels, and the measurements of the objects.
    """
    viewer = napari.Viewer(title="napari-unet")
    fill(viewer, found)
    napari.run()


def fill(viewer: Any, found: Sequence[Found]) -> None:
    """Add images and their labels side by side.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
        Where they go.
    found : sequence of (Image, Image, Table)
        As in :func:`show_demo`.
    """
    place = 0.0
    for image, labels, table in found:
        color = image.axes.endswith("c")
        n = len(image.axes) - color
        shift = (*[0.0] * (n - 1), place)
        viewer.add_image(
            image.data, rgb=color, name=image.name, translate=shift, scale=image.scale[:n], units=image.units[:n]
        )
        viewer.add_labels(
            np.asarray(labels.data), name=labels.name, translate=shift, scale=labels.scale, units=labels.units,
            features=table or None,
        )  # fmt: skip
        width = image.along("x")
        place += 1.05 * width[0][0] * width[1][0]
    viewer.reset_view()
