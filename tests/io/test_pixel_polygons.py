"""Polygons in pixels, for QuPath and ImageJ: filled by other programs they are the labels, to the pixel."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import roifile
import shapely
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from shapely.geometry import shape as as_shape
from skimage.draw import polygon2mask

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import OutputError
from napari_unet.core.place import GeoReference
from napari_unet.core.polygons import Meaning
from napari_unet.io.labels import read_labels, write_labels

from ..commands import good

small = arrays.arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))
stacks = arrays.arrays(
    np.int32, st.tuples(st.integers(2, 3), st.integers(2, 3), st.integers(1, 5), st.integers(1, 5)),
    elements=st.integers(0, 2),
)  # fmt: skip


def nested() -> npt.NDArray[np.int32]:
    """A ring with an island in it that has a hole, and a part that touches by a corner only."""
    values = np.zeros((12, 14), np.int32)
    values[1:11, 1:11], values[2:10, 2:10], values[4:8, 4:8] = 7, 0, 7
    values[5, 5], values[11, 11] = 3, 7
    return values


def features(file: Path) -> list[dict[str, Any]]:
    collection = json.loads(file.read_text("utf-8"))
    assert collection["type"] == "FeatureCollection"
    return collection["features"]


def filled(rings: list[npt.NDArray[Any]], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Fill outlines, x before y from the corner of the first pixel, by the even-odd rule."""
    found = np.zeros(shape, bool)
    for ring in rings:
        found ^= polygon2mask(shape, np.asarray(ring, float)[:, ::-1] - 0.5)
    return found


@settings(deadline=None, max_examples=40)
@given(small)
def test_what_qupath_fills_are_the_labels(tmp_path_factory: pytest.TempPathFactory, values: npt.NDArray[Any]) -> None:
    file = tmp_path_factory.mktemp("a") / "cells.geojson"
    write_labels(file, Image(values, "yx"))
    y, x = np.indices(values.shape)
    found = np.zeros_like(values)
    for feature in features(file):
        shape = as_shape(feature["geometry"])
        assert shape.is_valid
        assert (shape.geom_type == "Polygon") == (shapely.get_num_geometries(shape) == 1)
        inside = shapely.contains_xy(shape, x + 0.5, y + 0.5)
        assert not found[inside].any()
        found[inside] = int(feature["properties"]["name"])
        assert feature["properties"]["measurements"] == {"Area px^2": np.count_nonzero(inside)}
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(read_labels(file, like=Image(values, "yx")).data, values)


@settings(deadline=None, max_examples=40)
@given(small)
def test_what_imagej_fills_are_the_labels(tmp_path_factory: pytest.TempPathFactory, values: npt.NDArray[Any]) -> None:
    file = tmp_path_factory.mktemp("a") / "RoiSet.zip"
    write_labels(file, Image(values, "yx"))
    found = np.zeros_like(values)
    for roi in roifile.roiread(file):
        inside = filled(roi.coordinates(multi=True), values.shape)
        assert not found[inside].any()
        found[inside] = int(roi.name)
        rows, columns = np.nonzero(inside)
        box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert (roi.top, roi.left, roi.bottom, roi.right) == box
    np.testing.assert_array_equal(found, values)


@settings(deadline=None, max_examples=20)
@given(stacks)
def test_planes_of_stacks_and_movies(tmp_path_factory: pytest.TempPathFactory, values: npt.NDArray[Any]) -> None:
    folder = tmp_path_factory.mktemp("a")
    for axes, data in (("tzyx", values), ("zyx", values[0]), ("tyx", values[0])):
        write_labels(folder / "RoiSet.zip", Image(data, axes))
        found = np.zeros_like(data)
        for roi in roifile.roiread(folder / "RoiSet.zip"):
            if axes == "tzyx":
                assert (roi.position, roi.c_position) == (0, 0)
                plane = found[roi.t_position - 1, roi.z_position - 1]
            else:
                assert (roi.t_position, roi.z_position) == (0, 0)
                plane = found[roi.position - 1]
            plane[filled(roi.coordinates(multi=True), data.shape[-2:])] = roi.properties["label"]
        np.testing.assert_array_equal(found, data)
        write_labels(folder / "cells.geojson", Image(data, axes))
        found = np.zeros_like(data)
        y, x = np.indices(data.shape[-2:])
        for feature in features(folder / "cells.geojson"):
            place = feature["geometry"]["plane"]
            inside = shapely.contains_xy(as_shape(feature["geometry"]), x + 0.5, y + 0.5)
            found[tuple(place[axis] for axis in axes[:-2])][inside] = feature["properties"]["label"]
        np.testing.assert_array_equal(found, data)


