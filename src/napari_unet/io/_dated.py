"""Rasters of one place at several dates as one image with time, on the grid of the first. Needs rasterio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from ..core.axes import Image
from ..core.errors import AxesError, ImageError
from ..core.place import GeoReference, other_order
from ._raster_arrays import BROKEN, Bands, Everywhere, Filled, Holds, Labeled, Opened, open_raster
from ._raster_reader import read_raster

__all__ = ["read_dates"]


def read_dates(files: Sequence[Path], axes: str, name: str, source: str, labels: bool = False) -> Image:
    """Read rasters of one place as a movie, which stays in its files.

    Parameters
    ----------
    files : sequence of Path
        One for each date, in their order, with equal bands and types of numbers. What lies on another grid or in
        another reference system than the first is brought to its grid while it is read: labels by the nearest pixel,
        all else between pixels.
    axes : str
        Of the movie, with ``t``.
    name : str
        Of the image.
    source : str
        Where it is from.
    labels : bool
        Take values for numbers of objects or classes.

    Returns
    -------
    Image
        Holds data where all of the dates do. What was brought to another grid is among the remarks of its place.

    Raises
    ------
    ImageError
        If a file cannot be read, or has nothing in common with the first one; the message says why.
    AxesError
        If the axes do not fit.
    """
    within = axes.replace("t", "")
    images = [read_raster(file, _known(file, within), labels, lazy=True) for file in files]
    first, remarks = images[0], []
    if sorted(first.axes) != sorted(within):
        raise AxesError(f"'{files[0]}' has the axes '{first.axes}', so the folder has t and these, not '{axes}'.")
    for number, file in enumerate(files[1:], 1):
        image = images[number]
        if image.channels != first.channels or image.data.dtype != first.data.dtype:
            raise ImageError(
                f"'{file}' has {image.channels} band(s) of {image.data.dtype}, '{files[0]}' {first.channels} of "
                f"{first.data.dtype}. Dates of one place need equal bands: export them alike."
            )
        if turned := other_order(_geo(image).bands, _geo(first).bands):
            raise ImageError(f"'{file}' is no other date of '{files[0]}': {turned}. Export them in the same order.")
        if not (_geo(image).same_grid(_geo(first)) and image.shape == first.shape):
            images[number] = _brought(file, image, first, labels)
            remarks.append(file.name)
    parts = [da.from_array(one.data, chunks=one.data.chunks, name=False, asarray=True, fancy=False) for one in images]
    own = f"t{first.axes}"
    data = da.stack(parts).transpose([own.index(axis) for axis in axes])
    scale, units = (
        dict(zip(own, (1.0, *first.scale), strict=True)),
        dict(zip(own, ("pixel", *first.units), strict=True)),
    )
    said = f"On the grid of '{files[0].name}', because they lie on others: {', '.join(remarks)}."
    masks = [one.valid[0] for one in images if one.valid]
    return Image(
        data, axes, tuple(scale[a] for a in axes), tuple(units[a] for a in axes), name, source,
        geo=replace(_geo(first), tags=(), remarks=(said,) if remarks else ()),
        valid=(Everywhere(masks),) if masks else (),
    )  # fmt: skip


def _known(file: Path, within: str) -> str | None:
    """Return the axes of one date as the reader of rasters takes them: channels are told by the file."""
    if not set("yx") <= set(within) <= set("cyx"):
        raise AxesError(
            f"'{file}' is one date of a place, with the axes y and x, and c if it has bands; not '{within}'."
        )
    return within if "c" not in within else None


def _geo(image: Image) -> GeoReference:
    return image.geo or GeoReference()


def _brought(file: Path, image: Image, first: Image, labels: bool) -> Image:
    """Return a raster on the grid of another one."""
    geo, its = _geo(first), _geo(image)
    if not (geo.crs and its.crs and geo.transform and its.transform):
        raise ImageError(
            f"'{file}' has another size than '{first.name}' or lies elsewhere, and one of them names no coordinate "
            "reference system. Bring both to one grid, for example with gdalwarp."
        )
    shape, data = first.along("yx")[0], image.data
    warped = _Warped(str(file), geo, (shape[0], shape[1]), labels)
    try:
        if not _meet(file, geo, (shape[0], shape[1])):
            raise ImageError(
                f"'{file}' shows nothing of the place of '{first.name}', so it is no other date of it. Take it out of "
                "the folder, or leave the axes out if these are tiles that lie side by side."
            )
        if isinstance(data, Filled):
            brought = Bands(warped, data.labels.numbers, data.labels.axes, data.dtype)
            mask = Labeled(brought, data.known.nothing)
            return replace(first, data=Filled(brought, mask), valid=(mask,), levels=())
        holds = () if labels else (Holds(warped, warped.alpha),)
        return replace(first, data=Bands(warped, data.numbers, data.axes, data.dtype), valid=holds, levels=())
    except BROKEN as error:
        raise ImageError(f"'{file}' could not be brought to the grid of '{first.name}': {error}") from error


def _meet(file: Path, geo: GeoReference, shape: tuple[int, int]) -> bool:
    grid = rasterio.Affine(*(geo.transform or (1, 0, 0, 0, 1, 0)))
    corners = np.array([grid @ (x, y) for x in (0, shape[1]) for y in (0, shape[0])])
    (left, bottom), (right, top) = corners.min(0), corners.max(0)
    with open_raster(str(file)) as raster:
        west, south, east, north = transform_bounds(raster.crs, geo.crs, *raster.bounds)
    return bool(west < right and east > left and south < top and north > bottom)


class _Warped(Opened):
    """A raster as it is seen on another grid, with a band more that says where there is data; labels have none."""

    def __init__(self, path: str, geo: GeoReference, shape: tuple[int, int], nearest: bool) -> None:
        super().__init__(path)
        self._given = geo, shape, nearest
        with open_raster(path) as raster:
            kinds = [kind.name for kind in raster.colorinterp]
        self.alpha = kinds.index("alpha") + 1 if "alpha" in kinds else len(kinds) + 1

    def start(self) -> Any:
        """Open it."""
        geo, (height, width), nearest = self._given
        grid = rasterio.Affine(*(geo.transform or (1, 0, 0, 0, 1, 0)))
        more: dict[str, Any] = {"src_nodata": None, "nodata": None} if nearest else {}
        raster = super().start()
        added = not nearest and self.alpha > raster.count
        return WarpedVRT(
            raster, crs=geo.crs, transform=grid, width=width, height=height, add_alpha=added,
            resampling=Resampling.nearest if nearest else Resampling.bilinear, **more,
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        """Open it anew where it is copied or sent to."""
        return _Warped, (self.path, *self._given)
