"""Regions from files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from shapely.geometry import mapping

import napari_unet
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, SpecError
from napari_unet.core.place import GeoReference
from napari_unet.core.rasterize import Polygons
from napari_unet.core.region import outline, region_text
from napari_unet.io.regions import read_region

BOX = [(2.0, 3.0), (2.0, 9.0), (6.0, 9.0), (6.0, 3.0)]


def shapes(path: Path, kinds: list[str], corners: list[list[tuple[float, ...]]]) -> Path:
    """Write a file as napari does."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "shape-type", "vertex-index", *(f"axis-{i}" for i in range(len(corners[0][0])))])
        for number, (kind, some) in enumerate(zip(kinds, corners, strict=True)):
            for i, corner in enumerate(some):
                writer.writerow([float(number), kind, float(i), *corner])
    return path


def geo(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_shapes_of_napari(tmp_path):
    triangle = [(0.5, 0.25), (9.0, 3.0), (4.0, 8.0)]
    found = read_region(shapes(tmp_path / "a.csv", ["rectangle", "polygon", "ellipse"], [BOX, triangle, BOX]))
    assert found == (outline("rectangle", BOX), outline("polygon", triangle), outline("ellipse", BOX))
    deep = [[(7.0, 1.0, *corner) for corner in BOX]]
    assert read_region(shapes(tmp_path / "b.csv", ["rectangle"], deep)) == (outline("rectangle", BOX),)


def ring(corners: list[tuple[float, float]]) -> list[list[float]]:
    return [[x, y] for y, x in [*corners, corners[0]]]


def test_geojson(tmp_path):
    polygon = {"type": "Polygon", "coordinates": [ring(BOX)]}
    both = {"type": "MultiPolygon", "coordinates": [[ring(BOX)], [ring(BOX[:3])]]}
    box = (*BOX, BOX[0])
    for content in (
        polygon,
        {"type": "Feature", "geometry": polygon, "properties": {"name": "x"}},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": polygon}]},
        [{"type": "Feature", "geometry": polygon}, {"type": "Feature", "geometry": None}],
        {"type": "GeometryCollection", "geometries": [polygon]},
    ):
        assert read_region(geo(tmp_path / "a.geojson", content)) == (box,)
    assert read_region(geo(tmp_path / "a.json", both)) == (box, (*BOX[:3], BOX[0]))


def test_holes_are_left_out(tmp_path):
    outer = [(0.0, 0.0), (0.0, 20.0), (20.0, 20.0), (20.0, 0.0)]
    first, second = [(2.5, 2.5), (2.5, 5.5), (5.5, 5.5), (5.5, 2.5)], [(8.0, 8.0), (8.0, 12.0), (12.0, 8.0)]
    (found,) = read_region(
        geo(tmp_path / "a.geojson", {"type": "Polygon", "coordinates": [ring(outer), ring(first), ring(second)]})
    )
    window = slice(0, 24), slice(0, 24)
    mask = Polygons([found]).mask(*window)
    holes = Polygons([[(y, x) for y, x in first]]).mask(*window)
    assert not mask[holes].any()
    assert mask.sum() == 21 * 21 - 9 - 3  # of the triangle, whose outline belongs to the area, three pixels are inside
    assert not mask[[9, 9, 10], [9, 10, 9]].any()


def test_text(tmp_path):
    region = (tuple(BOX), tuple(BOX[:3]))
    (tmp_path / "a.txt").write_text(region_text(region).replace("; ", ";\n"))
    assert read_region(tmp_path / "a.txt") == region
    assert napari_unet.read_region(tmp_path / "a.txt") == region
    assert napari_unet.read_region(region_text(region)) == region


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "index,area\n1,2\n", "no list of shapes"),
        ("a.csv", "index,shape-type,vertex-index,axis-0,axis-1\n0,polygon,0,a,b\n", "no numbers"),
        ("a.geojson", "{", "could not be read"),
        ("a.geojson", '{"kind": "Polygon"}', "could not be read"),
        ("a.geojson", '{"type": "Polygon", "coordinates": [[[1], [2]]]}', "could not be read"),
        ("a.geojson", "[" * 100_000, "could not be read"),
        ("a.roi", "", "could not be read as ROIs"),
        ("a.zip", "", "no set of ROIs"),
        ("a.jpg", "", "use one of"),
    ],
)
def test_what_cannot_be_read_is_said(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ImageError, match=said):
        read_region(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "index,shape-type,vertex-index,axis-0,axis-1\n", "holds no area"),
        ("a.csv", "index,shape-type,vertex-index,axis-0,axis-1\n0,path,0,1,1\n0,path,1,2,2\n", "no inside"),
        ("a.geojson", '{"type": "Point", "coordinates": [1, 2]}', "no inside"),
        ("a.geojson", "[]", "holds no area"),
        ("a.txt", "nothing", "holds no area"),
    ],
)
def test_a_file_without_areas_is_refused(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=said):
        read_region(tmp_path / name)


