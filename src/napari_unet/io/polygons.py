"""Labels as polygons: on the map, and in pixels for QuPath and ImageJ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..core.axes import AXES, Image
from ..core.errors import ImageError, MissingExtraError, OutputError
from ..core.place import GeoReference
from ..core.polygons import SUFFIXES, Meaning, Polygons, PolygonSpec
from ..core.results import Table
from ..core.steps import Progress, Steps
from . import _shapes as shape
from ._outlines import outline_steps
from ._pixels import PixelGround
from .atomic import atomic_file
from .imagej_writer import write_rois
from .qupath import write_features

if TYPE_CHECKING:
    from ._ground import Ground

__all__ = ["check_packages", "in_pixels", "polygon_steps", "write_polygons"]

_PACKAGES: Final = ("pyproj", "pyogrio")
_AT_ONCE: Final = 100_000  # polygons written in one go


class _Made(NamedTuple):
    """Polygons of a plane: shapes, labels, square meters, pixels; how many are repaired, uneven and small."""

    shapes: npt.NDArray[np.object_]
    ids: npt.NDArray[np.int64]
    areas: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    numbers: tuple[int, int, int]


def check_packages() -> None:
    """Check that what makes polygons on a map is installed; a MissingExtraError says what is missing."""
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise MissingExtraError(package, "geo", "Writing polygons on a map")


def in_pixels(path: Path, geo: GeoReference | None) -> bool:
    """Say whether a file of polygons is in pixels: ROIs of ImageJ are, and GeoJSON of what lies on no map.

    Parameters
    ----------
    path : Path
        Of the file.
    geo : GeoReference or None
        Where the labels lie.

    Returns
    -------
    bool
        False for a GeoPackage, whose polygons are in the system of the image, whatever it is.
    """
    suffix = path.suffix.lower()
    return suffix == ".zip" or (suffix == ".geojson" and not (geo and geo.crs and geo.transform))


def polygon_steps(labels: Image, spec: PolygonSpec | None = None, meaning: Meaning | None = None) -> Steps[Polygons]:
    """Turn labels into polygons, one for each label (of each plane), however the image was cut.

    Parameters
    ----------
    labels : Image
        Whole numbers from 0 (background); read block by block, stacks and movies plane by plane. Outlines must fit into
        memory. On a map only one plane.
    spec : PolygonSpec, optional
        Settings.
    meaning : Meaning, optional
        Classes and scores of labels.

    Returns
    -------
    Polygons
        Ordered by plane, then label.

    Yields
    ------
    Progress
        For every block, and every thing that is done with all polygons.

    Raises
    ------
    ImageError
        If the labels cannot be read, or are several planes on a map.
    MissingExtraError
        If a package is missing.
    """
    spec, meaning = spec or PolygonSpec(), meaning or Meaning()
    each = ("part" if meaning.of_classes else "object") if spec.each == "auto" else spec.each
    spec = spec.model_copy(update={"each": each})
    ground = _ground(labels)
    outer = _outer(labels)
    places, made = list[dict[str, int]](), list[_Made]()
    for place, flat in _planes(labels, outer):
        made.append((yield from _made_steps(flat, spec, ground)))
        places.append(place)
    shapes, ids = np.concatenate([each.shapes for each in made]), np.concatenate([each.ids for each in made])
    table = _table(shape.middles(shapes), ids, meaning, meaning.source or labels.source or labels.name)
    table |= {
        "area_m2": np.concatenate([each.areas for each in made]),
        "pixels": np.concatenate([each.counts for each in made]),
    }
    many = [len(each.ids) for each in made]
    table |= {axis: np.repeat(np.array([place[axis] for place in places], np.int64), many) for axis in outer}
    fixed, uneven, small = (sum(column) for column in zip(*(each.numbers for each in made), strict=True))
    return Polygons(shapes, table, ground, fixed, uneven, small, meaning)


def _ground(labels: Image) -> Ground | PixelGround:
    if labels.geo is None:
        return PixelGround(labels)
    check_packages()
    from ._ground import Ground  # noqa: PLC0415  # pyproj is an extra

    flat = labels.along("yx")[0]
    return Ground(labels.geo, (flat[0], flat[1]))


def _made_steps(flat: Image, spec: PolygonSpec, ground: Ground | PixelGround) -> Steps[_Made]:
    """Make the polygons of a plane."""
    outlines, sizes = yield from outline_steps(flat)
    yield Progress(0, 0, "Making polygons")
    parts, ids = shape.as_polygons(outlines)
    del outlines
    exact = parts
    parts, uneven, fixed = yield from _shaped_steps(parts, spec, ground)
    pixels = dict(sizes.tolist())
    if spec.each == "object" and len(parts):
        parts, ids = shape.gather(parts, ids, spec.holes == "fill")
        counts = np.array([pixels[label] for label in ids.tolist()], np.int64)
    else:
        counts = np.rint(shape.pixel_areas(exact)).astype(np.int64)
    yield Progress(0, 0, "Measuring polygons")
    found = shape.moved(parts, ground.place)
    areas = ground.areas(found)
    kept = ~((areas if ground.known else counts) < spec.min_area)  # what cannot be measured stays
    small = int(np.count_nonzero(~kept))
    return _Made(found[kept], ids[kept], areas[kept], counts[kept], (fixed, uneven, small))


def _shaped_steps(
    parts: npt.NDArray[np.object_], spec: PolygonSpec, ground: Ground | PixelGround
) -> Steps[tuple[npt.NDArray[np.object_], int, int]]:
    """Return polygons as they are asked for, how many have no right angles and how many were repaired."""
    exact, uneven, fixed = parts, 0, 0
    if not len(parts):
        return parts, 0, 0
    if spec.simplify:
        parts = yield from shape.simplified_steps(parts, spec.simplify)
    if spec.holes == "fill":
        parts = shape.without_holes(parts)
    if spec.right_angles:
        parts, uneven = yield from shape.squared_steps(parts, ground.stretch)
    if parts is not exact:
        parts, fixed = shape.repaired(parts, exact)
    return parts, uneven, fixed


def _table(middles: npt.NDArray[np.float64], ids: npt.NDArray[np.int64], meaning: Meaning, source: str) -> Table:
    """Return what is known of polygons; areas and pixels are still to be filled in."""
    numbers = ids.tolist()
    return {
        "label": ids,
        "class": np.array([meaning.class_of(label) for label in numbers], object),
        "area_m2": np.zeros(0),
        "pixels": np.zeros(0),
        "x": middles[:, 0],
        "y": middles[:, 1],
        "confidence": np.array([meaning.scores.get(label, np.nan) for label in numbers], np.float64),
        "source": np.full(len(ids), source, object),
    }


def _outer(labels: Image) -> str:
    """Return the axes of planes, time first; axes of length 1 are none."""
    outer = "".join(a for a in AXES if a not in "yx" and a in labels.axes and labels.along(a)[0] != (1,))
    if "c" in outer or (outer and labels.geo is not None):
        raise ImageError(
            f"'{labels.name}' has the axes {labels.axes} and the shape {labels.shape}: polygons are made of one plane. "
            "Write one time point or plane to a file of its own."
        )
    return outer


def _planes(labels: Image, outer: str) -> Iterator[tuple[dict[str, int], Image]]:
    """Go through the planes of labels: where each is along the axes of planes, and its labels along y and x."""
    if labels.axes == "yx":
        yield {}, labels
        return
    known: dict[str, Any] = dict(zip(("scale", "units"), labels.along("yx")[1:], strict=True))
    others = tuple(i for i, a in enumerate(labels.axes) if a not in "yx")
    for index in np.ndindex(labels.along(outer)[0]):
        place = dict(zip(outer, map(int, index), strict=True))
        window = tuple(slice(None) if a in "yx" else slice(place.get(a, 0), place.get(a, 0) + 1) for a in labels.axes)
        data = np.squeeze(np.asarray(labels.data[window]), others)
        data = data if labels.axes.index("y") < labels.axes.index("x") else data.T
        yield place, Image(data, "yx", name=labels.name, **known)


def write_polygons(path: Path, polygons: Polygons, manifest: Mapping[str, Any] | None = None) -> None:
    """Write polygons, complete or not at all.

    Parameters
    ----------
    path : Path
        ``.gpkg``: a GeoPackage in the coordinate reference system of the image. ``.geojson``: in longitude and latitude
        (RFC 7946), for which the system must be known; of labels without a place in pixels, as QuPath reads it, see
        :func:`~napari_unet.io.qupath.write_features`. ``.zip``: ROIs of ImageJ in pixels, of labels without a place,
        see :func:`~napari_unet.io.imagej_writer.write_rois`.
    polygons : Polygons
        From :func:`polygon_steps`.
    manifest : mapping, optional
        How the labels were made, as plain values; kept in a GeoPackage.

    Raises
    ------
    OutputError
        If the suffix is unknown, the system is not known, or the place cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(f"Polygons cannot be written to '{path}': use one of the suffixes {', '.join(SUFFIXES)}.")
    flat = isinstance(polygons.ground, PixelGround)
    if suffix == ".zip" and not flat:
        raise OutputError(f"'{path}': ROIs of ImageJ are in pixels. Make the polygons of labels without a place.")
    if suffix == ".gpkg" and {"t", "z"} & set(polygons.table):
        raise OutputError(f"'{path}' holds one plane. Write .geojson or .zip, or one plane to a file of its own.")
    if flat and suffix != ".gpkg":
        write = write_rois if suffix == ".zip" else write_features
        write(path, polygons)
        return
    _write_map(path, polygons, manifest)


