"""Where a cell is: on the screen, in the tracks, and which one is at a place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.linking import Detection
from napari_unet.core.results import Tracks

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

Places = npt.NDArray[np.float64]

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


def cell_at(
    labels: Labels, axes: str, position: Sequence[float], direction: Sequence[float] | None = None
) -> Detection | None:
    """Return the cell of some labels at a position of the viewer, whether they are shown or not; None for background.

    Parameters
    ----------
    labels : napari.layers.Labels
        With a time axis.
    axes : str
        Of its data.
    position : sequence of float
        In the coordinates of the viewer.
    direction : sequence of float, optional
        In which one looks, in the 3D view: the first cell on the line through `position` is meant.

    Returns
    -------
    tuple of (int, int) or None
        Frame and label.
    """
    data = labels.data[0] if labels.multiscale else labels.data
    places = np.asarray(labels.world_to_data(position))[None]
    if direction is not None:
        ahead = np.asarray(labels.world_to_data(np.add(position, direction)))
        places = _along(places[0], ahead - places[0], np.array(data.shape))
    index = np.rint(places).astype(int)
    index = index[((index >= 0) & (index < data.shape)).all(axis=1)]
    values = _values(data, index)
    seen = np.flatnonzero(values)
    return (int(index[seen[0], axes.index("t")]), int(values[seen[0]])) if len(seen) else None


def _along(start: npt.NDArray[np.float64], step: npt.NDArray[np.float64], shape: npt.NDArray[np.int64]) -> Places:
    """Return places on a line, half a pixel from one to the next, from where it enters the data to where it leaves."""
    moves = step != 0
    ends = np.stack([-0.5 - start, shape - 0.5 - start])[:, moves] / step[moves]
    low, high = ends.min(axis=0).max(initial=-np.inf), ends.max(axis=0).min(initial=np.inf)
    if not np.isfinite([low, high]).all() or low >= high:
        return np.zeros((0, len(start)))
    count = 1 + int(np.ceil(2 * (high - low) * np.linalg.norm(step)))
    return np.asarray(start + np.linspace(low, high, count)[:, None] * step)


def _values(data: Any, index: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Look up single pixels; what lies on a disk is read as a block around them."""
    if not len(index):
        return np.zeros(0, np.int64)
    low = index.min(axis=0)
    block = np.asarray(
        data[tuple(slice(a, b + 1) for a, b in zip(low.tolist(), index.max(axis=0).tolist(), strict=True))]
    )
    return np.asarray(block[tuple((index - low).T)])


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
