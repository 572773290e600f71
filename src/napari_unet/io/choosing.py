"""Where labels go when nobody says so, and where a run keeps what is not finished. Loads nothing heavy."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

from .addresses import as_address

__all__ = ["BATCH", "UNFINISHED", "WORK", "choose_place", "data_folder", "draft_folder", "run_folder", "work_folder"]

WORK: Final = "NAPARI_UNET_WORK"  # names the folder for runs whose results go to object stores
BATCH: Final = ".batch"  # lies in folders of what came of many images
UNFINISHED: Final = ".unfinished"  # ends the names of folders of runs


def run_folder(output: Path, work: str = "") -> Path:
    """Return where an unfinished run is kept: beside its result, or for an object store in :func:`work_folder`.

    Parameters
    ----------
    output : Path
        Where the labels are to be in the end: a folder, or an address.
    work : str
        Of a run that was begun by another process: its :func:`work_folder`.

    Returns
    -------
    Path
        A folder, perhaps not there.
    """
    if address := as_address(output):
        name = re.sub(r"[^\w.-]", "_", address.rstrip("/").rpartition("/")[2])
        known = hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:12]
        return (Path(work) if work else work_folder()) / f"{known}-{name[-100:]}{UNFINISHED}"
    place = Path(os.path.realpath(output))  # what is a link stays one, and the result is moved on one disk
    return place.with_name(place.name + UNFINISHED)


def work_folder() -> Path:
    """Return the folder for runs whose results go to object stores: what ``NAPARI_UNET_WORK`` says, or the user's."""
    return Path(os.path.realpath(os.environ.get(WORK) or data_folder() / "runs"))


def draft_folder(output: Path) -> Path:
    """Return where corrections by hand are kept until they are put back, a sibling of the labels."""
    place = Path(os.path.realpath(output))
    return place.with_name(f"{place.name}.region")


def choose_place(source: Path | None, name: str) -> Path:
    """Choose where the labels of an image go.

    Parameters
    ----------
    source : Path or None
        The file of the image, if there is one.
    name : str
        Of the file to write.

    Returns
    -------
    Path
        Beside the image where that can be written, else in a folder of the user's data, which is made.
    """
    if source is not None and _writable(source.absolute().parent):
        return source.absolute().parent / name
    folder = data_folder() / "labels"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def data_folder() -> Path:
    """Return the platform's folder for data of the user that belong to this program."""
    home = Path.home()
    places = {
        "win32": Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")),
        "darwin": home / "Library" / "Application Support",
    }
    default = Path(os.environ.get("XDG_DATA_HOME", home / ".local" / "share"))
    return places.get(sys.platform, default) / "napari-unet"


def _writable(folder: Path) -> bool:
    """Try it: permissions do not tell (network drives, read-only disks, administrators)."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
