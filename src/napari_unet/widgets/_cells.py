"""Where a cell is: on the screen, in the tracks, and which one is at a place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_unet.core.linking import Detection
from napari_unet.core.results import Tracks

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

__all__ = ["cell_at", "look_at", "place_of", "row_of"]


def row_of(tracks: Tracks, cell: Detection) -> int | None:
    """Return the row of a cell among the nodes, or None if it is not among the tracks."""
    t, label = tracks.nodes["t"], tracks.nodes["label"]
    low, high = np.searchsorted(t, [cell[0], cell[0] + 1])  # ordered by time, then label
    row = int(low + np.searchsorted(label[low:high], cell[1]))
    return row if row < high and label[row] == cell[1] else None


def place_of(axes: str, tracks: Tracks) -> npt.NDArray[np.float64]:
    """Return the data coordinates of every node; a channel axis, along which labels repeat, stays 0."""
    nothing = np.zeros(len(tracks.nodes["t"]))
    return np.stack([tracks.nodes.get(axis, nothing) for axis in axes], axis=1).astype(np.float64)


def cell_at(labels: Labels, axes: str, position: Sequence[float]) -> Detection | None:
    """Return the cell of some labels at a position of the viewer, whether they are shown or not; None for background.

    Parameters
    ----------
    labels : napari.layers.Labels
        With a time axis.
    axes : str
        Of its data.
    position : sequence of float
        In the coordinates of the viewer.

    Returns
    -------
    tuple of (int, int) or None
        Frame and label.
    """
    place = np.rint(labels.world_to_data(position)).astype(int)
    data = labels.data[0] if labels.multiscale else labels.data
    if (place < 0).any() or (place >= data.shape).any():
        return None
    value = int(np.asarray(data[tuple(place.tolist())]))
    return (int(place[axes.index("t")]), value) if value else None


def look_at(viewer: Viewer, layer: Layer, place: npt.NDArray[np.float64]) -> None:
    """Move time, planes and camera to a place.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose camera it is.
    layer : napari.layers.Layer
        In whose data the place is.
    place : ndarray of float64, shape (d,)
        Data coordinates.
    """
    dims = viewer.dims
    point = layer.data_to_world(place)
    shift = dims.ndim - len(point)
    world = [0.0] * shift + [float(v) for v in point]
    for axis in dims.not_displayed:
        if axis >= shift:
            dims.set_point(axis, world[axis])
    camera = getattr(viewer, "scene", viewer).camera  # it moved in napari 0.9
    camera.center = (0.0, 0.0, 0.0, *(world[axis] for axis in dims.displayed))[-3:]
