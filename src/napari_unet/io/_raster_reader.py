"""Rasters that lie somewhere on Earth: GeoTIFF, COG, JPEG 2000 and VRT, by rasterio (GDAL)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile

from ..core.axes import Image, as_image
from ..core.errors import AxesError, ImageError
from ..core.place import Band, GeoReference
from ._geo_tags import read_tags
from ._raster_arrays import BROKEN, Bands, Filled, Holds, Labeled, Opened, open_raster
from ._tiff import LAZY_BYTES, MAX_PIXELS

__all__ = ["read_raster"]

_ALPHA: Final = "alpha"
_TO_MICROMETERS: Final = {"um": 1.0, "µm": 1.0, "micrometers": 1.0, "micrometer": 1.0, "nm": 1e-3, "nanometers": 1e-3}
_UNITS: Final = {"metre": "meter", "us survey foot": "survey_foot", "kilometre": "kilometer", "foot": "foot"}
_NODATA: Final = 42113
_POINTS: Final = (
    "It lies on the map by control points. They go into labels as they are, but polygons and areas are in pixels: "
    "bring it to a grid first where you need them, for example with gdalwarp."
)
_COEFFICIENTS: Final = (
    "It lies on the map by coefficients (RPC). They go into labels as they are, but polygons and areas are in pixels: "
    "bring it to a grid first where you need them, for example with gdalwarp."
)


def read_raster(path: Path, axes: str | None = None, labels: bool = False, lazy: bool = False) -> Image:
    """Read a raster, lazily if it is large, with its place, its overviews and where it holds data.

    Parameters
    ----------
    path : Path
        The file.
    axes : str, optional
        Overrules the axes; as many as there are.
    labels : bool
        Take every value for a number of an object, but for one that stands for nothing, and NaN: those become 0.
        Transparency and masks hide nothing.
    lazy : bool
        Leave it in its file although it is small.

    Returns
    -------
    Image
        Axes ``yx`` (one band), ``yxc`` (three bands of 8 bits, a color picture) or ``cyx``, in the file's own dtype and
        with its own values. An alpha band is no channel but says where there is data, as do masks and nodata.

    Raises
    ------
    ImageError
        If the file cannot be read, or holds no real numbers.
    AxesError
        If the axes do not fit.
    """
    try:
        with open_raster(str(path)) as raster:
            numbers = _bands(raster)
            pixels = raster.width * raster.height * len(numbers)
            if pixels >= MAX_PIXELS:
                raise ImageError(f"'{path}' claims {pixels:.3g} pixels, more than any image has. It is damaged.")
            kinds = [np.dtype(raster.dtypes[number - 1]) for number in numbers]
            dtype = np.result_type(*kinds)
            geo = _place(raster, numbers, path)
            holes = None if labels else _holes(raster, numbers, path)
            nothing = _no_label(raster, numbers[0], path) if labels else None
            overviews = len(raster.overviews(1))
        if dtype.kind == "c":
            raise ImageError(f"'{path}' holds complex numbers ({dtype}). Export its magnitude first.")
        order = _order(axes, numbers, dtype)
        sources = [Opened(str(path), level) for level in (None, *range(overviews))]
        arrays: list[Any] = [Bands(source, numbers, order, dtype) for source in sources]
        masks: list[Any] = [] if holes is None else [Holds(source, *holes) for source in sources]
        if labels and len(numbers) == 1 and (nothing is not None or dtype.kind == "f"):
            masks = [Labeled(array, nothing) for array in arrays]
            arrays = [Filled(array, mask) for array, mask in zip(arrays, masks, strict=True)]
        if pixels * dtype.itemsize <= LAZY_BYTES and not lazy:
            arrays, masks = [np.asarray(a) for a in arrays], [np.asarray(m) for m in masks]
            masks = [] if masks and masks[0].all() else masks
    except BROKEN as error:
        raise ImageError(f"'{path}' could not be read: {error}. Copy or download it again.") from error
    height, width = geo.pixel
    known = {"y": height, "x": width}
    named = axes or order
    return as_image(
        arrays[0], named, scale=tuple(known.get(a, 1.0) for a in named),
        units=tuple(geo.unit if a in known else "pixel" for a in named), name=path.name.split(".")[0],
        levels=tuple(arrays[1:]), geo=geo, valid=tuple(masks),
    )  # fmt: skip


def _bands(raster: Any) -> list[int]:
    """Return the bands that are no transparency; all if there are no others."""
    kinds = [kind.name for kind in raster.colorinterp]
    return [number for number, kind in enumerate(kinds, 1) if kind != _ALPHA] or [*range(1, len(kinds) + 1)]


def _order(axes: str | None, numbers: list[int], dtype: np.dtype[Any]) -> str:
    if axes is not None:
        flat = len(axes) == 2
        if flat is not (len(numbers) == 1) or len(axes) > 3:
            raise AxesError(
                f"This raster has {len(numbers)} band(s) along y and x; the axes '{axes}' do not fit. Leave them out."
            )
        return "yx" if flat else "yxc" if axes.endswith(tuple("ctz")) else "cyx"
    if len(numbers) == 1:
        return "yx"
    return "yxc" if len(numbers) == 3 and dtype == np.uint8 else "cyx"


def _holes(raster: Any, numbers: list[int], path: Path) -> tuple[int, tuple[tuple[int, Any], ...]] | None:
    """Return what says where there is data, for :class:`Holds`; None if there is data everywhere."""
    kinds = [kind.name for kind in raster.colorinterp]
    if _ALPHA in kinds and len(numbers) < len(kinds):
        return kinds.index(_ALPHA) + 1, ()
    flags = {flag.name for flag in raster.mask_flag_enums[numbers[0] - 1]}
    if "per_dataset" in flags:
        return 0, ()
    exact = _nodata_tag(path) if raster.driver == "GTiff" and raster.dtypes[0] in ("int64", "uint64") else None
    given = [(number, raster.nodatavals[number - 1] if exact is None else exact) for number in numbers]
    empty = [(n, _typed(value, kind)) for n, value in given if _occurs(value, kind := np.dtype(raster.dtypes[n - 1]))]
    # One band without such a value is data everywhere, in whole numbers. What is NaN is left out by who reads it.
    partly = len(empty) < len(numbers) and np.dtype(raster.dtypes[numbers[0] - 1]).kind != "f"
    told = all(isinstance(value, float) and math.isnan(value) for _, value in empty)
    return None if partly or told else (0, tuple(empty))


def _no_label(raster: Any, number: int, path: Path) -> Any:
    """Return the number, other than 0, that stands for nothing among labels; None if there is none."""
    kind = np.dtype(raster.dtypes[number - 1])
    exact = _nodata_tag(path) if raster.driver == "GTiff" and kind.itemsize == 8 and kind.kind in "ui" else None
    value = raster.nodatavals[number - 1] if exact is None else exact
    return _typed(value, kind) if _occurs(value, kind) and value != 0 and not math.isnan(value) else None


def _nodata_tag(path: Path) -> int | None:
    """Return the value of a TIFF that stands for nothing; GDAL's way to tell it loses digits of 64 bits."""
    with tifffile.TiffFile(path) as file:
        tag = file.pages.first.tags.get(_NODATA)
    try:
        return None if tag is None else int(str(tag.value).strip("\0 "))
    except ValueError:
        return None


