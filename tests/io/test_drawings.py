"""Shapes that somebody has drawn, as labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pytest
import rasterio
import shapely
import tifffile
from shapely.geometry import box

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.rasterize import Polygons
from napari_unet.io import drawings
from napari_unet.io.cases import find_cases
from napari_unet.io.images import read_image
from napari_unet.io.labels import read_labels
from napari_unet.io.pairs import read_judged
from napari_unet.io.regrid import regrid
from napari_unet.io.tables import read_table

from ..commands import bad, good

FLAT = Image(np.zeros((60, 90), np.uint8), "yx")
RING = [[[30, 10], [70, 10], [70, 50], [30, 50], [30, 10]], [[40, 20], [50, 20], [50, 30], [40, 30], [40, 20]]]
SQUARE = [[[5, 5], [15, 5], [15, 15], [5, 15], [5, 5]]]


def qupath(*shapes: tuple[Any, Any]) -> str:
    """Write shapes, each with its class, as QuPath exports them."""
    features = [
        {
            "type": "Feature",
            "id": str(number),
            "geometry": {"type": "Polygon", "coordinates": rings},
            "properties": {"objectType": "annotation"}
            | ({} if kind is None else {"classification": {"name": kind, "color": [200, 0, 0]}}),
        }
        for number, (rings, kind) in enumerate(shapes)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Shapes with classes: a tumor with a hole, and stroma."""
    file = tmp_path / "slide.geojson"
    file.write_text(qupath((RING, "Tumor"), (SQUARE, "Stroma")))
    return file


def expected() -> npt.NDArray[np.int32]:
    """Draw the same with numpy: tumor is 1, stroma 2."""
    found = np.zeros((60, 90), np.int32)
    found[10:50, 30:70] = 1
    found[20:30, 40:50] = 0
    found[5:15, 5:15] = 2
    return found


def test_pixels_are_counted_from_the_corner_as_qupath_does(drawn: Path) -> None:
    found = read_labels(drawn, like=FLAT)
    assert (found.axes, found.data.dtype) == ("yx", np.int32)
    np.testing.assert_array_equal(found.data, expected())


def test_shapes_of_one_class(drawn: Path) -> None:
    np.testing.assert_array_equal(read_labels(drawn, like=FLAT, only="stroma").data, 2 * (expected() == 2))
    with pytest.raises(ImageError, match=r"nothing that is called 'Necrosis'. It holds: Stroma, Tumor"):
        read_labels(drawn, like=FLAT, only="Necrosis")


def test_numbers_of_classes(drawn: Path) -> None:
    found = drawings.read_drawing(drawn, FLAT, ("stroma", "necrosis", "tumor"))
    np.testing.assert_array_equal(found.data, np.array([0, 3, 1])[expected()])
    assert drawings.classes_drawn(drawn) == ("Stroma", "Tumor")


def test_shapes_of_other_classes_are_left_out(drawn: Path) -> None:
    found = drawings.read_drawing(drawn, FLAT, ("tumor",))
    np.testing.assert_array_equal(found.data, expected() == 1)
    assert not drawings.read_drawing(drawn, FLAT, ("road",)).data.any()
    other = drawn.with_name("other.geojson")
    other.write_text(qupath((RING, "Road")))
    drawings.check_classes([drawn, other], ("road",))
    with pytest.raises(ImageError, match=r"None of the 2 shapes .* is of the classes road. They are of: Stroma, Tumor"):
        drawings.check_classes([drawn], ("road",))


def test_shapes_without_a_class_are_of_the_only_one(tmp_path: Path) -> None:
    file = tmp_path / "houses.geojson"
    file.write_text(qupath((RING, None), (SQUARE, None)))
    np.testing.assert_array_equal(drawings.read_drawing(file, FLAT, ("building",)).data, expected() > 0)
    with pytest.raises(ImageError, match=r"They are of: no class. Give every shape a property 'class'"):
        drawings.read_drawing(file, FLAT, ("building", "road"))


def test_classes_may_be_numbers(tmp_path: Path) -> None:
    file = tmp_path / "numbers.geojson"
    shapes = json.loads(qupath((RING, None), (SQUARE, None)))
    for feature, number in zip(shapes["features"], (2, 1.0), strict=True):
        feature["properties"] = {"Class": number}
    file.write_text(json.dumps(shapes))
    found = drawings.read_drawing(file, FLAT, ("building", "road"))
    np.testing.assert_array_equal(found.data, np.array([0, 2, 1])[expected()])


