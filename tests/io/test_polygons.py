"""Polygons of labels: exact, one for each label, at the right place, with shared borders, and readable by others."""

from __future__ import annotations

import json

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.transform import Affine
from skimage.measure import label

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, MissingExtraError, OutputError
from napari_unet.core.place import GeoReference
from napari_unet.core.polygons import Meaning, PolygonSpec
from napari_unet.core.steps import finish
from napari_unet.io import _georeferenced, polygons
from napari_unet.io._outlines import outline_steps
from napari_unet.io._shapes import as_polygons, repaired
from napari_unet.io.labels import write_labels
from napari_unet.io.polygons import polygon_steps, write_polygons

NORTH_UP = (0.5, 0.0, 500000 + 1 / 3, 0.0, -0.5, 5300000 + 1 / 7)


def place(transform=NORTH_UP, epsg=32633, unit="meter"):
    return GeoReference(transform, CRS.from_epsg(epsg).to_wkt(), f"EPSG:{epsg}", unit)


def made(labels, geo=None, meaning=None, **spec):
    image = Image(np.asarray(labels, np.int32), "yx", name="tried", geo=geo)
    return finish(polygon_steps(image, PolygonSpec(**spec), meaning))


def burned(found, shape, transform=None):
    if not len(found):
        return np.zeros(shape, np.int32)
    pairs = list(zip(found.shapes, found.table["label"].tolist(), strict=True))
    more = {} if transform is None else {"transform": Affine(*transform)}
    return rasterize(pairs, out_shape=shape, dtype="int32", **more)


small = arrays.arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


@settings(deadline=None, max_examples=60)
@given(small, st.integers(1, 12))
def test_outlines_are_exact_and_do_not_depend_on_blocks(values, rows):
    image = Image(values, "yx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_georeferenced, "_AT_ONCE", rows * values.shape[1])
        outlines, sizes = finish(outline_steps(image))
    whole, _ = finish(outline_steps(image))
    np.testing.assert_array_equal(outlines.corners, whole.corners)
    np.testing.assert_array_equal(outlines.parts, whole.parts)
    shapes, ids = as_polygons(outlines)
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)
    assert shapely.area(shapes).sum() == np.count_nonzero(values)
    for number, pixels in sizes.tolist():
        assert pixels == np.count_nonzero(values == number)
        assert np.count_nonzero(ids == number) == label(values == number, connectivity=1).max()
    found = made(values)
    np.testing.assert_array_equal(burned(found, values.shape), values)
    np.testing.assert_array_equal(found.table["label"], np.unique(values[values > 0]))


def nested():
    """A ring with an island in it that has a hole of its own, of the same label, and another label around a corner."""
    values = np.zeros((12, 14), np.int32)
    values[1:11, 1:11] = 7
    values[2:10, 2:10] = 0
    values[4:8, 4:8] = 7
    values[5, 5] = 3
    values[11, 11] = 7  # touches by a corner only: a part of its own
    return values


def test_holes_belong_to_the_part_around_them():
    found = made(nested())
    three, seven = found.shapes
    assert three.area == 1
    assert [len(part.interiors) for part in seven.geoms] == [1, 1, 0]
    np.testing.assert_array_equal(found.table["pixels"], [1, np.count_nonzero(nested() == 7)])
    np.testing.assert_array_equal(burned(found, (12, 14)), nested())
    parts = made(nested(), each="part")
    assert parts.table["label"].tolist() == [3, 7, 7, 7]
    assert parts.table["pixels"].tolist() == [1, 36, 15, 1]
    filled = made(nested(), holes="fill")
    assert shapely.area(filled.shapes).tolist() == [1, 101.0]


def test_polygons_lie_where_their_pixels_lie():
    for transform in (NORTH_UP, (0.5, 0.2, 5e5, 0.2, -0.5, 5e6), (0.7, 0.0, 5e5, 0.0, 0.9, 5e6)):
        found = made(nested(), place(transform))
        np.testing.assert_array_equal(burned(found, (12, 14), transform), nested())
        a, b, _, d, e, _ = transform
        size = abs(a * e - b * d)
        np.testing.assert_allclose(found.table["area_m2"], found.table["pixels"] * size, rtol=1e-6)
        np.testing.assert_allclose(found.table["x"][0], transform[0] * 5.5 + transform[1] * 5.5 + transform[2])


