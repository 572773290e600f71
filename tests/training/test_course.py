"""The course of a run: what it keeps, how it goes on, when it ends."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
import types
import zipfile

import numpy as np
import pytest
import torch

from napari_unet.core.errors import Cancelled, SpecError, TrainingDataError, TrainingError
from napari_unet.core.specs import AugmentSpec, NetSpec, TargetSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.training.course import Around
from napari_unet.training.fit import fit
from napari_unet.training.patches import make_pair
from napari_unet.training.ranks import Ranks
from napari_unet.training.state import learning_rate, same_run
from napari_unet.training.wishes import Wishes

MILD = AugmentSpec(elastic=0, wide_fraction=0, scale_jitter=0.1, noise=0.02, blur=0, contrast=0.1, invert=0)


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def field(seed, shape=(48, 48)):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for number in range(1, 6):
        row, column = rng.uniform(0, shape)
        labels[(np.hypot(y - row, x - column) < 6) & (labels == 0)] = number
    image = (labels > 0) * 0.8 + 0.1 + 0.05 * rng.standard_normal(shape)
    return make_pair(image[None].astype(np.float32), labels, f"field {seed}")


def spec(**more):
    values = {
        "net": NetSpec(widths=(4, 8)), "target": TargetSpec(name="distance"), "augment": MILD, "diameter": 12.0,
        "steps": 6, "batch": 2, "patch": 32, "rate": 1e-2, "every": 2, "threads": 1,
    }  # fmt: skip
    return TrainSpec(**(values | more))


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def rows(folder):
    with (folder / "log.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def without_clock(table):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in table]


class Watcher:
    """Looks at a network as the engine does, with scores that are given."""

    def __init__(self, scores=()):
        self.scores, self.reports, self.glances = list(scores), [], 0

    def report(self, network, between):
        self.reports.append(between)
        return {"mAP": self.scores[len(self.reports) - 1]}, ()

    def score(self, validation):
        return validation["mAP"]

    def glance(self, network, seconds):
        self.glances += 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Weights and log of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return weights(finish(fit([field(0), field(1)], spec(), folder))), rows(folder)


def test_the_log_has_a_row_for_each_report(whole):
    assert [row["step"] for row in whole[1]] == ["2", "4", "6"]
    assert {"step", "seconds", "loss", "rate"} == set(whole[1][0])


@pytest.mark.skipif(sys.platform == "win32", reason="another kind of signal")
def test_killed_in_the_middle_it_ends_with_the_same_weights(tmp_path, whole):
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "import test_course as here\n"
        "from napari_unet.training.state import Run\n"
        "real = Run.advance\n"
        "def slow(run, *given):\n"
        "    if run.step == 3: print('in the middle', flush=True); time.sleep(600)\n"
        "    real(run, *given)\n"
        "Run.advance = slow\n"
        "from pathlib import Path\n"
        "here.finish(here.fit([here.field(0), here.field(1)], here.spec(), Path(sys.argv[2])))\n"
    )
    words = [sys.executable, "-c", code, os.path.dirname(__file__), str(tmp_path)]  # noqa: PTH120
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "in the middle\n"
        child.kill()
        assert child.wait() == -signal.SIGKILL
    shown = []
    found = weights(finish(fit([field(0), field(1)], spec(), tmp_path), shown.append))
    assert (shown[0].done, shown[0].note) == (2, "going on")
    assert same(found, whole[0])
    assert without_clock(rows(tmp_path)) == without_clock(whole[1])


def test_stopped_between_two_reports_it_ends_with_the_same_weights(tmp_path, whole, monkeypatch):
    wishes = Wishes()
    real = Wishes.stopped.fget
    asked = []

    def stopped(self):
        asked.append(1)
        return len(asked) == 5 or real(self)

    monkeypatch.setattr(Wishes, "stopped", property(stopped))
    with pytest.raises(Cancelled, match="goes on from here"):
        finish(fit([field(0), field(1)], spec(), tmp_path, around=Around(wishes=wishes)))
    monkeypatch.undo()
    shown = []
    assert same(weights(finish(fit([field(0), field(1)], spec(), tmp_path), shown.append)), whole[0])
    assert shown[0].done == 3
    assert without_clock(rows(tmp_path)) == without_clock(whole[1])


@pytest.mark.parametrize("keep", [0, 100, -1000, "flip"])
def test_a_damaged_safe_point_gives_way_to_the_one_before(tmp_path, whole, keep):
    steps = fit([field(0), field(1)], spec(), tmp_path)
    while next(steps).done < 4:
        pass
    steps.close()
    file = tmp_path / "last.pt"
    data = bytearray(file.read_bytes())
    if keep == "flip":
        # In the middle of the weights, where nothing but a checksum notices.
        with zipfile.ZipFile(file) as parts:
            largest = parts.read(max(parts.infolist(), key=lambda part: part.file_size))
        data[data.find(largest) + len(largest) // 2] ^= 0xFF
        file.write_bytes(data)
    else:
        file.write_bytes(data[:keep])
    shown = []
    found = weights(finish(fit([field(0), field(1)], spec(), tmp_path), shown.append))
    assert shown[0].done == 2
    assert "last.pt cannot be read" in shown[0].news
    assert "of step 2" in shown[0].news
    assert same(found, whole[0])


def test_a_pause_is_off_the_clock_and_changes_nothing(tmp_path, whole):
    run = tmp_path / "run"
    steps = fit([field(0), field(1)], spec(), run, around=Around(wishes=(wishes := Wishes(run))))
    while next(steps).done < 2:
        pass
    (run / "pause").touch()
    time.sleep(0.3)
    notes = [next(steps).note for _ in range(4)]
    assert notes[-2:] == ["paused", "paused"]
    assert wishes.paused
    (run / "pause").unlink()
    assert same(weights(finish(steps)), whole[0])
    assert without_clock(rows(run)) == without_clock(whole[1])


def test_words_from_a_parent():
    wishes = Wishes()
    wishes.hear("pause\n")
    assert wishes.paused
    wishes.hear("go on\n")
    assert not wishes.paused
    assert not wishes.stopped
    wishes.hear("stop")
    assert wishes.stopped


def test_finished_early_the_averaged_weights_of_that_moment_are_judged(tmp_path):
    wishes, look, shown = Wishes(tmp_path), Watcher([0.5, 0.6]), []
    steps = fit([field(0)], spec(steps=1000, every=500), tmp_path, around=Around(wishes=wishes, look=look))
    while not (progress := next(steps)).note.startswith("step"):
        pass
    (tmp_path / "finish").touch()
    network = finish(steps, shown.append)
    last = shown[-1].payload
    assert progress.done <= last.step < 500
    assert (last.best, look.reports) == (True, [last.step])
    kept = torch.load(tmp_path / "last.pt", weights_only=True)
    assert kept["step"] == last.step
    assert same(kept["average"], weights(network))
    # Before its first step there is nothing to make a model of: one is done.
    early = Wishes()
    early.hear("finish\n")
    finish(fit([field(0)], spec(), tmp_path / "early", around=Around(wishes=early)), shown.append)
    assert shown[-1].payload.step == 1


def test_patience_ends_a_run_and_the_best_weights_are_the_models(tmp_path):
    look = Watcher([0.2, 0.5, 0.4, 0.3, 0.9])
    how, shown = spec(steps=20, patience=2), []
    best = finish(fit([field(0)], how, tmp_path, around=Around(look=look)), shown.append)
    epochs = [p.payload for p in shown if p.payload]
    assert [(e.step, e.best) for e in epochs] == [(2, True), (4, True), (6, False), (8, False)]
    assert look.reports == [2, 2, 2, 2]
    assert [row["validation mAP"] for row in rows(tmp_path)] == ["0.2", "0.5", "0.4", "0.3"]
    kept = torch.load(tmp_path / "best.pt", weights_only=True)
    assert kept["step"] == 4
    assert same(kept["average"], weights(best))
    # Tired is tired: it does not go on by itself, but with more patience it does.
    finish(fit([field(0)], how, tmp_path, around=Around(look=Watcher([0.9]))), shown.append)
    assert shown[-1].note == "going on"
    # Best weights that are damaged are not replaced by the last ones without a word.
    (tmp_path / "best.pt").write_bytes((tmp_path / "best.pt").read_bytes()[:-100])
    last = finish(fit([field(0)], how, tmp_path, around=Around(look=Watcher([0.9]))), shown.append)
    assert "best.pt cannot be read" in shown[-1].news
    assert same(torch.load(tmp_path / "last.pt", weights_only=True)["average"], weights(last))
    more = spec(steps=10, patience=9)
    with pytest.raises(TrainingDataError, match="other settings"):
        finish(fit([field(0)], more, tmp_path, around=Around(look=Watcher([0.9]))))


def test_a_time_is_kept_and_the_rate_follows_it(tmp_path):
    shown = []
    began = time.monotonic()
    finish(fit([field(0)], spec(minutes=2 / 60, every=1000), tmp_path), shown.append)
    assert 1.9 < time.monotonic() - began < 20
    last = next(p.payload for p in reversed(shown) if p.payload)
    assert last.seconds == pytest.approx(2, abs=1.5)
    assert last.rate < 0.02 * spec().rate
    assert last.step > 0
    assert shown[-1].total == 2
    # What is used up stays used up.
    shown.clear()
    finish(fit([field(0)], spec(minutes=2 / 60, every=1000), tmp_path), shown.append)
    assert [p.note for p in shown] == ["going on"]


def test_the_rate_of_a_time_is_that_of_as_many_steps():
    how = spec(steps=1000)
    for step in (0, 10, 29, 30, 400, 700, 1000):
        assert learning_rate(0, spec(minutes=1.0), step / 1000) == pytest.approx(learning_rate(step, how), rel=1e-6)


def test_a_loss_that_is_no_number_is_said_and_not_kept(tmp_path, monkeypatch):
    from napari_unet.training.state import Run

    real = Run.advance

    def poisoned(run, *given):
        real(run, *given)
        if run.step == 3:
            with torch.no_grad():
                next(run.network.parameters()).fill_(float("nan"))

    monkeypatch.setattr(Run, "advance", poisoned)
    with pytest.raises(TrainingError, match=r"no number.*step 2 is kept.*--rate 0\.0025"):
        finish(fit([field(0)], spec(), tmp_path))
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 2


def test_parts_of_a_step_come_to_the_same(tmp_path):
    losses = []
    for parts in (1, 2, 4):
        shown = []
        finish(
            fit([field(0)], spec(batch=4, accumulate=parts, steps=10, every=10), tmp_path / str(parts)), shown.append
        )
        losses.append(next(p.payload.loss for p in shown if p.payload))
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=0.15)
    with pytest.raises(SpecError, match="batch of 6"):
        finish(fit([field(0)], spec(batch=4, accumulate=3), tmp_path / "odd"))


def test_patches_are_shared_without_gap_or_overlap():
    for world, accumulate in ((1, 1), (2, 1), (2, 3), (4, 2)):
        how = spec(batch=24, accumulate=accumulate)
        parts = [part for rank in range(world) for part in Ranks(rank, world).parts(how)]
        assert [i for part in parts for i in range(24)[part]] == list(range(24))


def test_where_a_run_goes_on_may_change_but_not_what_it_does():
    for free in ({"devices": 2}, {"device": "cpu"}, {"threads": 3}, {"patience": 4}, {"license": "CC0"}):
        assert same_run(spec(), spec(**free))
    for other in ({"seed": 1}, {"batch": 4}, {"minutes": 1.0}, {"rate": 1.0}):
        assert not same_run(spec(), spec(**other))
    assert same_run(spec(minutes=1.0), spec(minutes=2.0))


def test_tensorboard_is_told_where_it_is_installed(tmp_path, monkeypatch):
    from napari_unet.training import curve

    told = []

    class Writer:
        def __init__(self, folder, purge_step):
            told.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            told.append((name, step))

        def flush(self):
            pass

        def close(self):
            told.append("closed")

    fake = types.SimpleNamespace(
        util=types.SimpleNamespace(find_spec=lambda name: name),
        import_module=lambda name: types.SimpleNamespace(SummaryWriter=Writer),
    )
    monkeypatch.setattr(curve, "importlib", fake)
    finish(fit([field(0)], spec(steps=2), tmp_path))
    assert told[0] == (str(tmp_path / "events"), 1)
    assert ("loss", 2) in told
    assert told[-1] == "closed"


def test_of_equal_scores_the_last_is_kept_but_a_start_stays(tmp_path):
    shown = []
    best = finish(fit([field(0)], spec(steps=6), tmp_path / "a", around=Around(look=Watcher([0.0] * 3))), shown.append)
    assert [(e.step, e.best) for p in shown if (e := p.payload)] == [(2, True), (4, True), (6, True)]
    kept = torch.load(tmp_path / "a" / "best.pt", weights_only=True)
    assert (kept["step"], same(kept["average"], weights(best))) == (6, True)
    # Patience counts reports without a better score.
    how = spec(steps=20, patience=2)
    finish(fit([field(0)], how, tmp_path / "b", around=Around(look=Watcher([0.3] * 10))), shown.append)
    assert shown[-1].payload.step == 6