def _occurs(value: Any, kind: np.dtype[Any]) -> bool:
    """Say whether a number can be a value of a band at all."""
    if value is None:
        return False
    if kind.kind == "f":
        return not math.isfinite(value) or abs(value) <= np.finfo(kind).max
    limits = np.iinfo(kind)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max


def _typed(value: Any, kind: np.dtype[Any]) -> Any:
    return float(value) if kind.kind == "f" else int(value)


def _place(raster: Any, numbers: list[int], path: Path) -> GeoReference:
    crs, matrix = raster.crs, raster.transform
    transform = None if matrix.is_identity else tuple(map(float, matrix[:6]))
    bands = tuple(_band(raster, number) for number in numbers)
    tags = read_tags(path) if raster.driver in ("GTiff", "COG") else ()
    told = tuple(sorted(raster.tags(ns="RPC").items()))
    if crs is None:
        if transform is None and raster.gcps[0]:
            points, system = raster.gcps
            held = tuple((p.row, p.col, p.x, p.y, p.z or 0.0) for p in points)
            known = system.to_wkt() if system else ""
            return GeoReference(bands=bands, tags=tags, remarks=(_POINTS,), points=held, points_crs=known)
        remarks = (_COEFFICIENTS,) if told and transform is None else ()
        return GeoReference(transform, bands=bands, tags=tags, remarks=remarks, coefficients=told)  # type: ignore[arg-type]
    epsg = crs.to_epsg()
    wkt = crs.to_wkt()
    title = f"EPSG:{epsg}" if epsg else wkt.partition('"')[2].partition('"')[0] or "a system without a name"
    unit = "degree" if crs.is_geographic else _UNITS.get(str(crs.linear_units).casefold(), "pixel")
    return GeoReference(transform, wkt, title, unit, bands, tags, coefficients=told)  # type: ignore[arg-type]


def _band(raster: Any, number: int) -> Band:
    kind = raster.colorinterp[number - 1].name
    name = raster.descriptions[number - 1] or (kind if kind not in ("gray", "undefined", "palette") else "")
    said = {
        key.casefold(): value for key, value in {**raster.tags(number), **raster.tags(number, ns="IMAGERY")}.items()
    }
    if "central_wavelength_um" in said:
        return Band(name, _number(said["central_wavelength_um"]))
    length = _number(said.get("wavelength", ""))
    unit = said.get("wavelength_units", said.get("wavelength_unit", "")).casefold()
    if length is None:
        return Band(name)
    # Light that sensors see has hundreds of nanometers, or a few micrometers.
    return Band(name, length * _TO_MICROMETERS.get(unit, 1e-3 if length > 100 else 1.0))


def _number(text: str) -> float | None:
    try:
        return float(text.split(maxsplit=1)[0])
    except (ValueError, IndexError):
        return None
