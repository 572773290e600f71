"""Rasters written as cloud-optimized GeoTIFF, block by block. Needs rasterio."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import rasterio
import rasterio.shutil
import tifffile
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import Affine
from rasterio.windows import Window

from ..core.errors import OutputError
from ..core.place import GeoReference
from ._raster_arrays import CACHE_BYTES
from .atomic import atomic_file, patiently

__all__ = ["Layout", "write_cog"]

_BLOCK: Final = 512
_ROWS: Final = 1024  # of the raster that are held at once; a multiple of the block
_KEYS: Final = 34735
Read = Callable[[tuple[slice, slice]], npt.NDArray[Any]]


@dataclass(frozen=True)
class Layout:
    """What a raster of one band is.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    dtype : str
        Of the values.
    geo : GeoReference or None
        Where it lies.
    nodata : float or int or None
        The value that stands for nothing.
    colors : mapping of int to tuple of int
        Red, green, blue, opacity (0 to 255) of values; only of 8 and 16 bits.
    classes : mapping of int to str
        What the values mean.
    manifest : mapping
        How it was made: plain values.
    smooth : bool
        Overviews are averages; of numbers that are names they are single pixels.
    title : str
        Of the band.
    """

    shape: tuple[int, int]
    dtype: str
    geo: GeoReference | None = None
    nodata: float | int | None = None
    colors: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    classes: Mapping[int, str] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    smooth: bool = False
    title: str = ""


def write_cog(path: Path, layout: Layout, read: Read) -> None:
    """Write a raster, complete or not at all, in memory that does not depend on its size.

    Parameters
    ----------
    path : Path
        Where to.
    layout : Layout
        What it is.
    read : callable
        Gives the values of a window (rows, columns); called for whole rows of blocks, from the top.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with atomic_file(path) as temporary, _side_files(temporary, path):
        raw = temporary.with_suffix(".raw.tif")
        try:
            with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_TIFF_INTERNAL_MASK=True):
                _write_tiles(raw, layout, read)
                rasterio.shutil.copy(
                    raw, temporary, driver="COG", COMPRESS="DEFLATE", PREDICTOR="YES", BLOCKSIZE=_BLOCK,
                    BIGTIFF="IF_SAFER", OVERVIEW_RESAMPLING="AVERAGE" if layout.smooth else "NEAREST",
                    SPARSE_OK="TRUE", NUM_THREADS="2",
                )  # fmt: skip
            _put_keys(temporary, layout.geo)
        except RasterioError as error:
            raise OutputError(
                f"'{path}' could not be written: {error}. Check the free space of the disk, or choose another folder."
            ) from error
        finally:
            for rest in (raw, Path(f"{raw}.aux.xml")):
                rest.unlink(missing_ok=True)


def _write_tiles(raw: Path, layout: Layout, read: Read) -> None:
    """Write the full image as GDAL wants it, to be put in the order of a cloud-optimized file."""
    height, width = layout.shape
    facts: dict[str, Any] = {
        "driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": layout.dtype, "tiled": True,
        "blockxsize": _BLOCK, "blockysize": _BLOCK, "compress": "deflate", "zlevel": 1, "bigtiff": "if_safer",
        "sparse_ok": True, "nodata": layout.nodata,
    }  # fmt: skip
    if layout.geo is not None:
        facts |= {"crs": CRS.from_wkt(layout.geo.crs) if layout.geo.crs else None}
        facts |= {"transform": Affine(*layout.geo.transform) if layout.geo.transform else None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(raw, "w", **facts) as raster:
            if layout.colors and layout.dtype in ("uint8", "uint16"):
                raster.write_colormap(1, {value: tuple(color) for value, color in layout.colors.items()})
            if layout.geo is not None and layout.geo.points:
                points = [GroundControlPoint(*point) for point in layout.geo.points]
                raster.gcps = points, CRS.from_wkt(layout.geo.points_crs) if layout.geo.points_crs else CRS()
            if layout.geo is not None and layout.geo.coefficients:
                raster.update_tags(ns="RPC", **dict(layout.geo.coefficients))
            raster.update_tags(**_facts(layout))
            raster.set_band_description(1, layout.title)
            for top in range(0, height, _ROWS):
                rows = slice(top, min(top + _ROWS, height))
                for left in range(0, width, 16 * _ROWS):
                    columns = slice(left, min(left + 16 * _ROWS, width))
                    values = read((rows, columns)).astype(layout.dtype, copy=False)
                    window = Window(left, top, columns.stop - left, rows.stop - top)
                    if values.any() or layout.nodata != 0:
                        raster.write(values, 1, window=window)


def _facts(layout: Layout) -> dict[str, str]:
    found = {"NAPARI_UNET": json.dumps(dict(layout.manifest))} if layout.manifest else {}
    if layout.classes:
        found["CLASS_NAMES"] = json.dumps({str(value): name for value, name in layout.classes.items()})
    return found


def _put_keys(path: Path, geo: GeoReference | None) -> None:
    """Put the keys of a system back as they came, where GDAL knows its number no more than we do."""
    if geo is None or not geo.crs.startswith(("LOCAL_CS", "ENGCRS")):
        return
    given = {code: values for code, _, values in geo.tags}
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages.first.tags
        if _KEYS in given and _KEYS in tags and all(code in tags for code in given if code > _KEYS):
            for code in (code for code in given if code >= _KEYS):
                value = given[code][0] if isinstance(given[code][0], str) else given[code]
                tags[code].overwrite(value)


@contextmanager
def _side_files(temporary: Path, path: Path) -> Iterator[None]:
    """Take what GDAL writes beside a file along: of systems that a TIFF cannot describe."""
    beside = Path(f"{temporary}.aux.xml")
    try:
        yield
        if beside.is_file():
            patiently(os.replace, beside, f"{os.path.realpath(path)}.aux.xml")
    finally:
        beside.unlink(missing_ok=True)
