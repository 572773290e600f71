"""Areas that are drawn on a map, brought to the pixels of an image that lies there. Needs pyproj, files pyogrio too."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyproj
from pyproj.exceptions import CRSError, ProjError

from ..core.axes import Image
from ..core.errors import ImageError, MissingExtraError
from ..core.region import Polygon, Region

__all__ = ["Layer", "in_pixels", "on_image", "read_layer", "system_of"]

_DEGREES: Final = "OGC:CRS84"
_DECIMALS: Final = 3  # of pixels


def system_of(node: Any, region: Region) -> str | None:
    """Return the reference system of a GeoJSON text.

    Parameters
    ----------
    node : object
        The text, read.
    region : tuple of polygons
        The areas in it, y before x.

    Returns
    -------
    str or None
        What it names; longitude and latitude where it names none (RFC 7946). None if its numbers can be no degrees:
        they are pixels.
    """
    named = node.get("crs") if isinstance(node, dict) else None
    if isinstance(named, dict):
        return str((named.get("properties") or {}).get("name") or _DEGREES)
    corners = np.array([corner for polygon in region for corner in polygon], float).reshape(-1, 2)
    return _DEGREES if (np.abs(corners) <= (90, 180)).all() else None


class Layer(NamedTuple):
    """Shapes of a file: as in GeoJSON, their reference system (empty if the file does not say), what is known of each.

    The last is a column for each name, of one value a shape.
    """

    shapes: list[Any]
    crs: str
    table: dict[str, npt.NDArray[Any]]


def read_layer(path: Path) -> Layer:
    """Read the shapes of a GeoPackage or shapefile.

    Parameters
    ----------
    path : Path
        Of several layers the first is taken.

    Returns
    -------
    Layer
        Without rows that have no shape.

    Raises
    ------
    ImageError
        If it cannot be read.
    MissingExtraError
        If a package is missing.
    """
    try:
        import pyogrio  # noqa: PLC0415  # an extra
        import shapely  # noqa: PLC0415  # an extra
        from pyogrio.errors import DataLayerError, DataSourceError  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise MissingExtraError("pyogrio", "geo", f"Reading '{path.name}'") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of several layers and of what is missing beside a shapefile
            meta, _, shapes, columns = pyogrio.raw.read(path)
    except (DataSourceError, DataLayerError, ValueError) as error:
        raise ImageError(f"'{path}' could not be read as shapes: {error}. Export it again.") from error
    texts = shapely.to_geojson(shapely.from_wkb(shapes))
    there = np.array([bool(text) for text in texts], bool)
    table = {str(name): column[there] for name, column in zip(meta["fields"], columns, strict=True)}
    return Layer([json.loads(text) for text in texts if text], str(meta.get("crs") or ""), table)


def on_image(region: Region, crs: str, image: Image, name: str) -> Region:
    """Bring areas to the pixels of an image.

    Parameters
    ----------
    region : tuple of polygons
        Vertices ``(y, x)`` in a reference system.
    crs : str
        Which it is; empty: that of the image.
    image : Image
        Lies somewhere on Earth.
    name : str
        Of the areas, for messages.

    Returns
    -------
    tuple of polygons
        Vertices ``(y, x)`` in pixels, where centers of pixels are whole numbers; without areas that do not meet the
        image.

    Raises
    ------
    ImageError
        If a system is not known, or no area meets the image.
    """
    found = in_pixels(region, crs, image, name)
    kept = tuple(polygon for polygon in found if _meets(polygon, image))
    if not kept:
        title = (image.geo.title if image.geo else "") or "a system without a name"
        words = "longitude and latitude" if crs == _DEGREES else crs or "the system of the image"
        raise ImageError(
            f"{name} lies beside '{image.name}', which is in {title}. Its numbers "
            f"were taken for {words}; a region in pixels is given as text (y,x y,x y,x) or as .csv of napari."
        )
    return kept


def in_pixels(region: Region, crs: str, image: Image, name: str) -> Region:
    """Bring areas to the pixels of an image, wherever they lie.

    Parameters
    ----------
    region, crs, image, name : Any
        As for :func:`on_image`.

    Returns
    -------
    tuple of polygons
        As many as are given.

    Raises
    ------
    ImageError
        If a system is not known.
    """
    geo = image.geo
    if geo is None or geo.transform is None or not (geo.crs or not crs):
        raise ImageError(
            f"{name} is drawn on a map, but '{image.name}' does not say where it lies on it. Draw it in pixels."
        )
    try:
        target = pyproj.CRS.from_user_input(geo.crs) if crs else None
        source = pyproj.CRS.from_user_input(crs) if crs else None
        change = pyproj.Transformer.from_crs(source, target, always_xy=True) if crs else None
        a, b, c, d, e, f = geo.transform
        back = np.linalg.inv(np.array([[a, b], [d, e]]))
        found = []
        for polygon in region:
            y, x = np.array(polygon, float).T
            if change is not None:
                x, y = change.transform(x, y)
            column, row = back @ np.stack([np.asarray(x) - c, np.asarray(y) - f]) - 0.5
            found.append(_rounded(row, column))
    except (CRSError, ProjError) as error:
        raise ImageError(
            f"{name} is in the system '{crs}', which cannot be brought to that of the image: {error}. Save it in the "
            "system of the image."
        ) from error
    return tuple(found)


def _rounded(rows: Sequence[float], columns: Sequence[float]) -> Polygon:
    return tuple((round(float(y), _DECIMALS), round(float(x), _DECIMALS)) for y, x in zip(rows, columns, strict=True))


def _meets(polygon: Polygon, image: Image) -> bool:
    corners = np.array(polygon)
    height, width = image.along("yx")[0]
    low, high = corners.min(0), corners.max(0)
    finite = bool(np.isfinite(corners).all())
    return finite and bool((high > -0.5).all() and low[0] < height - 0.5 and low[1] < width - 0.5)
