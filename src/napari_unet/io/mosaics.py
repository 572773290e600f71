"""Several rasters as one image: tiles side by side, or bands that lie in files of their own. Needs rasterio."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlparse

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.errors import ImageError
from ..core.place import Band, GeoReference, other_order
from ._coarser import finest, repeat_to
from ._raster_arrays import Bands, Everywhere, Holds
from ._raster_reader import read_raster
from ._windowed import Windowed

__all__ = ["read_item", "read_mosaic"]

_EDGE: Final = 512
_RASTERS: Final = (".tif", ".tiff", ".jp2", ".j2k", ".vrt")  # files of a STAC item whose kind is not said
_OFF: Final = 0.01  # pixels that a tile may lie off the grid of the others
_OPEN: Final = 64  # tiles whose files stay open


@dataclass(frozen=True)
class _Tile:
    top: int
    left: int
    image: Image

    @property
    def flat(self) -> tuple[int, int]:
        height, width = self.image.along("yx")[0]
        return height, width


class _Mosaic(Windowed):
    """Tiles as one array; where tiles overlap, the last that holds data is seen, which NaN is not."""

    def __init__(
        self, tiles: Sequence[_Tile], axes: str, shape: tuple[int, ...], holds: bool, nothing: float = 0
    ) -> None:
        self.tiles, self.axes, self.shape, self.holds, self.nothing = tuple(tiles), axes, shape, holds, nothing
        self.dtype = np.dtype(bool) if holds else np.dtype(tiles[0].image.data.dtype)
        self.chunks = tuple(min(n, _EDGE) if a in "yx" else n for a, n in zip(axes, shape, strict=True))
        self._used: OrderedDict[int, None] = OrderedDict()

    def _read(self, window: Sequence[slice]) -> npt.NDArray[Any]:
        at = dict(zip(self.axes, window, strict=True))
        fraction = self.dtype.kind == "f"
        out: npt.NDArray[Any] = np.full([s.stop - s.start for s in window], self.nothing, self.dtype)
        for number, tile in enumerate(self.tiles):
            spans = [
                (max(at[a].start, first), min(at[a].stop, first + n))
                for a, first, n in zip("yx", (tile.top, tile.left), tile.flat, strict=True)
            ]
            if any(start >= stop for start, stop in spans):
                continue
            corner = (tile.top, tile.left)
            own = [slice(start - first, stop - first) for (start, stop), first in zip(spans, corner, strict=True)]
            mask = np.asarray(tile.image.valid[0][tuple(own)]) if tile.image.valid else np.ones((), bool)
            target = {a: slice(s - at[a].start, e - at[a].start) for a, (s, e) in zip("yx", spans, strict=True)}
            place = tuple(target.get(a, slice(None)) for a in self.axes)
            if self.holds:
                out[place] |= mask
            else:
                source = dict(zip("yx", own, strict=True))
                block = np.asarray(tile.image.data[tuple(source.get(a, at[a]) for a in tile.image.axes)])
                seen = mask[..., None] if self.axes.endswith("c") and mask.ndim else mask
                np.copyto(out[place], block, where=seen & ~np.isnan(block) if fraction else seen)
            self._close_others(number)
        return out

    def _close_others(self, number: int) -> None:
        """Keep files of the tiles that were read last open, and no others: a system lends a few hundred."""
        self._used[number] = None
        self._used.move_to_end(number)
        while len(self._used) > _OPEN:
            try:
                oldest, _ = self._used.popitem(last=False)
            except KeyError:  # another thread was faster
                return
            image = self.tiles[oldest].image
            for array in (image.data, *image.valid):
                if isinstance(array, Bands | Holds):
                    array.opened.close()


def read_mosaic(files: Sequence[Path], name: str, source: str, labels: bool = False) -> Image:
    """Read tiles that lie side by side as one image, which stays in its files.

    Parameters
    ----------
    files : sequence of Path
        Rasters in one coordinate reference system, with pixels of one size on one grid, and equal bands. Where they
        overlap, the last that holds data is seen.
    name : str
        Of the image.
    source : str
        Where it is from.
    labels : bool
        Take values for numbers of objects or classes: where there are none they are 0.

    Returns
    -------
    Image
        Holds data where one of the tiles does.

    Raises
    ------
    ImageError
        If a file cannot be read, does not fit to the first one, or covers all of another; the message says why.
    """
    images = [read_raster(file, lazy=True) for file in files]
    first = images[0]
    for image, file in zip(images, files, strict=True):
        if reason := _misfit(first, image):
            raise ImageError(
                f"'{file}' does not fit to '{files[0]}' in one mosaic: {reason}. Bring all tiles to one grid, for "
                "example with gdalwarp, or open them one by one."
            )
    a, _, c, _, e, f = _transform(first)
    places = []
    for image, file in zip(images, files, strict=True):
        row, column = (_transform(image)[5] - f) / e, (_transform(image)[2] - c) / a
        if max(abs(row - round(row)), abs(column - round(column))) > _OFF:
            raise ImageError(
                f"'{file}' lies {abs(row - round(row)):.2f} rows and {abs(column - round(column)):.2f} columns off the "
                f"grid of '{files[0]}'. Bring all tiles to one grid first, for example with gdalwarp."
            )
        places.append((round(row), round(column)))
    top, left = min(row for row, _ in places), min(column for _, column in places)
    tiles = [_Tile(row - top, column - left, image) for (row, column), image in zip(places, images, strict=True)]
    _check_apart(tiles, files)
    height, width = (max(at + n for at, n in ends) for ends in _ends(tiles))
    shape = tuple({"y": height, "x": width}.get(axis, n) for axis, n in zip(first.axes, first.shape, strict=True))
    # The corner's own numbers, where there is a tile in the corner: to the last bit.
    corner = places.index((top, left)) if (top, left) in places else None
    place = _geo(first).since(top, left) if corner is None else _geo(images[corner])
    place = replace(place, tags=(), coefficients=())  # which are those of one tile
    valid = () if labels else (_Mosaic(tiles, "yx", (height, width), True),)
    nothing = 0 if labels or first.data.dtype.kind != "f" else np.nan
    data = _Mosaic(tiles, first.axes, shape, False, nothing)
    return replace(first, data=data, levels=(), valid=valid, geo=place, name=name, source=source)


def _check_apart(tiles: Sequence[_Tile], files: Sequence[Path]) -> None:
    """Refuse tiles of which one hides another: they are dates of one place rather than parts of it."""
    spans = np.array([(t.top, t.left, t.top + t.flat[0], t.left + t.flat[1]) for t in tiles])
    for number, (top, left, bottom, right) in enumerate(spans):
        over = np.atleast_1d(np.all((spans[:, :2] <= (top, left)) & (spans[:, 2:] >= (bottom, right)), axis=1))
        over[number] = False
        if over.any():
            raise ImageError(
                f"'{files[int(np.flatnonzero(over)[0])]}' covers all of '{files[number]}', so they are no tiles that "
                "lie side by side. If they show one place at several dates, open the folder with the axes tyx (tcyx "
                "with bands): --axes tyx. Else open them one by one."
            )


def _ends(tiles: Sequence[_Tile]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    return [(tile.top, tile.flat[0]) for tile in tiles], [(tile.left, tile.flat[1]) for tile in tiles]


def _geo(image: Image) -> GeoReference:
    return image.geo or GeoReference()


def _transform(image: Image) -> tuple[float, ...]:
    return _geo(image).transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def _misfit(one: Image, other: Image) -> str:
    """Say why two rasters cannot be one image; empty if they can."""
    geo, its = _geo(one), _geo(other)
    if its.transform is None:
        return "it does not say where it lies"
    if its.crs != geo.crs:
        words = [each.title or "no coordinate reference system" for each in (its, geo)]
        return f"it is in {words[0]}, the other in {words[1]}"
    if geo.turned or its.turned:
        return "its rows do not run along the axes of the map"
    if not np.allclose(_transform(one)[::4], _transform(other)[::4], rtol=1e-6, atol=0):
        return f"its pixels are {its.pixel} {its.unit}, those of the other {geo.pixel}"
    if other.channels != one.channels or other.data.dtype != one.data.dtype or other.axes != one.axes:
        mine, theirs = (f"{each.channels} band(s) of {each.data.dtype}" for each in (other, one))
        return f"it has {mine}, the other {theirs}"
    return other_order(its.bands, geo.bands)


def read_item(file: Path) -> Image:
    """Read a STAC item whose assets lie on this computer: files of bands become one image.

    Parameters
    ----------
    file : Path
        JSON; of its assets, rasters whose roles are missing or include ``data`` are taken, with the names, common names
        (``red`` of ``B04``) and wavelengths of their bands. Larger pixels that hold a whole number of the smallest are
        repeated, as the bands of 20 and 60 m beside those of 10 m of Sentinel-2.

    Returns
    -------
    Image
        Axes ``cyx``, or ``yx`` of one band.

    Raises
    ------
    ImageError
        If it is no such item, an asset is missing, or assets lie on different grids.
    """
    try:
        item = json.loads(file.read_text("utf-8"))
        assets = {str(key): asset for key, asset in item["assets"].items() if _is_raster(asset)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageError(f"'{file}' is no STAC item: {error!r}. It needs 'assets', each with an 'href'.") from error
    if not assets:
        raise ImageError(f"'{file}' names no rasters with the role 'data'. Open its files one by one.")
    found = {key: _asset(file, key, asset) for key, asset in assets.items()}
    first = finest(list(found.values()))
    name = next(key for key, image in found.items() if image is first)
    for key, image in found.items():
        fitting = repeat_to(image, first)
        if fitting is None:
            raise ImageError(
                f"'{file}': the assets '{name}' and '{key}' lie on different grids: {first.along('yx')[0]} pixels of "
                f"{_geo(first).pixel} and {image.along('yx')[0]} of {_geo(image).pixel} {_geo(image).unit}, which do "
                "not fit into each other. Leave one out of the item, or bring both to one grid, for example with "
                "gdalwarp."
            )
        found[key] = fitting
    if len(found) == 1:
        return replace(first, name=file.stem, source=str(file))
    bands = tuple(band for image in found.values() for band in _geo(image).bands)
    stack = _Stack(list(found.values()))
    masks = [image.valid[0] for image in found.values() if image.valid]
    _, (height, width), units = first.along("yx")
    return Image(
        stack, "cyx", (1.0, height, width), ("pixel", *units), file.stem, str(file),
        geo=replace(_geo(first), bands=bands, tags=()), valid=(Everywhere(masks),) if masks else (),
    )  # fmt: skip


def _is_raster(asset: dict[str, Any]) -> bool:
    roles, kind, href = asset.get("roles") or ["data"], str(asset.get("type", "")), str(asset["href"]).lower()
    known = kind.startswith(("image/tiff", "image/jp2", "image/vnd.stac.geotiff")) or href.endswith(_RASTERS)
    return "data" in roles and known


def _asset(file: Path, key: str, asset: dict[str, Any]) -> Image:
    href = str(asset["href"])
    parsed = urlparse(href)
    if parsed.scheme not in ("", "file"):
        raise ImageError(f"'{file}': the asset '{key}' lies on a server ({href}). Download it beside the item first.")
    path = Path(unquote(parsed.path) if parsed.scheme else href)
    path = path if path.is_absolute() else file.parent / path
    if not path.is_file():
        raise ImageError(f"'{file}': the asset '{key}' is missing: there is no file '{path}'.")
    image = read_raster(path, lazy=True)
    said = asset.get("bands") or asset.get("eo:bands") or []
    bands = tuple(
        Band(
            str(one.get("name") or key),
            one.get("eo:center_wavelength", one.get("center_wavelength")),
            str(one.get("eo:common_name", one.get("common_name", ""))),
        )
        for one in said
    )
    if len(bands) != image.channels:
        bands = (Band(key),) if image.channels == 1 else _geo(image).bands
    return replace(image, geo=replace(_geo(image), bands=bands))


class _Stack(Windowed):
    """Bands of several files, one after the other."""

    def __init__(self, images: Sequence[Image]) -> None:
        self.sources = [(image, number) for image in images for number in range(image.channels)]
        self.dtype = np.result_type(*(image.data.dtype for image in images))
        height, width = images[0].along("yx")[0]
        self.shape = (len(self.sources), height, width)
        self.chunks = (1, min(height, _EDGE), min(width, _EDGE))

    def _read(self, window: Sequence[slice]) -> npt.NDArray[Any]:
        out: npt.NDArray[Any] = np.empty([s.stop - s.start for s in window], self.dtype)
        for target, (image, number) in zip(out, self.sources[window[0]], strict=True):
            at = dict(zip("cyx", (number, *window[1:]), strict=True))
            target[:] = image.data[tuple(at[a] for a in image.axes)]
        return out
