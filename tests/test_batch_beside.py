"""Many images, and objects within objects of each: the numbers of one image, changes noticed, what is missing said."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile

from napari_unet import workflows
from napari_unet.core.errors import ImageError, SpecError
from napari_unet.core.specs import SegmentSpec
from napari_unet.io.beside import labels_beside

from .commands import bad, good

BRIGHT = SegmentSpec(model="bright")


@pytest.fixture
def here(tmp_path, disks, bright, monkeypatch):
    """Two images, one in a folder, and labels of small objects with the names of both."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(bright.parent))
    image = disks[0]
    for name, part in (("a", image), ("day 1/b", image[:, :60])):
        for folder in ("in", "foci"):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", part)
        tifffile.imwrite(tmp_path / "foci" / f"{name}.tif", dots(part.shape))
    return tmp_path


def dots(shape, step=6):
    """Return an object of one pixel at every so many."""
    found = np.zeros(shape, np.int32)
    places = found[::step, ::step]
    places[...] = np.arange(1, places.size + 1).reshape(places.shape)
    return found


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def alone(here, name, **others):
    """Measure one image of the results by itself."""
    labels = workflows.read_labels(here / "out" / "labels" / f"{name}.ome.zarr")
    return workflows.measure(labels, workflows.read_image(here / "in" / f"{name}.tif"), **others)


def check(here, column, **folders):
    table = rows(here / "out" / "objects.csv")
    for name in ("a", "day 1/b"):
        mine = [row for row in table if row["image"] == f"{name}.tif"]
        others = {side: {what: here / f"{place}/{name}.tif"} for side, (what, place) in folders.items()}
        np.testing.assert_allclose([float(row[column]) for row in mine], alone(here, name, **others)[column])
    return table


def test_numbers_are_those_of_each_image_alone(here):
    good("batch", "in", "-o", "out", "--model", "bright", "--inside", "foci", "--within", "foci", "--around", "3")
    table = check(here, "foci_count", inside=("foci", "foci"))
    check(here, "in_foci_share", within=("foci", "foci"))
    assert sum(int(row["foci_count"]) for row in table) > len(table) > 3
    assert all(float(row["ring_area"]) > 0 for row in table)


def test_results_of_another_run_are_taken_by_their_names(here):
    for name in ("a", "day 1/b"):
        (here / "other" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(here / "other" / f"{name}.npy", tifffile.imread(here / "in" / f"{name}.tif")[::-1].copy())
    workflows.batch("other", "cells", BRIGHT, kind=".tif", part=(1, 2))
    workflows.batch("in", "out", BRIGHT, within="cells")
    assert [bool(one.note) for one in workflows.batch("in", "out", BRIGHT, within="cells").images] == [False, True]
    workflows.batch("other", "cells", BRIGHT, kind=".tif")
    assert not any(one.note for one in workflows.batch("in", "out", BRIGHT, within="cells").images)
    check(here, "in_cells", within=("cells", "cells/labels"))


def test_what_is_asked_for_may_change_and_nothing_is_segmented_again(here, monkeypatch):
    workflows.batch("in", "out", BRIGHT)
    monkeypatch.setattr(workflows.many, "segment_steps", None)
    workflows.batch("in", "out", BRIGHT, inside={"spots": "foci"}, around="2")
    table = check(here, "spots_count", inside=("spots", "foci"))
    assert "ring_area" in table[0]
    monkeypatch.setattr(workflows.many, "_measured", None)
    workflows.batch("in", "out", BRIGHT, inside={"spots": "foci"}, around="2")  # nothing to be done


@pytest.fixture
def measured(here):
    """Results with foci, which are changed then."""
    workflows.batch("in", "out", BRIGHT, inside="foci")
    return here


def test_other_labels_that_were_corrected_are_counted_again(measured):
    before = [int(row["foci_count"]) for row in rows(measured / "out" / "objects.csv")]
    labels = tifffile.imread(measured / "foci" / "a.tif")
    tifffile.imwrite(measured / "foci" / "a.tif", np.where(labels % 2, labels, 0), compression="zlib")
    seen = [p.payload.image for p in workflows.batch_steps("in", "out", BRIGHT, inside="foci") if p.payload]
    assert seen == ["a.tif"], "the other one is as it was"
    after = [int(row["foci_count"]) for row in check(measured, "foci_count", inside=("foci", "foci"))]
    assert sum(after) < sum(before)


def test_what_is_missing_or_does_not_fit_is_said_and_the_rest_is_measured(here):
    (here / "foci" / "a.tif").unlink()
    tifffile.imwrite(here / "foci" / "day 1" / "b.tif", np.ones((9, 9), np.int32))
    found = workflows.batch("in", "out", BRIGHT, inside="foci", within={"cells": "foci"})
    assert found.failed == 0
    assert "No labels of it in 'foci'" in found.images[0].note
    assert "'foci' could not be compared" in found.images[1].note
    assert "do not cover the same pixels" in found.images[1].note
    assert len(rows(here / "out" / "objects.csv")) == found.objects > 0


def test_folders_that_cannot_be_meant(here):
    (here / "none").mkdir()
    (here / "foci" / "a.zip").write_bytes(b"")
    for folder, why in (("none", "has no labels of these images"), ("lost", "does not exist"), ("out", "results go")):
        assert why in bad("batch", "in", "-o", "out", "--model", "bright", "--inside", folder)
    assert "there are 2 images" in bad("batch", "in", "-o", "out", "--model", "bright", "--inside", "foci/a.tif")
    assert not (here / "out").exists()
    good("batch", "in/a.tif", "-o", "out", "--model", "bright", "--inside", "foci/a.tif")
    with pytest.raises(SpecError, match="a folder each"):
        workflows.batch("in", "new", BRIGHT, inside={"foci": np.zeros((3, 3), np.int32)})
    (here / "foci" / "a.npy").write_bytes(b"")
    with pytest.raises(ImageError, match="bear the same name"):
        labels_beside(here / "foci", ["a.tif"])
