"""From a raster to labels and polygons, by the command and in Python: at the place where the raster lies."""

from __future__ import annotations

import json

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.transform import Affine
from typer.testing import CliRunner

from napari_unet import workflows
from napari_unet.cli.commands import app
from napari_unet.core.axes import Image
from napari_unet.core.errors import OutputError
from napari_unet.io.runs import find_manifest

PLACE = Affine(0.5, 0.0, 500000 + 1 / 3, 0.0, -0.5, 5300000 + 1 / 7)


@pytest.fixture
def tile(disks, tmp_path):
    """A raster of four bands with an empty corner, in which disks are bright in the second band."""
    picture = disks[0].astype(np.uint16)
    bands = np.stack([np.full_like(picture, 500), picture, picture // 2 + 1, np.full_like(picture, 90)])
    bands[:, :30, :30] = 0
    facts = {"count": 4, "height": 96, "width": 112, "dtype": "uint16", "nodata": 0}
    path = tmp_path / "tile.tif"
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32633", transform=PLACE, **facts) as raster:
        raster.write(bands)
        raster.descriptions = ("blue", "green", "red", "nir")
    return path


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + result.stderr
    return result


def read(path):
    with rasterio.open(path) as raster:
        assert raster.transform == PLACE
        assert raster.crs.to_epsg() == 32633
        return raster.read(1)


def rows_of(path):
    meta, _, geometry, columns = pyogrio.raw.read(path)
    return shapely.from_wkb(geometry), dict(zip(meta["fields"].tolist(), columns, strict=True))


def test_the_command_writes_labels_and_polygons_where_the_raster_lies(tile, bright, tmp_path):
    how = ("--model", bright, "--channels", "green", "--diameter", 12)
    labels, polygons = tmp_path / "labels.tif", tmp_path / "labels.gpkg"
    out = run("segment", tile, "-o", labels, *how, "--polygons", polygons, "--json")
    assert json.loads(out.stdout)["polygons"] == str(polygons)
    values = read(labels)
    assert values.max() > 10
    assert not values[:30, :30].any()
    shapes, rows = rows_of(polygons)
    assert rows["label"].tolist() == [*range(1, values.max() + 1)]
    assert set(rows["source"]) == {str(tile)}
    assert (rows["confidence"] > 0.5).all()
    assert (rows["confidence"] <= 1).all()
    pairs = list(zip(shapes, rows["label"], strict=True))
    np.testing.assert_array_equal(rasterize(pairs, values.shape, transform=PLACE, dtype="int32"), values)
    np.testing.assert_allclose(rows["area_m2"], rows["pixels"] * 0.25)
    # The same in one go, and from labels that are there; as OME-Zarr, too.
    run("segment", tile, "-o", tmp_path / "direct.gpkg", *how)
    run("segment", tile, "-o", tmp_path / "labels.ome.zarr", *how)
    for source in (labels, tmp_path / "labels.ome.zarr"):
        run("polygons", source, "-o", tmp_path / "again.gpkg", "--overwrite")
        for other in ("direct.gpkg", "again.gpkg"):
            again, _ = rows_of(tmp_path / other)
            np.testing.assert_array_equal(shapely.get_coordinates(again), shapely.get_coordinates(shapes))
    direct = rows_of(tmp_path / "direct.gpkg")[1]
    for name in ("label", "class", "confidence", "source", "pixels"):
        assert direct[name].tolist() == rows[name].tolist()
    made = find_manifest(labels)
    assert made["model"] == "bright"
    assert made["settings"]["channels"] == ["green"]
    assert (
        json.loads(pyogrio.read_info(tmp_path / "again.gpkg")["dataset_metadata"]["NAPARI_UNET"])["model"] == "bright"
    )
    run("audit", labels, tile, "--model", bright)


def test_missing_bands_are_named(tile, bright, tmp_path):
    words = ["segment", str(tile), "-o", str(tmp_path / "a.tif"), "--model", str(bright)]
    result = CliRunner().invoke(app, [*words, "--channels", "swir,red"])
    assert "no band named swir" in str(result.exception or "") + result.stderr
    result = CliRunner().invoke(app, words)
    assert "blue, green, red, nir" in str(result.exception or "") + result.stderr


def test_a_region_on_the_map_is_looked_at(tile, bright, tmp_path):
    how = ("--model", bright, "--channels", "green", "--diameter", 12)
    corners = [(500000 + 20, 5300000 - 10), (500000 + 50, 5300000 - 10), (500000 + 50, 5300000 - 40)]
    place = {"type": "name", "properties": {"name": "EPSG:32633"}}
    area = {"type": "Polygon", "coordinates": [[*corners, corners[0]]], "crs": place}
    (tmp_path / "area.geojson").write_text(json.dumps(area))
    run("segment", tile, "-o", tmp_path / "all.tif", *how)
    run("segment", tile, "-o", tmp_path / "part.tif", *how, "--region", tmp_path / "area.geojson")
    every, part = read(tmp_path / "all.tif"), read(tmp_path / "part.tif")
    inside = rasterize([shapely.Polygon(corners)], every.shape, transform=PLACE).astype(bool)
    np.testing.assert_array_equal(part > 0, (every > 0) & inside)


def test_polygons_by_the_command(tmp_path):
    values = np.zeros((40, 50), np.uint8)
    values[2:12, 2:12], values[20:25, 20:45], values[30:32, 2:4] = 1, 2, 1
    facts = {"count": 1, "height": 40, "width": 50, "dtype": "uint8", "nodata": 0}
    for name, data in (("classes.tif", values), ("scores.tif", np.where(values, 204, 0).astype(np.uint8))):
        with rasterio.open(tmp_path / name, "w", driver="GTiff", crs="EPSG:32633", transform=PLACE, **facts) as raster:
            raster.write(data, 1)
    words = ("--parts", "--classes", "1=building,2=water", "--scores", tmp_path / "scores.tif", "--min-area", 2)
    out = run("polygons", tmp_path / "classes.tif", "-o", tmp_path / "a.geojson", *words, "--json")
    assert json.loads(out.stdout)["small"] == 1
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    found = [(each["properties"]["class"], each["properties"]["area_m2"]) for each in features]
    assert found == [("building", 25.0), ("water", 31.25)]
    assert {each["properties"]["confidence"] for each in features} == {0.8}
    run(
        "polygons",
        tmp_path / "classes.tif",
        "-o",
        tmp_path / "b.gpkg",
        "--simplify",
        1,
        "--right-angles",
        "--fill-holes",
    )
    assert rows_of(tmp_path / "b.gpkg")[1]["label"].tolist() == [1, 2]


def test_what_cannot_be_written_is_said_before_the_work(tile, disks, tmp_path):
    stack = Image(np.zeros((3, 8, 9), np.int32), "zyx")
    for name in ("a.geojson", "a.zip"):
        for image in (workflows.sample()[0], stack):
            assert workflows.check_place(tmp_path / name, image) == ""
    with pytest.raises(OutputError, match="holds one plane"):
        workflows.check_place(tmp_path / "a.gpkg", stack)
    assert workflows.check_place(tmp_path / "a.geojson", workflows.read_image(tile)) == ""
    (tmp_path / "there.gpkg").write_text("")
    with pytest.raises(OutputError, match="--overwrite"):
        workflows.write_polygons(Image(disks[1], "yx"), tmp_path / "there.gpkg")
