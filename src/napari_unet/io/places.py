"""Can a result be written there? Asked before hours of work, not after them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..core.axes import Image
from ..core.errors import OutputError
from ..core.polygons import SUFFIXES as POLYGONS
from ._zarr import check_replaceable
from ._zarr_reader import is_zarr
from .addresses import as_address
from .dicom_seg import check_segmentation
from .images import WRITTEN, holds_series
from .labels import WRITTEN as LABELS
from .remote_labels import check_store
from .runs import describe_unfinished
from .suffixes import suffix_of
from .tables import TABLES, check_table

__all__ = ["check_apart", "check_folder", "check_place"]


def check_place(path: Path, image: Image | None = None, overwrite: bool = False, noun: str = "labels") -> str:
    """Check that a result can be written, and leave no trace.

    Parameters
    ----------
    path : Path
        Where the result is to go; labels may go to an address.
    image : Image, optional
        Of which the labels are to be written; without it the result is a table.
    overwrite : bool
        Whether something that is there may be replaced.
    noun : {"labels", "an image", "a report", "polygons"}
        What is to be written.

    Returns
    -------
    str
        What is good to know before: that an unfinished run is there. Empty if there is none.

    Raises
    ------
    OutputError
        If the suffix is unknown or does not fit the image, the place is taken or belongs to the image, or the folder
        cannot be written.
    """
    noun = "a table" if image is None and noun == "labels" else noun
    if (address := as_address(path)) and noun == "labels":
        check_store(address, image, overwrite)
        return describe_unfinished(path)
    if address:
        raise OutputError(f"'{address}': an object store takes labels as .ome.zarr only. Give a file for {noun}.")
    known = {
        "a table": TABLES,
        "labels": LABELS,
        "an image": WRITTEN,
        "a report": (".html", ".pdf"),
        "polygons": POLYGONS,
    }[noun]
    suffix = suffix_of(path)
    if suffix not in known:
        raise OutputError(f"'{path}' is no name for {noun}: it must end in {' or '.join(known)}.")
    check_table(path)
    if image is not None and suffix == ".png":
        _check_flat(path, image)
    if image is not None and suffix in POLYGONS:
        _check_polygons(path, image)
    if image is not None:
        check_apart(path, image)
    if image is not None and suffix == ".dcm":
        check_segmentation(path, image)
    if path.exists():
        _check_taken(path, overwrite)
    check_folder(path)
    return describe_unfinished(path) if noun == "labels" and suffix == ".zarr" else ""


def check_folder(path: Path) -> None:
    """Check that something can be written beside a path.

    Parameters
    ----------
    path : Path
        Of what is to be written.

    Raises
    ------
    OutputError
        If there is no folder, or nothing can be written there.
    """
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise OutputError(f"'{path}' cannot be written: the folder '{folder}' does not exist. Create it first.")
    try:
        # Permissions do not tell (network drives, read-only disks, administrators): only writing does.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written: {error.strerror or error}. Choose another folder, or free space."
        ) from error


def check_apart(path: Path, image: Image) -> None:
    """Check that a result does not take the place of the image, nor lies in its folder or around it.

    Parameters
    ----------
    path : Path
        Where the result is to go.
    image : Image
        What it is made of; nothing is checked where it comes from no file.

    Raises
    ------
    OutputError
        If they are not apart.
    """
    if address := as_address(path):
        check_store(address, image)
        return
    place = Path(os.path.realpath(path))
    if image.anatomy is not None and str(place) in {os.path.realpath(file) for file in image.anatomy.files}:
        raise OutputError(f"'{path}' would replace a plane of the image itself. Choose another name.")
    for file in image.files or (image.source,):
        whole = Path(file).parent if holds_series(Path(file).parent) else Path(file)  # one of the images in a file
        if file and whole.exists():
            _check_beside(path, place, Path(os.path.realpath(whole)))


def _check_beside(path: Path, place: Path, source: Path) -> None:
    while is_zarr(source.parent):
        source = source.parent
    if place == source:
        raise OutputError(f"'{path}' would replace the image itself. Choose another name.")
    if source in place.parents:
        raise OutputError(f"'{path}' lies inside of the image '{source}'. Choose a place beside it.")
    if place in source.parents:
        raise OutputError(f"The image '{source}' lies inside of '{path}', which would replace it. Choose another name.")


def _check_flat(path: Path, image: Image) -> None:
    outer = image.label_axes.replace("y", "").replace("x", "")
    if any(n > 1 for n in image.along(outer)[0]):
        raise OutputError(
            f"'{path}' holds one plane, but '{image.name}' has the axes {image.axes} and the shape {image.shape}. "
            "Choose a name that ends in .tif or .ome.zarr."
        )


def _check_polygons(path: Path, image: Image) -> None:
    from .polygons import check_packages, in_pixels  # noqa: PLC0415  # it compiles, and few want polygons

    if not in_pixels(path, image.geo):
        check_packages()
        _check_flat(path, image)


def _check_taken(path: Path, overwrite: bool) -> None:
    wants_folder = path.suffix.lower() == ".zarr"
    if path.is_dir() and not wants_folder:
        raise OutputError(f"'{path}' is a folder. Choose another name.")
    if wants_folder and not path.is_dir():
        raise OutputError(f"'{path}' is a file, but OME-Zarr is a folder. Choose another name or remove it first.")
    check_replaceable(path)
    if not overwrite:
        raise OutputError(f"'{path}' exists. Choose another name, or allow it to be replaced: --overwrite.")
