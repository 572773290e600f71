"""Rasters that lie somewhere on Earth: opened at the right place, and labels put back there to the last bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import rasterio
import tifffile
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import Affine

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError, MissingExtraError
from napari_unet.core.place import Band, GeoReference, pick_bands
from napari_unet.io import _georeferenced
from napari_unet.io._geo_tags import is_georeferenced
from napari_unet.io._raster_writer import Layout, write_cog
from napari_unet.io.images import read_image, write_image
from napari_unet.io.labels import read_labels, write_labels
from napari_unet.workflows.polygons import write_polygons

UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(0.7, 0.0, 500000 + 1 / 3, 0.0, -0.9, 5300000 + 1 / 7)
PLACES = {
    "north up": (UTM, NORTH_UP),
    "south up": (UTM, Affine(0.7, 0.0, 500000 + 1 / 3, 0.0, 0.9, 5300000 + 1 / 7)),
    "turned": (UTM, Affine(0.7, 0.3, 500000 + 1 / 3, 0.31, -0.9, 5300000 + 1 / 7)),
    "mirrored": (UTM, Affine(-0.7, 0.0, 500000 + 1 / 3, 0.0, -0.9, 5300000 + 1 / 7)),
    "degrees": (CRS.from_epsg(4326), Affine(1e-4 / 3, 0.0, 6.86, 0.0, -1e-4 / 3, 53.41)),
    "geostationary": (
        CRS.from_string("+proj=geos +h=35786023 +lon_0=-75 +sweep=x +ellps=GRS80"),
        Affine(20054.962950561665, 0.0, -5434895.08164, 0.0, -20054.962950561665, 5434895.08164),
    ),
    "no system": (None, NORTH_UP),
    "no place": (UTM, Affine.identity()),
}


def noise(*shape, dtype="uint8", low=1, high=200):
    return np.random.default_rng(0).integers(low, high, shape).astype(dtype)


def write(path, bands, crs=UTM, transform=NORTH_UP, *, driver="GTiff", **more):
    """Write a raster by rasterio; colors, mask and descriptions by name."""
    kinds, mask, names = more.pop("kinds", None), more.pop("mask", None), more.pop("names", None)
    count, height, width = bands.shape
    facts = {"driver": driver, "count": count, "height": height, "width": width, "dtype": bands.dtype}
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning) if transform.is_identity else rasterio.Env(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **facts, crs=crs, transform=transform, **more) as raster,
    ):
        raster.write(bands)
        if kinds:
            raster.colorinterp = [rasterio.enums.ColorInterp[kind] for kind in kinds]
        if mask is not None:
            raster.write_mask(mask)
        if names:
            raster.descriptions = names
    return path


def planar(image):
    data = np.asarray(image.data)
    return data[None] if data.ndim == 2 else np.moveaxis(data, -1, 0) if image.axes == "yxc" else data


@pytest.mark.parametrize("kind", PLACES)
def test_a_raster_opens_where_it_lies(tmp_path, kind):
    crs, transform = PLACES[kind]
    bands = noise(4, 20, 30, dtype="uint16")
    image = read_image(write(tmp_path / "a.tif", bands, crs, transform))
    with rasterio.open(tmp_path / "a.tif") as raster:
        stored = raster.crs
    np.testing.assert_array_equal(planar(image), bands)
    assert image.axes == "cyx"
    assert image.geo.transform == (None if kind == "no place" else tuple(transform)[:6])
    assert (CRS.from_wkt(image.geo.crs) if image.geo.crs else None) == stored
    assert image.geo.turned is (kind == "turned")
    assert image.geo.south_up is (kind == "south up")
    assert min(image.scale) > 0
    if kind in ("north up", "south up", "mirrored"):
        assert image.scale == (1.0, 0.9, 0.7)
        assert image.units == ("pixel", "meter", "meter")
        assert image.geo.title == "EPSG:32633"


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("suffix", [".tif", ".ome.zarr"])
def test_labels_lie_where_their_image_lies_to_the_last_bit(tmp_path, kind, suffix):
    crs, transform = PLACES[kind]
    image = read_image(write(tmp_path / "a.tif", noise(3, 20, 30), crs, transform))
    labels = Image(np.arange(600, dtype=np.int32).reshape(20, 30), "yx", geo=image.geo)
    write_labels(tmp_path / f"labels{suffix}", labels, {"model": "tried"})
    found = read_labels(tmp_path / f"labels{suffix}")
    np.testing.assert_array_equal(found.data, labels.data)
    assert found.geo.transform == image.geo.transform
    assert found.geo.crs == image.geo.crs
    if suffix == ".tif" and kind != "no place":
        with rasterio.open(tmp_path / "a.tif") as before, rasterio.open(tmp_path / "labels.tif") as after:
            assert after.crs == before.crs
            assert after.transform == before.transform
            assert after.nodata == 0
            assert after.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert json.loads(after.tags()["NAPARI_UNET"])["model"] == "tried"
    assert {file.name for file in tmp_path.iterdir()} <= {"a.tif", f"labels{suffix}"}


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
)
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_any_dtype_and_number_of_bands(tmp_path, dtype, count):
    bands = noise(count, 6, 9, dtype=dtype)
    image = read_image(write(tmp_path / "a.tif", bands))
    np.testing.assert_array_equal(planar(image), bands)
    assert image.data.dtype == dtype
    assert image.channels == count
    assert not image.valid


def seen_in(image):
    """Return what a network is shown: NaN where there is nothing."""
    height, width = image.along("yx")[0]
    return image.planes(2)[0].read((slice(0, height), slice(0, width)))


def test_nodata_of_whole_numbers_is_where_all_bands_have_it(tmp_path):
    bands = noise(3, 6, 9)
    bands[:, :2] = 0
    bands[0, 4, 4] = 0  # dark, but data
    image = read_image(write(tmp_path / "a.tif", bands, nodata=0))
    np.testing.assert_array_equal(planar(image), bands)
    expected = np.ones((6, 9), bool)
    expected[:2] = False
    np.testing.assert_array_equal(image.valid[0], expected)
    seen = seen_in(image)
    assert np.isnan(seen[:, ~expected]).all()
    np.testing.assert_array_equal(seen[:, expected], bands[:, expected])


def test_nodata_of_numbers_with_fractions_is_where_any_band_has_it(tmp_path):
    bands = noise(2, 6, 9, dtype="float32")
    bands[0, 1, 2] = bands[1, 3, 4] = -9999
    image = read_image(write(tmp_path / "a.tif", bands, nodata=-9999))
    assert sorted(zip(*np.nonzero(~image.valid[0]), strict=True)) == [(1, 2), (3, 4)]
    assert np.isnan(seen_in(image)[:, 1, 2]).all()
    assert image.data[0, 1, 2] == -9999


@pytest.mark.parametrize(
    ("dtype", "nodata", "value"),
    [
        ("float32", float("nan"), np.nan),
        ("float32", -3.4028234663852886e38, np.float32(-3.4028234663852886e38)),
        ("float64", -1.7976931348623157e308, -1.7976931348623157e308),
        ("int64", -(2**63) + 5, -(2**63) + 5),
        ("int64", 2**53 + 1, 2**53 + 1),
        ("uint64", 2**53 + 3, 2**53 + 3),
    ],
)
def test_nodata_at_the_ends_of_what_numbers_can_be(tmp_path, dtype, nodata, value):
    data = noise(6, 9, dtype=dtype)
    data[2, 3] = value
    tags = [(42113, "s", 0, str(nodata), True), (33550, "d", 3, (2.0, 2.0, 0.0), True)]
    tags += [(33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 5e6, 0.0), True)]
    tifffile.imwrite(tmp_path / "a.tif", data, extratags=tags)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, data)
    seen = seen_in(image)[0]
    assert np.argwhere(np.isnan(seen)).tolist() == [[2, 3]]


@pytest.mark.parametrize("nodata", ["-9999", "256", "nan", "0.5"])
def test_nodata_that_no_pixel_can_have_hides_nothing(tmp_path, nodata):
    data = noise(6, 9)
    tifffile.imwrite(tmp_path / "a.tif", data, extratags=[(42113, "s", 0, nodata, True)])
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, data)
    assert np.isfinite(seen_in(image)).all()


@pytest.mark.parametrize("how", ["alpha", "mask"])
def test_alpha_and_masks_are_no_bands(tmp_path, how):
    bands = noise(4, 40, 50)
    shown = np.zeros((40, 50), np.uint8)
    shown[10:, 5:] = 255
    shown[0, 0] = 7  # half transparent is there
    if how == "alpha":
        bands[3] = shown
        write(tmp_path / "a.tif", bands, kinds=("red", "green", "blue", "alpha"))
    else:
        shown[0, 0] = 255
        write(tmp_path / "a.tif", bands[:3], mask=shown > 0)
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "yxc"
    np.testing.assert_array_equal(planar(image), bands[:3])
    np.testing.assert_array_equal(image.valid[0], shown > 0)


def test_large_rasters_stay_in_their_file_with_their_overviews(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unet.io._raster_reader.LAZY_BYTES", 100)
    bands = noise(3, 700, 900)
    bands[:, :200] = 0
    path = write(tmp_path / "a.tif", bands, nodata=0, tiled=True, blockxsize=256, blockysize=256)
    with rasterio.open(path, "r+") as raster:
        raster.build_overviews([2, 4], rasterio.enums.Resampling.nearest)
    image = read_image(path)
    assert not isinstance(image.data, np.ndarray)
    assert image.data.chunks == (512, 512, 3)
    assert [level.shape for level in image.levels] == [(350, 450, 3), (175, 225, 3)]
    assert [mask.shape for mask in image.valid] == [(700, 900), (350, 450), (175, 225)]
    pixels = np.moveaxis(bands, 0, -1)
    np.testing.assert_array_equal(image.data[150:400:7, -30, 1:], pixels[150:400:7, -30, 1:])
    np.testing.assert_array_equal(image.data[..., 2], pixels[..., 2])
    np.testing.assert_array_equal(np.asarray(image.data), pixels)
    plane = image.planes(2)[0]
    coarse = plane.read((slice(40, 60), slice(0, 50)), level=2)
    assert np.isnan(coarse[:, :10]).all()
    assert np.isfinite(coarse[:, 10:]).all()
    with pytest.raises(IndexError):
        image.data[::-1]


def test_names_and_wavelengths_of_bands(tmp_path):
    path = write(tmp_path / "a.tif", noise(3, 6, 9, dtype="uint16"), names=("B4", "B8", None))
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(1, wavelength="664.6", wavelength_units="Nanometers")
        raster.update_tags(2, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.842")
    bands = read_image(path).geo.bands
    assert bands == (Band("B4", pytest.approx(0.6646)), Band("B8", 0.842), Band("", None))
    assert pick_bands(("b8", "0"), bands, "a") == (1, 0)
    with pytest.raises(ImageError, match=r"no band named SWIR.*0 B4, 1 B8"):
        pick_bands(("B4", "SWIR"), bands, "a")


def test_jpeg_2000_and_vrt(tmp_path):
    bands = noise(3, 60, 90, dtype="uint16")
    jp2 = write(tmp_path / "a.jp2", bands, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    rasterio.shutil.copy(jp2, tmp_path / "b.vrt", driver="VRT")
    for name in ("a.jp2", "b.vrt"):
        image = read_image(tmp_path / name)
        np.testing.assert_array_equal(planar(image), bands)
        assert image.geo.transform == pytest.approx(tuple(NORTH_UP)[:6], abs=0)
        assert image.geo.title == "EPSG:32633"


@pytest.mark.parametrize("system", [CRS.from_epsg(4326), CRS()], ids=["degrees", "unknown"])
@pytest.mark.parametrize("suffix", [".tif", ".ome.zarr"])
def test_control_points_go_into_labels(tmp_path, system, suffix):
    path = write(tmp_path / "a.tif", noise(2, 20, 30), None, Affine.identity())
    corners = [(0, 0, 2.5), (0.5, 30, 0), (20, 0, 0), (20, 30, 1 / 3)]
    with rasterio.open(path, "r+") as raster:
        raster.gcps = [GroundControlPoint(y, x, 15 + x / 7e3, 45 - y / 1e3, z) for y, x, z in corners], system
    image = read_image(path)
    assert image.geo.transform is None
    assert "control points" in image.geo.remarks[0]
    target = tmp_path / f"labels{suffix}"
    write_labels(target, Image(np.ones((20, 30), np.uint8), "yx", geo=image.geo))
    found = read_labels(target).geo
    assert (found.points, found.points_crs) == (image.geo.points, image.geo.points_crs)
    if suffix == ".tif":
        with rasterio.open(path) as one, rasterio.open(target) as other:
            assert [p.asdict() | {"id": ""} for p in one.gcps[0]] == [p.asdict() | {"id": ""} for p in other.gcps[0]]
            assert one.gcps[1] == other.gcps[1]
    moved = replace(image.geo, points=image.geo.points[1:])
    assert image.geo.same_grid(found)
    assert not image.geo.same_grid(moved)


def add_coefficients(path):
    sides = ("line", "samp")
    terms = {f"{side}_{kind}_coeff": [n / 7 for n in range(20)] for side in sides for kind in ("num", "den")}
    ends = {f"{name}_{kind}": 10 / 3 for name in ("height", "lat", "line", "long", "samp") for kind in ("off", "scale")}
    with rasterio.open(path, "r+") as raster:
        raster.rpcs = RPC(**terms, **ends)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("suffix", [".tif", ".ome.zarr"])
def test_coefficients_go_into_labels(tmp_path, suffix):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(20, 30))
    add_coefficients(path)
    assert is_georeferenced(path)
    geo = read_image(path).geo
    assert (geo.transform, geo.points) == (None, ())
    assert "coefficients (RPC). They go into labels" in geo.remarks[0]
    target = tmp_path / f"labels{suffix}"
    write_labels(target, Image(np.ones((20, 30), np.uint8), "yx", geo=geo))
    found = read_labels(target).geo
    assert dict(geo.coefficients).keys() > {"LINE_OFF", "SAMP_DEN_COEFF"}
    assert found.coefficients == geo.coefficients
    if suffix == ".tif":
        with rasterio.open(path) as one, rasterio.open(target) as other:
            assert one.rpcs == other.rpcs
    assert geo.same_grid(found)
    assert not geo.same_grid(replace(geo, coefficients=geo.coefficients[1:]))


@pytest.mark.parametrize("system", [CRS.from_epsg(32633), None], ids=["known", "unknown"])
@pytest.mark.parametrize("suffix", [".tif", ".ome.zarr"])
def test_coefficients_beside_a_grid_go_into_labels(tmp_path, system, suffix):
    path = write(tmp_path / "a.tif", noise(1, 20, 30), system, NORTH_UP)
    add_coefficients(path)
    geo = read_image(path).geo
    assert not geo.remarks
    target = tmp_path / f"labels{suffix}"
    write_labels(target, Image(np.ones((20, 30), np.uint8), "yx", geo=geo))
    found = read_labels(target).geo
    assert (found.transform, found.crs, found.coefficients) == (geo.transform, geo.crs, geo.coefficients)
    assert len(found.coefficients) > 10
    if suffix == ".tif":
        with rasterio.open(path) as one, rasterio.open(target) as other:
            assert (one.rpcs, one.transform, one.crs) == (other.rpcs, other.transform, other.crs)
    assert geo.same_grid(replace(geo, coefficients=()))
    assert not geo.since(3, 0).coefficients


def test_nodata_that_is_no_number_of_its_type_is_no_news(tmp_path, caplog):
    bands = noise(1, 20, 30).astype(np.float32)
    bands[0, :3] = np.finfo(np.float32).min
    path = write(tmp_path / "heights.tif", bands, nodata=-3.4028234663852886e38)
    assert not np.asarray(read_image(path).valid[0])[:3].any()
    assert not caplog.records


def test_a_world_file_is_a_place(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(6, 9))
    (tmp_path / "a.tfw").write_text("2\n0\n0\n-2\n101\n199\n")
    assert read_image(tmp_path / "a.tif").geo.transform == (2.0, 0.0, 100.0, 0.0, -2.0, 200.0)


def test_plain_files_stay_what_they_were(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(5, 6, 9), metadata={"axes": "TYX"}, imagej=True)
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "tyx"
    assert image.geo is None


def unknown_system(path, data):
    """A TIFF in a system whose number no list has."""
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 29999)
    tags = [(33550, "d", 3, (2.0, 3.0, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 5e6, 0.0), True)]
    tifffile.imwrite(path, data, extratags=[*tags, (34735, "H", len(keys), keys, True)])
    return keys


def keys_of(path):
    with tifffile.TiffFile(path) as file:
        return file.pages.first.tags[34735].value


def test_a_system_that_no_list_knows_keeps_its_number(tmp_path):
    keys = unknown_system(tmp_path / "a.tif", noise(6, 9))
    image = read_image(tmp_path / "a.tif")
    assert image.geo.transform == (2.0, 0.0, 5e5, 0.0, -3.0, 5e6)
    write_labels(tmp_path / "labels.tif", Image(np.ones((6, 9), np.int32), "yx", geo=image.geo))
    assert keys_of(tmp_path / "labels.tif") == keys
    assert read_labels(tmp_path / "labels.tif").geo.transform == image.geo.transform


def test_without_the_package_tags_are_carried_over(tmp_path, monkeypatch):
    crs, transform = PLACES["south up"]
    path = write(tmp_path / "a.tif", noise(3, 20, 30), crs, transform)
    write(tmp_path / "north.tif", noise(1, 20, 30))
    shutil.copy(path, tmp_path / "a.vrt")
    monkeypatch.setattr(_georeferenced, "find_spec", lambda name: None)
    for name, expected in (("a.tif", transform), ("north.tif", NORTH_UP)):
        image = read_image(tmp_path / name)
        assert image.geo.transform == tuple(expected)[:6]
        assert image.geo.title == "EPSG:32633"
        assert dict(zip(image.axes, image.scale, strict=True))["y"] == 0.9
        labels = Image(np.arange(600, dtype=np.int32).reshape(20, 30), "yx", geo=image.geo)
        write_labels(tmp_path / f"labels_{name}", labels)
        with rasterio.open(tmp_path / f"labels_{name}") as raster, rasterio.open(tmp_path / name) as before:
            assert raster.crs == before.crs
            assert raster.transform == before.transform
        np.testing.assert_array_equal(read_labels(tmp_path / f"labels_{name}").data, labels.data)
    with pytest.raises(MissingExtraError, match=r"napari-unet-suite\[geo\]"):
        read_image(tmp_path / "a.vrt")


def test_probabilities_have_a_place_and_holes(tmp_path):
    valid = np.ones((20, 30), bool)
    valid[3:5] = False
    scores = np.random.default_rng(0).random((20, 30), np.float32)
    geo = GeoReference(tuple(NORTH_UP)[:6], UTM.to_wkt())
    write_image(tmp_path / "scores.tif", Image(scores, "yx", geo=geo, valid=(valid,)), {"model": "tried"})
    with rasterio.open(tmp_path / "scores.tif") as raster:
        found = raster.read(1)
        assert np.isnan(raster.nodata)
        assert raster.transform == NORTH_UP
    np.testing.assert_array_equal(np.isnan(found), ~valid)
    np.testing.assert_array_equal(found[valid], scores[valid])


def test_classes_have_names_and_colors(tmp_path):
    classes = noise(30, 40, low=0, high=3)
    layout = Layout(
        (30, 40), "uint8", GeoReference(tuple(NORTH_UP)[:6], UTM.to_wkt()), 255,
        colors={1: (200, 0, 0, 255), 2: (0, 0, 200, 255)}, classes={1: "building", 2: "water"},
    )  # fmt: skip
    write_cog(tmp_path / "classes.tif", layout, lambda window: classes[window])
    with rasterio.open(tmp_path / "classes.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), classes)
        assert raster.colormap(1)[2] == (0, 0, 200, 255)
        assert raster.nodata == 255
        assert json.loads(raster.tags()["CLASS_NAMES"]) == {"1": "building", "2": "water"}


def test_labels_of_classes_bring_their_names_and_colors(tmp_path):
    values = noise(30, 40, low=0, high=3).astype(np.int32)
    rows = [
        {"label": 1, "name": "building", "color": "#c80000"},
        {"label": 2, "name": "water", "color": "#0000c8"},
    ]
    labels = Image(values, "yx", geo=GeoReference(tuple(NORTH_UP)[:6], UTM.to_wkt()))
    write_labels(tmp_path / "classes.tif", labels, {"classes": rows})
    with rasterio.open(tmp_path / "classes.tif") as raster:
        assert raster.dtypes == ("uint8",)
        assert [raster.colormap(1)[value][:3] for value in (1, 2)] == [(200, 0, 0), (0, 0, 200)]
        assert json.loads(raster.tags()["CLASS_NAMES"]) == {"1": "building", "2": "water"}
        np.testing.assert_array_equal(raster.read(1), values)
    np.testing.assert_array_equal(read_labels(tmp_path / "classes.tif").data, values)
    found = write_polygons(tmp_path / "classes.tif", tmp_path / "classes.gpkg")
    assert set(zip(found.table["label"], found.table["class"], strict=True)) == {(1, "building"), (2, "water")}
    assert len(found) > 2  # parts, since labels are classes
    assert len(write_polygons(tmp_path / "classes.tif", tmp_path / "whole.gpkg", each="object")) == 2
    write_labels(tmp_path / "direct.gpkg", labels, {"classes": rows})
    assert pyogrio.read_info(tmp_path / "direct.gpkg")["features"] == len(found)


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    def read(window):
        raise ImageError("this part is damaged")

    with pytest.raises(ImageError):
        write_cog(tmp_path / "a.tif", Layout((30, 40), "uint8"), read)
    assert not list(tmp_path.iterdir())


def test_what_is_no_raster_is_refused_in_words(tmp_path):
    (tmp_path / "a.vrt").write_text("nothing")
    with pytest.raises(ImageError, match="could not be read"):
        read_image(tmp_path / "a.vrt")
    write(tmp_path / "c.tif", np.ones((1, 6, 9), np.complex64))
    with pytest.raises(ImageError, match="complex"):
        read_image(tmp_path / "c.tif")
    write(tmp_path / "b.tif", noise(5, 6, 9))
    with pytest.raises(AxesError, match="5 band"):
        read_image(tmp_path / "b.tif", axes="yx")
    assert read_image(tmp_path / "b.tif", axes="tyx").axes == "tyx"


ZOO = (
    "alexandria_dsm_2m_utm18n", "alexandria_dtm_2m_utm18n", "alexandria_hag_2m_utm18n",
    "deepness_drone_2cm_rgba_utm33n", "ftw_field_mask_012_utm33n", "landsat_bahamas_rgb_nodata0_utm18n",
    "rasterio_alpha", "rasterio_cogeo", "rasterio_goes", "sentinel2_4band_cog",
)  # fmt: skip


@pytest.mark.parametrize("name", ZOO)
def test_real_rasters_open_at_their_place_and_labels_go_back_there(data, tmp_path, name):
    path = data / "satellite" / "geotiff_zoo" / f"{name}.tif"
    if not path.is_file():
        pytest.skip(f"no {path}")
    image = read_image(path)
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(planar(image), raster.read([*range(1, image.channels + 1)]))
        assert image.geo.transform == tuple(raster.transform)[:6]
        height, width = image.geo.pixel
        assert (width, height) == (abs(raster.transform.a), abs(raster.transform.e))
        hidden = raster.dataset_mask() == 0
        np.testing.assert_array_equal(np.isnan(seen_in(image)).all(axis=0), hidden)
        labels = np.arange(raster.width * raster.height, dtype=np.int32).reshape(raster.shape)
        write_labels(tmp_path / "labels.tif", Image(labels, "yx", geo=image.geo))
        with rasterio.open(tmp_path / "labels.tif") as after:
            assert after.crs == raster.crs
            assert after.transform == raster.transform
            np.testing.assert_array_equal(after.read(1), labels)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 255), ("int16", -9999), ("float32", np.nan), ("float32", -9999), ("int64", -1)]
)
@pytest.mark.parametrize("large", [False, True])
def test_labels_are_0_where_a_raster_holds_no_data(tmp_path, monkeypatch, dtype, nodata, large):
    if large:
        monkeypatch.setattr("napari_unet.io._raster_reader.LAZY_BYTES", 10)
        monkeypatch.setattr("napari_unet.io.labels.LAZY_BYTES", 10)
    values = noise(1, 20, 30, high=5)
    stored = values.astype(dtype)
    stored[:, :4] = nodata
    values[:, :4] = 0
    path = write(tmp_path / "classes.tif", stored, nodata=nodata)
    found = read_labels(path)
    assert found.data.dtype.kind in "ui"
    assert not found.valid
    np.testing.assert_array_equal(np.asarray(found.data), values[0])
    values[:, :4] = 77
    np.testing.assert_array_equal(np.asarray(read_labels(path, unknown=77).data), values[0])
    polygons = write_polygons(path, tmp_path / "classes.gpkg", each="part")
    assert set(polygons.table["label"]) == {1, 2, 3, 4}
    np.testing.assert_allclose(polygons.table["area_m2"].sum(), 16 * 30 * 0.63)


def test_0_is_no_label_whatever_a_raster_calls_nothing(tmp_path):
    values = noise(1, 20, 30, low=0, high=5)
    for nodata in (None, 0, 300):
        path = write(tmp_path / f"{nodata}.tif", values.astype(np.uint16), nodata=nodata)
        np.testing.assert_array_equal(read_labels(path).data, values[0])
