"""Which annotated images belong together."""

from __future__ import annotations

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.transform import Affine

from napari_unet import workflows
from napari_unet.core.errors import ImageError, TrainingDataError
from napari_unet.io.pairs import find_examples, read_judged


@pytest.fixture
def folder(tmp_path):
    for name in ("images/b.tif", "images/a.tif", "images/.DS_Store", "labels/a.png", "labels/b.tif", "labels/c.tif"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return tmp_path


def table(folder, text, **how):
    file = folder / "pairs.csv"
    file.write_text(text, **({"encoding": "utf-8"} | how))
    return file


def told(data):
    return [(each.image, each.labels, each.weight) for each in find_examples(data)]


def test_folders(folder):
    assert told(folder) == [
        (folder / "images" / "a.tif", folder / "labels" / "a.png", 1.0),
        (folder / "images" / "b.tif", folder / "labels" / "b.tif", 1.0),
    ]


def test_labels_may_be_called_masks(folder):
    (folder / "labels").rename(folder / "masks")
    assert told(folder)[0][1] == folder / "masks" / "a.png"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables(folder, encoding):
    text = "note,image,labels,weight\nä,images/a.tif,labels/a.png,2.5\n,images/b.tif,labels/b.tif,\n"
    file = table(folder, text, encoding=encoding)
    assert told(file) == [
        (folder / "images" / "a.tif", folder / "labels" / "a.png", 2.5),
        (folder / "images" / "b.tif", folder / "labels" / "b.tif", 1.0),
    ]


def test_tables_without_weights_and_with_whole_paths(folder):
    file = table(folder, f"image,labels\n{folder / 'images' / 'a.tif'},labels/a.png\n")
    assert told(file) == [(folder / "images" / "a.tif", folder / "labels" / "a.png", 1.0)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "needs 'image' and 'labels'"),
        ("picture,labels\na,b\n", r"columns \['picture', 'labels'\]"),
        ("image,labels\n", "names no annotated image"),
        ("image,labels\nimages/x.tif,labels/a.png\n", "x.tif', named by .* does not exist"),
        ("image,labels\nimages/a.tif,labels/x.png\n", "x.png', named by .* does not exist"),
        ("image,labels\nimages/a.tif\n", "line 2: .* one is missing"),
        ("image,labels\nimages/a.tif,labels/a.png\n\n,labels/b.tif\n", "line 4: .* one is missing"),
        ("image,labels,weight\nimages/a.tif,labels/a.png,much\n", "line 2: the weight 'much'"),
        ("image,labels,weight\nimages/a.tif,labels/a.png,-1\n", "the weight '-1'"),
        ("image,labels,weight\nimages/a.tif,labels/a.png,nan\n", "the weight 'nan'"),
    ],
)
def test_bad_tables(folder, text, expected):
    with pytest.raises(TrainingDataError, match=expected):
        find_examples(table(folder, text))


def test_a_picture_is_no_table(folder):
    file = folder / "pairs.csv"
    file.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe")
    with pytest.raises(TrainingDataError, match="cannot be read as a CSV table"):
        find_examples(file)


def test_bad_folders(folder, tmp_path):
    with pytest.raises(TrainingDataError, match=r"There is no '.*nowhere'"):
        find_examples(tmp_path / "nowhere")
    (folder / "images" / "d.tif").touch()
    with pytest.raises(TrainingDataError, match=r"d\.tif' has no labels of the same name"):
        find_examples(folder)
    (tmp_path / "empty" / "images").mkdir(parents=True)
    with pytest.raises(TrainingDataError, match="two folders"):
        find_examples(tmp_path / "empty")
    (tmp_path / "empty" / "masks").mkdir()
    with pytest.raises(TrainingDataError, match="names no annotated image"):
        find_examples(tmp_path / "empty")