@settings(deadline=None, max_examples=40)
@given(
    arrays.arrays(np.int32, st.tuples(*[st.integers(1, 5)] * 4), elements=st.integers(0, 3)),
    st.sampled_from(["tzyx", "zyx", "tyx", "yx"]),
    st.sampled_from(["RoiSet.zip", "cells.geojson"]),
)
def test_what_is_written_is_read_as_the_same_labels(
    tmp_path_factory: pytest.TempPathFactory, values: npt.NDArray[Any], axes: str, name: str
) -> None:
    labels = Image(values[(0,) * (4 - len(axes))], axes)
    file = tmp_path_factory.mktemp("a") / name
    write_labels(file, labels)
    found = read_labels(file, like=labels)
    if not labels.data.any():
        assert not found.data.any()  # nothing says on which plane
        return
    assert found.axes == (axes if np.prod(labels.shape[:-2]) > 1 else "yx")
    np.testing.assert_array_equal(found.data, labels.data.reshape(found.shape))


def test_names_sort_as_labels_do_and_are_no_slices(tmp_path: Path) -> None:
    data = np.zeros((12, 30, 60), np.int32)
    data[:, 3, :40:2] = np.arange(1, 21)
    write_labels(tmp_path / "a.zip", Image(data, "zyx"))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
    assert len(set(names)) == 240
    assert sorted(names)[:2] == ["01_z01.roi", "01_z02.roi"]
    assert sorted(names)[-1] == "20_z12.roi"
    write_labels(tmp_path / "b.zip", Image(data[0], "yx"))
    assert [roi.name for roi in roifile.roiread(tmp_path / "b.zip")] == [f"{n:02d}" for n in range(1, 21)]
    before = (tmp_path / "b.zip").read_bytes()
    write_labels(tmp_path / "b.zip", Image(data[0], "yx"))
    assert (tmp_path / "b.zip").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.zip", "b.zip"]


