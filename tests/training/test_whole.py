"""A whole training: held-out images are judged, the card tells everything, other processes share the work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import Cancelled, OutputError, SpecError, TrainingDataError, TrainingError
from napari_unet.core.examples import Example
from napari_unet.core.results import Epoch
from napari_unet.core.specs import GridSpec, NetSpec, TargetSpec, TrainSpec
from napari_unet.core.steps import Progress, finish
from napari_unet.io.pairs import find_examples, read_example
from napari_unet.metrics.matching import count
from napari_unet.models.cards import read_card
from napari_unet.samples.simulated import nuclei
from napari_unet.training import looks, process, validate
from napari_unet.training.events import done_line, error_line, progress_line, read_line
from napari_unet.training.plan import prepare
from napari_unet.training.record import describe_data, verdict
from napari_unet.training.run import train_model
from napari_unet.training.runs import Order, is_run, read_order, run_folder, write_order
from napari_unet.training.validate import Judged, Shown, _comparable, middle, open_example, summarize
from napari_unet.training.wishes import Wishes


@pytest.fixture(autouse=True)
def _threads(forked):
    forked(process)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def example(seed, **more):
    image, labels = nuclei((64, 72), count=6, diameter=16, seed=seed)
    return Example(Image(image, "yx", name=f"cells {seed}"), Image(labels, "yx", name="labels"), **more)


def spec(**more):
    values = {
        "name": "tiny", "net": NetSpec(widths=(4, 8)), "steps": 4, "batch": 2, "patch": 32, "every": 2, "threads": 1,
        "device": "cpu", "license": "CC0-1.0",
    }  # fmt: skip
    return TrainSpec(**(values | more))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model of two images, three more held out, and what was said meanwhile."""
    folder, shown = tmp_path_factory.mktemp("models") / "tiny", []
    data = [example(0), example(1), *(example(seed, held_out=True) for seed in (2, 3, 4))]
    workflows.train(data, spec(), folder, shown.append)
    return folder, shown


def test_held_out_images_are_judged_at_each_report(made):
    epochs = [p.payload for p in made[1] if isinstance(p.payload, Epoch)]
    assert [epoch.step for epoch in epochs] == [2, 4]
    for epoch in epochs:
        assert epoch.validation.keys() == {"loss", "AP50", "mAP", "Dice"}
        assert all(0 <= value <= 1 for name, value in epoch.validation.items() if name != "loss")
    assert epochs[0].best


def test_the_card_tells_how_the_model_was_made(made):
    card = read_card(made[0])
    assert card.license == "CC0-1.0"
    scores = card.metrics["validation"]
    assert scores["images"] == 3
    assert scores["Dice low"] <= scores["Dice"] <= scores["Dice high"]
    told = card.training
    assert (told["steps"], told["seed"], told["device"], told["processes"]) == (4, 0, "cpu", 1)
    assert (told["data"]["images"], told["data"]["held out"]) == (2, 3)
    assert [row["step"] for row in told["curve"]] == [2, 4]
    assert set(told["validation"]) == {"cells 2", "cells 3", "cells 4"}
    assert (told["settings"]["batch"], told["settings"]["patch"]) == (2, 32)
    assert "torch" in told["software"]


def test_the_models_folder_has_a_picture_and_the_curve(made):
    assert sorted(p.name for p in made[0].iterdir()) == ["card.json", "example.png", "training", "weights.safetensors"]
    with Picture.open(made[0] / "example.png") as picture:
        assert picture.size == (144, 64)
    assert (made[0] / "training" / "log.csv").read_text().count("\n") == 3
    assert not run_folder(made[0], "tiny").exists()


def test_fine_tuning_is_measured_against_its_start(made, tmp_path):
    shown = []
    data = [example(0), example(5, held_out=True)]
    how = spec(name="finer", start=str(made[0]), net=None, steps=1, rate=1e-9)
    workflows.train(data, how, tmp_path / "finer", shown.append)
    news = [p.news for p in shown if p.news]
    assert "before: AP50" in news[1]
    assert str(made[0]) in news[-1]
    card = read_card(tmp_path / "finer")
    assert card.metrics["validation of the model it started from"].keys() == {"AP50", "mAP", "Dice"}
    assert news[-1] in card.description


