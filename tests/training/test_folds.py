"""Cross-validation: folds that can be gone on with, scores of all of them on the card, and what follows from them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from napari_unet import workflows
from napari_unet.cli import app
from napari_unet.core.axes import Image
from napari_unet.core.errors import Cancelled, ModelError, SpecError, TrainingDataError
from napari_unet.core.examples import Example
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import NetSpec, TargetSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.models.cards import find_model, read_card
from napari_unet.models.store import write_model
from napari_unet.nets import build
from napari_unet.training import folds
from napari_unet.training.folds import folds_folder
from napari_unet.training.holdout import part_groups
from napari_unet.training.wishes import Wishes

CLASSES = TargetSpec(name="classes", classes=("liver", "spleen"))


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def organ(seed, **more):
    """Two organs, each in one piece, and specks as bright as they, which are none."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :56]
    truth = np.zeros(y.shape, np.int32)
    truth[np.hypot(y - rng.uniform(16, 30), x - 14) < 9] = 1
    truth[np.hypot(y - rng.uniform(16, 30), x - 40) < 8] = 2
    values = np.array([0.0, 1.0, 2.0])[truth]
    values[1:5, 1:5], values[1:5, -5:-1] = 1, 2
    image = (values + rng.normal(0, 0.01, truth.shape)).astype(np.float32)
    return Example(Image(image, "yx", name=f"scan {seed}"), Image(truth, "yx", name=f"map {seed}"), **more)


def spec(**more):
    net = {"architecture": "unet", "ndim": 2, "inputs": 1, "outputs": 2, "widths": (4, 8)}
    values = {
        "name": "tiny", "task": "organ", "net": net, "target": CLASSES, "steps": 4, "batch": 2, "patch": 32, "every": 2,
        "threads": 1, "device": "cpu", "folds": 3, "grid": {"kind": "pixels"},
    }  # fmt: skip
    return TrainSpec(**(values | more))


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=20), st.integers(2, 8), st.integers(0, 9))
def test_each_group_is_left_out_once(groups, folds, seed):
    examples = [Example(Image(np.zeros((4, 4)), "yx"), Image(np.zeros((4, 4)), "yx"), group=name) for name in groups]
    if len(set(groups)) < folds:
        with pytest.raises(TrainingDataError, match="Annotate more, or ask for fewer"):
            part_groups(examples, folds, seed)
        return
    parts = part_groups(examples, folds, seed)
    assert sorted(name for part in parts for name in part) == sorted(set(groups))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == part_groups(examples[::-1], folds, seed)


def test_all_folds_are_on_the_card(tmp_path):
    data = [organ(seed, group=f"patient {seed // 2}") for seed in range(6)]
    said = []
    made = workflows.train([*data, organ(9, held_out=True)], spec(), tmp_path / "tiny", said.append)
    card = read_card(made)
    assert {"fold 1", "fold 2", "fold 3", "cross-validation"} <= card.metrics.keys()
    assert [card.metrics[f"fold {n}"]["images"] for n in (1, 2, 3)] == [2, 2, 2]
    together = card.metrics["cross-validation"]
    assert together["images"] == 6
    assert together["mDice low"] <= together["mDice"] <= together["mDice high"]
    assert {"Dice 1", "Dice 2", "Dice 1 low", "Dice 2 high"} <= together.keys()
    assert card.metrics["validation"]["images"] == 1  # what the table holds out is in no fold
    news = "\n".join(step.news for step in said)
    assert "Fold 3 of 3: 4 images are learned from, 2 are left out." in news
    assert "Cross-validation on 6 images: mDice" in news
    folds = folds_folder(made)
    assert sorted(p.name for p in folds.iterdir() if p.is_dir()) == [f"tiny-fold-{n}" for n in (1, 2, 3)]
    assert not (tmp_path / "tiny.training").exists()
    order = json.loads((folds / "order.json").read_text())
    assert sorted(name for left_out in order["folds"] for name in left_out) == ["patient 0", "patient 1", "patient 2"]


def stop_at(words, data, folder):
    """Train until something is said, then wish to stop."""
    wishes = Wishes()
    for step in workflows.train_steps(data, spec(), folder, wishes):
        if words in step.news:
            wishes.stop()


def test_a_stop_loses_no_fold(tmp_path):
    data = [organ(seed) for seed in range(3)]
    whole = read_card(workflows.train(data, spec(), tmp_path / "whole" / "tiny"))
    folder = tmp_path / "stopped" / "tiny"
    with pytest.raises(Cancelled):
        stop_at("Fold 2", data, folder)
    first = folds_folder(folder) / "tiny-fold-1" / "weights.safetensors"
    before = first.stat().st_mtime_ns
    with pytest.raises(SpecError, match="other settings"):
        workflows.train(data, spec(steps=5), folder)
    with pytest.raises(SpecError, match="other settings"):
        workflows.train([*data[:2], organ(7)], spec(), folder)
    with pytest.raises(Cancelled):  # and again, in the last training, which goes on by its folder too
        stop_at("Cross-validation", data, folder)
    again = read_card(finish(workflows.train_steps(tmp_path / "stopped" / "tiny.training")))
    assert first.stat().st_mtime_ns == before
    assert again.sha256 == whole.sha256
    assert again.metrics == whole.metrics


