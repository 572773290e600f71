"""A training that goes on from a model: gently, judged from the beginning, and never worse at the end."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_unet import workflows
from napari_unet.core.results import Epoch
from napari_unet.core.specs import TargetSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.models.cards import read_card
from napari_unet.models.store import read_network, write_model
from napari_unet.training.course import Around
from napari_unet.training.fit import fit
from napari_unet.training.gentle import _LONG, gentle, goes_on, pressed, rose
from napari_unet.training.looks import Looks
from napari_unet.training.plan import prepare
from napari_unet.training.run import make_card

from .test_course import Watcher, field, same, spec, weights
from .test_whole import example
from .test_whole import spec as whole_spec

USUAL = TrainSpec()


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A model that knows a little."""
    folder = tmp_path_factory.mktemp("start")
    how = whole_spec(name="known", steps=80, batch=4, rate=2e-2, average=0.5, every=40)
    return workflows.train([example(0), example(1)], how, folder / "known")


def going_on(start, **more):
    return whole_spec(name="finer", start=str(start), net=None, **more)


def statistics(state):
    return {name: value for name, value in state.items() if name.endswith(("_mean", "_var"))}


def started(tmp_path):
    first = spec(normalize={}, steps=2)
    trained = finish(fit([field(0)], first, tmp_path / "a"))
    write_model(tmp_path / "first", make_card(first, "test"), trained)
    card = read_card(tmp_path / "first")
    stored = read_network(tmp_path / "first", card)
    return weights(stored), spec(start=str(tmp_path / "first")).filled(card).model_copy(update={"grid": card.grid})


def test_what_is_gone_on_from_is_the_best_until_there_is_a_better_one(tmp_path):
    old, how = started(tmp_path)
    for scores, better in (([0.5, 0.4, 0.5, 0.3], False), ([0.5, 0.4, 0.6, 0.3], True)):
        around, shown = Around(look=Watcher(scores)), []
        made = finish(fit([field(0)], how, tmp_path / str(better), around=around), shown.append)
        assert around.look.reports == [2] * 4  # as much of the images each time
        epochs = [p.payload for p in shown if isinstance(p.payload, Epoch)]
        assert [epoch.step for epoch in epochs] == [0, 2, 4, 6]
        assert math.isnan(epochs[0].loss)
        assert epochs[0].validation == {"mAP": 0.5}
        assert around.history.best_step == (4 if better else 0)
        assert same(weights(made), old) is not better


def test_a_model_that_only_lends_its_weights_is_no_result_itself(tmp_path):
    _, how = started(tmp_path)
    around = Around(look=Watcher([0.1, 0.2, 0.3]))
    finish(fit([field(0)], how.model_copy(update={"diameter": 20.0}), tmp_path / "b", around=around))
    assert around.history.best == 0.3


def test_statistics_stay_for_a_share_of_the_steps(tmp_path):
    old, how = started(tmp_path)
    held = how.model_copy(update={"frozen": 1.0, "average": 0.0})
    loose = how.model_copy(update={"frozen": 0.5, "average": 0.0})
    made = finish(fit([field(0)], held, tmp_path / "held"))
    begun = statistics(old)
    assert begun
    assert same(statistics(weights(made)), begun)
    assert not torch.equal(made.state_dict()["head.weight"], old["head.weight"])
    freed = statistics(weights(finish(fit([field(0)], loose, tmp_path / "loose"))))
    assert not same(freed, begun)
    ever = how.model_copy(update={"average": 0.0})
    never = statistics(weights(finish(fit([field(0)], ever, tmp_path / "never"))))
    assert not same(freed, never)


def test_a_model_is_gone_on_with_at_a_lower_rate(start):
    data = [example(0), example(1)]
    made = finish(prepare(data, TrainSpec(name="finer", start=str(start)))).plan
    assert made.spec.rate == pytest.approx(0.03 * USUAL.rate)
    assert made.spec.frozen > 0
    assert any("0.03 of the usual learning rate" in words for words in made.words)
    own = finish(prepare(data, TrainSpec(name="finer", start=str(start), rate=0.02, frozen=0.0, warmup=0.5))).plan
    assert (own.spec.rate, own.spec.frozen, own.spec.warmup) == (0.02, 0.0, 0.5)
    assert not any("usual learning rate" in words for words in own.words)


def test_other_objects_are_learned_faster_but_not_as_from_nothing(start):
    card = read_card(start)
    known = TrainSpec(start=str(start)).filled(card)
    assert goes_on(known, card)
    for change in ({"target": TargetSpec(name="distance")}, {"diameter": 99.0}, {"net": None}):
        other = known.model_copy(update=change)
        assert not goes_on(other, card)
        assert gentle(TrainSpec(), other, card) == {"rate": pytest.approx(0.1 * USUAL.rate)}
        assert gentle(TrainSpec(rate=0.5), other, card) == {}


@pytest.mark.parametrize("held", [True, False])
def test_a_model_that_became_worse_is_not_kept(start, tmp_path, held):
    shown = []
    data = [example(0), example(5, held_out=True)] if held else [example(0)]
    # A rate at which anything falls apart.
    workflows.train(data, going_on(start, steps=2, rate=5.0, warmup=0.0), tmp_path / "finer", shown.append)
    old, new = (read_network(folder, read_card(folder)).state_dict() for folder in (start, tmp_path / "finer"))
    assert same(old, new)
    news = [p.news for p in shown if p.news]
    place = "on the held-out images" if held else "on images that are learned from"
    assert f"{place}, before:" in news[1]
    assert f"Not better than '{start}' {place}: " in news[-1]
    assert "So its weights were kept." in news[-1]
    card = read_card(tmp_path / "finer")
    assert news[-1] in card.description
    assert ("validation of the model it started from" in card.metrics) is held