def test_simple_shapes_are_traced_and_others_composed(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.zip", Image(nested(), "yx"))
    one, many = roifile.roiread(tmp_path / "a.zip")
    assert (one.roitype, one.name, one.options) == (roifile.ROI_TYPE.TRACED, "3", roifile.ROI_OPTIONS.NONE)
    assert (many.roitype, many.composite) == (roifile.ROI_TYPE.RECT, True)
    assert len(many.coordinates(multi=True)) == 5


def test_classes_and_confidences_are_said(tmp_path: Path) -> None:
    meaning = Meaning({1: "tumor", 2: "stroma"}, {3: 2, 7: 1}, {3: 0.5})
    labels = Image(nested(), "yx", (0.5, 0.25), ("micrometer", "micrometer"))
    for name in ("a.geojson", "a.zip"):
        found = workflows.write_polygons(labels, tmp_path / name, meaning=meaning)
        assert np.isnan(found.table["area_m2"]).all()
    three, seven = (each["properties"] for each in features(tmp_path / "a.geojson"))
    assert three == {
        "objectType": "detection", "name": "3", "label": 3, "classification": {"name": "stroma"},
        "measurements": {"Area px^2": 1, "Area µm^2": 0.125, "Confidence": 0.5},
    }  # fmt: skip
    assert seven["measurements"] == {"Area px^2": 52, "Area µm^2": 6.5}
    rois = roifile.roiread(tmp_path / "a.zip")
    assert [roi.group for roi in rois] == [2, 1]
    assert rois[0].properties == {"label": 3, "class": "stroma", "confidence": 0.5}
    assert rois[1].properties == {"label": 7, "class": "tumor"}


def test_maps_of_classes_become_annotations(tmp_path: Path) -> None:
    values = np.array([[1, 1, 0, 2], [0, 0, 1, 2]], np.int32)
    for name in ("a.geojson", "a.zip"):
        workflows.write_polygons(Image(values, "yx"), tmp_path / name, meaning=Meaning({1: "tumor", 2: "stroma"}))
    said = [each["properties"] for each in features(tmp_path / "a.geojson")]
    assert [(each["objectType"], each["classification"]["name"]) for each in said] == [
        ("annotation", "tumor"), ("annotation", "tumor"), ("annotation", "stroma"),
    ]  # fmt: skip
    rois = roifile.roiread(tmp_path / "a.zip")
    assert [(roi.name, roi.group) for roi in rois] == [("1_1", 1), ("1_2", 1), ("2", 2)]


def test_settings_hold_in_pixels_too(tmp_path: Path) -> None:
    found = workflows.write_polygons(Image(nested(), "yx"), tmp_path / "a.zip", min_area=2, holes="fill")
    assert found.small == 1
    (roi,) = roifile.roiread(tmp_path / "a.zip")
    assert filled(roi.coordinates(multi=True), (12, 14)).sum() == 101
    turned = np.zeros((60, 60), np.int32)
    y, x = np.mgrid[:60, :60] - 30.0
    turned[(np.abs(x * 0.8 + y * 0.6) < 20) & (np.abs(y * 0.8 - x * 0.6) < 9)] = 1
    workflows.write_polygons(Image(turned, "yx"), tmp_path / "b.zip", right_angles=True)
    (roi,) = roifile.roiread(tmp_path / "b.zip")
    assert roi.subpixelresolution
    assert len(roi.coordinates()) == 4
    assert np.count_nonzero(filled(roi.coordinates(multi=True), (60, 60)) != turned) < 60


def test_far_corners_of_wide_images_are_kept(tmp_path: Path) -> None:
    values = np.zeros((3, 70_000), np.int32)
    values[1, 40_000:69_999] = 1
    write_labels(tmp_path / "a.zip", Image(values, "yx"))
    (roi,) = roifile.roiread(tmp_path / "a.zip")
    assert roi.coordinates().min(0).tolist() == [40_000, 1]
    assert roi.coordinates().max(0).tolist() == [69_999, 2]


def test_labels_on_a_map_keep_their_degrees_and_have_rois_in_pixels(tmp_path: Path) -> None:
    from rasterio.crs import CRS

    geo = GeoReference((0.5, 0, 5e5, 0, -0.5, 5.3e6), CRS.from_epsg(32633).to_wkt(), "EPSG:32633", "meter")
    for name in ("a.geojson", "a.zip"):
        write_labels(tmp_path / name, Image(nested(), "yx", geo=geo))
    assert features(tmp_path / "a.geojson")[0]["geometry"]["coordinates"][0][0][0][0] == pytest.approx(15, abs=0.1)
    assert roifile.roiread(tmp_path / "a.zip")[0].coordinates().min(0).tolist() == [5, 5]
    flat = GeoReference((0.5, 0, 5e5, 0, -0.5, 5.3e6))  # coordinates of nobody knows what
    write_labels(tmp_path / "b.geojson", Image(nested(), "yx", geo=flat))
    assert features(tmp_path / "b.geojson")[0]["geometry"]["coordinates"][0][0] == [5, 5]


def test_no_labels_are_no_shapes(tmp_path: Path) -> None:
    nothing = Image(np.zeros((4, 5), np.int32), "yx")
    for name in ("a.geojson", "a.zip"):
        write_labels(tmp_path / name, nothing)
        assert not read_labels(tmp_path / name, like=nothing).data.any()
    assert features(tmp_path / "a.geojson") == []


def test_a_geopackage_holds_one_plane(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds one plane"):
        write_labels(tmp_path / "a.gpkg", Image(np.ones((2, 3, 4), np.int32), "zyx"))
    assert not any(tmp_path.iterdir())


def test_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("labels.tif", np.stack([nested(), nested()[:, ::-1]]).astype(np.uint16), metadata={"axes": "ZYX"})
    tifffile.imwrite("scores.tif", np.full((2, 12, 14), 204, np.uint8), metadata={"axes": "ZYX"})
    words = ("polygons", "labels.tif", "--scores", "scores.tif", "--classes", "3=round,7=long", "--whole", "--json")
    assert json.loads(good(*words, "-o", "RoiSet.zip"))["polygons"] == 4
    assert [roi.position for roi in roifile.roiread("RoiSet.zip")] == [1, 1, 2, 2]
    assert json.loads(good(*words, "-o", "cells.geojson", "--min-area", 2))["small"] == 2
    said = [each["properties"] for each in features(Path("cells.geojson"))]
    assert [each["measurements"]["Confidence"] for each in said] == [0.8, 0.8]
    assert {each["classification"]["name"] for each in said} == {"long"}
