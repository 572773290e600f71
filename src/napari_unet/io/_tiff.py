"""TIFF files: plain, ImageJ and OME."""

from __future__ import annotations

import json
import math
import re
import struct
import weakref
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tifffile
import zarr

from napari_unet.core.axes import Image, as_image, guess_axes
from napari_unet.core.errors import AxesError, ImageError

__all__ = ["LAZY_BYTES", "MAX_PIXELS", "read_tiff", "write_tiff"]

LAZY_BYTES: Final = 256 << 20
MAX_PIXELS: Final = 1 << 40
_BROKEN: Final = (
    tifffile.TiffFileError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)
_ALPHA: Final = {1, 2}
_MICRO: Final = {"um", "µm", "μm", "micron", "microns", "micrometre", "\\u00b5m"}
# OME's symbol of each unit that is written; the names are those of OME-Zarr.
_SYMBOLS: Final = {
    "micrometer": "µm",
    "nanometer": "nm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "kilometer": "km",
    "picometer": "pm",
    "angstrom": "Å",
    "inch": "in",
    "pixel": "pixel",
    "second": "s",
    "millisecond": "ms",
    "microsecond": "µs",
    "minute": "min",
    "hour": "h",
    "day": "d",
}
_NAMES: Final = {symbol: name for name, symbol in _SYMBOLS.items()} | {"sec": "second", "μs": "microsecond"}
Scales = dict[str, tuple[float, str]]


def read_tiff(path: Path, axes: str | None = None) -> Image:
    """Read the first series of a TIFF; lazily if it is large.

    Values are those stored: palettes and inverted grays are not applied.

    Parameters
    ----------
    path : Path
        The file.
    axes : str, optional
        Overrules the axes that the file names.

    Returns
    -------
    Image
        numpy, or an array that reads from the file if it takes more than ``LAZY_BYTES``; samples become channels,
        transparency and axes of length 1 are dropped.

    Raises
    ------
    ImageError
        If the file is not a TIFF, is incomplete, or claims more pixels than can be.
    AxesError
        If the axes are ambiguous.
    """
    try:
        file = tifffile.TiffFile(path)
    except _BROKEN as error:
        raise ImageError(f"'{path}' is not a readable TIFF: {error}. Copy or export it again.") from error
    lazy = False
    try:
        series = file.series[0]
        _check_size(path, file, series)
        lazy = series.nbytes > LAZY_BYTES
        data = zarr.open_array(series.aszarr(level=0), mode="r") if lazy else series.asarray()
        stored, scales, samples = str(series.axes).upper(), _scales(file), _transparent(series)
    except _BROKEN as error:
        lazy = False
        advice = 'Run: pip install "imagecodecs"' if "imagecodecs" in str(error) else "Copy or export it again"
        raise ImageError(f"'{path}' could not be read: {error}. {advice}.") from error
    finally:
        if not lazy:
            file.close()
    if lazy:
        weakref.finalize(data, file.close)
    data, stored = _without_alpha(data, stored, samples)
    if axes is None:
        data, axes = _known_axes(data, stored, path)
    found = [scales.get(a, (1.0, "pixel")) for a in axes]
    return as_image(
        data, axes, scale=tuple(s for s, _ in found), units=tuple(u for _, u in found), name=path.name.split(".")[0]
    )


def write_tiff(path: Path, image: Image, values: npt.NDArray[np.generic], manifest: Mapping[str, Any]) -> None:
    """Write labels or an image as OME-TIFF, compressed, with pixel sizes.

    Parameters
    ----------
    path : Path
        Where to.
    image : Image
        Gives axes, scale and units of `values`.
    values : ndarray
        uint16 or uint32; float32 for an image.
    manifest : mapping
        Kept as JSON in a comment annotation of the namespace ``napari-unet``.
    """
    metadata: dict[str, Any] = {"axes": image.axes.upper()}
    for axis, scale, unit in zip(image.axes, image.scale, image.units, strict=True):
        if axis in "zyx":
            metadata |= {f"PhysicalSize{axis.upper()}": scale}
            metadata |= {f"PhysicalSize{axis.upper()}Unit": _SYMBOLS.get(unit, "reference frame")}
        elif axis == "t" and unit in _SYMBOLS and unit != "pixel":
            metadata |= {"TimeIncrement": scale, "TimeIncrementUnit": _SYMBOLS[unit]}
    if manifest:
        metadata["CommentAnnotation"] = {"Namespace": "napari-unet", "Value": json.dumps(manifest)}
    tifffile.imwrite(path, values, ome=True, photometric="minisblack", compression="zlib", metadata=metadata)


