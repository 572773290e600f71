"""Polygons in pixels as ROIs for the ROI Manager of ImageJ and Fiji."""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

from ..core.polygons import Polygons
from .atomic import atomic_file

__all__ = ["write_rois"]

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # commands of a path (java.awt.geom.PathIterator)
_GROUPS: Final = 255

Floats = npt.NDArray[np.float64]


def write_rois(path: Path, polygons: Polygons) -> None:
    """Write polygons as a set of ROIs, complete or not at all.

    Parameters
    ----------
    path : Path
        Ends in ``.zip``.
    polygons : Polygons
        In pixels, counted from the corner of the first one, as ImageJ does. What has no hole and is of one piece is a
        traced outline, all else a composite: filled, each has exactly the pixels of its label. The name is the label
        with zeros in front, after it time point and plane, counted from 1, where there are several, and the number of a
        part. Position, group (number of the class, up to 255), and properties ``label``, ``class`` and ``confidence``
        are set.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for roi in _rois(polygons):
            # A time that is always the same: equal labels give equal files.
            archive.writestr(zipfile.ZipInfo(f"{roi.name}.roi"), roi.tobytes(), zipfile.ZIP_DEFLATED)


def _rois(polygons: Polygons) -> Iterator[ImagejRoi]:
    columns = {name: column.tolist() for name, column in polygons.table.items()}
    names = _names(columns)
    repeated, seen = {name for name, count in Counter(names).items() if count > 1}, Counter[str]()
    for at, (shape, name) in enumerate(zip(polygons.shapes, names, strict=True)):
        row = {key: column[at] for key, column in columns.items()}
        roi = _roi([shapely.get_coordinates(ring)[:-1] for part in shapely.get_parts(shape) for ring in _rings(part)])
        seen[name] += 1
        roi.name = f"{name}_{seen[name]}" if name in repeated else name
        _put_in_place(roi, row)
        _describe(roi, row, polygons)
        yield roi


def _names(columns: dict[str, list[Any]]) -> list[str]:
    """Return names that sort as labels do. ImageJ takes ``0001-0002-0003`` for a plane, so there is no such dash."""
    found = [""] * len(columns["label"])
    for key, before, first in (("label", "", 0), ("t", "_t", 1), ("z", "_z", 1)):
        if key in columns:
            numbers = [value + first for value in columns[key]]
            width = len(str(max(numbers, default=0)))
            found = [f"{name}{before}{number:0{width}d}" for name, number in zip(found, numbers, strict=True)]
    return found


def _rings(part: Any) -> list[Any]:
    return [part.exterior, *part.interiors]


def _roi(rings: list[Floats]) -> ImagejRoi:
    whole = all((ring == np.rint(ring)).all() for ring in rings)
    if len(rings) == 1:
        roi = ImagejRoi.frompoints(rings[0].astype(np.int64) if whole else rings[0], name="")
        roi.roitype, roi.options = ROI_TYPE.TRACED, roi.options & ROI_OPTIONS.SUB_PIXEL_RESOLUTION
        roi.right, roi.bottom = roi.right - 1, roi.bottom - 1  # corners, not pixels
        return roi
    roi = ImagejRoi(roitype=ROI_TYPE.RECT)
    corners = np.concatenate(rings)
    (roi.left, roi.top), (roi.right, roi.bottom) = (
        tuple(int(value) for value in ends) for ends in (np.floor(corners.min(0)), np.ceil(corners.max(0)))
    )
    roi.multi_coordinates = np.concatenate([_path(ring) for ring in rings]).astype(np.float32)
    roi.shape_roi_size = len(roi.multi_coordinates)
    return roi


def _path(ring: Floats) -> Floats:
    """Return the commands that draw a ring."""
    lines = np.column_stack([np.full(len(ring), _LINE), ring])
    lines[0, 0] = _MOVE
    return np.append(lines.ravel(), _CLOSE)


def _put_in_place(roi: ImagejRoi, row: dict[str, Any]) -> None:
    """Say on which plane it lies.

    A single number suits both stacks and hyperstacks, in which the ROI Manager takes it for the plane, or the time
    point where there are no planes; of the three numbers of hyperstacks plain stacks would see none.
    """
    if "t" in row and "z" in row:
        roi.t_position, roi.z_position = row["t"] + 1, row["z"] + 1
    elif "t" in row or "z" in row:
        roi.position = row["t" if "t" in row else "z"] + 1


def _describe(roi: ImagejRoi, row: dict[str, Any], polygons: Polygons) -> None:
    said: dict[str, Any] = {"label": row["label"]}
    if row["class"]:
        said["class"] = " ".join(str(row["class"]).split())
        number = polygons.meaning.members.get(row["label"], row["label"]) if polygons.meaning.classes else 0
        roi.group = number if 0 < number <= _GROUPS else 0
    if math.isfinite(row["confidence"]):
        said["confidence"] = round(row["confidence"], 4)
    roi.properties = said
