"""Tracks of labels whose numbers are right already: an object keeps its number from frame to frame."""

from __future__ import annotations

import numpy as np

from napari_unet.core.axes import Image
from napari_unet.core.graph import assemble
from napari_unet.core.results import Tracks
from napari_unet.core.steps import Steps

from ._detect import detect, spatial_axes

__all__ = ["follow_ids"]


def follow_ids(labels: Image, mothers: dict[int, int] | None = None) -> Steps[Tracks]:
    """Take the numbers of objects for those of tracks.

    Parameters
    ----------
    labels : Image
        With time; read one frame at a time.
    mothers : dict of int, optional
        The number of the mother of each object that has one.

    Returns
    -------
    Tracks
        Every number is one track.

    Yields
    ------
    Progress
        One for every frame.

    Raises
    ------
    AxesError, ImageError
        If these are no labels with time.
    """
    axes = spatial_axes(labels)
    frames = yield from detect(labels)
    ids = np.concatenate([frame.labels for frame in frames])
    positions = np.concatenate([frame.positions for frame in frames])
    above = mothers or {}
    table = {
        "track": ids,
        "label": ids,
        "t": np.repeat(np.arange(len(frames)), [len(frame.labels) for frame in frames]),
        **{axis: positions[:, i] for i, axis in enumerate(axes)},
        "area": np.concatenate([frame.areas for frame in frames]),
        "parent": np.array([above.get(name, 0) for name in ids.tolist()], np.int64),
    }
    _, scale, units = labels.along(f"t{axes}")
    return assemble(table, labels.name, scale=scale, units=units).tracks