def test_the_last_one_is_seen_where_shapes_overlap(tmp_path: Path) -> None:
    file = tmp_path / "over.geojson"
    file.write_text(qupath((RING, "a"), ([[[30, 10], [50, 10], [50, 50], [30, 50], [30, 10]]], "b")))
    found = read_labels(file, like=FLAT).data
    assert (found[10:50, 30:50] == 2).all()
    assert (found[10:50, 50:70] == 1).all()


def test_large_ones_are_drawn_where_they_are_read(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawings, "LAZY_BYTES", 1000)
    found = read_labels(drawn, like=FLAT)
    assert not isinstance(found.data, np.ndarray)
    np.testing.assert_array_equal(found.data[8:40, 3:55], expected()[8:40, 3:55])
    np.testing.assert_array_equal(found.data[12, 3:55:2], expected()[12, 3:55:2])
    np.testing.assert_array_equal(np.asarray(found.data), expected())


def test_nothing_drawn_is_background(tmp_path: Path) -> None:
    file = tmp_path / "empty.geojson"
    file.write_text('{"type": "FeatureCollection", "features": []}')
    for classes in ((), ("building",), ("building", "road")):
        assert not drawings.read_drawing(file, FLAT, classes).data.any()


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32636", (0.5, 0, 500000, 0, -0.5, 10000)),
        ("EPSG:4326", (1e-5, 0, 32.1, 0, -1e-5, 1.2)),
        ("EPSG:32636", (0.4, 0.3, 500000, 0.3, -0.4, 10000)),
        ("EPSG:3857", (0.3, 0, 3.6e6, 0, 0.3, 4e4)),
    ],
    ids=["meters", "degrees", "rotated", "south up"],
)
def test_polygons_on_a_map_become_the_labels_that_they_were_made_of(
    tmp_path: Path, suffix: str, crs: str, transform: tuple[float, ...]
) -> None:
    labels = np.array([0, 7, 3], np.int32)[expected()]
    labels[50:60, 60:90] = 9
    for name, data in (("image", labels.astype(np.uint8) * 20), ("labels", labels)):
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", driver="GTiff", width=90, height=60, count=1, dtype=data.dtype, crs=crs,
            transform=rasterio.Affine(*transform),
        ) as raster:  # fmt: skip
            raster.write(data, 1)
    workflows.write_polygons(tmp_path / "labels.tif", tmp_path / f"shapes{suffix}")
    image = read_image(tmp_path / "image.tif")
    found = read_labels(tmp_path / f"shapes{suffix}", like=image)
    np.testing.assert_array_equal(found.data, labels)
    assert found.geo is not None
    assert image.geo is not None
    assert (found.geo.crs, found.geo.transform) == (image.geo.crs, image.geo.transform)


def test_shapes_beside_the_image_are_no_part_of_it(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "tile.tif", "w", driver="GTiff", width=90, height=60, count=1, dtype="uint8", crs="EPSG:32636",
        transform=rasterio.Affine(1, 0, 1000, 0, -1, 5000),
    ) as raster:  # fmt: skip
        raster.write(np.zeros((60, 90), np.uint8), 1)
    shapes = [box(1010, 4980, 1020, 4990), box(9000, 4980, 9020, 4990), box(900, 4900, 1005, 4945)]
    pyogrio.raw.write(
        tmp_path / "all.shp", shapely.to_wkb(shapes), [np.array(["house", "house", "road"], object)], ["class"],
        geometry_type="Polygon", crs="EPSG:32636",
    )  # fmt: skip
    found = read_labels(tmp_path / "all.shp", like=read_image(tmp_path / "tile.tif")).data
    assert np.unique(found).tolist() == [0, 1, 3]
    assert (found[10:20, 10:20] == 1).all()
    assert (found[55:, :5] == 3).all()


def test_shapes_that_all_lie_beside_the_image_are_told(tmp_path: Path, drawn: Path) -> None:
    file = tmp_path / "far.geojson"
    file.write_text(qupath(([[[500, 500], [510, 500], [510, 510], [500, 500]]], None)))
    found = read_labels(file, like=FLAT)
    assert not found.data.any()
    assert found.said == ("None of the shapes of 'far.geojson' lies on 'image'.",)
    assert not read_labels(drawn, like=FLAT).said
    with pytest.raises(ImageError, match="There is no file"):
        read_labels(tmp_path / "none.geojson", like=FLAT)


