"""Images that lie somewhere on Earth: by rasterio where it is installed, else TIFF with its tags carried over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.classes import ClassRow
from ..core.errors import ImageError, MissingExtraError, OutputError
from ..core.place import GeoReference
from ._comments import read_comment
from ._geo_tags import is_georeferenced, place_of_tags, read_tags
from ._tiff import read_tiff

__all__ = [
    "RASTERS", "has_rasterio", "is_raster", "list_dates", "open_placed", "read_georeferenced", "read_stack",
    "row_blocks", "whole", "write_label_raster", "write_number_raster",
]  # fmt: skip

RASTERS: Final = (".vrt", ".jp2", ".j2k")
_TIFFS: Final = (".tif", ".tiff", ".btf", ".tf8")
_ITEM: Final = ".json"  # of a SpatioTemporal Asset Catalog
_AT_ONCE: Final = 1 << 25  # pixels
_NAMED: Final = 5  # files that a remark names
_NUMBER: Final = re.compile(r"([0-9]+)")


def has_rasterio() -> bool:
    """Say whether the package that knows rasters is installed, without loading it."""
    return find_spec("rasterio") is not None


def is_raster(place: Path) -> bool:
    """Say whether something is a raster, a folder of rasters, or a STAC item that names some.

    Parameters
    ----------
    place : Path
        A file or folder that is there.

    Returns
    -------
    bool
        False for TIFF files that do not say where they lie.
    """
    if place.is_dir():
        return bool(_tiles_in(place))
    suffix = place.suffix.lower()
    return suffix in (*RASTERS, _ITEM) or (suffix in _TIFFS and is_georeferenced(place))


def read_georeferenced(file: Path, axes: str | None = None, labels: bool = False) -> Image:
    """Read a raster.

    Parameters
    ----------
    file : Path
        GeoTIFF, JPEG 2000 or VRT; a folder of tiles that lie side by side, or of dates of one place if the axes have
        ``t``, in the order of :func:`list_dates`; or a STAC item (``.json``) whose assets lie on this computer.
    axes, labels : str or None, bool
        See :func:`napari_unet.io._raster_reader.read_raster`.

    Returns
    -------
    Image
        Without rasterio a TIFF's pixels, pixel size and tags only.

    Raises
    ------
    ImageError, AxesError
        If it cannot be read, or several files do not fit together; the message says why.
    MissingExtraError
        If it is no TIFF and rasterio is not installed.
    """
    if has_rasterio():
        if file.is_dir() or file.suffix.lower() == _ITEM:
            from .mosaics import read_item, read_mosaic  # noqa: PLC0415  # rasterio is an extra

            if file.is_file():
                return read_item(file)
            files = _tiles_in(file)
            if axes is None or "t" not in axes:
                return _told(read_mosaic(files, file.name, str(file), labels), file, files)
            from ._dated import read_dates  # noqa: PLC0415  # rasterio is an extra

            files = list_dates(file)
            return _told(read_dates(files, axes, file.name, str(file), labels), file, files)
        from ._raster_reader import read_raster  # noqa: PLC0415  # few images are rasters, and rasterio is an extra

        return read_raster(file, axes, labels)
    if file.suffix.lower() not in _TIFFS:
        raise MissingExtraError("rasterio", "geo", f"Opening '{file.name}'")
    image, geo = read_tiff(file, axes), place_of_tags(read_tags(file))
    if geo is None or geo.transform is None:
        return replace(image, geo=geo)
    sizes = dict(zip("yx", geo.pixel, strict=True))
    return replace(
        image,
        geo=geo,
        scale=tuple(sizes.get(a, s) for a, s in zip(image.axes, image.scale, strict=True)),
        units=tuple(geo.unit if a in sizes else u for a, u in zip(image.axes, image.units, strict=True)),
    )


def read_stack(file: Path, axes: str | None) -> Image:
    """Read a TIFF that is no raster, with the place of the image that it was made of, if this program wrote it.

    Parameters
    ----------
    file : Path
        TIFF, such as maps of several dates, which no raster can hold.
    axes : str or None
        As for :func:`~napari_unet.io._tiff.read_tiff`.

    Returns
    -------
    Image
        Without a place where it names none.

    Raises
    ------
    ImageError, AxesError
        If it cannot be read.
    """
    image = read_tiff(file, axes)
    try:
        return replace(image, geo=GeoReference.from_dict(read_comment(file)["place"])) if read_tags(file) else image
    except (KeyError, TypeError, ValueError):
        return image


def open_placed(file: Path | Sequence[Path]) -> Image | None:
    """Open a raster for the sake of its place: nothing is loaded.

    Parameters
    ----------
    file : Path or sequence of Path
        Of an image; of several, which are its channels, the first is looked at.

    Returns
    -------
    Image or None
        None if it does not say where it lies.
    """
    first = file if isinstance(file, Path) else file[0]
    if not (has_rasterio() and first.is_file() and is_raster(first)) or first.suffix.lower() == _ITEM:
        return None
    from ._raster_reader import read_raster  # noqa: PLC0415  # few images are rasters, and rasterio is an extra

    return read_raster(first, lazy=True)


def _tiles_in(folder: Path) -> list[Path]:
    """List the rasters of a folder that lie somewhere on Earth, by name; empty if there are none."""
    return [file for file in _files_in(folder) if file.suffix.lower() not in _TIFFS or is_georeferenced(file)]


def list_dates(folder: Path) -> list[Path]:
    """List the rasters of a folder that shows one place at several dates, in their order.

    Parameters
    ----------
    folder : Path
        Whose files are named in the order of their dates.

    Returns
    -------
    list of Path
        Numbers in names count as such: 2 comes before 10.
    """

    def order(file: Path) -> list[str | int]:
        return [int(part) if number % 2 else part for number, part in enumerate(_NUMBER.split(file.name))]

    return sorted(_tiles_in(folder), key=order)


def _files_in(folder: Path) -> list[Path]:
    """List what may be a raster, by name."""
    kinds = (*_TIFFS, ".jp2", ".j2k")
    files = (file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return sorted(file for file in files if file.suffix.lower() in kinds)


def _told(image: Image, folder: Path, files: Sequence[Path]) -> Image:
    """Return the image of a folder, with a remark if some files of it were left out."""
    missing = [file.name for file in _files_in(folder) if file not in files]
    if not missing or image.geo is None:
        return image
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    said = f"Left out, because they do not say where they lie: {', '.join(missing[:_NAMED])}{more}."
    return replace(image, geo=replace(image.geo, remarks=(*image.geo.remarks, said)))


def write_label_raster(path: Path, labels: Image, facts: Mapping[str, Any]) -> None:
    """Write labels as a cloud-optimized GeoTIFF in which 0 is nodata, block by block; classes with names and colors.

    Parameters
    ----------
    path : Path
        Where to.
    labels : Image
        Whole numbers, axes ``yx``; read in windows, twice.
    facts : mapping
        How they were made, as plain values; ``classes`` are rows of their table, if they are classes.

    Raises
    ------
    OutputError, ImageError
        If it cannot be written, or the labels do not fit.
    """
    from ._raster_writer import Layout, write_cog  # noqa: PLC0415  # rasterio is an extra

    top = max(int(np.max(block)) for _, block in row_blocks(labels))
    if top > np.iinfo(np.uint32).max:
        raise OutputError(f"The labels reach {top}, which does not fit. Renumber them from 1.")
    rows = [ClassRow(**row) for row in facts.get("classes", ())]
    kinds = (np.uint8, np.uint16, np.uint32) if rows else (np.uint16, np.uint32)
    dtype = next(np.dtype(kind).name for kind in kinds if top <= np.iinfo(kind).max)
    layout = Layout(
        (labels.shape[0], labels.shape[1]), dtype, labels.geo, 0, manifest=facts, title="classes" if rows else "labels",
        classes={row.label: row.name for row in rows},
        colors={row.label: (*bytes.fromhex(row.color[1:]), 255) for row in rows},
    )  # fmt: skip
    write_cog(path, layout, lambda w: whole(labels, w))


def write_number_raster(path: Path, image: Image, facts: Mapping[str, Any]) -> None:
    """Write numbers as a cloud-optimized GeoTIFF of 32 bits in which NaN is nodata, block by block.

    Parameters
    ----------
    path : Path
        Where to.
    image : Image
        Real numbers, axes ``yx``.
    facts : mapping
        How they were made, as plain values.

    Raises
    ------
    OutputError, ImageError
        If it cannot be written or read.
    """
    from ._raster_writer import Layout, write_cog  # noqa: PLC0415  # rasterio is an extra

    def read(window: tuple[slice, slice]) -> npt.NDArray[Any]:
        return np.asarray(image.planes(2)[0].read(window)[0])

    height, width = image.along("yx")[0]
    layout = Layout((height, width), "float32", image.geo, float("nan"), manifest=facts, smooth=True, title=image.name)
    write_cog(path, layout, read)


def whole(labels: Image, window: tuple[slice, slice]) -> npt.NDArray[np.integer[Any]]:
    """Read a window of labels.

    Parameters
    ----------
    labels : Image
        Axes ``yx``.
    window : tuple of slice
        Rows and columns.

    Returns
    -------
    ndarray of int
        From 0.

    Raises
    ------
    ImageError
        If it cannot be read, or holds negative numbers or fractions.
    """
    values = labels.read(window)
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.rint(values)).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "ui" or (values.dtype.kind == "i" and values.min(initial=0) < 0):
        raise ImageError(f"'{labels.name}' does not hold labels: they are whole numbers from 0 up.")
    return values  # type: ignore[return-value]


def row_blocks(labels: Image) -> Iterator[tuple[tuple[slice, slice], npt.NDArray[np.integer[Any]]]]:
    """Go through labels from the top, a few whole rows at a time.

    Parameters
    ----------
    labels : Image
        Axes ``yx``.

    Yields
    ------
    window : tuple of slice
        Rows and columns.
    block : ndarray of int
        Labels, from 0.
    """
    height, width = labels.shape
    rows = max(1, min(1024, _AT_ONCE // width))
    for top in range(0, height, rows):
        window = slice(top, min(top + rows, height)), slice(0, width)
        yield window, whole(labels, window)
