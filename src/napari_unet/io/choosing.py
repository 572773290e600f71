"""Where labels go when nobody says so, and where a run keeps what is not finished. Loads nothing heavy."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["choose_place", "data_folder", "draft_folder", "run_folder"]

_UNFINISHED: Final = ".unfinished"


def run_folder(output: Path) -> Path:
    """Return where an unfinished run is kept, a sibling of its result.

    Parameters
    ----------
    output : Path
        Where the labels are to be in the end.

    Returns
    -------
    Path
        A folder, perhaps not there.
    """
    place = Path(os.path.realpath(output))  # what is a link stays one, and the result is moved on one disk
    return place.with_name(place.name + _UNFINISHED)


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
