"""Can a result be written there? Asked before hours of work, not after them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..core.axes import Image
from ..core.errors import OutputError
from ._zarr import check_replaceable
from .images import WRITTEN
from .labels import SUFFIXES

__all__ = ["check_place"]


def check_place(path: Path, image: Image | None = None, overwrite: bool = False, noun: str = "labels") -> None:
    """Check that a result can be written, and leave no trace.

    Parameters
    ----------
    path : Path
        Where the result is to go.
    image : Image, optional
        Of which the labels are to be written; without it the result is a table.
    overwrite : bool
        Whether something that is there may be replaced.
    noun : {"labels", "an image"}
        What is to be written of `image`.

    Raises
    ------
    OutputError
        If the suffix is unknown or does not fit the image, the place is taken, or the folder cannot be written.
    """
    noun = "a table" if image is None else noun
    known = {"a table": (".csv",), "labels": SUFFIXES, "an image": WRITTEN}[noun]
    suffix = path.suffix.lower()
    if suffix not in known:
        raise OutputError(f"'{path}' is no name for {noun}: it must end in {' or '.join(known)}.")
    if image is not None and suffix == ".png":
        _check_flat(path, image)
    if path.exists():
        _check_taken(path, overwrite)
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


def _check_flat(path: Path, image: Image) -> None:
    outer = image.label_axes.replace("y", "").replace("x", "")
    if any(n > 1 for n in image.along(outer)[0]):
        raise OutputError(
            f"'{path}': PNG holds one plane, but '{image.name}' has the axes {image.axes} and the shape {image.shape}. "
            "Choose a name that ends in .tif or .ome.zarr."
        )


def _check_taken(path: Path, overwrite: bool) -> None:
    wants_folder = path.suffix.lower() == ".zarr"
    if path.is_dir() and not wants_folder:
        raise OutputError(f"'{path}' is a folder. Choose another name.")
    if wants_folder and not path.is_dir():
        raise OutputError(f"'{path}' is a file, but OME-Zarr is a folder. Choose another name or remove it first.")
    check_replaceable(path)
    if not overwrite:
        raise OutputError(f"'{path}' exists. Choose another name, or allow it to be replaced: --overwrite.")