def _check_size(path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Refuse what cannot be true before anything is allocated for it."""
    pixels = math.prod(series.shape)
    if pixels > MAX_PIXELS:
        raise ImageError(f"'{path}' claims {pixels:.3g} pixels, more than any image has. The file is damaged.")
    size = path.stat().st_size
    needed, compressed = 0, False
    for page in series.pages:
        if page is None or Path(page.parent.filehandle.path) != Path(file.filehandle.path):
            continue
        parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        needed = max([needed, *(offset + length for offset, length in parts)])
        compressed |= series.keyframe.compression != tifffile.COMPRESSION.NONE
        compressed |= any(length == 0 for _, length in parts)
    if needed > size or (not compressed and not _several_files(series) and series.nbytes > size):
        raise ImageError(
            f"'{path}' is incomplete: it promises {max(needed, series.nbytes):,} bytes and has {size:,}. "
            "Copy or download it again."
        )


def _several_files(series: tifffile.TiffPageSeries) -> bool:
    return bool(getattr(series, "is_multifile", False)) or any(page is None for page in series.pages)


def _transparent(series: tifffile.TiffPageSeries) -> int:
    """Return the number of samples without transparency, 0 if there is none to drop."""
    page = series.keyframe
    extra = [int(e) for e in page.extrasamples]
    return page.samplesperpixel - 1 if extra and extra[-1] in _ALPHA else 0


def _without_alpha(data: Any, axes: str, samples: int) -> tuple[Any, str]:
    if not samples or "S" not in axes:
        return data, axes
    where = axes.index("S")
    if isinstance(data, zarr.Array):
        # Only large pictures with transparency need dask, and it takes longer to import than all else here.
        import dask.array as da  # noqa: PLC0415

        data = da.from_array(data)
    return data[(slice(None),) * where + (slice(samples),)], axes


def _known_axes(data: Any, stored: str, path: Path) -> tuple[Any, str]:
    """Translate TIFF's axis letters to ``tczyx``, dropping unknown axes of length 1."""
    clash = "S" in stored and "C" in stored
    drop = [i for i, a in enumerate(stored) if data.shape[i] == 1 and (a not in "TCZYXS" or (clash and a in "CS"))]
    if drop:
        data = data[tuple(0 if i in drop else slice(None) for i in range(len(stored)))]
        stored = "".join(a for i, a in enumerate(stored) if i not in drop)
    if all(a in "TCZYXS" for a in stored) and not {"C", "S"} <= set(stored):
        axes = stored.lower().replace("s", "c")
        if len(set(axes)) == len(axes):
            return data, axes
    try:
        return data, guess_axes(tuple(data.shape), data.dtype)
    except AxesError as error:
        raise AxesError(f"'{path}' names its axes {stored}. {error}") from error


def _scales(file: tifffile.TiffFile) -> Scales:
    """Read pixel sizes. A plain TIFF's resolution is for printing and is left alone."""
    if file.is_ome and file.ome_metadata:
        return _ome_scales(file.ome_metadata)
    if file.is_imagej and file.imagej_metadata:
        return _imagej_scales(file)
    return {}


def _ome_scales(text: str) -> Scales:
    pixels = next((e for e in ET.fromstring(text).iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return {}
    found: Scales = {}
    fields = [(a, f"PhysicalSize{a.upper()}", "µm") for a in "zyx"] + [("t", "TimeIncrement", "s")]
    for axis, field, unit in fields:
        if (size := _positive(pixels.get(field))) is not None:
            found[axis] = (size, _unit(pixels.get(f"{field}Unit", unit)))
    return found


def _imagej_scales(file: tifffile.TiffFile) -> Scales:
    metadata, tags = file.imagej_metadata or {}, file.pages.first.tags
    unit = _unit(str(metadata.get("unit", "")))
    found: Scales = {}
    if unit != "pixel":
        for axis, name in (("y", "YResolution"), ("x", "XResolution")):
            above, below = tags[name].value if name in tags else (0, 1)
            if (size := _positive(below / above if above else None)) is not None:
                found[axis] = (size, unit)
        if (size := _positive(metadata.get("spacing"))) is not None:
            found["z"] = (size, unit)
    if (size := _positive(metadata.get("finterval"))) is not None:
        found["t"] = (size, "second")
    return found


def _positive(value: Any) -> float | None:
    try:
        size = float(value)
    except (TypeError, ValueError):
        return None
    return size if size > 0 and math.isfinite(size) else None


def _unit(text: str) -> str:
    word = re.sub(r"\s+", " ", text).strip()
    if not word or word.lower() in ("pixel", "pixels", "px"):
        return "pixel"
    return "micrometer" if word.lower() in _MICRO else _NAMES.get(word, word.lower())
