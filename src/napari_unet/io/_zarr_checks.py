"""What of a zarr store is refused before anything is read: it may come from anybody."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import zarr

from napari_unet.core.errors import ImageError

__all__ = ["check_array", "check_inside"]

_MAX_CHUNK_BYTES: Final = 4 << 30
_MANY_PIXELS: Final = 1 << 40
_MOST_PACKED: Final = 1 << 20  # pixels to a stored byte


def check_inside(inner: str, path: Path | str) -> None:
    """Refuse names that lead out of a store."""
    parts = re.split(r"[/\\]", inner)
    if not inner or ":" in inner or any(part in ("", ".", "..") for part in parts):
        raise ImageError(f"'{path}' points to '{inner}', which is not inside it. Do not trust this file.")


def check_array(array: zarr.Array[Any], place: Path | str) -> None:
    """Refuse what would run code or take memory without end when it is read, or cannot be true."""
    if any(name.rpartition(".")[2] == "pickle" for name in _names(array.metadata.to_dict())):
        raise ImageError(f"'{place}' is packed with 'pickle', which could run any program. Do not trust this file.")
    size = math.prod(array.chunks) * array.dtype.itemsize
    if size > _MAX_CHUNK_BYTES:
        raise ImageError(
            f"'{place}' has chunks of {size / 2**30:.1f} GiB, which cannot be read piece by piece. "
            "Store it again with smaller chunks (512 pixels along y and x)."
        )
    pixels = math.prod(array.shape)
    if pixels >= _MANY_PIXELS and isinstance(place, Path) and not _holds(place, pixels // _MOST_PACKED):
        raise ImageError(f"'{place}' claims {pixels:.3g} pixels, but there is next to nothing in it. It is incomplete.")


def _names(value: Any) -> Iterator[str]:
    """Go through the names of codecs, however deep they are nested."""
    if isinstance(value, Mapping):
        yield from (str(value[key]).lower() for key in ("id", "name") if key in value)
        value = [*value.values()]
    if isinstance(value, list | tuple):
        for one in value:
            yield from _names(one)


def _holds(folder: Path, size: int) -> bool:
    """Say whether the files of a folder have a number of bytes together; no more of them are looked at than needed."""
    found = 0
    for file in folder.rglob("*"):
        found += file.stat().st_size if file.is_file() else 0
        if found >= size:
            return True
    return False
