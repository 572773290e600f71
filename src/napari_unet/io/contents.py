"""What a file has to show: its image, and the labels that lie beside it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import tifffile

from ..core.axes import Image
from ..core.errors import ImageError
from ._comments import read_comment
from ._tiff import BROKEN
from ._zarr_reader import holds_image, is_zarr, label_places
from .addresses import as_address, as_file
from .dicom import find_series, is_dicom_place, open_series
from .dicom_labels import read_dicom_labels
from .images import OTHERS, read_image
from .labels import read_labels
from .suffixes import suffix_of

__all__ = ["read_contents"]


def read_contents(path: str | os.PathLike[str]) -> tuple[list[Image], list[Image]]:
    """Open all that belongs together in a file.

    Parameters
    ----------
    path : path-like
        As for :func:`~napari_unet.io.images.read_image`.

    Returns
    -------
    images : list of Image
        At most one, none for a store that holds nothing but labels or a TIFF of labels of this program; of a DICOM
        folder all series that can be opened.
    labels : list of Image
        All label images of an OME-Zarr, in the order in which it names them.

    Raises
    ------
    ImageError, AxesError
        If the file cannot be read.
    """
    place = as_address(path) or as_file(path)
    if isinstance(place, Path) and place.exists() and suffix_of(place) not in OTHERS and is_dicom_place(place):
        return _dicom_contents(place)
    found = label_places(place) if isinstance(place, str) or is_zarr(place) else []
    labels = [read_labels(label) for label in found]
    if found == [str(place)]:
        return [], labels
    if labels and not holds_image(place):
        return [], labels
    if isinstance(place, Path) and _tells_labels(place):
        return [], [read_labels(path)]
    return [read_image(path)], labels


def _tells_labels(file: Path) -> bool:
    """Say whether a TIFF holds labels of this program: a record of how they were made, and whole numbers."""
    if suffix_of(file) not in (".tif", ".tiff") or not file.is_file():
        return False
    try:
        with tifffile.TiffFile(file) as tiff:
            whole = tiff.pages.first.dtype is not None and tiff.pages.first.dtype.kind in "ui"
        return whole and "labels_hash" in read_comment(file)
    except (ImageError, *BROKEN):
        return False  # what is wrong with it is said where it is read


def _dicom_contents(place: Path) -> tuple[list[Image], list[Image]]:
    """Open all that can be opened; why others cannot is said with the first."""
    found = find_series(place)
    around = found if any(series.kind == "image" for series in found) else None
    images: list[Image] = []
    labels: list[Image] = []
    failed: list[ImageError] = []
    for series in found:
        try:
            if series.kind == "image":
                images.append(replace(open_series(series), source=str(place)))
            else:
                labels += read_dicom_labels(Path(series.files[0]), around=around)
        except ImageError as error:
            failed.append(error)
    opened = [*images, *labels]
    if not opened:
        raise failed[0]
    if failed and opened[0].anatomy is not None:
        said = (*opened[0].anatomy.remarks, *map(str, failed))
        first = replace(opened[0], anatomy=replace(opened[0].anatomy, remarks=said))
        images, labels = ([first, *images[1:]], labels) if images else ([], [first, *labels[1:]])
    return images, labels
