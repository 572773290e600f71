"""What a file has to show: its image, and the labels that lie beside it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Final

from ..core.axes import Image
from ..core.errors import AxesError, ImageError, UNetError
from ._comments import holds_labels
from ._tiff import list_images
from ._zarr_reader import holds_image, is_zarr, label_places
from .addresses import as_address, as_file
from .dicom import find_series, is_dicom_place, open_series
from .dicom_labels import read_dicom_labels
from .images import OTHERS, holds_series, read_image
from .labels import read_labels
from .members import image_numbers, plate_images
from .suffixes import suffix_of

__all__ = ["read_contents"]

_TIFF: Final = (".tif", ".tiff")
_MOST: Final = 16  # images of a file that are opened all together


def read_contents(path: str | os.PathLike[str]) -> tuple[list[Image], list[Image]]:
    """Open all that belongs together in a file.

    Parameters
    ----------
    path : path-like
        As for :func:`~napari_unet.io.images.read_image`.

    Returns
    -------
    images : list of Image
        At most one, none for what holds nothing but labels; of a DICOM folder all series that can be opened. A TIFF,
        collection or plate of OME-Zarr with 2 to 16 images, such as positions of a stage: all of them. The `source` of
        each opens it alone.
    labels : list of Image
        All label images of an OME-Zarr, or of each image of it, in the order in which it names them; those of a TIFF
        that says how this program made them, and of a raster with a color table.

    Raises
    ------
    ImageError, AxesError
        If the file cannot be read.
    """
    place = as_address(path) or as_file(path)
    if isinstance(place, Path) and place.exists() and suffix_of(place) not in OTHERS and is_dicom_place(place):
        return _dicom_contents(place)
    if isinstance(place, Path) and suffix_of(place) in _TIFF and holds_labels(place):
        return [], [read_labels(place)]
    if 1 < len(numbers := _positions(place)) <= _MOST:
        return _all_of(place, numbers)
    found = label_places(place) if isinstance(place, str) or is_zarr(place) else []
    labels = [read_labels(label) for label in found]
    if found == [str(place)]:
        return [], labels
    if labels and not holds_image(place):
        return [], labels
    return [read_image(path)], labels


def _positions(place: Path | str) -> list[str]:
    """Return what follows the place of a file where its images are opened one by one: numbers, or fields of wells."""
    if isinstance(place, Path) and holds_series(place):
        return [str(series.choice) for series in list_images(place, views=False)]
    if not isinstance(place, str) and not is_zarr(place):
        return []
    return plate_images(place) or image_numbers(place, _MOST)


def _all_of(place: Path | str, numbers: list[str]) -> tuple[list[Image], list[Image]]:
    """Open all images that can be opened, with their labels; why others cannot is said with the first."""
    images: list[Image] = []
    labels: list[Image] = []
    failed: list[UNetError] = []
    for number in numbers:
        try:
            opened, inner = read_contents(f"{str(place).rstrip('/')}/{number}")
        except (ImageError, AxesError) as error:
            failed.append(error)
        else:
            images += [replace(image, name=f"{PurePath(place).name.split('.')[0]} {number}") for image in opened]
            labels += inner
    if failed and not (images or labels):
        raise failed[0]
    first = images or labels
    first[:1] = [replace(each, remarks=(*each.remarks, *map(str, failed))) for each in first[:1]]
    return images, labels


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
