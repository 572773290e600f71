"""The outlines of an RTSTRUCT, filled on the planes of an image."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.anatomy import Anatomy
from ..core.axes import Image
from ..core.errors import ImageError
from ._dicom_headers import BROKEN, read_header
from ._dicom_segments import Masks

__all__ = ["Outlines", "draw_outlines", "read_outlines"]

_TAGS: Final = (
    "Modality", "StructureSetROISequence", "ROIContourSequence", "ReferencedFrameOfReferenceSequence",
    "FrameOfReferenceUID",
)  # fmt: skip
_AREAS: Final = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
_FLAT: Final = 0.1  # of the distance between planes, that the points of one outline may differ
_NEAR: Final = 0.3  # the same, from a plane of the image

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outlines:
    """Closed lines in the patient.

    Attributes
    ----------
    file : Path
        Where they are from.
    series : str
        SeriesInstanceUID of the image that they were drawn on.
    frame : str
        FrameOfReferenceUID: which world their millimeters are of.
    areas : dict of (int, str) to list of ndarray, shape (n, 3)
        Number and name of each structure, and its outlines: z, y and x in mm, LPS.
    left_out : tuple of str
        Structures that are no areas, such as points.
    """

    file: Path
    series: str
    frame: str
    areas: dict[tuple[int, str], list[Points]]
    left_out: tuple[str, ...]


def read_outlines(file: Path) -> Outlines:
    """Read an RTSTRUCT.

    Parameters
    ----------
    file : Path
        The file.

    Returns
    -------
    Outlines
        Of all structures.

    Raises
    ------
    ImageError
        If it is damaged, or holds no area.
    """
    header = read_header(file, _TAGS)
    areas: dict[tuple[int, str], list[Points]] = {}
    left_out = []
    try:
        names = {int(r.ROINumber): str(r.get("ROIName") or "") for r in header.get("StructureSetROISequence") or []}
        for roi in header.get("ROIContourSequence") or []:
            number = int(roi.ReferencedROINumber)
            name = names.get(number) or f"structure {number}"
            drawn = [c for c in roi.get("ContourSequence") or [] if c.get("ContourGeometricType") in _AREAS]
            lines = [np.array(c.ContourData, np.float64).reshape(-1, 3)[:, ::-1] for c in drawn]
            if lines:
                areas[number, name] = lines
            else:
                left_out.append(name)
        frames = header.get("ReferencedFrameOfReferenceSequence") or []
        series = [
            str(s.SeriesInstanceUID)
            for f in frames
            for study in f.get("RTReferencedStudySequence") or []
            for s in study.get("RTReferencedSeriesSequence") or []
        ]
        frame = str(frames[0].get("FrameOfReferenceUID", "")) if frames else str(header.get("FrameOfReferenceUID", ""))
    except BROKEN as error:
        raise ImageError(
            f"The outlines of '{file}' could not be read ({type(error).__name__}): the file is incomplete or damaged. "
            "Copy or export it again."
        ) from None
    if not areas:
        raise ImageError(f"'{file}' holds no closed outlines, so nothing can be filled. Choose another structure set.")
    return Outlines(file, series[0] if series else "", frame, areas, tuple(left_out))


def draw_outlines(outlines: Outlines, like: Image) -> tuple[Masks, Anatomy]:
    """Fill outlines on the planes of an image.

    A voxel is inside if its center is. Of several outlines of a structure in one plane an inner one is a hole, and what
    lies in that is inside again (even and odd, DICOM PS3.3 C.8.8.6).

    Parameters
    ----------
    outlines : Outlines
        Of the same patient and frame of reference.
    like : Image
        A volume with an anatomy.

    Returns
    -------
    masks : dict
        Number and name of each structure, and its mask on the grid of `like`.
    anatomy : Anatomy
        That of `like`, with what is to be said.

    Raises
    ------
    ImageError
        If they belong to another world, or lie outside of the image or between its planes.
    """
    anatomy = like.anatomy
    if anatomy is None or like.spatial != "zyx":
        raise ImageError(
            f"'{like.name}' is no volume of known place, so the outlines of '{outlines.file}' cannot lie on it."
        )
    _check_world(outlines, anatomy)
    depth = anatomy.order.index(2)  # of z, y and x, the axis along which the planes were stored
    masks, lost = {}, 0
    for key, lines in outlines.areas.items():
        by: dict[int, list[Points]] = defaultdict(list)
        for line in lines:
            index = anatomy.to_index(line)
            heights = index[:, depth]
            plane = round(float(heights.mean()))
            if np.ptp(heights) > _FLAT or abs(float(heights.mean()) - plane) > _NEAR:
                raise ImageError(
                    f"The outlines of '{outlines.file}' do not lie in the planes of '{like.name}': they were drawn on "
                    "another image. Give the one that they belong to."
                )
            by[plane].append(np.delete(index, depth, axis=1))
        mask = np.zeros(anatomy.shape, bool)
        planes = np.moveaxis(mask, depth, 0)
        for plane, rings in by.items():
            if 0 <= plane < len(planes):
                planes[plane] = _filled(rings, planes.shape[1:])
            else:
                lost += len(rings)
        masks[key] = mask
    if not any(mask.any() for mask in masks.values()):
        raise ImageError(
            f"The outlines of '{outlines.file}' lie outside of '{like.name}'. Give the image that they belong to."
        )
    remarks = [f"{lost} outlines lie above or below the image and were left out."] * bool(lost)
    if outlines.left_out:
        remarks.append(f"No areas, and left out: {', '.join(outlines.left_out)}.")
    return masks, replace(anatomy, remarks=tuple(remarks))


def _check_world(outlines: Outlines, anatomy: Anatomy) -> None:
    if not anatomy.files or not outlines.frame:
        return
    world = str(read_header(Path(anatomy.files[0]), ["FrameOfReferenceUID"]).get("FrameOfReferenceUID", ""))
    if world and world != outlines.frame:
        raise ImageError(
            f"'{outlines.file}' and the image were taken in different frames of reference, so their millimeters do not "
            "belong together. Choose the outlines of this image."
        )


def _filled(rings: list[Points], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return which pixel centers lie inside an odd number of rings."""
    crossings = np.zeros((shape[0], shape[1] + 1), np.int32)
    for ring in rings:
        for (y0, x0), (y1, x1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            # Rows that the edge crosses: its lower end belongs to it, its upper one does not.
            low, high = sorted((y0, y1))
            rows = np.arange(max(0, int(np.ceil(low))), min(shape[0], int(np.ceil(high))))
            if rows.size:
                at = np.ceil(x0 + (rows - y0) / (y1 - y0) * (x1 - x0)).astype(np.int64)
                np.add.at(crossings, (rows, np.clip(at, 0, shape[1])), 1)
    inside: Any = np.cumsum(crossings[:, :-1], axis=1) % 2
    return np.asarray(inside == 1)
