"""How labels in a TIFF file were made, as those that write it keep it."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any, Final

import tifffile

from napari_unet.core.errors import ImageError

from ._geo_tags import BROKEN, is_georeferenced

__all__ = ["holds_labels", "read_comment"]

_COMMENT: Final = re.compile(r'<CommentAnnotation[^>]*"napari-unet"[^>]*>\s*<Value>(.*?)</Value>', re.DOTALL)
_ITEM: Final = re.compile(r'<Item name="NAPARI_UNET">(.*?)</Item>', re.DOTALL)
_GDAL_METADATA: Final = 42112


def read_comment(file: Path) -> dict[str, Any]:
    """Return what a TIFF file of this program says of itself.

    Parameters
    ----------
    file : Path
        TIFF.

    Returns
    -------
    dict
        Empty if it says nothing.

    Raises
    ------
    ImageError
        If it is no TIFF file.
    """
    try:
        with tifffile.TiffFile(file) as tiff:
            found = _COMMENT.search(tiff.ome_metadata or "")
            stored = tiff.pages.first.tags.get(_GDAL_METADATA)
            item = None if found or stored is None else _ITEM.search(str(stored.value))
        if item:
            # GDAL escapes it twice: as text, and as a part of a document.
            return dict(json.loads(html.unescape(html.unescape(item[1]))))
        return dict(json.loads(html.unescape(found[1]))) if found else {}
    except (tifffile.TiffFileError, OSError, ValueError, TypeError) as error:
        raise ImageError(f"'{file}' could not be read: {error}. Give labels that this program wrote.") from error


def holds_labels(file: Path) -> bool:
    """Say whether a TIFF file holds labels: it says how this program made them, or it is a raster with a color table.

    Parameters
    ----------
    file : Path
        Any file.

    Returns
    -------
    bool
        False for what is no TIFF, and for images with a color table that lie nowhere on Earth: their numbers are
        intensities.
    """
    try:
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            whole = page.dtype is not None and page.dtype.kind in "ui" and page.samplesperpixel == 1
            colored = page.photometric == tifffile.PHOTOMETRIC.PALETTE
        return whole and ((colored and is_georeferenced(file)) or bool(read_comment(file)))
    except (ImageError, *BROKEN):
        return False