def test_areas_of_degrees_are_those_on_the_ellipsoid():
    values = np.ones((200, 300), np.int32)
    for x, y in ((12.0, 48.0), (-70.0, -33.0), (0.0, 0.1)):
        found = made(values, place((1e-3, 0.0, x, 0.0, -1e-3, y), 4326, "degree"))
        # The same rectangle in a projection that keeps areas.
        equal = pyproj.Transformer.from_crs(4326, f"+proj=cea +lat_ts={y} +lon_0={x} +ellps=WGS84", always_xy=True)
        corners = np.array(equal.transform([x, x + 0.3], [y - 0.2, y]))
        assert found.table["area_m2"][0] == pytest.approx(np.prod(np.diff(corners, axis=1)), rel=1e-5)


def test_areas_of_maps_that_stretch_are_those_on_the_ground():
    found = made(np.ones((10, 10)), place((1.0, 0.0, 1336000.0, 0.0, -1.0, 6106000.0), 3857))
    # Web Mercator at 48 degrees north stretches lengths by about 1 / cos(48 degrees).
    assert found.table["area_m2"][0] == pytest.approx(100 * np.cos(np.radians(48)) ** 2, rel=0.02)
    feet = GeoReference((1.0, 0.0, 1e6, 0.0, -1.0, 7e5), CRS.from_epsg(2263).to_wkt(), "EPSG:2263", "survey_foot")
    assert made(np.ones((10, 10)), feet).table["area_m2"][0] == pytest.approx(100 * 0.3048006096**2, rel=1e-3)


def test_without_a_place_there_are_pixels():
    found = made(nested(), min_area=2)
    assert np.isnan(found.table["area_m2"]).all()
    assert found.table["label"].tolist() == [7]
    assert found.small == 1


def blobs(seed=0, shape=(120, 140)):
    """Cells that touch each other, with ragged borders and some background."""
    rng = np.random.default_rng(seed)
    seeds = rng.uniform((0, 0), shape, (40, 2))
    y, x = np.mgrid[: shape[0], : shape[1]]
    far = np.hypot(y[..., None] - seeds[:, 0], x[..., None] - seeds[:, 1]) + rng.normal(0, 1, (*shape, 1))
    return np.where(far.min(-1) < 12, far.argmin(-1) + 1, 0).astype(np.int32)


@pytest.mark.parametrize("together", [1, 500])
def test_simplified_polygons_share_their_borders(monkeypatch, together):
    monkeypatch.setattr("napari_unet.io._shapes._TOGETHER", together)
    exact, simple = made(blobs(), each="part"), made(blobs(), each="part", simplify=3)
    assert shapely.coverage_is_valid(simple.shapes)
    assert shapely.get_num_coordinates(simple.shapes).sum() < shapely.get_num_coordinates(exact.shapes).sum() / 2
    union = shapely.union_all(simple.shapes)
    assert union.area == pytest.approx(shapely.area(simple.shapes).sum(), abs=1e-6)
    assert union.area == pytest.approx(np.count_nonzero(blobs()), rel=0.05)
    assert simple.table["pixels"].tolist() == exact.table["pixels"].tolist()


def turned_house(angle, size=(30, 18)):
    y, x = np.mgrid[:60, :60] - 30.0
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return (np.abs(u) < size[0] / 2) & (np.abs(v) < size[1] / 2) & ~((u > 5) & (v > 3))


@pytest.mark.parametrize("angle", [0.0, 0.3, 0.7, 1.3])
def test_buildings_get_right_angles(angle):
    house = turned_house(angle)
    found = made(house, place(), right_angles=True)
    (shape,) = found.shapes
    corners = shapely.get_coordinates(shape)
    sides = np.diff(corners, axis=0)
    cosines = np.sum(sides * np.roll(sides, -1, axis=0), axis=1)
    lengths = np.hypot(*sides.T)
    np.testing.assert_allclose(cosines / (lengths * np.roll(lengths, -1)), 0, atol=1e-6)
    assert len(corners) == 7
    exact = made(house, place()).shapes[0]
    assert shape.intersection(exact).area / shape.union(exact).area > 0.9
    assert found.uneven == 0


