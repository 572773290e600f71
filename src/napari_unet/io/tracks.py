"""Tracks to and from the files of other programs; the ending says which."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, OutputError
from napari_unet.core.results import TrackFile, Tracks

from . import _ctc, _geff, _track_table, _trackmate
from ._zarr_reader import is_zarr
from .places import check_apart, check_folder

__all__ = ["check_tracks_place", "read_tracks", "write_tracks"]


def read_tracks(path: str | os.PathLike[str]) -> TrackFile:
    """Read tracks.

    Parameters
    ----------
    path : path-like
        ``.csv``: a table as :func:`write_tracks` makes it, or one with the columns ``track`` (or ``track_id``), ``t``
        (or ``frame``), ``y``, ``x`` and perhaps ``z``, ``label`` and ``parent``. A folder of the Cell Tracking
        Challenge: masks and ``res_track.txt`` or ``man_track.txt``. ``.geff``: a graph exchange folder. ``.xml``:
        as TrackMate saves it.

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
    if place.suffix.lower() == ".geff":
        return _geff.read(place)
    if place.suffix.lower() == ".xml":
        return _trackmate.read(place)
    if place.is_dir():
        return _ctc.read(place)
    raise ImageError(
        f"'{path}' holds no tracks that can be read. Choose a table (.csv), a GEFF folder (.geff), a file of "
        "TrackMate (.xml), or a folder of the Cell Tracking Challenge (masks and res_track.txt)."
    )


def check_tracks_place(path: str | os.PathLike[str], labels: Image | None = None, overwrite: bool = False) -> None:
    """Check that tracks can be written, and leave no trace.

    Parameters
    ----------
    path : path-like
        As in :func:`write_tracks`.
    labels : Image, optional
        What is tracked; the tracks must not take its place.
    overwrite : bool
        Whether tracks that are there may be replaced.

    Raises
    ------
    OutputError
        If the ending is unknown, the place is taken (a folder with anything else in it than tracks is never replaced),
        or the folder around it cannot be written.
    """
    place, suffix = Path(path), Path(path).suffix.lower()
    if suffix not in (".csv", ".geff", ".xml", ""):
        raise OutputError(
            f"Tracks cannot be written to '{path}'. Use .csv, .geff, .xml, or a folder name without ending."
        )
    if labels is not None:
        check_apart(place, labels)
    if suffix in (".csv", ".xml") and place.is_dir():
        raise OutputError(f"'{path}' is a folder. Choose another name.")
    if place.exists() and not overwrite:
        raise OutputError(f"'{path}' exists. Choose another name, or allow it to be replaced: --overwrite.")
    if place.is_dir() and any(place.iterdir()) and not (is_zarr(place) if suffix else _ctc.is_result(place)):
        raise OutputError(f"'{path}' is a folder with other things in it, which are not replaced. Choose another name.")
    check_folder(place)


def write_tracks(
    path: str | os.PathLike[str], tracks: Tracks, labels: Image | None = None, overwrite: bool = False
) -> None:
    """Write tracks, complete or not at all.

    Parameters
    ----------
    path : path-like
        ``.csv``: one row for each object and frame. ``.geff``: a graph exchange folder, which keeps all columns.
        ``.xml``: a file for TrackMate. Without ending: a folder of the Cell Tracking Challenge, with masks numbered by
        track.
    tracks : Tracks
        What to write.
    labels : Image, optional
        The masks that were tracked, numbered by track, for formats that hold them.
    overwrite : bool
        Replace an existing folder. A single file is always replaced.

    Raises
    ------
    OutputError
        If the ending is unknown, the place cannot be written, or a folder holds anything else than tracks.
    """
    place = Path(path)
    check_tracks_place(place, labels, overwrite or not place.is_dir())
    if place.suffix.lower() == ".csv":
        _track_table.write(place, tracks)
    elif place.suffix.lower() == ".geff":
        _geff.write(place, tracks, overwrite)
    elif place.suffix.lower() == ".xml":
        _trackmate.write(place, tracks)
    elif labels is None:
        raise OutputError("A folder of the Cell Tracking Challenge holds masks: give the labels that were tracked too.")
    else:
        _ctc.write(place, tracks, _Frames(labels), overwrite)


class _Frames:
    """The masks of a movie, frame by frame."""

    def __init__(self, labels: Image) -> None:
        self.labels, self._time = labels, labels.axes.index("t")

    def __len__(self) -> int:
        return self.labels.shape[self._time]

    def __call__(self, t: int) -> npt.NDArray[Any]:
        place: list[Any] = [slice(None)] * len(self.labels.axes)
        place[self._time] = t
        left = self.labels.axes.replace("t", "")
        values = np.asarray(self.labels.read(tuple(place)))
        return values.transpose([left.index(a) for a in "czyx" if a in left]).squeeze(tuple(range("c" in left)))
