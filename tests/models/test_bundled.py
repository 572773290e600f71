"""The models that come with the package: small, described, licensed, and as good as their cards say."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_unet.cli import app
from napari_unet.core.axes import as_image
from napari_unet.core.specs import SegmentSpec, load_task
from napari_unet.core.steps import finish
from napari_unet.models.cards import bundled, find_model, list_cards, read_card
from napari_unet.models.segment import segment_image
from napari_unet.models.zoo import load_model

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("NAPARI_UNET_DATA", ROOT.parent / "shared" / "data"))
CARDS = [card for card in list_cards() if bundled(find_model(card.name))]
NAMES = [card.name for card in CARDS]
_MOST = 8e6  # bytes


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_along_is_small_and_described(name):
    folder = find_model(name)
    card = read_card(folder)
    assert sum(file.stat().st_size for file in folder.iterdir()) < _MOST
    assert card.title
    assert card.description
    assert card.license
    assert card.data
    assert card.recipe.startswith("python recipes/")
    assert card.metrics
    assert load_task(card.task).name == card.task
    if card.task in ("tumor", "organ"):
        assert "Not for clinical use" in card.description
    assert (ROOT / card.recipe.split()[1].rstrip(":")).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name):
    model = load_model(name, "cpu")
    net = model.card.net
    shape = {2: (64, 64), 3: (24, 32, 32)}[net.ndim]
    pixels = np.random.default_rng(0).normal(100, 20, (*shape, net.inputs)).astype(np.float32)
    image = as_image(pixels, "zyx"[-net.ndim :] + "c")
    found = finish(segment_image(image, SegmentSpec.of(model=name), model, preview=False))
    assert found.labels.shape == shape
    if model.card.target.classes and model.card.target.name == "classes":
        assert found.labels.data.max() <= len(model.card.target.classes)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "nuclei"])
def test_the_manual_says_what_the_card_says(name):
    page = (ROOT / "docs" / "bundled-models.md").read_text("utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
    said = [float(value) for value in re.findall(r"\b0\.\d{3}\b", row)]
    scores = [score for fold in read_card(find_model(name)).metrics.values() for score in fold.values()]
    assert said
    assert all(any(abs(value - score) < 6e-4 for score in scores) for value in said)


@pytest.mark.skipif(not (DATA / "organ" / "msd_hippocampus").is_dir(), reason="the data are not here")
def test_the_hippocampus_is_found_in_volumes_that_were_left_out(monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_DATA", str(DATA))
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    import bundled as recipe

    from napari_unet.training.validate import judge, open_example, summarize

    sys.modules.pop("bundled")
    model = load_model("hippocampus", "cpu")
    left_out = [example for example in recipe.folded(recipe.hippocampus(), 0) if example.held_out]
    scores, _ = summarize([judge(open_example(example, rule=model.card.target), model) for example in left_out[:8]])
    said = read_card(find_model("hippocampus")).metrics["fold 0"]
    assert scores["mDice"] > said["mDice"] - 0.04


def test_nothing_found_is_no_matter_of_a_threshold_where_there_is_none(tmp_path):
    dark = np.zeros((16, 16, 16), np.float32)
    dark[8, 8, 8] = 1
    np.save(tmp_path / "dark.npy", dark)
    words = ["segment", str(tmp_path / "dark.npy"), "--model", "hippocampus", "--output", str(tmp_path / "out.tif")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert "of the kind that the model knows" in done.output
    assert "--threshold" not in done.output


def test_specks_are_no_sarcomas_where_pixels_have_a_size():
    model = load_model("sarcoma-mri", "cpu")
    scan = np.random.default_rng(0).normal(100, 40, (24, 64, 64)).astype(np.float32)
    place = {"scale": (3.27, 1.0, 1.0), "units": ("millimeter",) * 3}
    for known, least in ((place, 500 / 3.27), ({}, 1)):
        image = as_image(scan, "zyx", **known)
        found = finish(segment_image(image, SegmentSpec.of(model="sarcoma-mri"), model, preview=False))
        sizes = np.bincount(np.asarray(found.labels.data).ravel())[1:]
        assert (sizes >= least).all()
    everything = SegmentSpec.of(model="sarcoma-mri", min_size=1)
    image = as_image(scan, "zyx", **place)
    every = finish(segment_image(image, everything, model, preview=False)).objects
    assert every >= finish(segment_image(image, SegmentSpec.of(model="sarcoma-mri"), model, preview=False)).objects