@pytest.mark.parametrize(("width", "height"), [(0.5, 0.8), (0.5, 1.1), (0.8, 0.5)])
def test_buildings_of_oblong_pixels_have_straight_walls(width, height):
    turn = np.array([[np.cos(0.44), -np.sin(0.44)], [np.sin(0.44), np.cos(0.44)]])
    walls = np.array([(-20, -14), (20, -14), (20, 2), (0, 2), (0, 14), (-20, 14)]) @ turn.T + (500050, 5299950)
    transform = (width, 0.0, 500000.0, 0.0, -height, 5300000.0)
    house = shapely.Polygon(walls)
    values = rasterize([(house, 1)], out_shape=(200, 200), transform=Affine(*transform), dtype="int32")
    (shape,) = made(values, place(transform), right_angles=True).shapes
    assert len(shapely.get_coordinates(shape)) == 7
    assert shape.intersection(house).area / shape.union(house).area > 0.95


def test_what_has_no_right_angles_is_left_as_it_is():
    values = np.zeros((60, 60), np.int32)
    for i in range(50):
        values[5 + i, 5 + i : 8 + i] = 1  # a thin slanted line, bent
        values[5 + i, 54 - i : 57 - i] = 1
    found = made(values, right_angles=True)
    assert found.uneven == 1
    assert found.shapes[0].equals(made(values).shapes[0])


def test_what_crosses_itself_is_repaired_and_counted():
    bow = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    flat = shapely.Polygon([(0, 0), (4, 0), (0, 0)])
    square = shapely.box(0, 0, 4, 4)
    shapes, count = repaired(np.array([square, bow, flat]), np.array([square] * 3))
    assert count == 2
    assert shapely.is_valid(shapes).all()
    assert shapely.area(shapes).tolist() == [16, 8, 16]


def test_a_geopackage_keeps_system_numbers_classes_and_record(tmp_path):
    meaning = Meaning({1: "building", 2: "water"}, {3: 1, 7: 2}, {7: 0.75}, "tile.tif")
    found = made(nested(), place(), meaning)
    write_polygons(tmp_path / "a.gpkg", found, {"model": "tried"})
    assert [file.name for file in tmp_path.iterdir()] == ["a.gpkg"]
    facts = pyogrio.read_info(tmp_path / "a.gpkg")
    assert facts["crs"] == "EPSG:32633"
    assert facts["geometry_type"] == "MultiPolygon"
    assert json.loads(facts["dataset_metadata"]["NAPARI_UNET"]) == {"model": "tried"}
    meta, _, geometry, columns = pyogrio.raw.read(tmp_path / "a.gpkg")
    rows = dict(zip(meta["fields"].tolist(), columns, strict=True))
    assert rows["label"].tolist() == [3, 7]
    assert rows["class"].tolist() == ["building", "water"]
    assert rows["source"].tolist() == ["tile.tif", "tile.tif"]
    assert np.isnan(rows["confidence"][0])
    assert rows["confidence"][1] == 0.75
    assert rows["area_m2"].tolist() == found.table["area_m2"].tolist()
    corners = shapely.get_coordinates(shapely.from_wkb(geometry))
    np.testing.assert_array_equal(corners, shapely.get_coordinates(found.shapes))


@pytest.mark.parametrize("axes", ["tyx", "zyx", "yxz"])
def test_a_time_point_or_plane_that_is_alone_is_no_obstacle(tmp_path, axes):
    data = nested()
    shape = [1 if axis in "tz" else data.shape["yx".index(axis)] for axis in axes]
    labels = Image(data.reshape(shape), axes, geo=place())
    write_labels(tmp_path / "a.gpkg", labels)
    assert pyogrio.read_info(tmp_path / "a.gpkg")["crs"] == "EPSG:32633"
    corners = shapely.get_coordinates(shapely.from_wkb(pyogrio.raw.read(tmp_path / "a.gpkg")[2]))
    np.testing.assert_array_equal(corners, shapely.get_coordinates(made(nested(), place()).shapes))