def test_a_run_that_was_stopped_is_finished_with_what_it_has_learned(tmp_path):
    folder = tmp_path / "tiny"
    run = write_order(Order([example(0)], spec(steps=500), folder))
    steps = workflows.train_steps(run)
    while not isinstance(next(steps).payload, Epoch):
        pass
    assert workflows.is_training(run)
    with pytest.raises(OutputError, match="Another program"):
        finish(workflows.train_steps(run))
    steps.close()
    assert not workflows.is_training(run)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        workflows.is_training(tmp_path / "file" / "tiny.training")
    workflows.finish_training(run)
    assert finish(workflows.train_steps(run)) == folder
    card = read_card(folder)
    done = card.training["steps"]
    assert 2 <= done < 20
    assert card.recipe.startswith(f"{done} of 500 steps of")
    assert not run.exists()
    for wish in (workflows.finish_training, workflows.hold_training):
        with pytest.raises(SpecError, match="no training that was begun"):
            wish(run)


def kept(run):
    return {name: (run / name).read_bytes() for name in ("spec.json", "data.csv", "plan.json")}


def test_what_is_refused_leaves_a_run_as_it_was(tmp_path):
    folder, data = tmp_path / "tiny", [example(0)]
    run, other = write_order(Order(data, spec(), folder)), [example(7)]
    steps = workflows.train_steps(run)
    while not (run / "last.pt").exists():
        next(steps)
    before = kept(run)
    for way in (workflows.train_steps, workflows.train_apart_steps):
        with pytest.raises(OutputError, match="Another program"):
            finish(way(other, spec(), folder))
        assert kept(run) == before
    steps.close()
    for way in (workflows.train_steps, workflows.train_apart_steps):
        (run / "finish").touch()
        with pytest.raises(TrainingDataError, match="other images"):
            finish(way(other, spec(), folder))
        assert kept(run) == before
        assert not (run / "finish").exists()
    (run / "finish").touch()
    bad = Example(Image(np.zeros((20, 20)), "yx"), Image(np.zeros((30, 20), np.int32), "yx"))
    with pytest.raises(TrainingDataError, match="shape"):
        finish(workflows.train_steps([bad], spec(), folder))
    assert not (run / "finish").exists()
    assert finish(workflows.train_steps(run)) == folder
    assert read_card(folder).training["steps"] == 4


def test_a_verdict_says_what_to_do():
    assert verdict("", {}, {"mAP": 1.0}) == ""
    assert "Better than 'nuclei'" in verdict("nuclei", {"mAP": 0.5}, {"mAP": 0.6})
    for after in (0.5, 0.4):
        assert "Keep using 'nuclei'" in verdict("nuclei", {"mAP": 0.5}, {"mAP": after})


def test_intervals_hold_the_score_and_need_several_images():
    nothing = np.zeros((2, 2), np.int32)
    judged = [Judged(None, float(overlap), 20.0, nothing) for overlap in range(10)]
    scores, sure = summarize(judged)
    assert scores == {"Dice": pytest.approx(0.45)}
    assert 0.2 < sure["Dice"][0] < 0.45 < sure["Dice"][1] < 0.7
    assert summarize(judged)[1] == sure
    assert summarize(judged[:2])[1] == {}
    assert summarize([]) == ({}, {})


def test_a_large_image_is_looked_at_in_its_middle():
    data = np.zeros((2, 500, 300), np.uint8)
    labels = np.zeros((500, 300), np.int32)
    labels[240:260, 140:160] = 7
    part = middle(open_example(Example(Image(data, "cyx"), Image(labels, "yx"))), 0.5)
    assert isinstance(part, Shown)
    assert (part.image.shape, part.truth.shape) == ((2, 250, 150), (250, 150))
    assert np.count_nonzero(part.truth) == 400


