"""The segments of a DICOM-SEG, on a grid of their own: frames that are empty are left out of such files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.anatomy import Anatomy
from ..core.errors import ImageError
from ._dicom_geometry import arrange
from ._dicom_headers import BROKEN, TAGS, Plane, quiet, read_header, read_planes
from ._extras import need
from ._standing import stand

__all__ = ["Masks", "read_segments"]

_TAGS: Final = (*TAGS, "SegmentSequence", "SegmentationType", "MaximumFractionalValue")
_HALF: Final = 0.5
Masks = dict[tuple[int, str], npt.NDArray[np.bool_]]


def read_segments(file: Path, like: Anatomy | None = None) -> tuple[Masks, Anatomy, str]:
    """Read a DICOM-SEG.

    Parameters
    ----------
    file : Path
        Binary, fractional (from half on) or a label map.
    like : Anatomy, optional
        Of the image that they belong to.

    Returns
    -------
    masks : dict
        Number and name of each segment, and its mask, upright.
    anatomy : Anatomy
        Of the smallest grid that holds all frames.
    axes : str
        ``zyx``, or ``yx`` for a single picture.

    Raises
    ------
    ImageError
        If it is damaged, or its frames lie on no grid.
    """
    pydicom = need("pydicom", "Reading DICOM")
    planes, header = read_planes(file), read_header(file, _TAGS)
    try:
        with quiet():
            data = pydicom.dcmread(file)
            frames = np.asarray(data.pixel_array).reshape(len(planes), *planes[0].size)
    except BROKEN as error:
        raise ImageError(
            f"The segments of '{file}' could not be read ({type(error).__name__}): the file is incomplete or damaged. "
            "Copy or export it again."
        ) from None
    kind = str(header.get("SegmentationType", "BINARY"))
    names = {int(s.SegmentNumber): str(s.get("SegmentLabel", "")) for s in header.get("SegmentSequence") or []}
    if kind == "FRACTIONAL":
        frames = frames >= _HALF * float(header.get("MaximumFractionalValue", 255) or 255)
    owners = [0 if kind == "LABELMAP" else _owner(plane, number) for number, plane in enumerate(planes)]
    grid, where = _grid(planes, like)
    count, masks = grid.shape[grid.order.index(2)], {}
    for number, name in names.items():
        stored = np.zeros((count, *planes[0].size), bool)
        for frame, (owner, at) in enumerate(zip(owners, where, strict=True)):
            if owner in (0, number):
                stored[at] |= frames[frame] == number if kind == "LABELMAP" else frames[frame] > 0
        masks[number, name or f"segment {number}"] = stand(stored, grid)
    if not masks:
        raise ImageError(f"'{file}' names no segments. Export it again.")
    if planes[0].spaced:
        return masks, grid, "zyx"
    return {key: mask[0] for key, mask in masks.items()}, grid, "yx"


def _owner(plane: Plane, number: int) -> int:
    """Return the segment that a frame belongs to."""
    for sequence in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        groups: Any = plane.header.get(sequence) or []
        group = groups[number if sequence.startswith("Per") else 0] if groups else None
        inner = group.get("SegmentIdentificationSequence") if group is not None else None
        if inner:
            return int(inner[0].ReferencedSegmentNumber)
    return 1


def _grid(planes: list[Plane], like: Anatomy | None) -> tuple[Anatomy, list[int]]:
    """Return the grid of all frames, and the plane of it that each lies in."""
    if not planes[0].spaced:
        return arrange(planes[:1])[1], [0] * len(planes)
    firsts = {tuple(round(n, 2) for n in plane.position): plane for plane in planes}
    _, anatomy = arrange(list(firsts.values()), sparse=True, like=like)
    inverse = np.linalg.inv(anatomy.stored)
    return anatomy, [round(float(inverse[2] @ [*plane.position, 1.0])) for plane in planes]