def test_objects_of_a_model_of_one_class_bear_its_name(tmp_path):
    record = {"rule": {"name": "foreground", "classes": ["building"]}}
    write_labels(tmp_path / "a.gpkg", Image(nested(), "yx", geo=place()), record)
    write_labels(tmp_path / "a.tif", Image(nested(), "yx", geo=place()), record)
    workflows.write_polygons(tmp_path / "a.tif", tmp_path / "b.gpkg")
    for name in ("a.gpkg", "b.gpkg"):
        meta, _, _shapes, columns = pyogrio.raw.read(tmp_path / name)
        rows = dict(zip(meta["fields"].tolist(), columns, strict=True))
        assert rows["class"].tolist() == ["building"] * 2
        assert rows["label"].tolist() == [3, 7]


def test_geojson_is_in_longitude_and_latitude(tmp_path):
    found = made(nested(), place())
    write_polygons(tmp_path / "a.geojson", found)
    collection = json.loads((tmp_path / "a.geojson").read_text())
    assert "crs" not in collection
    first = collection["features"][0]
    back = pyproj.Transformer.from_crs(4326, 32633, always_xy=True)
    outer = np.array(first["geometry"]["coordinates"][0][0])
    np.testing.assert_allclose(
        sorted(zip(*back.transform(*outer.T), strict=True)), sorted(found.shapes[0].geoms[0].exterior.coords), atol=1e-3
    )
    x, y = back.transform(first["properties"]["x"], first["properties"]["y"])
    assert (x, y) == pytest.approx((found.table["x"][0], found.table["y"][0]), abs=1e-3)
    assert shapely.LinearRing(outer).is_ccw


def test_large_sets_are_written_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(polygons, "_AT_ONCE", 7)
    found = made(blobs(), place())
    write_polygons(tmp_path / "a.gpkg", found)
    meta, _, geometry, columns = pyogrio.raw.read(tmp_path / "a.gpkg")
    assert columns[meta["fields"].tolist().index("label")].tolist() == found.table["label"].tolist()
    assert len(geometry) == len(found)


def test_nothing_found_is_an_empty_file(tmp_path):
    write_polygons(tmp_path / "a.gpkg", made(np.zeros((5, 6)), place(), simplify=1, right_angles=True))
    facts = pyogrio.read_info(tmp_path / "a.gpkg")
    assert facts["features"] == 0
    assert facts["crs"] == "EPSG:32633"


def test_systems_that_are_not_known_are_kept_or_named(tmp_path):
    local = GeoReference(NORTH_UP, 'LOCAL_CS["pit",UNIT["metre",1]]', "pit", "meter")
    found = made(nested(), local)
    assert found.table["area_m2"][0] == 0.25
    write_polygons(tmp_path / "a.gpkg", found)
    assert pyogrio.read_info(tmp_path / "a.gpkg")["total_bounds"] == pytest.approx(shapely.total_bounds(found.shapes))
    with pytest.raises(OutputError, match="GeoPackage instead"):
        write_polygons(tmp_path / "b.geojson", found)
    with pytest.raises(OutputError, match="in pixels"):
        write_polygons(tmp_path / "b.zip", found)
    write_polygons(tmp_path / "c.gpkg", made(nested()))
    with pytest.raises(OutputError, match=r"\.gpkg, \.geojson, \.zip"):
        write_polygons(tmp_path / "a.shp", found)


def test_several_planes_and_missing_packages_are_refused(monkeypatch):
    with pytest.raises(ImageError, match="one plane"):
        finish(polygon_steps(Image(np.ones((2, 3, 4), np.int32), "zyx", geo=place())))
    one = finish(polygon_steps(Image(np.ones((1, 3, 4), np.int32), "zyx", geo=place())))
    assert one.shapes[0].area == 3.0
    assert one.ground.geo.title == "EPSG:32633"
    monkeypatch.setattr(polygons, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"napari-unet-suite\[geo\]"):
        made(nested(), place())
    assert len(made(nested())) == 2
