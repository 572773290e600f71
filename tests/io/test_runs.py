"""An unfinished run beside its result: replaced in steps that can be taken up again, described, and found."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import as_image
from napari_unet.core.errors import ImageError
from napari_unet.io.atomic import put_in_place
from napari_unet.io.labels import write_labels
from napari_unet.io.runs import RunFolder, describe_unfinished, find_finished, find_manifest, peek

LABELS = as_image(np.arange(12, dtype=np.int32).reshape(3, 4), "yx")
BEGUN = {"identity": {"image": {"shape": [3, 4]}, "model": "nuclei"}}


def test_what_is_replaced_is_kept_until_the_new_is_there(tmp_path, monkeypatch):
    write_labels(tmp_path / "a.zarr", LABELS, {"model": "old"})
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file").write_text("new")
    (tmp_path / "aside").mkdir()
    put_in_place(tmp_path / "new", tmp_path / "a.zarr", tmp_path / "aside" / "old")
    assert (tmp_path / "a.zarr" / "file").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "aside"]
    assert list((tmp_path / "aside").iterdir()) == []


def test_an_unfinished_run_is_described(tmp_path):
    assert describe_unfinished(tmp_path / "a.zarr") == ""
    assert peek(tmp_path / "a.zarr") == {}
    with RunFolder(tmp_path / "a.zarr") as folder:
        folder.journal.begin(BEGUN)
        assert peek(tmp_path / "a.zarr") == BEGUN
    words = describe_unfinished(tmp_path / "a.zarr")
    assert "a.zarr.unfinished' holds an unfinished run, last written on 20" in words
    assert "(model nuclei, 3 x 4 pixels)" in words
    (tmp_path / "a.zarr.unfinished" / "manifest.json").write_text("{")
    assert describe_unfinished(tmp_path / "a.zarr") == ""


def test_a_run_that_did_not_begin_leaves_nothing(tmp_path):
    with RunFolder(tmp_path / "a.zarr"):
        assert (tmp_path / "a.zarr.unfinished").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_discarded_run_is_gone(tmp_path):
    with RunFolder(tmp_path / "a.zarr") as folder:
        folder.journal.begin(BEGUN)
        folder.journal.put("scores", "0", a=np.zeros(3))
        folder.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.tif", "a.ome.tiff"])
def test_how_labels_were_made_is_found(name, tmp_path):
    manifest = {"model": "nuclei <&>", "settings": {"diameter": 12.5, "region": [[[0, 1]]]}, "words": 'a "b" é'}
    write_labels(tmp_path / name, LABELS, manifest)
    assert find_manifest(tmp_path / name) == manifest
    write_labels(tmp_path / f"b{name}", LABELS)
    assert find_manifest(tmp_path / f"b{name}") == {}


def test_damaged_results_are_no_results(tmp_path):
    write_labels(tmp_path / "a.zarr", LABELS, {"model": "nuclei"})
    assert find_finished(tmp_path / "a.zarr") is not None
    (tmp_path / "a.zarr" / "labels" / "a" / "0" / "zarr.json").write_text("{")
    assert find_finished(tmp_path / "a.zarr") is None
    (tmp_path / "b.tif").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="could not be read"):
        find_manifest(tmp_path / "b.tif")