def _write_map(path: Path, polygons: Polygons, manifest: Mapping[str, Any] | None) -> None:
    check_packages()
    from . import _vectors as vectors  # noqa: PLC0415  # pyogrio is an extra

    facts = {"NAPARI_UNET": json.dumps(dict(manifest))} if manifest else {}
    shapes, table, crs = polygons.shapes, polygons.table, _system(polygons.ground)
    suffix = path.suffix.lower()
    if suffix == ".geojson":
        move = polygons.ground.to_degrees()
        shapes, crs = shape.moved(shapes, move), "EPSG:4326"
        middles = move(np.stack([table["x"], table["y"]], axis=1).astype(np.float64))
        table = table | {"x": middles[:, 0], "y": middles[:, 1]}
    with atomic_file(path) as temporary:
        for start in range(0, max(1, len(shapes)), len(shapes) or 1 if suffix == ".geojson" else _AT_ONCE):
            some = slice(start, start + (len(shapes) if suffix == ".geojson" else _AT_ONCE))
            rows = {name: column[some] for name, column in table.items()}
            vectors.write(temporary, shapes[some], rows, (crs, facts), append=start > 0)


def _system(ground: Ground | PixelGround) -> str | None:
    """Return what the coordinates are in, as GDAL takes it."""
    geo = ground.geo
    return geo.title if geo.crs and geo.title.startswith("EPSG:") else geo.crs or None
