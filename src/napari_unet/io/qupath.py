"""Polygons in pixels as GeoJSON that QuPath imports: objects with names, classes and measurements."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import shapely

from ..core.polygons import Polygons
from .atomic import atomic_file

__all__ = ["write_features"]

_ANY_CHANNEL: Final = -1
_DECIMALS: Final = 6


def write_features(path: Path, polygons: Polygons) -> None:
    """Write polygons as a collection of features, complete or not at all.

    Parameters
    ----------
    path : Path
        Where to.
    polygons : Polygons
        In pixels, counted from the corner of the first one, as QuPath does. Labels become detections, which QuPath can
        hold by the million, parts of classes annotations. Each has its label as ``name``, its class as
        ``classification``, and as ``measurements`` its area in pixels, in square micrometers where the size of a pixel
        is known, and its confidence. ``label`` is for this program. Of stacks the ``plane`` is said.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, feature in enumerate(_features(polygons)):
            file.write(("," if number else "") + "\n" + feature)
        file.write("\n]}\n")


def _features(polygons: Polygons) -> Iterator[str]:
    kind = "annotation" if polygons.meaning.of_classes else "detection"
    single = shapely.get_num_geometries(polygons.shapes) == 1
    texts = shapely.to_geojson([
        shapely.get_geometry(shape, 0) if alone else shape for shape, alone in zip(polygons.shapes, single, strict=True)
    ])  # fmt: skip
    columns = {name: column.tolist() for name, column in polygons.table.items()}
    for at, text in enumerate(texts):
        row = {name: column[at] for name, column in columns.items()}
        said = {"objectType": kind, "name": str(row["label"]), "label": row["label"]}
        said |= {"classification": {"name": row["class"]}} if row["class"] else {}
        said["measurements"] = _measurements(row, polygons.ground.pixel)
        place = {"c": _ANY_CHANNEL, "z": row.get("z", 0), "t": row.get("t", 0)}
        plane = f', "plane": {json.dumps(place)}' if {"t", "z"} & set(row) else ""
        facts = json.dumps(said, ensure_ascii=False)
        yield f'{{"type": "Feature", "geometry": {text[:-1]}{plane}}}, "properties": {facts}}}'


def _measurements(row: dict[str, Any], pixel: float) -> dict[str, float]:
    """Return what QuPath lists of an object, under the names that it uses itself."""
    found = {"Area px^2": row["pixels"]}
    if math.isfinite(pixel):
        found["Area µm^2"] = round(row["pixels"] * pixel, _DECIMALS)
    return found | ({"Confidence": round(row["confidence"], _DECIMALS)} if math.isfinite(row["confidence"]) else {})