def test_only_what_is_known_counts():
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:15], labels[25:35, 25:35] = 1, 2
    square = ((0.0, 0.0), (0.0, 20.0), (20.0, 20.0), (20.0, 0.0))
    shown = open_example(Example(Image(labels, "yx"), Image(labels, "yx"), region=(square,)))
    assert set(np.unique(shown.truth)) == {0, 1}
    assert shown.known is not None
    assert not shown.known[30, 30]


def test_what_is_to_be_ignored_does_not_count():
    labels = np.zeros((6, 80, 80), np.int32)
    labels[1:4, 5:15, 5:15], labels[2:5, 50:60, 50:60] = 1, 3
    example = Example(Image(labels, "zyx"), Image(labels, "zyx"), ignored=(3,), values=(1,))
    shown = open_example(example)
    assert set(np.unique(shown.truth)) == {0, 1}
    assert not shown.known[2:5, 50:60, 50:60].any()
    assert shown.known.sum() == labels.size - 300
    wanted, got = _comparable(shown.truth, labels, shown.known)
    np.testing.assert_array_equal(wanted, got)  # what was found there is neither right nor wrong
    assert middle(shown, 0.9).known.shape == middle(shown, 0.9).truth.shape


@pytest.mark.parametrize("background", [1, 7])
def test_strokes_are_judged_where_they_are(background, monkeypatch):
    strokes, found = np.zeros((60, 60), np.int32), np.zeros((60, 60), np.int32)
    strokes[10, 10:20], strokes[30, 10:20], strokes[50] = 2, 3, background
    found[10, 10:25], found[50, :5], found[20, :] = (
        1,
        2,
        3,
    )  # one of two objects, some background, and what nobody knows
    given = Example(Image(np.zeros((60, 60)), "yx"), Image(strokes, "yx"), background=background)
    data = [given, replace(example(1), held_out=False)]
    data[0] = replace(given, image=Image(np.random.default_rng(0).random((60, 60)), "yx"), held_out=True)
    data[1] = replace(data[1], background=background)
    made = finish(prepare(data, spec(truth="scribbles")))
    (shown,) = (open_example(each, rule=TargetSpec(name="foreground")) for each in made.held_out)
    assert shown.sparse  # said of the run, or of the image
    assert set(np.unique(shown.truth)) == {0, 2, 3}
    asked = []

    def segmented(_image, wanted, *_, **__):
        asked.append(wanted.diameter)
        yield Progress(0, 1)
        return SimpleNamespace(labels=Image(found, "yx"))

    monkeypatch.setattr(validate, "segment_image", segmented)
    card = SimpleNamespace(
        grid=GridSpec(), target=TargetSpec(name="foreground"), diameter=24.0, name="tiny"
    )  # fmt: skip
    judged = validate.judge(shown, SimpleNamespace(card=card, device="cpu"), measured=False)
    assert (judged.counts, judged.overlap, judged.pixels) == (None, 10, 15 + 20)
    assert asked == [24.0]  # a stroke is no object: the image is seen as large as it is, as it was learned from


@pytest.mark.parametrize("shift", [0, 4])
def test_objects_of_a_movie_are_counted_and_measured_frame_by_frame(shift):
    first = np.zeros((60, 60), np.int32)
    for number, (y, x) in enumerate([(5, 5), (5, 35), (35, 5), (35, 35)], 1):
        first[y : y + 16, x : x + 16] = number
    labels = np.stack([np.where(first > 0, first + at * shift, 0) for at in range(3)])  # the same numbers, or others
    movie = Example(Image(labels * 100, "tyx"), Image(labels, "tyx"))
    shown = open_example(movie, rule=TargetSpec(name="heat"), ndim=2)
    assert shown.diameter == pytest.approx((4 * 256 / np.pi) ** 0.5)
    found = np.stack([np.where(first > 0, first + 4 * at, 0) for at in range(3)])  # as a run numbers them
    assert count(shown.truth, found).tp[-1] == 12
    # A model that looks at planes is told how wide objects are in them, not the diameter of a ball.
    stack = Example(Image(labels * 100, "zyx"), Image(np.stack([first] * 3), "zyx"))
    assert open_example(stack, rule=TargetSpec(name="heat"), ndim=2).diameter == shown.diameter
    assert open_example(stack, rule=TargetSpec(name="heat"), ndim=3).diameter == pytest.approx(
        (6 * 3 * 256 / np.pi) ** (1 / 3)
    )


