"""How much room things will take on a disk, and how much there is."""

from __future__ import annotations

import itertools
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numcodecs.zlib import Zlib
from numcodecs.zstd import Zstd

from .journal import packed_size

__all__ = ["folder_size", "free_space", "journal_size", "labels_size"]

_CHUNK: Final = 512
_OVERVIEWS: Final = 4 / 3  # a pyramid: 1 + 1/4 + 1/16 ...


def journal_size(**arrays: npt.NDArray[Any]) -> int:
    """Return the bytes that an entry of a journal takes.

    Parameters
    ----------
    **arrays : ndarray
        As for :meth:`~napari_unet.io.journal.Journal.put`.

    Returns
    -------
    int
        Of the packed arrays; a file takes a little more.
    """
    return sum(packed_size(values) for values in arrays.values())


def labels_size(labels: npt.NDArray[np.integer[Any]], suffix: str = ".zarr") -> int:
    """Return the bytes that a part of some labels takes in a file, overviews included.

    Parameters
    ----------
    labels : ndarray of int
        A window, as large as a tile.
    suffix : str
        Of the file.

    Returns
    -------
    int
        Measured by packing them.
    """
    if suffix == ".npy":
        return 4 * labels.size
    tiff = suffix in (".tif", ".tiff")
    pack, dtype = (Zlib(level=1), np.uint16) if tiff else (Zstd(level=3), np.uint32)
    planes = labels.reshape(-1, *labels.shape[-2:]).astype(dtype)
    corners = itertools.product(*(range(0, n, _CHUNK) for n in planes.shape[1:]))
    parts = (np.ascontiguousarray(planes[:, y : y + _CHUNK, x : x + _CHUNK]) for y, x in corners)
    size = sum(len(pack.encode(part)) for part in parts)
    return size if tiff else round(size * _OVERVIEWS)


def free_space(place: Path) -> int | None:
    """Return the bytes that are free on the disk of a file or folder that may not be there yet.

    Parameters
    ----------
    place : Path
        Where something is to be written.

    Returns
    -------
    int or None
        None where the system does not say.
    """
    folder = Path(os.path.realpath(place))
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder; 0 if it is not there."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # a run that goes on renames and removes its files
                total += Path(root, name).stat().st_size
    return total
