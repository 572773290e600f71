"""Classes of pixels are counted, whatever the image is stored in."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from rasterio.crs import CRS

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.classes import class_table
from napari_unet.core.place import GeoReference
from napari_unet.core.polygons import Meaning, PolygonSpec
from napari_unet.core.results import Segmentation
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import finish
from napari_unet.io import ground_areas
from napari_unet.io.polygons import polygon_steps
from napari_unet.measures.classes import measure, with_inner
from napari_unet.workflows.objects import _with_table

PLACES = {
    "web map, 60 degrees north": (3857, (10.0, 0.0, 1_200_000.0, 0.0, -10.0, 8_400_000.0)),
    "web map, large pixels": (3857, (9000.0, 0.0, -400_000.0, 0.0, -9000.0, 16_000_000.0)),
    "degrees": (4326, (1e-3, 0.0, 12.0, 0.0, -1e-3, 61.0)),
    "degrees, large pixels": (4326, (0.5, 0.0, -180.0, 0.0, -0.5, 60.0)),
    "web map, across the equator": (3857, (2000.0, 0.0, -400_000.0, 0.0, -60_000.0, 3_600_000.0)),
    "polar": (3413, (1000.0, 0.0, -70_000.0, 0.0, -1000.0, 60_000.0)),
    "turned": (3857, (9.0, 2.0, 1_200_000.0, 3.0, -8.0, 8_400_000.0)),
    "utm": (32633, (0.5, 0.0, 500_000.0, 0.0, -0.5, 5_300_000.0)),
    "feet": (2263, (1.0, 0.0, 1e6, 0.0, -1.0, 7e5)),
}


def place(name):
    epsg, transform = PLACES[name]
    return GeoReference(transform, CRS.from_epsg(epsg).to_wkt(), f"EPSG:{epsg}", "meter")


def cover(axes="yx"):
    rng = np.random.default_rng(0)
    values = np.kron(rng.integers(0, 4, (6, 8)), np.ones((20, 18), int)).astype(np.uint8)
    return values if axes.index("y") < axes.index("x") else values.T


def test_pixels_size_and_share():
    labels = np.zeros((2, 10, 10), np.int32)
    labels[0, :5], labels[1, :, :2] = 1, 4
    image = Image(labels, "tyx", (1.0, 0.5, 2.0), ("second", "m", "m"), "map")
    found = measure(image)
    assert found["index"].tolist() == [1, 4]
    assert found["pixels"].tolist() == [50, 20]
    assert found["area"].tolist() == [50.0, 20.0]
    assert found["share"].tolist() == [0.25, 0.1]
    lazy = measure(Image(da.from_array(labels, chunks=(1, 3, 4)), "tyx", image.scale, image.units, "map"))
    assert all((lazy[name] == found[name]).all() for name in found)


def test_stacks_have_volumes():
    found = measure(Image(np.ones((2, 3, 4), np.uint8), "zyx", (3.0, 0.5, 0.5), ("mm",) * 3, "organ"))
    assert found["volume"].tolist() == [18.0]
    assert "area" not in found


@pytest.mark.parametrize("name", PLACES)
def test_square_meters_are_those_of_the_polygons(name):
    image = Image(cover(), "yx", geo=place(name))
    found = workflows.measure(image, measures=["classes"])
    meaning = Meaning({number: str(number) for number in range(1, 4)})
    polygons = finish(polygon_steps(image, PolygonSpec(), meaning)).table
    expected = [polygons["area_m2"][polygons["label"] == number].sum() for number in found["index"]]
    np.testing.assert_allclose(found["area_m2"], expected, rtol=2e-5)


def test_web_maps_are_four_times_too_large_at_60_degrees():
    found = workflows.measure(
        Image(cover(), "yx", (10.0, 10.0), ("meter",) * 2, geo=place(next(iter(PLACES)))), measures=["classes"]
    )
    np.testing.assert_allclose(found["area"] / found["area_m2"], 4.0, rtol=0.02)


def test_a_map_that_is_true_in_its_middle_only_is_not_taken_for_true():
    geo = GeoReference((100_000.0, 0.0, -7_200_000.0, 0.0, -100_000.0, 6_000_000.0), "EPSG:3857", "EPSG:3857", "meter")
    image = Image(np.ones((120, 144), np.uint8), "yx", geo=geo)
    (found,) = workflows.measure(image, measures=["classes"])["area_m2"]
    half = np.arctan(np.sinh(6e6 / 6378137.0))  # the latitude of the upper edge
    zone = 2 * np.sin(half) * 2 * 7.2e6 / 6378137.0 * 6371007.0**2  # on a ball of the Earth's surface
    assert found == pytest.approx(zone, rel=0.01)
    (polygon,) = finish(polygon_steps(image, PolygonSpec(), Meaning({1: "land"}))).table["area_m2"]
    assert polygon == pytest.approx(zone, rel=0.01)


def test_there_is_no_ground_beside_the_earth():
    step = 50_000.0
    geo = GeoReference((step, 0.0, -110 * step, 0.0, -step, 110 * step), "+proj=geos +h=35785831 +lon_0=0")
    image = Image(np.ones((220, 220), np.uint8), "yx", geo=geo)
    (found,) = workflows.measure(image, measures=["classes"])["area_m2"]
    assert 0.9 < found / (0.424 * 5.1e14) < 1  # so much of the Earth is seen; pixels across its rim are not all counted


def test_square_meters_do_not_depend_on_axes_and_windows(monkeypatch):
    geo, names = place("web map, large pixels"), ("index", "area_m2")
    whole = [workflows.measure(Image(cover(), "yx", geo=geo), measures=["classes"])[name] for name in names]
    turned = workflows.measure(Image(cover("xy"), "xy", geo=geo), measures=["classes"])
    dates = workflows.measure(Image(np.stack([cover(), cover()]), "tyx", geo=geo), measures=["classes"])
    monkeypatch.setattr("napari_unet.core.windows._STEPS", ((), (7,), (50, 33), (2, 3, 3)))
    cut = workflows.measure(Image(cover(), "yx", geo=geo), measures=["classes"])
    for other, factor in ((turned, 1), (dates, 2), (cut, 1)):
        np.testing.assert_array_equal(other["index"], whole[0])
        np.testing.assert_allclose(other["area_m2"], factor * whole[1], rtol=1e-9)


def test_square_meters_are_left_out_where_they_are_not_known(monkeypatch):
    unknown = GeoReference(PLACES["utm"][1])
    assert "area_m2" not in workflows.measure(Image(cover(), "yx", geo=unknown), measures=["classes"])
    assert "area_m2" not in workflows.measure(Image(cover(), "yx"), measures=["classes"])
    monkeypatch.setattr(ground_areas, "find_spec", lambda _: None)
    assert "area_m2" not in workflows.measure(Image(cover(), "yx", geo=place("utm")), measures=["classes"])


def test_classes_within_each_other_are_counted_with_what_lies_within_them():
    labels = np.zeros((4, 10, 10), np.uint8)
    labels[:2, :5] = 1
    labels[:1, :2] = 3  # nothing is of the second class alone
    image = Image(labels, "zyx", (3.0, 1.0, 1.0), ("millimeter",) * 3)
    alone = measure(image) | {"confidence": np.array([0.6, 0.9])}
    found = with_inner(alone)
    assert list(found) == list(alone)
    assert found["index"].tolist() == [1, 2, 3]
    assert found["pixels"].tolist() == [100, 20, 20]
    assert found["volume"].tolist() == [300, 60, 60]
    assert found["share"] == pytest.approx([0.25, 0.05, 0.05])
    assert found["confidence"] == pytest.approx([0.66, 0.9, 0.9])
    assert with_inner(measure(Image(labels * 0, "zyx")))["index"].tolist() == []


def test_the_table_of_a_run_counts_regions_as_its_model_does():
    labels = Image(np.array([[0, 1, 2, 2]]), "yx")
    rows = [row._asdict() for row in class_table(("whole", "core"))]
    for nested, pixels in ((False, [1, 2]), (True, [3, 2])):
        run = Segmentation(labels, 2, 0.0, 0.0, {"classes": rows, "rule": {"nested": nested}})
        found = finish(_with_table(run, labels, SegmentSpec(), ("classes",)))
        assert found.table["pixels"].tolist() == pixels
        assert found.table["name"].tolist() == ["whole", "core"]
