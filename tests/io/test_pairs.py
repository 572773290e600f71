"""Which annotated images belong together."""

from __future__ import annotations

import pytest

from napari_unet.core.errors import TrainingDataError
from napari_unet.io.pairs import find_pairs


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


def test_folders(folder):
    assert find_pairs(folder) == [
        (folder / "images" / "a.tif", folder / "labels" / "a.png", 1.0),
        (folder / "images" / "b.tif", folder / "labels" / "b.tif", 1.0),
    ]


def test_labels_may_be_called_masks(folder):
    (folder / "labels").rename(folder / "masks")
    assert find_pairs(folder)[0][1] == folder / "masks" / "a.png"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables(folder, encoding):
    text = "note,image,labels,weight\nä,images/a.tif,labels/a.png,2.5\n,images/b.tif,labels/b.tif,\n"
    file = table(folder, text, encoding=encoding)
    assert find_pairs(file) == [
        (folder / "images" / "a.tif", folder / "labels" / "a.png", 2.5),
        (folder / "images" / "b.tif", folder / "labels" / "b.tif", 1.0),
    ]


def test_tables_without_weights_and_with_whole_paths(folder):
    file = table(folder, f"image,labels\n{folder / 'images' / 'a.tif'},labels/a.png\n")
    assert find_pairs(file) == [(folder / "images" / "a.tif", folder / "labels" / "a.png", 1.0)]


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
        find_pairs(table(folder, text))


def test_a_picture_is_no_table(folder):
    file = folder / "pairs.csv"
    file.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe")
    with pytest.raises(TrainingDataError, match="cannot be read as a CSV table"):
        find_pairs(file)


def test_bad_folders(folder, tmp_path):
    with pytest.raises(TrainingDataError, match="two folders"):
        find_pairs(tmp_path / "nowhere")
    (folder / "images" / "d.tif").touch()
    with pytest.raises(TrainingDataError, match=r"d\.tif' has no labels of the same name"):
        find_pairs(folder)
    (tmp_path / "empty" / "images").mkdir(parents=True)
    with pytest.raises(TrainingDataError, match="two folders"):
        find_pairs(tmp_path / "empty")
    (tmp_path / "empty" / "masks").mkdir()
    with pytest.raises(TrainingDataError, match="names no annotated image"):
        find_pairs(tmp_path / "empty")