def test_objects_that_are_cut_by_the_border_of_a_region_are_not_judged():
    truth, found, known = (np.zeros((40, 60), np.int32) for _ in range(3))
    known[:, :30] = 1
    truth[5:15, 5:15], truth[20:30, 22:30] = 1, 2  # the second goes on where nothing is known
    found[5:15, 6:16], found[20:30, 22:38], found[5:15, 40:50], found[32:38, 2:8] = 1, 2, 3, 4
    wanted, got = _comparable(truth, found, known.astype(bool))
    assert set(np.unique(wanted)) == {0, 1}
    # Found where nothing is known, or where an object is cut: not judged. Found where nothing is: wrong.
    assert set(np.unique(got)) == {0, 1, 4}
    np.testing.assert_array_equal(got[5:15, 6:16], 1)


def test_held_out_labels_may_be_gray_pictures(tmp_path):
    labels = np.zeros((40, 40, 3), np.uint8)
    labels[5:15, 5:15] = 1
    file = tmp_path / "labels.png"
    Picture.fromarray(labels).save(file)
    shown = open_example(Example(Image(labels[..., 0], "yx"), file))
    np.testing.assert_array_equal(shown.truth, labels[..., 0])


def test_data_is_told_by_its_content(tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, np.zeros((8, 8)))
    one = describe_data([Example(file, file)], [])
    assert one == describe_data([Example(file, file)], [])
    np.save(file, np.ones((8, 8)))
    assert describe_data([Example(file, file)], [])["sha256"] != one["sha256"]
    assert describe_data([example(0)], [])["sha256"] != describe_data([example(1)], [])["sha256"]


def test_the_folder_of_a_run_holds_all_that_it_needs(tmp_path):
    square = ((0.0, 0.0), (0.0, 20.0), (20.0, 20.0))
    data = [example(0, region=(square,), group="a", held_out=True), example(1, scribbles=True, weight=2.0)]
    watched = Image(np.ones((4, 5)), "yx", (0.5, 0.5), name="preview")
    order = Order(data, spec(), tmp_path / "tiny", watched)
    run = write_order(order)
    assert run == tmp_path / "tiny.training"
    assert is_run(run)
    assert not is_run(tmp_path)
    assert not is_run(data)
    found = read_order(run)
    assert (found.spec, found.folder) == (order.spec, order.folder)
    assert found.watched is not None
    np.testing.assert_array_equal(found.watched.data, watched.data)
    text = (run / "data.csv").read_text().splitlines()
    assert text[0] == "image,labels,weight,group,split,region,scribbles"
    image, labels, *rest = text[1].split(",")
    np.testing.assert_array_equal(workflows.read_image(run / image).data, data[0].image.data)
    np.testing.assert_array_equal(workflows.read_labels(run / labels).data, data[0].labels.data)
    assert rest[:3] == ["1", "a", "validation"]
    assert workflows.read_region(run / rest[3]) == (square,)
    assert text[2].endswith(",2,,,,yes")
    stamps = {f: f.stat().st_mtime_ns for f in run.rglob("*.tif")}
    write_order(order)
    assert {f: f.stat().st_mtime_ns for f in run.rglob("*.tif")} == stamps
    (run / "spec.json").write_text("{")
    with pytest.raises(TrainingDataError, match="damaged"):
        read_order(run)


def test_the_folder_of_a_run_knows_what_values_mean(tmp_path):
    data = [example(0, ignored=(254, 255), values=(4, 2)), example(1)]
    run = write_order(Order(data, spec(), tmp_path / "tiny"))
    found = read_order(run).data
    assert [(each.values, each.ignored) for each in find_examples(found)] == [((4, 2), (254, 255)), ((), ())]


def test_the_folder_of_a_run_knows_the_channels_of_layers_by_name(tmp_path):
    one = example(0)
    both = Image(np.stack([one.image.data] * 2), "cyx", name="both", channel_names=("T1; native", "FLAIR"))
    data = [replace(one, image=both), replace(one, image=both, channels=("a", "b"))]
    run = write_order(Order(data, spec(), tmp_path / "m"))
    found = find_examples(run / "data.csv")
    assert [each.channels for each in found] == [("T1, native", "FLAIR"), ("a", "b")]
    assert read_example(found[0]).channel_names == ("T1, native", "FLAIR")