def write_bright(folder):
    """Write a model that tells classes by their brightness alone: it takes specks for organs."""
    net = NetSpec(inputs=1, outputs=4, widths=(4, 8))
    torch.manual_seed(0)
    network = build(net).eval()
    with torch.no_grad():
        first, second = network.down[0][0].weight, network.down[0][3].weight
        third, fourth = network.merge[0][0].weight, network.merge[0][3].weight
        for weight in (first, second, third, fourth):
            weight[0] = 0
            weight[0, 0, 1, 1] = 1
        network.head.weight.zero_()
        network.head.weight[:3, 0, 0, 0] = torch.tensor([0.0, 20.0, 40.0])
        network.head.bias.copy_(torch.tensor([0.0, -10.0, -40.0, 0.0]))
    plain = {"kind": "fixed", "offset": (0.0,), "divisor": (1.0,)}
    card = ModelCard(name=folder.name, net=net, target=CLASSES, grid={"kind": "pixels"}, normalize=plain)
    write_model(folder, card, network)


@pytest.mark.parametrize(("task", "wanted"), [("organ", "liver=largest, spleen=largest"), ("tumor", "")])
def test_only_the_largest_piece_is_kept_where_the_folds_say_so(task, wanted, tmp_path):
    data = [organ(seed) for seed in range(3)]
    folds = folds_folder(tmp_path / "tiny")
    for number in (1, 2, 3):
        write_bright(folds / f"tiny-fold-{number}")
    said = []
    card = read_card(workflows.train(data, spec(task=task), tmp_path / "tiny", said.append))
    assert card.target.min_size == wanted
    news = "\n".join(step.news for step in said)
    assert ("Only the largest piece is kept of liver (Dice 0." in news) == bool(wanted)
    together = card.metrics["cross-validation"]
    assert (together["mDice"] == 1) == bool(wanted)
    assert all(card.metrics[f"fold {n}"]["mDice"] < 1 for n in (1, 2, 3))
    image = data[0].image
    found = [workflows.segment(image, model=str(folds / "tiny-fold-1"), min_size=size) for size in ("largest", None)]
    assert np.array_equal(found[0].labels.data, data[0].labels.data)
    assert not np.array_equal(found[1].labels.data, data[0].labels.data)


@pytest.mark.parametrize(("names", "values"), [(("liver", "spleen"), (9, 4)), (("liver",), ())])
def test_folds_are_judged_by_the_values_that_mean_the_classes(names, values, tmp_path):
    data = [organ(seed) for seed in range(3)]
    for each in data:
        truth = each.labels.data
        truth[1:5, 1:5], truth[1:5, -5:-1] = 1, 2  # what is bright is organ: the models are right
        truth[:] = np.array([0, 9, 4] if values else [0, 255, 0])[truth]
    place, target = folds_folder(tmp_path / "tiny"), TargetSpec(name="classes", classes=names)
    for number in (1, 2, 3):
        write_bright(place / f"tiny-fold-{number}")
    given = spec(task="tumor", target=target, class_values=values)
    scores, _, _ = finish(folds._judged(place, given, folds._parted(data, given)))
    assert scores["cross-validation"]["Dice 1"] == 1


def test_organs_in_two_pieces_stay_so(tmp_path):
    data = [organ(seed) for seed in range(3)]
    for each in data:
        each.labels.data[1:5, 1:5] = 1  # the speck is a part of the liver
    for number in (1, 2, 3):
        write_bright(folds_folder(tmp_path / "tiny") / f"tiny-fold-{number}")
    card = read_card(workflows.train(data, spec(), tmp_path / "tiny"))
    assert card.target.min_size == "spleen=largest"


def test_the_command_cross_validates(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    for seed in range(2):
        each = organ(seed)
        for room, image in (("images", each.image), ("labels", each.labels)):
            (tmp_path / "scans" / room).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "scans" / room / f"{seed}.npy", image.data)
    words = ["train", str(tmp_path / "scans"), "--name", "mine", "--task", "organ", "--folds", "2", "--steps", "2"]
    words += ["--every", "2", "--batch", "1", "--patch", "32", "--threads", "1", "--device", "cpu"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "Cross-validation" in done.output
    assert "Only" not in CliRunner().invoke(app, ["models"]).output
    assert find_model("mine.folds/mine-fold-2") == tmp_path / "models" / "mine.folds" / "mine-fold-2"
    with pytest.raises(ModelError, match="no model called"):
        find_model("mine.folds/mine-fold-3")
    shutil.rmtree(tmp_path / "models" / "mine")
    done = CliRunner().invoke(app, [*words, "--devices", "2"])
    assert done.exit_code == 2
    assert "one after the other" in done.output


@pytest.mark.parametrize(("folds", "says"), [(1, "leaves nothing to learn from"), (-1, "greater than or equal to 0")])
def test_one_fold_is_none(folds, says):
    with pytest.raises(SpecError, match=says):
        TrainSpec.of(folds=folds)
