"""The images that one file holds: positions of a stage, members of a collection, fields of the wells of a plate."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Final

import zarr

from ..core.errors import ImageError
from ..core.series import Series, list_in_words
from ._tiff import list_images
from ._zarr_checks import check_inside
from ._zarr_reader import is_zarr, ome_of, open_store
from .dicom import find_series, is_dicom_place
from .images import holds_series, no_series

__all__ = ["choose_series", "image_numbers", "images_in", "list_series", "plate_images", "root_of", "well_of"]

_BROKEN: Final = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RuntimeError)
_MOST: Final = 1 << 20  # members of a collection


def images_in(file: Path) -> list[Path]:
    """List the images of a file.

    Parameters
    ----------
    file : Path
        Of any kind; it is there.

    Returns
    -------
    list of Path
        Places that :func:`~napari_unet.io.images.read_image` opens; the file itself if it holds one image, or if nobody
        can tell, which will be said when it is opened.
    """
    try:
        if is_zarr(file):
            inner = plate_images(file) or image_numbers(file, _MOST)
        elif holds_series(file):
            found = [str(series.choice) for series in list_images(file, views=False)]
            inner = found if len(found) > 1 else []
        else:
            inner = []
    except ImageError:
        return [file]
    return [file / name for name in inner] or [file]


def list_series(place: Path) -> list[Series]:
    """List the images of a TIFF file or a DICOM folder.

    Parameters
    ----------
    place : Path
        See :func:`~napari_unet.io._tiff.list_images` and :func:`~napari_unet.io.dicom.find_series`.

    Returns
    -------
    list of Series
        With the numbers that choose them.

    Raises
    ------
    ImageError
        If it is not there, or the place has no series.
    """
    if holds_series(place):
        return list_images(place)
    if place.exists() and (is_zarr(place) or not is_dicom_place(place)):
        raise no_series(place)
    return find_series(place)


def choose_series(place: Path, number: int) -> Path:
    """Return where one of several images is.

    Parameters
    ----------
    place : Path
        A TIFF file or a DICOM folder.
    number : int
        Of the image, from 1, as lists of series count.

    Returns
    -------
    Path
        What :func:`~napari_unet.io.images.read_image` opens as that image.

    Raises
    ------
    ImageError
        If it is not there, or the place has no series.
    """
    found = list_series(place)
    for series in found:
        if series.choice == number:
            return place / str(number) if holds_series(place) else Path(series.files[0])
    raise ImageError(f"'{place}' has no series {number}. Choose one of these (--series):\n{list_in_words(found)}")


def image_numbers(place: Path | str, most: int) -> list[str]:
    """List the images of a collection of a converter (bioformats2raw.layout), such as positions of a stage.

    Parameters
    ----------
    place : Path or str
        As for :func:`~napari_unet.io._zarr_reader.read_zarr`.
    most : int
        No more than one more than that are looked for.

    Returns
    -------
    list of str
        Names of their groups, which are numbers from 0; empty for what is no collection.

    Raises
    ------
    ImageError
        If the store cannot be reached, or is damaged.
    """
    node = open_store(place)
    if isinstance(node, zarr.Array) or "multiscales" in ome_of(node):
        return []
    return [*takewhile(lambda n: isinstance(node.get(n), zarr.Group), map(str, range(most + 1)))]


def plate_images(place: Path | str) -> list[str]:
    """List the images of a plate (OME-NGFF 0.4 and 0.5): every field of every well.

    Parameters
    ----------
    place : Path or str
        As for :func:`~napari_unet.io._zarr_reader.read_zarr`; a plate, or one of its wells.

    Returns
    -------
    list of str
        Their groups as seen from `place`, such as ``B/3/0``, in the order in which the plate names its wells; empty for
        what is no plate. Wells and fields that are named and not there are left out.

    Raises
    ------
    ImageError
        If the store cannot be reached, is damaged, or points outside itself.
    """
    node = open_store(place)
    if isinstance(node, zarr.Array):
        return []
    try:
        plate = ome_of(node).get("plate")
        if not isinstance(plate, Mapping):
            return _fields(node, place)
        found = []
        for inner in (str(well["path"]).strip("/") for well in plate.get("wells") or ()):
            check_inside(inner, place)
            well = node.get(inner)
            if isinstance(well, zarr.Group):
                found += [f"{inner}/{name}" for name in _fields(well, place)]
        return found
    except _BROKEN as error:
        raise ImageError(f"'{place}' could not be read as a plate: {error}. Copy it again as a whole.") from error


def _fields(well: zarr.Group, place: Path | str) -> list[str]:
    """List the images of a well; empty for what is none."""
    told = ome_of(well).get("well")
    names = [str(each["path"]) for each in told.get("images") or ()] if isinstance(told, Mapping) else []
    for name in names:
        check_inside(name, place)
    return [name for name in names if name in well]


def root_of(folder: Path) -> Path:
    """Return from where images are seen that were found in a folder, so that their names tell what they are.

    Parameters
    ----------
    folder : Path
        Any folder, or a file that holds several images.

    Returns
    -------
    Path
        The folder itself; the one around a TIFF file or a collection of OME-Zarr, whose images are mere numbers; of a
        plate, and all that is in one, the plate.
    """
    whole = folder.absolute()
    if not is_zarr(whole):
        return whole.parent if whole.is_file() else folder
    while is_zarr(whole.parent):
        whole = whole.parent
    try:
        node = open_store(whole)
    except ImageError:
        return folder
    return whole if isinstance(node, zarr.Group) and "plate" in ome_of(node) else whole.parent


def well_of(place: Path) -> str:
    """Return the well of an image of a plate, such as ``"B3"``; empty for other images."""
    column, plate = place.parent, place.parent.parent.parent
    if not (is_zarr(place) and is_zarr(plate)):
        return ""
    try:
        node = open_store(plate)
    except ImageError:
        return ""
    inside = isinstance(node, zarr.Group) and "plate" in ome_of(node)
    return f"{column.parent.name}{column.name}" if inside else ""
