"""How labels in a TIFF file were made, as :func:`._tiff.write_tiff` keeps it."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any, Final

import tifffile

from napari_unet.core.errors import ImageError

__all__ = ["read_comment"]

_COMMENT: Final = re.compile(r'<CommentAnnotation[^>]*"napari-unet"[^>]*>\s*<Value>(.*?)</Value>', re.DOTALL)


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
        return dict(json.loads(html.unescape(found[1]))) if found else {}
    except (tifffile.TiffFileError, OSError, ValueError, TypeError) as error:
        raise ImageError(f"'{file}' could not be read: {error}. Give labels that this program wrote.") from error