def test_lines_come_back_as_they_went():
    epoch = Epoch(3, 0.5, 1e-3, 2.0, {"mAP": 0.3}, ("a.npz",), True, None)
    back = read_line(progress_line(Progress(3, 9, "loss", epoch, "news")))
    assert isinstance(back, Progress)
    assert (back.done, back.total, back.note, back.news) == (3, 9, "loss", "news")
    assert (back.payload.validation, back.payload.best) == ({"mAP": 0.3}, True)
    assert [str(file) for file in back.payload.examples] == ["a.npz"]
    assert read_line(progress_line(Progress(1, 2))) == Progress(1, 2)
    assert str(read_line(done_line("here"))) == "here"
    assert isinstance(read_line(error_line(OutputError("full"))), OutputError)
    assert isinstance(read_line('{"event": "error", "kind": "Strange", "words": "w"}'), TrainingError)
    for line in ("a warning", "3", '{"other": 1}', '{"event": "unknown"}', "[1"):
        assert read_line(line) is None


def test_patches_that_cannot_be_shared_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(SpecError, match="batch of 4"):
        workflows.train([example(0)], spec(batch=3, devices=2), tmp_path / "tiny")
    assert not list(tmp_path.iterdir())


def test_several_machines_need_to_know_of_the_first(tmp_path, monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(SpecError, match="torchrun"):
        workflows.train([example(0)], spec(nodes=2), tmp_path / "tiny")


def test_the_state_of_a_run_is_noted(tmp_path):
    wishes = Wishes()
    wishes.stop()
    with pytest.raises(Cancelled):
        finish(workflows.train_steps([example(0)], spec(), tmp_path / "tiny", wishes))
    state = json.loads((tmp_path / "tiny.training" / "state.json").read_text())
    assert (state["state"], state["pid"]) == ("stopped", os.getpid())


def losses(shown):
    return [p.payload.loss for p in shown if isinstance(p.payload, Epoch) and p.payload.step]


def test_two_processes_learn_as_one_and_either_goes_on(tmp_path):
    how = {"batch": 4, "steps": 12, "every": 6}
    one, two, again = [], [], []
    data = [example(0), example(1)]
    workflows.train(data, spec(**how), tmp_path / "one", one.append)
    steps = workflows.train_steps(data, spec(devices=2, **how), tmp_path / "two")
    for progress in steps:
        two.append(progress)
        if losses(two):
            break
    steps.close()
    assert "RANK" not in os.environ
    # What two have begun, one ends.
    workflows.train(data, spec(**how), tmp_path / "two", again.append)
    assert next(p.done for p in again if p.note == "going on") == 6
    assert losses(two) == pytest.approx(losses(one)[:1], rel=0.1)
    assert losses(again) == pytest.approx(losses(one)[1:], rel=0.1)


def test_a_picture_of_other_channels_is_not_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(looks, "_FIRST_GLANCE", 0.0)
    one, shown = example(0), []
    both = Image(np.stack([one.image.data, 9 * one.image.data]), "cyx", name="both")
    alone = Image(one.image.data, "yx", name="seen")
    steps = train_model([replace(one, image=both)], spec(net=NetSpec(inputs=2, widths=(4, 8))), tmp_path / "m", alone)
    assert read_card(finish(steps, shown.append)).channels == (2,)
    assert all(p.payload.preview is None for p in shown if isinstance(p.payload, Epoch))


@pytest.mark.skipif(os.name == "nt", reason="another kind of signal")
def test_a_child_that_is_killed_takes_nobody_along(tmp_path):
    folder, shown = tmp_path / "tiny", []
    watched = Image(nuclei((64, 64), count=4, diameter=16, seed=9)[0], "yx")
    steps = workflows.train_apart_steps([example(0)], spec(steps=100_000), folder, watched)
    run = workflows.training_folder("tiny", folder)
    for progress in steps:
        shown.append(progress)
        if losses(shown) and (run / "last.pt").exists():
            break
    os.kill(json.loads((run / "state.json").read_text())["pid"], signal.SIGKILL)
    with pytest.raises(TrainingError, match="SIGKILL"):
        finish(steps)
    assert json.loads((run / "state.json").read_text())["state"] == "stopped"
    # The same call goes on, a pause holds it, and closing ends it within a second.
    steps = workflows.train_apart_steps([example(0)], spec(steps=100_000), folder)
    assert any(progress.note == "going on" for progress in steps)
    next(progress for progress in steps if isinstance(progress.payload, Epoch))
    workflows.hold_training(run)
    assert next(progress for progress in steps if progress.note == "paused").done > 0
    began = time.monotonic()
    steps.close()
    assert time.monotonic() - began < 2
    assert (run / "last.pt").exists()


def test_what_goes_wrong_in_a_child_is_said_by_the_parent(tmp_path):
    bad = Example(Image(np.zeros((20, 20)), "yx"), Image(np.zeros((30, 20), np.int32), "yx"))
    with pytest.raises(TrainingDataError, match="shape"):
        finish(workflows.train_apart_steps([bad], spec(), tmp_path / "tiny"))


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for Python")
def test_what_libraries_print_does_not_end_the_listening(tmp_path, monkeypatch):
    child = tmp_path / "child"
    child.write_text(f"#!/bin/sh\nprintf 'gar\\347on\\n'\necho '{done_line('here').strip()}'\n")
    child.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(child))
    monkeypatch.setattr(process, "subprocess", subprocess)
    assert finish(workflows.train_apart_steps([example(0)], spec(), tmp_path / "tiny")) == Path("here")


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for Python")
def test_what_a_child_could_not_remove_is_removed(tmp_path, monkeypatch):
    child, run = tmp_path / "child", workflows.training_folder("tiny", tmp_path / "tiny")
    clean = f"find '{run}' -mindepth 1 ! -name process.txt -delete"
    child.write_text(f"#!/bin/sh\n{clean}\necho '{done_line('here').strip()}'\n", "utf-8")
    child.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(child))
    finish(workflows.train_apart_steps([example(0)], spec(), tmp_path / "tiny"))
    assert not run.exists()


