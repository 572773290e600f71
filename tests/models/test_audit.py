"""Segmentations done again with other tiles: no object differs, and where one does it is found."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

import napari_unet
from napari_unet import workflows
from napari_unet.core.axes import as_image
from napari_unet.core.errors import ImageError, ModelError, OutputError
from napari_unet.models.exchange import add_model
from napari_unet.models.model import Model

from .. import commands

run = partial(commands.run, "audit")


@pytest.fixture
def movie(disks) -> Any:
    return as_image(np.stack([disks[0], disks[0][::-1]]), "tyx", name="cells")


@pytest.fixture
def theirs(tmp_path, monkeypatch) -> str:
    """A network of another program that looks at the whole tile."""
    from napari_unet.models._torchscript import write_script

    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    layers = torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.InstanceNorm2d(1), torch.nn.Sigmoid()
    with torch.no_grad():
        layers[0].weight.fill_(1 / 9)
    write_script(tmp_path / "net.pt", torch.nn.Sequential(*layers).eval(), torch.zeros(1, 1, 16, 16))
    add_model(tmp_path / "net.pt", name="theirs")
    return "theirs"


@pytest.mark.parametrize("ending", [".ome.zarr", ".tif"])
@pytest.mark.parametrize("tile", [0, 32])
def test_no_object_differs(ending, tile, movie, bright, tmp_path, monkeypatch):
    output, predict, batches = tmp_path / f"labels{ending}", Model.predict_inner, []
    found = napari_unet.segment(movie, model=str(bright), tiling={"tile": tile, "batch": 2}, output=output)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}

    def noted(self: Model, batch: np.ndarray) -> np.ndarray:
        batches.append(batch.shape)
        return predict(self, batch)

    monkeypatch.setattr(Model, "predict_inner", noted)
    audit = workflows.audit(output, movie, scratch=tmp_path)
    assert (audit.equal, audit.differing, audit.pixels_differing) == (True, 0, 0)
    assert (audit.objects, audit.found, audit.hash) == (found.objects, found.objects, found.hash)
    assert audit.cut["edges"] != audit.cut["edges_then"]
    assert audit.cut["batch"] == 3
    assert max(shape[0] for shape in batches) > 1
    assert audit.notes == ()
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_volumes_and_average(bright, disks, tmp_path):
    image = as_image(np.stack([disks[0]] * 3), "zyx", name="stack")
    napari_unet.segment(image, model=str(bright), average="flips", output=tmp_path / "a.zarr")
    audit = workflows.audit(tmp_path / "a.zarr", image)
    assert audit.equal
    assert audit.objects > 0


def test_pixels_have_the_size_that_was_told_then(movie, bright, tmp_path):
    told = replace(movie, scale=(1.0, 0.5, 0.5), units=("second", "micrometer", "micrometer"), start=(0.0, 9.0, 9.0))
    napari_unet.segment(told, model=str(bright), diameter=12.0, min_size="20 um2", output=tmp_path / "a.zarr")
    plain = replace(movie, scale=(1.0, 1.0, 1.0), units=("pixel",) * 3)  # as its file has it
    assert workflows.audit(tmp_path / "a.zarr", plain, scratch=tmp_path).equal


def test_runs_that_need_whole_planes(movie, bright, tmp_path):
    settings = {"average": "flips", "uncertainty": True, "tiling": {"tile": 64}}
    found = napari_unet.segment(movie, model=str(bright), output=tmp_path / "a.zarr", **settings)
    audit = workflows.audit(tmp_path / "a.zarr", movie)
    assert (audit.equal, audit.objects, audit.hash) == (True, found.objects, found.hash)
    assert audit.cut["edges"][0] < 64


def test_what_was_changed_by_hand_is_listed(movie, bright, tmp_path):
    found = napari_unet.segment(movie, model=str(bright), output=tmp_path / "a.zarr")
    labels = np.asarray(workflows.read_labels(tmp_path / "a.zarr").data).copy()
    place = np.argwhere(labels == 5)[0]
    labels[labels == 5] = 0
    workflows.write_labels(tmp_path / "b.tif", as_image(labels, "tyx"), found.manifest)
    audit = workflows.audit(tmp_path / "b.tif", movie)
    assert not audit.equal
    assert audit.differing == 1
    assert (audit.objects, audit.found) == (found.objects - 1, found.objects)
    row = {name: values[0] for name, values in audit.table.items()}
    assert (row["label"], row["pixels"], [row[a] for a in "tyx"]) == (0, 0, place.tolist())
    assert audit.pixels_differing == row["pixels_again"]
    assert "changed since they were written" in audit.notes[0]


def test_a_network_that_looks_at_the_tile_is_found_out(theirs, disks, tmp_path):
    image = as_image(np.concatenate([disks[0], disks[0] // 4], axis=1), "yx", name="cells")
    napari_unet.segment(image, model=theirs, tiling={"tile": 64}, output=tmp_path / "a.zarr")
    audit = workflows.audit(tmp_path / "a.zarr", image)
    assert not audit.equal
    assert audit.differing > 5
    assert 0 < audit.pixels_differing < audit.pixels


def test_another_image_or_model_is_refused(movie, bright, tmp_path):
    napari_unet.segment(movie, model=str(bright), output=tmp_path / "a.zarr")
    other = movie.data.copy()
    other[0, 3, 4] += 1
    with pytest.raises(ImageError, match=r"not the image of these labels.*sample"):
        workflows.audit(tmp_path / "a.zarr", as_image(other, "tyx"))
    with pytest.raises(ImageError, match=r"shape"):
        workflows.audit(tmp_path / "a.zarr", as_image(other[:1], "tyx"))
    with pytest.raises(ModelError, match="Give the folder of the model as it was"):
        workflows.audit(tmp_path / "a.zarr", movie, model="nuclei")


def test_labels_that_do_not_say_how_they_were_made(movie, tmp_path):
    workflows.write_labels(tmp_path / "a.zarr", as_image(movie.data.astype(np.int32), "tyx"))
    tifffile.imwrite(tmp_path / "b.tif", movie.data)
    for name in ("a.zarr", "b.tif"):
        with pytest.raises(OutputError, match="does not say how it was made"):
            workflows.audit(tmp_path / name, movie)


# The command


@pytest.fixture
def files(movie, bright, tmp_path) -> tuple[Path, Path]:
    tifffile.imwrite(tmp_path / "cells.tif", movie.data[0])
    image = workflows.read_image(tmp_path / "cells.tif")
    napari_unet.segment(image, model=str(bright), output=tmp_path / "labels.ome.zarr")
    return tmp_path / "labels.ome.zarr", tmp_path / "cells.tif"


def test_the_command_says_that_all_is_well(files):
    done = run(*files)
    assert done.exit_code == 0, done.output
    assert "Objects that differ  0" in done.stdout
    found = json.loads(run(*files, "--json").stdout)
    assert found["equal"] is True
    assert found["objects_differing"] == []


def test_the_command_takes_one_of_several_images(disks, bright, tmp_path):
    with tifffile.TiffWriter(tmp_path / "stage.ome.tif") as writer:
        for part in (disks[0], disks[0][::-1]):
            writer.write(part, metadata={"axes": "YX"})
    napari_unet.segment(tmp_path / "stage.ome.tif" / "2", model=str(bright), output=tmp_path / "a.tif")
    assert run(tmp_path / "a.tif", tmp_path / "stage.ome.tif").exit_code == 2
    assert run(tmp_path / "a.tif", tmp_path / "stage.ome.tif", "--series", 2).exit_code == 0


def test_the_command_lists_what_differs(files, bright, tmp_path, monkeypatch):
    labels, image = files
    real = Model.predict_inner

    def by_tile(self: Model, batch: np.ndarray) -> np.ndarray:
        scores = real(self, batch)
        scores[:, 0] *= np.float32(batch.shape[-1] > 64)
        return scores

    monkeypatch.setattr(Model, "predict_inner", by_tile)
    done = run(labels, image, "--table", tmp_path / "differs.csv")
    assert done.exit_code == 1
    assert "  label 1 at y " in done.stdout
    assert "more: --table lists all" in done.stdout
    rows = workflows.read_table(tmp_path / "differs.csv")
    assert len(rows["label"]) > 20
    done = run(labels, image, "--json")
    assert done.exit_code == 1
    assert len(json.loads(done.stdout)["objects_differing"]) == len(rows["label"])


def test_a_model_that_was_moved(files, bright, tmp_path):
    labels, image = files
    place = tmp_path / "moved"
    shutil.copytree(bright, place)
    assert run(labels, image, "--model", place).exit_code == 0
    assert run(labels, image, "--model", tmp_path / "nowhere").exit_code == 2