def test_it_needs_an_image(drawn: Path) -> None:
    with pytest.raises(ImageError, match=r"belong to an image. .* napari-unet regrid slide.geojson --like IMAGE"):
        read_labels(drawn)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "could not be read as shapes"),
        ('{"type": "Point", "coordinates": [1, 2]}', "A Point has no inside"),
        ('{"type": "Polygon"}', "could not be read as shapes"),
        ("[1]", "could not be read as shapes"),
        ('{"type": "Polygon", "coordinates": [[[1e400, 1], [9, 1], [9, 9], [1, 1]]]}', "corners are no numbers"),
        ('{"type": "Polygon", "coordinates": [[[NaN, 1], [9, 1], [9, 9], [1, 1]]]}', "corners are no numbers"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "odd.geojson"
    file.write_text(text)
    with pytest.raises(ImageError, match=said):
        read_labels(file, like=FLAT)


def test_a_map_needs_an_image_on_it(tmp_path: Path) -> None:
    pyogrio.raw.write(
        tmp_path / "a.gpkg", shapely.to_wkb([box(0, 0, 1, 1)]), [], [], geometry_type="Polygon", crs="EPSG:32636"
    )
    with pytest.raises(ImageError, match="does not say where it lies"):
        read_labels(tmp_path / "a.gpkg", like=FLAT)
    (tmp_path / "b.gpkg").write_bytes(b"no")
    with pytest.raises(ImageError, match="could not be read as shapes"):
        read_labels(tmp_path / "b.gpkg", like=FLAT)


def test_they_are_on_the_grid_already(drawn: Path) -> None:
    found = read_labels(drawn, like=FLAT)
    assert regrid(found, FLAT) is found


def test_a_truth_of_shapes_is_drawn_on_what_is_judged(drawn: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "found.tif", expected().astype(np.uint16))
    true, found = read_judged(drawn, tmp_path / "found.tif")
    np.testing.assert_array_equal(true.data, found.data)


def test_what_belongs_to_a_shapefile_is_no_case(tmp_path: Path) -> None:
    for name in ("images/a.tif", "labels/a.shp", "labels/a.shx", "labels/a.dbf", "labels/a.prj", "labels/a.cpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [case.labels.name for case in find_cases(tmp_path)] == ["a.shp"]


def test_windows_are_cut_from_the_whole() -> None:
    rng = np.random.default_rng(5)
    shapes = [tuple(map(tuple, rng.uniform(-10, 70, (rng.integers(3, 9), 2)))) for _ in range(20)]
    shapes.insert(3, ((5.0, 1.0), (5.0, 9.0)))  # has no inside
    polygons, numbers = Polygons(shapes), np.arange(1, 22, dtype=np.int32)
    whole = polygons.labels(slice(0, 60), slice(0, 60), numbers)
    every = np.zeros((60, 60), np.int32)
    for number, one in zip(numbers, shapes, strict=True):
        every[Polygons([one]).mask(slice(0, 60), slice(0, 60))] = number
    np.testing.assert_array_equal(whole, every)
    for rows, columns in ((slice(0, 17), slice(40, 60)), (slice(31, 32), slice(0, 60)), (slice(5, 5), slice(0, 9))):
        np.testing.assert_array_equal(polygons.labels(rows, columns, numbers), whole[rows, columns])


def test_on_the_command_line(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("slide.tif", np.full((60, 90), 9, np.uint8), resolution=(1e4, 1e4))
    good("regrid", drawn, "--like", "slide.tif", "-o", "labels.tif")
    np.testing.assert_array_equal(tifffile.imread("labels.tif"), expected())
    good("regrid", drawn, "--like", "slide.tif", "-o", "tumor.tif", "--only", "Tumor")
    np.testing.assert_array_equal(tifffile.imread("tumor.tif"), expected() == 1)
    assert json.loads(good("evaluate", drawn, "labels.tif", "--json"))["mAP"] == 1
    good("measure", drawn, "--image", "slide.tif", "-o", "shapes.csv")
    assert read_table(Path("shapes.csv"))["area_px"].tolist() == [1500, 100]
    assert "belong to an image" in bad("measure", drawn, "-o", "again.csv")
