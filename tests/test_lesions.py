"""Lesions from labels to table, report and scores: the verbs and the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_unet import cli, workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import RegistryError, SpecError

MM = ("millimeter",) * 3
SCALE = (3.0, 1.0, 1.0)


def run(*words):
    return CliRunner().invoke(cli.app, list(map(str, words)), prog_name="napari-unet")


def good(*words):
    done = run(*words)
    assert done.exit_code == 0, done.output
    return done.stdout


def bad(*words):
    """Run a command that must fail in words, and return them on one line."""
    done = run(*words)
    assert done.exit_code == 2, done.output
    assert not done.stdout
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.fixture(scope="module")
def volume():
    """An image and a map of two classes: two lesions of class 1, one of class 2, in voxels of 3 x 1 x 1 mm."""
    places = np.stack(np.meshgrid(*(np.arange(n) for n in (12, 48, 56)), indexing="ij"), -1) * SCALE
    classes = np.zeros(places.shape[:3], np.uint8)
    for center, radius, kind in (((16, 14, 15), 9, 1), ((18, 34, 18), 6, 1), ((18, 24, 42), 8, 2)):
        classes[np.linalg.norm(places - center, axis=-1) <= radius] = kind
    pixels = np.random.default_rng(0).normal(100, 8, classes.shape) + 60 * classes
    image = Image(pixels.astype(np.float32), "zyx", SCALE, MM, "scan")
    return image, Image(classes, "zyx", SCALE, MM, "classes")


@pytest.fixture
def here(tmp_path, monkeypatch, volume):
    """A folder with that image and its classes as files."""
    monkeypatch.chdir(tmp_path)
    workflows.write_image("scan.tif", volume[0])
    workflows.write_labels("classes.tif", volume[1])
    return tmp_path


# Scores


def test_evaluate_knows_the_size_of_voxels_and_settings(volume):
    truth = volume[1]
    guess = Image(np.where(truth.data == 2, 0, truth.data), "zyx", SCALE, MM)
    found = workflows.evaluate(truth, guess, ("overlap", "surfaces", "lesions"), tolerance=2.0)
    assert (found["dice_1"], found["dice_2"], found["nsd_1"], found["lesions_missed_2"]) == (1, 0, 1, 1)
    assert found["volume_error_2"] == pytest.approx((truth.data == 2).sum() * 3 / 1000)
    moved = Image(np.roll(truth.data, 2, axis=2), "zyx", SCALE, MM)
    near, far = (workflows.evaluate(truth, moved, ("surfaces",), tolerance=t)["nsd"] for t in (2.0, 1.0))
    assert near == 1
    assert far < 0.9
    with pytest.raises(SpecError, match=r"do not know spacing\. Their settings: tolerance"):
        workflows.evaluate(truth, guess, ("surfaces",), spacing=1)
    with pytest.raises(RegistryError):
        workflows.evaluate(truth, guess, ("nonsense",))


def test_binary_makes_one_class_of_all_numbers(volume):
    many = np.arange(1000).reshape(10, 10, 10)
    assert workflows.evaluate(many, many, ("overlap",), binary=True)["dice"] == 1
    truth = volume[1]
    found = workflows.evaluate(truth, Image(truth.data > 0, "zyx", SCALE, MM), ("overlap",), binary=True)
    assert found["dice"] == 1
    assert "dice_1" not in found


def test_evaluate_on_the_command_line(here, volume):
    (here / "true").mkdir()
    (here / "found").mkdir()
    truth = volume[1]
    for name, keep in (("a", (1, 2)), ("b", (1,))):
        part = Image(np.where(np.isin(truth.data, keep), truth.data, 0), "zyx", SCALE, MM)
        workflows.write_labels(here / "true" / f"{name}.tif", truth)
        workflows.write_labels(here / "found" / f"{name}.tif", part)
    names = "overlap,surfaces,lesions"
    scores = json.loads(good("evaluate", "true", "found", "--metrics", names, "--tolerance", 2, "--json"))
    assert scores["images"] == 2
    assert (scores["dice_1"], scores["dice_2"]) == (1, 0.5)
    assert scores["lesion_sensitivity_2"] == 0.5
    same = json.loads(good("evaluate", "true/b.tif", "true/b.tif", "--metrics", "overlap", "--binary", "--json"))
    assert same["dice"] == 1
    assert "0.750" in good("evaluate", "true", "found", "--metrics", "overlap")
    assert "Choose one of" in bad("evaluate", "true", "found", "--metrics", "nonsense")


def test_what_has_no_score_is_null(here):
    empty = Image(np.zeros((4, 5, 6), np.uint8), "zyx")
    some = Image(np.pad(np.ones((2, 2, 2), np.uint8), 1), "zyx")
    workflows.write_labels("empty.tif", empty)
    workflows.write_labels("some.tif", Image(np.pad(some.data, ((0, 0), (0, 1), (0, 2))), "zyx"))
    scores = json.loads(good("evaluate", "empty.tif", "some.tif", "--metrics", "overlap", "--json"))
    assert scores["volume_error_percent"] is None
    assert scores["dice"] == 0
