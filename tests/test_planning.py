"""The plan before a training, and patches to look at: from Python and from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_unet import workflows
from napari_unet.cli import app
from napari_unet.cli.planning import chosen
from napari_unet.core.axes import Image
from napari_unet.core.examples import Example
from napari_unet.core.specs import TrainSpec
from napari_unet.samples.simulated import nuclei


@pytest.fixture
def data(tmp_path):
    for room in ("images", "labels"):
        (tmp_path / "data" / room).mkdir(parents=True)
    for seed in range(3):
        image, labels = nuclei((96, 120), count=8, diameter=16, seed=seed)
        tifffile.imwrite(tmp_path / "data" / "images" / f"{seed}.tif", image)
        tifffile.imwrite(tmp_path / "data" / "labels" / f"{seed}.tif", labels.astype("u2"))
    return tmp_path / "data"


def test_the_command_says_the_plan(data):
    done = CliRunner().invoke(app, ["plan", str(data), "--validation", "0.3", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["counts"]["examples"] == 3
    assert said["spec"]["validation"] == 0.3
    assert TrainSpec.of(**said["spec"]) == workflows.plan(data, validation=0.3).spec
    words = CliRunner().invoke(app, ["plan", str(data)])
    assert words.exit_code == 0, words.output
    assert "2D network" in words.output


def test_what_is_wrong_is_said_by_the_plan(data):
    tifffile.imwrite(data / "labels" / "1.tif", np.zeros((96, 100), "u2"))
    done = CliRunner().invoke(app, ["plan", str(data)])
    assert done.exit_code != 0
    assert "shape (96, 120) but its labels (96, 100)" in str(done.exception) + done.output
    wrong = CliRunner().invoke(app, ["plan", str(data), "--loss", "nonsense"])
    assert wrong.exit_code != 0
    assert "loss" in str(wrong.exception) + wrong.output


def test_only_what_differs_from_the_defaults_is_set():
    assert chosen(batch=None, patch=64, loss="own").model_fields_set == {"patch"}
    # What is planned otherwise counts, also at the default of the settings.
    usual = TrainSpec()
    assert chosen(batch=usual.batch, rate=usual.rate).model_fields_set == {"batch", "rate"}
    assert chosen(batch=None, rate=None).model_fields_set == set()


def test_a_patch_and_a_batch_that_are_given_are_kept(data):
    words = ["train", str(data), "--dry-run", "--json"]
    free, said = (
        json.loads(CliRunner().invoke(app, [*words, *more]).stdout)["spec"]
        for more in ([], ["--patch", "256", "--batch", "8", "--minutes", "1", "--device", "cpu"])
    )
    assert free["patch"] < 256
    assert (said["patch"], said["batch"]) == (256, 8)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--name", "nuclei"], "'nuclei' is a model of the program"), (["--name", "a/b"], "cannot be the name")],
)
def test_a_name_that_cannot_be_is_found_by_a_dry_run(data, words, said):
    done = CliRunner().invoke(app, ["train", str(data), "--dry-run", *words])
    assert done.exit_code != 0
    assert said in str(done.exception) + done.output


def test_labels_that_are_none_are_refused_with_what_to_do(data):
    for values, said in (
        (np.full((96, 120), 0.5), "with a threshold first"),
        (np.full((96, 120), -1, "i2"), "below 0"),
    ):
        tifffile.imwrite(data / "labels" / "1.tif", values)
        done = CliRunner().invoke(app, ["train", str(data), "--dry-run"])
        assert done.exit_code != 0
        assert said in str(done.exception) + done.output


def test_patches_can_be_looked_at(data):
    spec = TrainSpec(patch=48, seed=1)
    one, two = (workflows.preview_patches(data, spec, count=3) for _ in range(2))
    assert len(one) == 3
    for (image, labels), (same, _) in zip(one, two, strict=True):
        assert (image.axes, labels.axes, image.shape[1:]) == ("cyx", "yx", labels.shape)
        assert labels.data.dtype == np.int32
        np.testing.assert_array_equal(image.data, same.data)
    assert max(int(labels.data.max()) for _, labels in one) > 0
    region = (((10.0, 10.0), (10.0, 60.0), (60.0, 60.0), (60.0, 10.0)),)
    image, labels = nuclei((96, 120), count=8, diameter=16, seed=0)
    part = Example(Image(image, "yx", name="a"), Image(labels, "yx", name="a"), region=region)
    assert min(int(labels.data.min()) for _, labels in workflows.preview_patches([part], spec, count=3)) == -1