def test_where_no_score_tells_the_new_weights_are_taken(start, tmp_path, monkeypatch):
    monkeypatch.setattr(Looks, "score", lambda _looks, _validation: None)  # as where motion is learned
    workflows.train([example(0)], going_on(start, steps=1, rate=0.5, warmup=0.0), tmp_path / "finer")
    old, new = (read_network(folder, read_card(folder)).state_dict() for folder in (start, tmp_path / "finer"))
    assert not same(old, new)


def test_a_model_that_became_better_is_kept(tmp_path):
    shown, start = [], workflows.train([example(0)], whole_spec(steps=2), tmp_path / "little")
    how = going_on(start, steps=40, rate=2e-2, batch=4, average=0.5, every=20)
    workflows.train([example(0)], how, tmp_path / "finer", shown.append)
    assert f"Better than '{start}' on images that are learned from" in [p.news for p in shown if p.news][-1]
    old, new = (read_network(folder, read_card(folder)).state_dict() for folder in (start, tmp_path / "finer"))
    assert not np.allclose(old["head.weight"], new["head.weight"], atol=1e-3)


def test_scores_are_compared_by_the_most_telling():
    assert rose({"mAP": 0.5, "Dice": 0.9}, {"mAP": 0.6, "Dice": 0.8})
    assert not rose({"mAP": 0.5, "Dice": 0.8}, {"mAP": 0.5, "Dice": 0.8})
    assert rose({"mAP": 0.0, "Dice": 0.1}, {"mAP": 0.0, "Dice": 0.2})
    assert rose({}, {"mAP": 0.5})


def test_where_a_model_finds_few_objects_there_is_little_to_lose(start):
    planned = finish(prepare([example(0)], TrainSpec(name="finer", start=str(start)))).plan.spec
    bad, good = {"AP50": 0.4, "mAP": 0.19}, {"AP50": 0.4, "mAP": 0.2}
    fast = pressed(planned, {"name", "start"}, bad)
    assert (fast.rate, fast.frozen) == (pytest.approx(10 * planned.rate), 0)
    assert fast.model_copy(update={"rate": planned.rate, "frozen": planned.frozen}) == planned
    assert pressed(planned, {"frozen"}, bad).frozen == planned.frozen
    for short in ({"steps": 499}, {"minutes": 4.9}):
        hurried = planned.model_copy(update=short)
        assert pressed(hurried, (), bad) == hurried, "it would not settle"
    assert pressed(planned.model_copy(update={"minutes": 5.0, "steps": 10}), (), bad).rate == fast.rate
    for named, before in (((), good), ((), {}), ({"rate"}, bad)):
        assert pressed(planned, named, before) == planned
    lent = planned.model_copy(update={"rate": 0.1 * USUAL.rate})
    assert pressed(lent, (), bad) == lent


@pytest.fixture(scope="module")
def blind(start, tmp_path_factory):
    """A model that finds nothing: its scores are all below any threshold."""
    card, folder = read_card(start), tmp_path_factory.mktemp("blind") / "blind"
    network = read_network(start, card)
    with torch.no_grad():
        network.head.bias[:2] -= 9
    write_model(folder, card.model_copy(update={"name": "blind"}), network)
    return folder


def test_the_card_and_the_curve_say_how_fast_it_learned(blind, tmp_path, monkeypatch):
    monkeypatch.setitem(_LONG, "steps", 1)
    shown = []
    workflows.train([example(0)], going_on(blind, steps=4, every=2), tmp_path / "finer", shown.append)
    assert any("10 times as fast as was planned" in p.news for p in shown)
    card = read_card(tmp_path / "finer")
    assert f"rate {0.3 * USUAL.rate:g}" in card.recipe
    assert card.training["settings"]["rate"] == pytest.approx(0.3 * USUAL.rate)
    rows = workflows.training_curve(tmp_path / "finer" / "training")
    assert max(row.rate for row in rows) > 0.03 * USUAL.rate


def test_it_goes_on_as_fast_as_it_began(blind, tmp_path, monkeypatch):
    monkeypatch.setitem(_LONG, "steps", 1)
    whole = workflows.train([example(0)], going_on(blind, steps=6, every=2), tmp_path / "whole")
    steps = workflows.train_steps([example(0)], going_on(blind, steps=6, every=2), tmp_path / "parts")
    for progress in steps:
        if isinstance(progress.payload, Epoch) and progress.payload.step == 4:
            break
    steps.close()
    parts = workflows.train([example(0)], going_on(blind, steps=6, every=2), tmp_path / "parts")
    gently = workflows.train([example(0)], going_on(blind, steps=6, every=2, rate=0.03 * USUAL.rate), tmp_path / "slow")
    losses = [[row.loss for row in workflows.training_curve(one / "training")] for one in (whole, parts, gently)]
    assert len(losses[0]) == 3
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("minutes", [(0.1, 0.03), (0.04, 0.1)])
def test_a_run_that_goes_on_for_another_time_keeps_its_rate(blind, tmp_path, minutes, monkeypatch):
    monkeypatch.setitem(_LONG, "minutes", 0.05)
    first, then = (going_on(blind, steps=6, every=2, minutes=each) for each in minutes)
    steps = workflows.train_steps([example(0)], first, tmp_path / "finer")
    for progress in steps:
        if isinstance(progress.payload, Epoch) and progress.payload.step > 0:
            break
    steps.close()
    workflows.train([example(0)], then, tmp_path / "finer")
    rate = read_card(tmp_path / "finer").training["settings"]["rate"]
    assert rate == pytest.approx((0.3 if minutes[0] > 0.05 else 0.03) * USUAL.rate)
