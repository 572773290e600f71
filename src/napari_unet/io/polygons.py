"""Labels as polygons: GeoPackage in the system of the image, GeoJSON in longitude and latitude."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.errors import ImageError, MissingExtraError, OutputError
from ..core.polygons import Meaning, Polygons, PolygonSpec
from ..core.results import Table
from ..core.steps import Progress, Steps
from ._outlines import outline_steps
from .atomic import atomic_file

if TYPE_CHECKING:
    from ._ground import Ground

__all__ = ["SUFFIXES", "check_packages", "polygon_steps", "write_polygons"]

SUFFIXES: Final = (".gpkg", ".geojson")
_PACKAGES: Final = ("shapely", "pyproj", "pyogrio")
_AT_ONCE: Final = 100_000  # polygons written in one go


def check_packages() -> None:
    """Check that what makes polygons is installed; a MissingExtraError says what is missing."""
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise MissingExtraError(package, "geo", "Writing polygons")


def polygon_steps(labels: Image, spec: PolygonSpec | None = None, meaning: Meaning | None = None) -> Steps[Polygons]:
    """Turn labels into polygons, one for each label however the image was cut.

    Parameters
    ----------
    labels : Image
        Whole numbers from 0 (background), one plane; read block by block. Outlines must fit into memory.
    spec : PolygonSpec, optional
        Settings.
    meaning : Meaning, optional
        Classes and scores of labels.

    Returns
    -------
    Polygons
        Ordered by label.

    Yields
    ------
    Progress
        For every block, and every thing that is done with all polygons.

    Raises
    ------
    ImageError
        If the labels cannot be read, or are several planes.
    MissingExtraError
        If a package is missing.
    """
    check_packages()
    from . import _shapes as shape  # noqa: PLC0415  # shapely is an extra
    from ._ground import Ground  # noqa: PLC0415  # pyproj is an extra

    spec, meaning, flat = spec or PolygonSpec(), meaning or Meaning(), _flat(labels)
    each = ("part" if meaning.of_classes else "object") if spec.each == "auto" else spec.each
    ground = Ground(labels.geo, (flat.shape[0], flat.shape[1]))
    outlines, sizes = yield from outline_steps(flat)
    yield Progress(0, 0, "Making polygons")
    parts, ids = shape.as_polygons(outlines)
    del outlines
    exact = parts
    parts, uneven, fixed = yield from _shaped_steps(parts, spec, ground)
    pixels = dict(sizes.tolist())
    if each == "object" and len(parts):
        parts, ids = shape.gather(parts, ids, spec.holes == "fill")
        counts = np.array([pixels[label] for label in ids.tolist()], np.int64)
    else:
        counts = np.rint(shape.pixel_areas(exact)).astype(np.int64)
    yield Progress(0, 0, "Measuring polygons")
    found = shape.moved(parts, ground.place)
    areas = ground.areas(found)
    kept = ~((areas if ground.known else counts) < spec.min_area)  # what cannot be measured stays
    found, ids, areas, counts = found[kept], ids[kept], areas[kept], counts[kept]
    table = _table(shape.middles(found), ids, meaning, meaning.source or labels.source or labels.name)
    table |= {"area_m2": areas, "pixels": counts}
    return Polygons(found, table, ground, fixed, uneven, int(np.count_nonzero(~kept)))


def _shaped_steps(
    parts: npt.NDArray[np.object_], spec: PolygonSpec, ground: Ground
) -> Steps[tuple[npt.NDArray[np.object_], int, int]]:
    """Return polygons as they are asked for, how many have no right angles and how many were repaired."""
    from . import _shapes as shape  # noqa: PLC0415  # shapely is an extra

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


def _flat(labels: Image) -> Image:
    """Return labels along y and x; axes of length 1 are no planes."""
    others = [(a, n) for a, n in zip(labels.axes, labels.shape, strict=True) if a not in "yx"]
    if any(n > 1 for _, n in others):
        raise ImageError(
            f"'{labels.name}' has the axes {labels.axes} and the shape {labels.shape}: polygons are made of one plane. "
            "Write one time point or plane to a file of its own."
        )
    if not others and labels.axes == "yx":
        return labels
    index = tuple(slice(None) if a in "yx" else slice(0, 1) for a in labels.axes)
    data = np.squeeze(np.asarray(labels.data[index]), tuple(i for i, a in enumerate(labels.axes) if a not in "yx"))
    return Image(data if labels.axes.index("y") < labels.axes.index("x") else data.T, "yx", name=labels.name)


def write_polygons(path: Path, polygons: Polygons, manifest: Mapping[str, Any] | None = None) -> None:
    """Write polygons, complete or not at all.

    Parameters
    ----------
    path : Path
        ``.gpkg``: a GeoPackage in the coordinate reference system of the image. ``.geojson``: in longitude and latitude
        (RFC 7946), for which the system must be known.
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
    check_packages()
    from . import _shapes as shape  # noqa: PLC0415  # shapely is an extra
    from . import _vectors as vectors  # noqa: PLC0415  # pyogrio is an extra

    facts = {"NAPARI_UNET": json.dumps(dict(manifest))} if manifest else {}
    shapes, table, crs = polygons.shapes, polygons.table, _system(polygons.ground)
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


def _system(ground: Ground) -> str | None:
    """Return what the coordinates are in, as GDAL takes it."""
    geo = ground.geo
    return geo.title if geo.crs and geo.title.startswith("EPSG:") else geo.crs or None
