"""Labels from DICOM: segmentations (DICOM-SEG) and outlines (RTSTRUCT)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from ..core.anatomy import Anatomy
from ..core.axes import Image
from ..core.errors import ImageError
from ..core.series import Series
from ._dicom_headers import is_dicom, read_header
from ._dicom_segments import Masks, read_segments
from ._rtstruct import draw_outlines, read_outlines
from .dicom import find_series, open_series
from .regrid import regrid

__all__ = ["is_dicom_labels", "read_dicom_labels", "read_one"]

_KINDS: Final = ("SEG", "RTSTRUCT")
T = TypeVar("T")


def is_dicom_labels(file: Path) -> bool:
    """Tell whether something is a DICOM file that holds segments or outlines."""
    return file.is_file() and is_dicom(file) and str(read_header(file, ["Modality"]).get("Modality", "")) in _KINDS


def read_dicom_labels(
    file: Path, like: Image | None = None, around: Sequence[Series] | None = None, only: str = "",
    resample: bool = False,
) -> list[Image]:  # fmt: skip
    """Read the segments of a DICOM-SEG, or the outlines of an RTSTRUCT, as labels.

    Parameters
    ----------
    file : Path
        The file.
    like : Image, optional
        On whose grid they are to lie. Without it segments lie on their own, and outlines on that of the series that
        they were drawn on, which is looked for beside the file, and beside its folder.
    around : sequence of Series, optional
        Where to look for it instead.
    only : str
        Name or number of the one segment or structure that is wanted; empty for all.
    resample : bool
        Take the nearest label where segments lie on another grid than `like`, which is refused otherwise.

    Returns
    -------
    list of Image
        One, with the numbers and names of the file; where segments overlap, one for each.

    Raises
    ------
    ImageError
        If the file is damaged, the series is not there, what is drawn lies elsewhere, or nothing bears the name.
    """
    if str(read_header(file, ["Modality"]).get("Modality", "")) == "SEG":
        masks, anatomy, axes = read_segments(file, like.anatomy if like else None)
        masks = _chosen(masks, only, file)
    else:
        outlines = read_outlines(file)
        outlines = replace(outlines, areas=_chosen(outlines.areas, only, file))
        like = like or _drawn_on(file, outlines.series, around)
        masks, anatomy, axes = *draw_outlines(outlines, like), "zyx"
    found = [_as_labels(each, anatomy, axes, file) for each in _apart(masks)]
    return found if like is None or axes != "zyx" else [regrid(each, like, resample) for each in found]


def read_one(file: Path, like: Image | None = None, only: str = "", resample: bool = False) -> Image:
    """Read labels of a file in which nothing overlaps.

    Parameters
    ----------
    file, like, only, resample : Any
        As for :func:`read_dicom_labels`.

    Returns
    -------
    Image
        The labels.

    Raises
    ------
    ImageError
        If segments overlap, so that one image of labels cannot hold them.
    """
    found = read_dicom_labels(file, like, only=only, resample=resample)
    if len(found) > 1:
        names = ", ".join(f"'{name}'" for each in found if each.anatomy for _, name in each.anatomy.names)
        raise ImageError(
            f"'{file}' holds segments that overlap: {names}. One image of labels cannot hold them: take one after the "
            "other (napari-unet regrid FILE --like IMAGE --only NAME, in Python only=NAME). Opened in napari each is a "
            "layer, in Python read_contents gives all."
        )
    return found[0]


def _chosen(there: dict[tuple[int, str], T], only: str, file: Path) -> dict[tuple[int, str], T]:
    """Return what bears a name or number; all where none is asked for."""
    wanted = only.strip().casefold()
    found = {key: each for key, each in there.items() if wanted in ("", key[1].strip().casefold(), str(key[0]))}
    if not found:
        names = ", ".join(f"'{name}'" for _, name in there)
        raise ImageError(f"'{file}' holds nothing that is called '{only}'. It holds: {names}.")
    return found


def _apart(masks: Masks) -> list[Masks]:
    """Keep masks together unless they overlap."""
    covered = np.zeros(next(iter(masks.values())).shape, bool)
    for mask in masks.values():
        if (covered & mask).any():
            return [{key: each} for key, each in masks.items()]
        covered |= mask
    return [masks]


def _as_labels(masks: Masks, anatomy: Anatomy, axes: str, file: Path) -> Image:
    labels = np.zeros(next(iter(masks.values())).shape, np.int32)
    for (number, _), mask in masks.items():
        labels[mask] = number
    named = replace(anatomy.named(dict(list(masks))), remarks=anatomy.remarks)
    scale = anatomy.scale[3 - len(axes) :]
    name = next(iter(masks))[1] if len(masks) == 1 else file.stem
    return Image(labels, axes, scale, ("millimeter",) * len(axes), name, str(file), anatomy=named)


def _drawn_on(file: Path, uid: str, around: Sequence[Series] | None) -> Image:
    """Find the series that outlines were drawn on."""
    for folder in (file.parent, file.parent.parent):
        listed: Any = find_series(folder) if around is None else around
        for series in listed:
            if series.kind == "image" and series.uid == uid:
                return open_series(series)
    raise ImageError(
        f"'{file}' holds outlines, which need the image that they were drawn on: it lies neither in '{file.parent}' "
        "nor beside it. Give it: --image or --like on the command line, like=image in Python."
    )
