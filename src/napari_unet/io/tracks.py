"""Tracks to and from the files of other programs; the ending says which."""

from __future__ import annotations

import os
from pathlib import Path

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, OutputError
from napari_unet.core.results import TrackFile, Tracks

from . import _track_table

__all__ = ["read_tracks", "write_tracks"]


def read_tracks(path: str | os.PathLike[str]) -> TrackFile:
    """Read tracks.

    Parameters
    ----------
    path : path-like
        ``.csv``: a table as :func:`write_tracks` makes it, or one with the columns ``track`` (or ``track_id``), ``t``
        (or ``frame``), ``y``, ``x`` and perhaps ``z``, ``label`` and ``parent``.

    Returns
    -------
    TrackFile
        Tracks, masks where the file has them, and what is wrong with it.

    Raises
    ------
    ImageError
        If the file cannot be read.
    """
    place = Path(path)
    if place.suffix.lower() == ".csv":
        return _track_table.read(place)
    raise ImageError(f"'{path}' holds no tracks that can be read: use .csv.")


def write_tracks(
    path: str | os.PathLike[str], tracks: Tracks, labels: Image | None = None, overwrite: bool = False
) -> None:
    """Write tracks, complete or not at all.

    Parameters
    ----------
    path : path-like
        ``.csv``: one row for each object and frame.
    tracks : Tracks
        What to write.
    labels : Image, optional
        The masks that were tracked, for formats that hold them.
    overwrite : bool
        Replace an existing folder. A single file is always replaced.

    Raises
    ------
    OutputError
        If the ending is unknown or the place cannot be written.
    """
    place = Path(path)
    if place.suffix.lower() == ".csv":
        _track_table.write(place, tracks)
        return
    raise OutputError(f"Tracks cannot be written to '{path}': use .csv.")
