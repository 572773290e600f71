"""Regions from files: shapes that napari has saved (CSV), GeoJSON, GeoPackage, ROIs of ImageJ, and plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, MissingExtraError, SpecError
from napari_unet.core.region import Polygon, Region, joined, outline, parse_region

from .imagej import SUFFIXES as ROIS
from .imagej import read_rois
from .tables import read_table

__all__ = ["SUFFIXES", "polygons_of", "read_region", "region_from_json"]

_LAYERS: Final = (".gpkg", ".shp")
SUFFIXES: Final = (".csv", ".geojson", ".json", ".txt", *_LAYERS, *ROIS)
_LARGEST: Final = 2**28  # bytes
_KIND: Final = "shape-type"
_HALF: Final = 0.5  # pixel: ImageJ counts from the corner of the first one, regions from its center
_DECIMALS: Final = 3


def read_region(path: Path, image: Image | None = None) -> Region:
    """Read areas from a file.

    Parameters
    ----------
    path : Path
        ``.csv``: a Shapes layer as napari saves it; of more than two coordinates the last two, y and x, are taken.
        ``.geojson`` or ``.json``: see :func:`region_from_json`. ``.gpkg`` and ``.shp``: areas on the map of the image,
        in the reference system of the file. ``.roi`` and ``.zip``: see :func:`~napari_unet.io.imagej.read_rois`.
        ``.txt``: see :func:`~napari_unet.core.region.region_text`.
    image : Image, optional
        In which to look; what is drawn on a map is brought to its pixels.

    Returns
    -------
    tuple of polygons
        Vertices ``(y, x)`` in pixels, where centers of pixels are whole numbers.

    Raises
    ------
    ImageError
        If the file is missing or something else, or its areas lie beside the image.
    SpecError
        If it holds no area, or shapes that have no inside.
    MissingExtraError
        If a package is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ImageError(f"A region cannot be read from '{path}': use one of {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise ImageError(f"There is no file '{path}'. Check the name.")
    if path.stat().st_size > _LARGEST:
        raise ImageError(f"'{path}' is too large for a region ({path.stat().st_size} bytes). Simplify the outlines.")
    if suffix in _LAYERS:
        found = _read_layer(path, image)
    elif suffix in ROIS:
        found = _read_rois(path)
    else:
        found = _read_shapes(path) if suffix == ".csv" else _read_text(path, image)
    if not found:
        raise SpecError(f"'{path}' holds no area. Draw a rectangle, an ellipse or a polygon and save it again.")
    return found


def _read_shapes(path: Path) -> Region:
    table = read_table(path)
    axes = sorted((n for n in table if re.fullmatch(r"axis-\d+", n)), key=lambda n: int(n.partition("-")[2]))[-2:]
    if not {"index", _KIND, "vertex-index"} <= set(table) or len(axes) < 2:
        raise ImageError(
            f"'{path}' is no list of shapes: it needs the columns index, {_KIND}, vertex-index, axis-0 and axis-1. "
            "Save a Shapes layer from napari: File > Save Selected Layers."
        )
    shapes: dict[str, tuple[str, list[tuple[float, float]]]] = {}
    rows = zip(*(table[name].tolist() for name in ("index", _KIND, *axes)), strict=True)
    for index, kind, *corner in rows:
        try:
            y, x = map(float, corner)
        except ValueError as error:
            raise ImageError(f"'{path}' has corners that are no numbers: {corner}. Save the shapes again.") from error
        shapes.setdefault(str(index), (str(kind), []))[1].append((y, x))
    return tuple(outline(kind, corners) for kind, corners in shapes.values())


def _read_rois(path: Path) -> Region:
    rois, others = read_rois(path)
    if others:
        raise SpecError(
            f"'{path}' holds {others} points, lines or texts, which have no inside to look at. Remove them."
        )
    if len({(roi.position, roi.t, roi.z) for roi in rois}) > 1:
        raise SpecError(
            f"The ROIs in '{path}' lie on several slices, but a region is the same in all planes and time points. Save "
            "those of one slice."
        )
    return tuple(
        tuple((round(y - _HALF, _DECIMALS), round(x - _HALF, _DECIMALS)) for y, x in roi.outline) for roi in rois
    )


def _read_layer(path: Path, image: Image | None) -> Region:
    if image is None:
        raise ImageError(f"'{path}' is drawn on a map: it needs an image that lies there. Name the image, too.")
    _check_packages(f"Reading '{path.name}'")
    from ._map_regions import on_image, read_layer  # noqa: PLC0415  # pyproj is an extra

    layer = read_layer(path)
    region = tuple(polygons_of(layer.shapes))
    return on_image(region, layer.crs, image, f"'{path}'") if region else ()


def _check_packages(what: str) -> None:
    if find_spec("pyproj") is None:
        raise MissingExtraError("pyproj", "geo", what)


def _read_text(path: Path, image: Image | None) -> Region:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ImageError(f"'{path}' could not be read as a region: {error}. Export it again.") from error
    if path.suffix.lower() == ".txt":
        return parse_region(text) or ()
    return region_from_json(text, f"'{path}'", image)


def region_from_json(text: str, name: str, image: Image | None = None) -> Region:
    """Read areas from GeoJSON (RFC 7946).

    Parameters
    ----------
    text : str
        Polygon and MultiPolygon, alone or in features and collections; x before y. In pixels, or where the image lies
        somewhere on Earth in the reference system that the text names (``crs``), else in longitude and latitude if all
        numbers can be degrees.
    name : str
        Where it is from, for messages.
    image : Image, optional
        In which to look.

    Returns
    -------
    tuple of polygons
        Vertices ``(y, x)``.

    Raises
    ------
    ImageError
        If it is something else, or its areas lie beside the image.
    SpecError
        If it holds what is no area.
    MissingExtraError
        If a package is missing.
    """
    try:
        node = json.loads(text)
        region = tuple(polygons_of(node))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ImageError(f"{name} could not be read as a region: {error}. Export it again.") from error
    if not region or image is None or image.geo is None or not (image.geo.crs and image.geo.transform):
        return region
    _check_packages(f"A region on the map of '{image.name}'")
    from ._map_regions import on_image, system_of  # noqa: PLC0415  # pyproj is an extra

    crs = system_of(node, region)
    return region if crs is None else on_image(region, crs, image, name)


def polygons_of(node: Any) -> Iterator[Polygon]:
    """Go through the areas of GeoJSON (RFC 7946).

    Parameters
    ----------
    node : object
        Of GeoJSON, or a list of such.

    Yields
    ------
    tuple of (float, float)
        Vertices ``(y, x)``; holes are gone around on the way.

    Raises
    ------
    SpecError
        If it holds what is no area. Whatever else is wrong raises as Python does.
    """
    if isinstance(node, list):
        for one in node:
            yield from polygons_of(one)
        return
    kind = node["type"]
    if kind in ("FeatureCollection", "GeometryCollection"):
        yield from polygons_of(node["features" if kind == "FeatureCollection" else "geometries"])
    elif kind == "Feature":
        if node["geometry"] is not None:
            yield from polygons_of(node["geometry"])
    elif kind in ("Polygon", "MultiPolygon"):
        for rings in [node["coordinates"]] if kind == "Polygon" else node["coordinates"]:
            yield joined(rings)
    else:
        raise SpecError(f"A {kind} has no inside to look at. Keep areas only: Polygon and MultiPolygon.")