@pytest.mark.parametrize(("status", "words"), [(3, "status 3"), (0xC0000005, "status 0xc0000005")])
def test_the_end_of_a_child_is_named_as_its_system_names_it(tmp_path, status, words):
    assert words in process._obituary(status, tmp_path)


@pytest.mark.parametrize("value", [1, 255, 2**31 + 5])
def test_a_mask_is_judged_by_the_parts_that_it_is_learned_from(value):
    labels = np.zeros((60, 80), np.int64)
    for number, (y, x) in enumerate([(5, 5), (5, 40), (30, 5), (30, 40)]):
        labels[y : y + 15, x : x + 20 + number] = value
    image = Image(np.zeros((60, 80)), "yx")
    shown = open_example(Example(image, Image(labels, "yx")), rule=TargetSpec(name="heat"))
    assert (shown.truth.dtype, sorted(np.unique(shown.truth))) == (np.int32, [0, 1, 2, 3, 4])
    assert shown.diameter == pytest.approx((4 * 15 * 21.5 / np.pi) ** 0.5, rel=0.01)
    # Frames are counted on their own, and numbers that are there stay apart where they touch.
    movie = Example(Image(np.zeros((2, 60, 80)), "tyx"), Image(np.stack([labels, labels]), "tyx"))
    assert int(open_example(movie, rule=TargetSpec(name="heat")).truth.max()) == 8
    numbered = np.where(labels > 0, value + 1, value)
    truth = open_example(Example(image, Image(numbered, "yx")), rule=TargetSpec()).truth
    assert sorted(np.unique(truth)) == [1, 2, 3, 4, 5]
    classes = TargetSpec(name="classes", classes=("one",))
    kept = Example(image, Image(np.minimum(labels, 1), "yx"))
    assert int(open_example(kept, rule=classes).truth.max()) == 1
