"""Which part of an image somebody looks at, told to the thread that works on it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["Looking", "seen"]


class Looking:
    """What was looked at last: noted by the main thread, asked for by another one.

    The other thread gets plain values and never touches the viewer.
    """

    def __init__(self) -> None:
        self._view: Mapping[str, slice] | None = None

    def note(self, view: Mapping[str, slice] | None) -> None:
        """Remember what :func:`seen` found."""
        self._view = view

    def __call__(self) -> Mapping[str, slice] | None:
        """Return a slice of the finest level for each axis, or None."""
        return self._view


def seen(viewer: Viewer, layer: Labels, axes: str) -> dict[str, slice]:
    """Tell which part of a layer is on the screen.

    Parameters
    ----------
    viewer : napari.Viewer
        Shows the layer.
    layer : napari.layers.Labels
        Of any kind.
    axes : str
        Letters of its dimensions.

    Returns
    -------
    dict of str to slice
        Pixels of the finest level, for each axis but the channels; all of those that are seen in 3D.
    """
    outer = viewer.dims.ndim - layer.ndim  # layers are aligned by their last dimensions
    point = np.asarray(layer.world_to_data(viewer.dims.point))[-layer.ndim :]
    factors = layer.downsample_factors[layer.data_level]
    shape = layer.level_shapes[0]
    framed = _framed(viewer, layer)
    found = {}
    for i, (axis, n, factor) in enumerate(zip(axes, shape, factors, strict=True)):
        if i + outer not in viewer.dims.displayed:
            at = min(max(round(float(point[i])), 0), int(n) - 1)
            found[axis] = slice(at, at + 1)
        elif viewer.dims.ndisplay == 3:
            found[axis] = slice(0, int(n))
        else:
            low, high = layer.corner_pixels[:, i]
            start, stop = max(int(low * factor), 0), min(int(np.ceil((high + 1) * factor)), int(n))
            if framed is not None:  # what napari has loaded can be more than what is seen
                start, stop = max(start, int(np.floor(framed[0, i]))), min(stop, int(np.ceil(framed[1, i])) + 1)
            found[axis] = slice(start, max(start, stop))
    return {axis: part for axis, part in found.items() if axis != "c"}


def _framed(viewer: Viewer, layer: Labels) -> npt.NDArray[np.float64] | None:
    """Return the lowest and the highest pixel of a layer within the frame of the canvas; None without a window."""
    if getattr(viewer, "window", None) is None:
        return None
    shown, camera = list(viewer.dims.displayed[-2:]), getattr(viewer, "scene", viewer).camera  # moved in napari 0.9
    canvas = getattr(viewer, "canvas", None)
    size = viewer._canvas_size if canvas is None else canvas.size
    half = np.asarray(size, float) / camera.zoom / 2
    corners = []
    for sign in itertools.product((-1, 1), repeat=2):
        point = np.array(viewer.dims.point, float)
        point[shown] = np.asarray(camera.center[-2:]) + half * sign
        corners.append(np.asarray(layer.world_to_data(point))[-layer.ndim :])
    return np.array([np.min(corners, axis=0), np.max(corners, axis=0)])