def test_a_missing_file_and_a_huge_one(tmp_path):
    with pytest.raises(ImageError, match="no file"):
        read_region(tmp_path / "a.csv")
    with (tmp_path / "b.csv").open("wb") as file:
        file.truncate(2**29)
    with pytest.raises(ImageError, match="too large"):
        read_region(tmp_path / "b.csv")


PLACES = {
    "north up": (0.5, 0.0, 500000.0, 0.0, -0.5, 5300000.0),
    "south up": (0.5, 0.0, 500000.0, 0.0, 0.5, 5299980.0),
    "turned": (0.4, 0.3, 500000.0, 0.3, -0.4, 5300000.0),
}


def placed(transform: tuple[float, ...]) -> Image:
    crs = pyproj.CRS.from_epsg(32633).to_wkt()
    return Image(np.zeros((40, 60), np.uint8), "yx", geo=GeoReference(transform, crs, "EPSG:32633", "meter"))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["degrees", "named", ".gpkg", ".shp"])
def test_areas_on_a_map_lie_in_the_pixels_that_the_map_shows_there(tmp_path, place, kind):
    image, grid = placed(PLACES[place]), Affine(*PLACES[place])
    corners = [grid @ corner for corner in ((5.25, 8.4), (30.75, 3.25), (44.4, 30.75), (12.25, 33.4))]
    hole = [grid @ corner for corner in ((20.25, 15.25), (25.25, 15.25), (22.25, 25.75))]
    shape = shapely.Polygon(corners, [hole])
    expected = ~geometry_mask([shape], (40, 60), grid)
    if kind.startswith("."):
        path = tmp_path / f"area{kind}"
        pyogrio.raw.write(path, shapely.to_wkb([shape]), [], [], geometry_type="Polygon", crs="EPSG:32633")
    else:
        move = pyproj.Transformer.from_crs(32633, 4326, always_xy=True).transform
        drawn = shapely.transform(shape, move, interleaved=False) if kind == "degrees" else shape
        content = {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": mapping(drawn)}]}
        named = {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}}
        path = geo(tmp_path / "area.geojson", content | (named if kind == "named" else {}))
    region = napari_unet.read_region(path, image)
    np.testing.assert_array_equal(Polygons(region).mask(slice(0, 40), slice(0, 60)), expected)


def test_areas_beside_the_image_are_refused_and_pixels_stay_pixels(tmp_path):
    image = placed(PLACES["north up"])
    far = {"type": "Polygon", "coordinates": [[[14.0, 48.0], [14.1, 48.0], [14.1, 48.1], [14.0, 48.0]]]}
    with pytest.raises(ImageError, match=r"lies beside 'image', which is in EPSG:32633.*longitude and latitude"):
        read_region(geo(tmp_path / "far.geojson", far), image)
    pixels = [[0.0, 0.0], [200.0, 0.0], [200.0, 39.0], [0.0, 0.0]]
    path = geo(tmp_path / "pixels.geojson", {"type": "Polygon", "coordinates": [pixels]})
    assert read_region(path, image) == read_region(path) == (tuple((y, x) for x, y in pixels),)
    shape = shapely.to_wkb([shapely.box(500001, 5299990, 500005, 5299995)])
    pyogrio.raw.write(tmp_path / "area.gpkg", shape, [], [], geometry_type="Polygon", crs="EPSG:32633")
    with pytest.raises(ImageError, match="Name the image"):
        read_region(tmp_path / "area.gpkg")
    with pytest.raises(ImageError, match="does not say where it lies"):
        read_region(tmp_path / "area.gpkg", Image(np.zeros((40, 60)), "yx"))
    (tmp_path / "broken.gpkg").write_text("nothing")
    with pytest.raises(ImageError, match="could not be read as shapes"):
        read_region(tmp_path / "broken.gpkg", image)
