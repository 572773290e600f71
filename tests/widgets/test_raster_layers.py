"""Rasters as layers: their place, holes and names of bands come along, and go on to an image made of a layer."""

from __future__ import annotations

import copy
import fnmatch
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import tifffile
from napari.components import ViewerModel
from napari.layers import Labels
from npe2 import PluginManager, PluginManifest
from npe2 import write as save
from rasterio.transform import Affine

from napari_unet.widgets import _reader
from napari_unet.widgets._layers import KEY, layer_axes, layer_image
from napari_unet.widgets._reader import read

MANIFEST = PluginManifest.from_file(Path(_reader.__file__).parents[1] / "napari.yaml")
PLACE = Affine(0.7, 0.0, 500000 + 1 / 3, 0.0, -0.9, 5300000 + 1 / 7)


def write(path: Path, bands: np.ndarray, **more: object) -> Path:
    count, height, width = bands.shape
    facts = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32633", transform=PLACE, **facts, **more) as raster:
        raster.write(bands)
        raster.descriptions = [f"B{number}" for number in range(1, count + 1)]
    return path


def shown(path: Path) -> list:
    viewer = ViewerModel()
    for layer in read(path):
        if "channel_axis" in layer[1]:
            viewer.add_image(layer[0], **layer[1])
        else:
            viewer._add_layer_from_data(*layer)
    return list(viewer.layers)


def test_a_layer_keeps_the_place_that_32_bits_cannot_hold(tmp_path: Path):
    heights = np.arange(600, dtype=np.float32).reshape(1, 20, 30)
    heights[0, 0] = -9999
    (layer,) = shown(write(tmp_path / "a.tif", heights, nodata=-9999))
    assert tuple(layer.scale) == (0.9, 0.7)
    assert tuple(map(str, layer.units)) == ("meter", "meter")
    assert tuple(layer.contrast_limits) == (30, 599)
    image = layer_image(layer, layer_axes(layer)[0])
    assert image.geo.transform == tuple(PLACE)[:6]
    assert not image.valid[0][0].any()
    assert image.valid[0][1:].all()


def test_colors_are_one_layer_and_other_bands_are_named(tmp_path: Path):
    (color,) = shown(write(tmp_path / "a.tif", np.full((3, 20, 30), 7, np.uint8), nodata=0))
    assert color.rgb
    assert layer_image(color, layer_axes(color)[0]).geo.title == "EPSG:32633"
    bands = shown(write(tmp_path / "b.tif", np.zeros((5, 20, 30), np.uint16), nodata=0))
    assert [layer.name for layer in bands] == [f"b B{number}" for number in range(1, 6)]
    assert layer_image(bands[2], "yx").geo.transform == tuple(PLACE)[:6]


def test_large_rasters_are_lazy_layers_that_can_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("napari_unet.io._raster_reader.LAZY_BYTES", 100)
    path = write(tmp_path / "a.tif", np.arange(90000, dtype=np.uint16).reshape(1, 300, 300), tiled=True, nodata=0)
    with rasterio.open(path, "r+") as raster:
        raster.build_overviews([2], rasterio.enums.Resampling.nearest)
    (layer,) = shown(path)
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [(300, 300), (150, 150)]
    image = layer_image(layer, "yx")
    assert len(image.levels) == 1
    again = copy.deepcopy(layer.metadata[KEY]["valid"])
    assert not again[0][0, 0]
    assert again[0][0, 1]


def test_labels_of_a_raster_are_saved_at_its_place(tmp_path: Path):
    viewer = ViewerModel()
    for layer in read(write(tmp_path / "a.tif", np.full((1, 20, 30), 7, np.uint16))):
        viewer._add_layer_from_data(*layer)
    image = viewer.layers[0]
    labels = Labels(np.eye(20, 30, dtype=np.int32), scale=image.scale, units=image.units, metadata=image.metadata)
    PluginManager.instance().discover()
    for name in ("found.tif", "found.gpkg", "found.geojson"):
        place = str(tmp_path / name)
        assert save(place, [labels.as_layer_data_tuple()], plugin_name="napari-unet-suite") == [place]
    with rasterio.open(tmp_path / "found.tif") as raster:
        assert (raster.transform, raster.crs.to_epsg()) == (PLACE, 32633)
        np.testing.assert_array_equal(raster.read(1), labels.data)
    left, bottom, right, top = pyogrio.read_info(tmp_path / "found.gpkg", force_total_bounds=True)["total_bounds"]
    np.testing.assert_allclose((left, top), (PLACE.c, PLACE.f), atol=1e-6)
    np.testing.assert_allclose((right, bottom), PLACE @ (20, 20), atol=1e-6)
    assert pyogrio.read_info(tmp_path / "found.geojson")["crs"] == "EPSG:4326"


def test_what_a_folder_of_tiles_leaves_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", said.append)
    (tmp_path / "city").mkdir()
    write(tmp_path / "city" / "a.tif", np.full((1, 20, 30), 7, np.uint16))
    tifffile.imwrite(tmp_path / "city" / "b.tif", np.full((20, 30), 7, np.uint16))
    read(tmp_path / "city")
    assert said == ["Left out, because they do not say where they lie: b.tif."]


def test_an_item_of_a_catalog_opens_and_other_json_does_not(tmp_path: Path, npe2pm: Any):
    write(tmp_path / "B04.tif", np.full((1, 20, 30), 7, np.uint16))
    item = {"type": "Feature", "stac_version": "1.0.0", "assets": {"red": {"href": "B04.tif", "type": "image/tiff"}}}
    (tmp_path / "stac.json").write_text(json.dumps(item))
    (tmp_path / "other.json").write_text('{"type": "FeatureCollection"}')
    viewer = ViewerModel()
    with npe2pm.tmp_plugin(manifest=MANIFEST):
        viewer.open(str(tmp_path / "stac.json"), plugin=None)
    assert viewer.layers[0].data.shape == (20, 30)
    assert _reader.get_reader(str(tmp_path / "other.json")) is None


def test_a_dicom_file_needs_no_ending(tmp_path: Path):
    readers = [each for each in MANIFEST.contributions.readers if each.command.endswith(".get_reader")]
    patterns = [pattern for each in readers for pattern in each.filename_patterns]
    for name, start in {"IM0001": b"DICM", "IM0002": b"text", "1.2.840.113619.12345": b"DICM"}.items():
        (tmp_path / name).write_bytes(bytes(128) + start)
        assert any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        assert (_reader.get_reader(str(tmp_path / name)) is _reader.read) is (start == b"DICM")
    assert not any(fnmatch.fnmatchcase(name, each) for each in patterns for name in ("a.mp4", "a.h5", "a.txt", "a.png"))


def test_napari_offers_this_reader_for_rasters():
    patterns = {pattern for each in MANIFEST.contributions.readers for pattern in each.filename_patterns}
    assert {"*.vrt", "*.jp2", "*.tif"} <= patterns
