"""Several rasters as one image, and what does not fit together refused with the reason."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.transform import Affine
from rasterio.warp import reproject, transform_bounds

from napari_unet import workflows
from napari_unet.core.bands import band_names, choose_bands
from napari_unet.core.errors import AxesError, ImageError, MissingExtraError
from napari_unet.core.place import Band
from napari_unet.io import _georeferenced
from napari_unet.io.images import read_image
from napari_unet.io.labels import read_labels, write_labels

PLACE = Affine(0.7, 0.0, 500000 + 1 / 3, 0.0, -0.9, 5300000 + 1 / 7)


def write(path, bands, transform=PLACE, crs="EPSG:32633", **more):
    count, height, width = bands.shape
    facts = {"count": count, "height": height, "width": width, "dtype": bands.dtype, "driver": "GTiff"}
    with rasterio.open(path, "w", crs=crs, transform=transform, **facts, **more) as raster:
        raster.write(bands)
    return path


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(1, 200, (3, 50, 70)).astype(np.uint8)


def tiles(folder, picture, size=20, skip=(), **more):
    """Write a picture as tiles, the last ones smaller."""
    folder.mkdir()
    for number, (y, x) in enumerate(np.ndindex(3, 4)):
        part = picture[:, y * size : (y + 1) * size, x * size : (x + 1) * size]
        if part.size and number not in skip:
            write(folder / f"tile_{number:02}.tif", part, PLACE @ Affine.translation(x * size, y * size), **more)
    return folder


def whole(image):
    return np.moveaxis(np.asarray(image.data), -1, 0)


def test_tiles_of_a_folder_are_one_image(tmp_path, picture, monkeypatch):
    monkeypatch.setattr("napari_unet.io.mosaics._OPEN", 2)
    image = read_image(tiles(tmp_path / "city", picture))
    assert (image.name, image.axes, image.shape) == ("city", "yxc", (50, 70, 3))
    np.testing.assert_array_equal(whole(image), picture)
    np.testing.assert_array_equal(image.data[15:45:2, 30:, 1], picture[1, 15:45:2, 30:])
    assert image.geo.transform == tuple(PLACE)[:6]
    assert np.asarray(image.valid[0]).all()
    labels = np.arange(3500, dtype=np.int32).reshape(50, 70)
    write_labels(tmp_path / "labels.tif", type(image)(labels, "yx", geo=image.geo))
    assert read_labels(tmp_path / "labels.tif").geo.transform == tuple(PLACE)[:6]


def test_gaps_and_holes_of_tiles_hold_no_data(tmp_path, picture):
    picture[:, :5, :5] = 0
    image = read_image(tiles(tmp_path / "city", picture, skip=(5,), nodata=0))
    expected = np.ones((50, 70), bool)
    expected[:5, :5], expected[20:40, 20:40] = False, False
    np.testing.assert_array_equal(np.asarray(image.valid[0]), expected)
    np.testing.assert_array_equal(whole(image)[:, expected], picture[:, expected])
    corner = read_image(tiles(tmp_path / "rest", picture, skip=(0, 4)))
    assert corner.shape == (50, 70, 3)
    assert corner.geo.transform == pytest.approx(tuple(PLACE)[:6], rel=1e-12)


def test_where_tiles_overlap_the_last_with_data_is_seen(tmp_path, picture):
    (tmp_path / "two").mkdir()
    upper = picture.copy()
    upper[:, 10:20, 10:20] = 0
    write(tmp_path / "two" / "a.tif", picture[:, :45], nodata=0)
    write(tmp_path / "two" / "b.tif", 255 - upper[:, 5:], PLACE @ Affine.translation(0, 5), nodata=255)
    found = whole(read_image(tmp_path / "two"))
    expected = np.where(upper == 0, picture, 255 - upper)
    expected[:, :5] = picture[:, :5]
    np.testing.assert_array_equal(found, expected)


def test_what_is_no_number_hides_no_tile_below(tmp_path):
    (tmp_path / "two").mkdir()
    lower, upper = np.full((1, 20, 20), 1, np.float32), np.full((1, 20, 20), 2, np.float32)
    lower[:, :3], upper[:, :, :8] = np.nan, np.nan
    write(tmp_path / "two" / "a.tif", lower, nodata=np.nan)
    write(tmp_path / "two" / "b.tif", upper, PLACE @ Affine.translation(10, 0), nodata=np.nan)
    image = read_image(tmp_path / "two")
    expected = np.full((20, 30), 2, np.float32)
    expected[:, :18] = 1
    expected[:3, :18] = np.nan
    np.testing.assert_array_equal(np.asarray(image.data), expected)
    np.testing.assert_array_equal(image.data[2:7, 9:20], expected[2:7, 9:20])


def test_bands_in_another_order_are_refused(tmp_path):
    bands = np.ones((3, 20, 20), np.uint16)
    for number, (folder, names) in enumerate(
        [("same", "red green nir"), ("same", "red green nir"), ("other", "red green nir"), ("other", "nir red green")]
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        with rasterio.open(write(tmp_path / folder / f"{number}.tif", bands), "r+") as raster:
            raster.descriptions = names.split()
            raster.transform = PLACE @ Affine.translation(20 * (number % 2), 0)
    assert read_image(tmp_path / "same").shape == (3, 20, 40)
    for axes in (None, "tcyx"):
        with pytest.raises(ImageError, match="its bands are nir, red, green, those of the other red, green, nir"):
            read_image(tmp_path / "other", axes)


def test_tiles_without_a_place_are_named(tmp_path, picture):
    folder = tiles(tmp_path / "city", picture)
    assert read_image(folder).geo.remarks == ()
    tifffile.imwrite(folder / "plain.tif", picture[0])
    image = read_image(folder)
    assert image.shape == (50, 70, 3)
    assert image.geo.remarks == ("Left out, because they do not say where they lie: plain.tif.",)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"crs": "EPSG:32634"}, r"EPSG:32634.*EPSG:32633"),
        ({"transform": PLACE @ Affine.scale(2)}, "its pixels are"),
        ({"transform": PLACE @ Affine.translation(0.4, 60)}, "off the grid"),
        ({"transform": PLACE @ Affine.rotation(10)}, "rows do not run"),
        ({"bands": np.ones((2, 5, 5), np.uint16)}, "2 band"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(tmp_path, picture, change, reason):
    write(tmp_path / "a.tif", picture)
    write(tmp_path / "b.tif", **({"bands": picture, "transform": PLACE} | change))
    with pytest.raises(ImageError, match=reason):
        read_image(tmp_path)


def item(path, assets):
    path.write_text(json.dumps({"type": "Feature", "stac_version": "1.0.0", "assets": assets}))
    return path


def test_assets_of_an_item_are_bands(tmp_path):
    bands = np.random.default_rng(0).integers(1, 9000, (2, 30, 40)).astype(np.uint16)
    bands[1, :3] = 0
    for name, band in zip(("B04", "B08"), bands, strict=True):
        write(tmp_path / f"{name}.tif", band[None], nodata=0)
    red = {"href": "./B04.tif", "eo:bands": [{"name": "red", "center_wavelength": 0.665}], "roles": ["data"]}
    near = {"href": (tmp_path / "B08.tif").as_uri(), "type": "image/tiff"}
    other = {"href": "view.png", "type": "image/png", "roles": ["thumbnail"]}
    image = read_image(item(tmp_path / "scene.json", {"red": red, "nir": near, "thumbnail": other}))
    assert (image.name, image.axes, image.shape) == ("scene", "cyx", (2, 30, 40))
    np.testing.assert_array_equal(np.asarray(image.data), bands)
    assert image.geo.bands == (Band("red", 0.665), Band("nir"))
    assert image.geo.transform == tuple(PLACE)[:6]
    assert not np.asarray(image.valid[0])[:3].any()
    assert np.asarray(image.valid[0])[3:].all()
    (tmp_path / "B08.tif").rename(tmp_path / "B08.tiff")
    again = read_image(item(tmp_path / "again.json", {"red": red, "nir": {"href": "B08.tiff"}}))
    np.testing.assert_array_equal(np.asarray(again.data), bands)
    one = read_image(item(tmp_path / "one.json", {"red": red}))
    np.testing.assert_array_equal(np.asarray(one.data), bands[0])


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_bands_are_found_by_their_common_names(tmp_path, version):
    assets = {}
    for number, (name, common) in enumerate((("B02", "blue"), ("B04", "red"), ("B08", "nir"))):
        write(tmp_path / f"{name}.tif", np.full((1, 30, 40), number + 1, np.uint16))
        bands = [{"name": name, "common_name": common}, {"name": name, "eo:common_name": common}]
        told = {"eo:bands": bands[:1]} if version == "1.0" else {"bands": bands[1:]}
        assets[name] = {"href": f"{name}.tif"} | told
    image = read_image(item(tmp_path / "scene.json", assets))
    assert band_names(image) == ("B02", "B04", "B08")
    assert choose_bands(image, ["red", "B02"]) == (1, 0)
    assert choose_bands(image, None, known=("Red", "nir")) == (1, 2)
    with pytest.raises(ImageError, match="no band named green"):
        choose_bands(image, ["green"])


@pytest.mark.parametrize("factor", [2, 3])
def test_larger_pixels_that_fit_are_repeated(tmp_path, factor):
    rng = np.random.default_rng(0)
    fine = rng.integers(1, 9000, (1, 31, 40)).astype(np.uint16)
    coarse = rng.integers(0, 9000, (1, -(-31 // factor), -(-40 // factor))).astype(np.uint16)
    coarse[0, 2] = 0
    write(tmp_path / "B11.tif", coarse, PLACE @ Affine.scale(factor), nodata=0)
    write(tmp_path / "B04.tif", fine, nodata=0)
    image = read_image(item(tmp_path / "scene.json", {"swir": {"href": "B11.tif"}, "red": {"href": "B04.tif"}}))
    whole = coarse[0].repeat(factor, 0).repeat(factor, 1)[:31, :40]
    np.testing.assert_array_equal(np.asarray(image.data), [whole, fine[0]])
    for window in ((slice(3, 11), slice(5, 6)), (slice(30, 31), slice(39, 40)), (slice(4, 4), slice(0, 9))):
        np.testing.assert_array_equal(image.data[(slice(0, 1), *window)][0], whole[window])
    np.testing.assert_array_equal(np.asarray(image.valid[0]), whole > 0)
    assert image.geo.transform == tuple(PLACE)[:6]
    assert image.along("yx")[1] == pytest.approx((abs(PLACE.e), PLACE.a))
    # A band that does not reach as far as the others is refused: nobody knows what would be there.
    write(tmp_path / "B12.tif", coarse[:, :-1], PLACE @ Affine.scale(factor), nodata=0)
    with pytest.raises(ImageError, match="do not fit into each other"):
        read_image(item(tmp_path / "short.json", {"swir": {"href": "B12.tif"}, "red": {"href": "B04.tif"}}))


def test_items_that_cannot_be_one_image(tmp_path, picture):
    write(tmp_path / "a.tif", picture)
    write(tmp_path / "b.tif", picture, PLACE @ Affine.scale(1.5))
    both = {"a": {"href": "a.tif"}, "b": {"href": "b.tif"}}
    for assets, reason in (
        (both, "different grids"),
        ({"a": {"href": "https://example.org/a.tif"}}, "on a server"),
        ({"a": {"href": "c.tif"}}, "missing"),
        ({"a": {"href": "c.pdf"}}, "names no rasters"),
    ):
        with pytest.raises(ImageError, match=reason):
            read_image(item(tmp_path / "x.json", assets))
    (tmp_path / "y.json").write_text("[]")
    with pytest.raises(ImageError, match="no STAC item"):
        read_image(tmp_path / "y.json")


def test_a_folder_without_rasters_and_a_missing_package(tmp_path, picture, monkeypatch):
    with pytest.raises(ImageError, match="is a folder without"):
        read_image(tmp_path)
    write(tmp_path / "a.tif", picture)
    monkeypatch.setattr(_georeferenced, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="rasterio"):
        read_image(tmp_path)


def dates(folder, **second):
    """Write a place at two dates, the later one in another way."""
    folder.mkdir()
    values = np.kron(np.arange(1, 13, dtype=np.uint8).reshape(3, 4), np.ones((20, 20), np.uint8))[None]
    write(folder / "s_2019.tif", values)
    write(folder / "s_2020.tif", **({"bands": values + 100, "transform": PLACE} | second))
    return folder, values


def test_dates_of_one_place_are_a_movie(tmp_path):
    folder, values = dates(tmp_path / "place")
    with pytest.raises(ImageError, match="--axes tyx"):
        read_image(folder)
    image = read_image(folder, "tyx")
    assert (image.axes, image.shape, image.units) == ("tyx", (2, 60, 80), ("pixel", "meter", "meter"))
    assert image.geo.transform == tuple(PLACE)[:6]
    assert not image.geo.remarks
    np.testing.assert_array_equal(np.asarray(image.data), np.concatenate([values, values + 100]))
    labels = read_labels(folder, "tyx")
    assert labels.data.dtype == np.int32
    np.testing.assert_array_equal(labels.data, np.asarray(image.data))
    areas, _ = workflows.change(labels, unit="pixels")
    assert set(areas["t"].tolist()) == {0, 1}


def test_dates_are_in_the_order_of_the_numbers_in_their_names(tmp_path):
    for number in (10, 9, 100, 1):
        write(tmp_path / f"map_{number}.tif", np.full((1, 5, 6), number, np.uint8))
    assert read_labels(tmp_path, "tyx").data[:, 0, 0].tolist() == [1, 9, 10, 100]


def test_dates_on_another_grid_are_brought_to_the_first(tmp_path):
    wide = np.kron(np.arange(1, 13, dtype=np.uint8).reshape(3, 4), np.ones((10, 10), np.uint8))[None]
    folder, values = dates(tmp_path / "place", bands=wide + 100, transform=PLACE @ Affine.scale(2))
    labels = read_labels(folder, "tyx")
    np.testing.assert_array_equal(labels.data, np.concatenate([values, values + 100]))
    assert "s_2020.tif" in labels.geo.remarks[0]
    image = read_image(folder, "tyx")
    np.testing.assert_array_equal(np.asarray(image.data)[1, 5:15, 5:15], 101)
    assert np.asarray(image.valid[0]).all()


def test_maps_of_dates_and_tiles_are_0_where_they_hold_no_data(tmp_path):
    (tmp_path / "dates").mkdir()
    (tmp_path / "tiles").mkdir()
    for dtype, nodata in (("uint8", 255), ("float32", np.nan)):
        first, second = np.ones((1, 20, 30), dtype), np.full((1, 10, 15), 2, dtype)
        first[:, :5], second[:, :, :5] = nodata, nodata
        write(tmp_path / "dates" / "2019.tif", first, nodata=nodata)
        write(tmp_path / "dates" / "2024.tif", second, PLACE @ Affine.scale(2), nodata=nodata)
        found = np.asarray(read_labels(tmp_path / "dates", "tyx").data)
        expected = np.repeat([[1], [2]], 600, 1).reshape(2, 20, 30)
        expected[0, :5], expected[1, :, :10] = 0, 0
        np.testing.assert_array_equal(found, expected)
        write(tmp_path / "tiles" / "a.tif", first, nodata=nodata)
        beside = np.where(first == 1, np.array(2, dtype), first)
        write(tmp_path / "tiles" / "b.tif", beside, PLACE @ Affine.translation(30, 0), nodata=nodata)
        np.testing.assert_array_equal(read_labels(tmp_path / "tiles").data, np.hstack([expected[0], expected[0] * 2]))


def test_dates_in_another_system_and_with_bands(tmp_path):
    (tmp_path / "place").mkdir()
    rng = np.random.default_rng(0)
    values = np.kron(rng.integers(1, 200, (2, 4, 5)), np.ones((1, 16, 16))).astype(np.float32)
    system = "EPSG:4326"
    with rasterio.open(write(tmp_path / "place" / "a.tif", values)) as raster:
        west, south, east, north = transform_bounds(raster.crs, system, *raster.bounds)
        width, height = 160, 128
        grid = Affine((east - west) / width, 0, west, 0, (south - north) / height, north)
        there = np.zeros((2, height, width), np.float32)
        more = {"src_transform": PLACE, "src_crs": raster.crs, "dst_transform": grid, "dst_crs": system}
        reproject(values, there, dst_nodata=-1, **more)
    there[:, :, : width // 2] = -1
    write(tmp_path / "place" / "b.tif", there, grid, system, nodata=-1)
    image = read_image(tmp_path / "place", "tcyx")
    assert image.shape == (2, 2, 64, 80)
    valid = np.asarray(image.valid[0])
    assert valid[8:56, 45:75].all()
    assert not valid[:, :35].any()
    middles = np.s_[:, 8::16, 56:72:16]
    np.testing.assert_allclose(np.asarray(image.data)[1][middles], values[middles], rtol=1e-3)
    again = pickle.loads(pickle.dumps(image))
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(image.data))


def test_what_is_no_other_date_is_refused(tmp_path):
    folder, values = dates(tmp_path / "far", transform=PLACE @ Affine.translation(500, 0))
    with pytest.raises(ImageError, match="shows nothing of the place"):
        read_image(folder, "tyx")
    folder, _ = dates(tmp_path / "kinds", bands=values.astype(np.float32))
    with pytest.raises(ImageError, match="equal bands"):
        read_image(folder, "tyx")
    with pytest.raises(AxesError, match="one date of a place"):
        read_image(folder, "tzyx")