def test_tables_say_more_of_each_image(folder):
    (folder / "areas.geojson").write_text(
        '{"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 5], [0, 5], [0, 0]]]}'
    )
    text = (
        "image,labels,group,split,scribbles,background,region\n"
        "images/a.tif,labels/a.png,patient 1,train,no,,areas.geojson\n"
        'images/b.tif,labels/b.tif,,validation,YES,3,"0,0 0,4 4,4"\n'
        'images/a.tif,labels/a.png,,,,,"{""type"": ""Polygon"", ""coordinates"": [[[0, 0], [9, 0], [9, 5]]]}"\n'
    )
    first, second, third = find_examples(table(folder, text))
    assert (first.group, first.held_out, first.scribbles, first.weight) == ("patient 1", False, False, 1.0)
    assert len(first.region) == 1
    assert first.region[0][2] == (5.0, 9.0)
    assert (second.group, second.held_out, second.scribbles, second.background) == ("", True, True, 3)
    assert second.region == (((0.0, 0.0), (0.0, 4.0), (4.0, 4.0)),)
    assert (third.region[0], third.held_out) == (((0.0, 0.0), (0.0, 9.0), (5.0, 9.0)), None)


@pytest.mark.parametrize(
    ("column", "value", "expected", "error"),
    [
        ("split", "maybe", "'maybe' is none of the words for split: 'train'", TrainingDataError),
        ("scribbles", "some", "'some' is none of the words for scribbles", TrainingDataError),
        ("background", "dark", "the background 'dark' is not a number", TrainingDataError),
        ("ignored", "255;x", "the ignored '255;x' are no whole numbers", TrainingDataError),
        ("region", "nowhere.geojson", "no file .*nowhere", ImageError),
        ("region", "[1]", "line 2: the region could not be read", ImageError),
    ],
)
def test_what_a_table_cannot_say(folder, column, value, expected, error):
    with pytest.raises(error, match=expected):
        find_examples(table(folder, f"image,labels,{column}\nimages/a.tif,labels/a.png,{value}\n"))


def test_a_third_folder_holds_regions(folder):
    (folder / "regions").mkdir()
    (folder / "regions" / "b.txt").write_text("0,0 0,4 4,4")
    a, b = find_examples(folder)
    assert (a.region, b.region) == (None, (((0.0, 0.0), (0.0, 4.0), (4.0, 4.0)),))


def test_areas_on_a_map_are_brought_to_the_image(tmp_path):
    for name in ("images", "labels", "regions"):
        (tmp_path / name).mkdir()
    facts = {"count": 1, "height": 20, "width": 30, "dtype": "uint8", "crs": "EPSG:32633"}
    for name in ("images", "labels"):
        place = Affine(2, 0, 500000, 0, -2, 5300000)
        with rasterio.open(tmp_path / name / "a.tif", "w", driver="GTiff", transform=place, **facts) as raster:
            raster.write(np.ones((1, 20, 30), np.uint8))
    box = shapely.to_wkb([shapely.box(500010, 5299980, 500030, 5299994)])
    pyogrio.raw.write(tmp_path / "regions" / "a.gpkg", box, [], [], geometry_type="Polygon", crs="EPSG:32633")
    expected = {(2.5, 4.5), (2.5, 14.5), (9.5, 14.5), (9.5, 4.5)}
    (example,) = find_examples(tmp_path)
    assert set(example.region[0]) == expected
    (example,) = find_examples(table(tmp_path, "image,labels,region\nimages/a.tif,labels/a.tif,regions/a.gpkg\n"))
    assert set(example.region[0]) == expected


def test_nothing_is_judged_where_the_truth_holds_no_data(tmp_path):
    values = np.random.default_rng(0).integers(0, 4, (20, 30)).astype(np.uint8)
    truth, found = values.copy(), values.copy()
    truth[:5], found[:5] = 255, 2
    facts = {"count": 1, "height": 20, "width": 30, "dtype": "uint8", "crs": "EPSG:32633"}
    for name, data in (("truth", truth), ("found", found)):
        place = Affine(2, 0, 500000, 0, -2, 5300000)
        with rasterio.open(tmp_path / f"{name}.tif", "w", transform=place, nodata=255, **facts) as raster:
            raster.write(data, 1)
    assert workflows.evaluate(tmp_path / "truth.tif", tmp_path / "found.tif", ("overlap",))["dice"] == 1
    judged = read_judged(tmp_path / "truth.tif", tmp_path / "found.tif")
    assert not any(np.asarray(each.data)[:5].any() for each in judged)
    assert workflows.evaluate(tmp_path / "truth.tif", tmp_path / "found.tif", binary=True)["AP50"] == 1
