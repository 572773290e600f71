"""The GeoTIFF tags of a file, read and written as they are: nothing is lost that nobody here understands."""

from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path
from typing import Any, Final

import tifffile

from ..core.place import GeoReference, Tag, Transform

__all__ = ["BROKEN", "as_extratags", "hides_labels", "is_georeferenced", "place_of_tags", "read_tags"]

_SCALE, _TIES, _MATRIX, _KEYS, _NUMBERS, _TEXTS = 33550, 33922, 34264, 34735, 34736, 34737
_GEO: Final = {_SCALE: "d", _TIES: "d", _MATRIX: "d", _KEYS: "H", _NUMBERS: "d", _TEXTS: "s"}
_GDAL: Final = (42112, 42113)  # metadata, nodata
_COEFFICIENTS: Final = 50844  # RPC
BROKEN: Final = (
    tifffile.TiffFileError, OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError, EOFError, MemoryError,
    struct.error, zlib.error,
)  # fmt: skip
_WORLD_FILES: Final = (".tfw", ".tifw", ".tiffw", ".wld")
_RASTER_TYPE, _POINT = 1025, 2
_CODES: Final = (3072, 2048)  # projected and geographic systems, by number
_UNIT: Final = {1: "meter", 2: "degree"}  # of model types 1, projected, and 2, geographic


def _is_of_use(record: logging.LogRecord) -> bool:
    """Leave out that tifffile cannot take a raster's nodata for a number of its type: it is read as text here."""
    return "GDAL_NODATA" not in record.getMessage()


logging.getLogger("tifffile").addFilter(_is_of_use)


def is_georeferenced(path: Path) -> bool:
    """Say whether a TIFF is a raster with a place, bands or nodata that GDAL knows of.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    bool
        False too for stacks and movies in such a file, and for what is no TIFF.
    """
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            known = any(code in page.tags for code in (*_GEO, *_GDAL, _COEFFICIENTS))
            beside = any(path.with_suffix(suffix).is_file() for suffix in _WORLD_FILES)
            return (known or beside) and str(file.series[0].axes).upper() in ("YX", "YXS", "SYX")
    except BROKEN:
        return False  # whoever reads it says what is wrong


def hides_labels(path: Path) -> bool:
    """Say whether a TIFF of labels names a number other than 0 that stands for nothing.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    bool
        False for what is no TIFF.
    """
    try:
        with tifffile.TiffFile(path) as file:
            tag = file.pages.first.tags.get(_GDAL[1])
            return tag is not None and float(str(tag.value).strip("\0 ")) != 0
    except BROKEN:
        return False


def read_tags(path: Path) -> tuple[Tag, ...]:
    """Return the tags of a TIFF that say where it lies.

    Parameters
    ----------
    path : Path
        A TIFF.

    Returns
    -------
    tuple of (int, str, tuple)
        Number, type as in :mod:`struct` and values; empty where there are none.
    """
    with tifffile.TiffFile(path) as file:
        found = file.pages.first.tags
        return tuple((code, kind, _values(found[code].value)) for code, kind in _GEO.items() if code in found)


def _values(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str | int | float) else tuple(value)


def as_extratags(geo: GeoReference) -> list[tuple[int, str, int, Any, bool]]:
    """Return tags for :func:`tifffile.imwrite`.

    Parameters
    ----------
    geo : GeoReference
        Its tags as they came; or those that say its transform.

    Returns
    -------
    list of tuple
        Empty if nothing is known.
    """
    tags = list(geo.tags)
    if not tags and geo.transform is not None:
        a, b, c, d, e, f = geo.transform
        tags = [(_MATRIX, "d", (a, b, 0.0, c, d, e, 0.0, f, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0))]
    return [
        (code, kind, 0 if kind == "s" else len(held), held[0] if kind == "s" else held, True)
        for code, kind, held in tags
    ]


def place_of_tags(tags: tuple[Tag, ...]) -> GeoReference | None:
    """Say where a TIFF lies as far as its tags tell without a list of reference systems.

    Parameters
    ----------
    tags : tuple of (int, str, tuple)
        From :func:`read_tags`.

    Returns
    -------
    GeoReference or None
        Without a description of the system; None where there are no tags.
    """
    if not tags:
        return None
    held = {code: values for code, _, values in tags}
    keys = held.get(_KEYS, ())
    entries = {keys[i]: keys[i + 3] for i in range(4, len(keys) - 3, 4) if keys[i + 1] == 0}
    code = next((entries[key] for key in _CODES if entries.get(key, 32767) != 32767), None)
    unit = _UNIT.get(entries.get(1024, 0), "pixel")
    return GeoReference(_transform(held, entries), "", f"EPSG:{code}" if code else "", unit, (), tags)


def _transform(held: dict[int, tuple[Any, ...]], entries: dict[int, int]) -> Transform | None:
    if _MATRIX in held and len(held[_MATRIX]) >= 8:
        a, b, _, c, d, e, _, f = map(float, held[_MATRIX][:8])
    elif _SCALE in held and len(held.get(_TIES, ())) >= 6:
        width, height, *_ = map(float, held[_SCALE])
        column, row, _, x, y, *_ = map(float, held[_TIES])
        a, b, c, d, e, f = width, 0.0, x - column * width, 0.0, -abs(height), y + row * abs(height)
    else:
        return None
    if entries.get(_RASTER_TYPE) == _POINT:  # the place is that of the middle of a pixel
        c, f = c - 0.5 * (a + b), f - 0.5 * (d + e)
    return a, b, c, d, e, f
