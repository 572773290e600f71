"""A run that goes on keeps to its plan."""

from __future__ import annotations

import numpy as np
import pytest
from tifffile import imwrite

import napari_unet
from napari_unet.core.results import Plan
from napari_unet.core.specs import TrainSpec
from napari_unet.training.kept import keep_plan, planned_before

GIVEN = TrainSpec(name="cells", steps=10)
PLAN = Plan(GIVEN.model_copy(update={"batch": 3, "patch": 64}), ("words",), ("a warning",), {"images": 2})


def test_the_plan_is_there_for_the_same_settings(tmp_path):
    assert planned_before(tmp_path / "none", GIVEN) is None
    keep_plan(tmp_path, GIVEN, PLAN)
    assert planned_before(tmp_path, GIVEN) == PLAN.spec
    # Where and how long it runs may differ.
    elsewhere = planned_before(tmp_path, GIVEN.model_copy(update={"devices": 2}))
    assert elsewhere == PLAN.spec.model_copy(update={"devices": 2})
    assert planned_before(tmp_path, TrainSpec(name="cells", steps=20)) is None
    # What was left to the plan is something else than its default.
    assert planned_before(tmp_path, TrainSpec(name="cells", steps=10, batch=GIVEN.batch)) is None


@pytest.mark.parametrize("text", ["", "{}", '{"given": {"stepps": 1}, "spec": {}}', "[1]"])
def test_a_damaged_plan_is_made_again(tmp_path, text):
    (tmp_path / "plan.json").write_text(text)
    assert planned_before(tmp_path, GIVEN) is None


def test_a_plan_that_a_run_has_begun_with_stays(tmp_path):
    keep_plan(tmp_path, GIVEN, PLAN)
    keep_plan(tmp_path, TrainSpec(name="cells", steps=20), PLAN)
    assert planned_before(tmp_path, GIVEN) is None
    (tmp_path / "last.pt").touch()
    keep_plan(tmp_path, GIVEN, PLAN)
    assert planned_before(tmp_path, GIVEN) is None
    assert planned_before(tmp_path, TrainSpec(name="cells", steps=20)) is not None


def test_less_memory_than_before_does_not_end_a_run(tmp_path, monkeypatch):
    from napari_unet.training import fingerprint

    rng = np.random.default_rng(0)
    for room in ("images", "labels"):
        (tmp_path / "data" / room).mkdir(parents=True)
    labels = np.zeros((64, 64), np.uint16)
    labels[8:24, 8:24], labels[30:50, 30:50] = 1, 2
    imwrite(tmp_path / "data" / "images" / "a.tif", (labels > 0) * np.float32(1) + rng.random((64, 64), np.float32))
    imwrite(tmp_path / "data" / "labels" / "a.tif", labels)
    folder, net = tmp_path / "model", {"inputs": 1, "outputs": 1, "widths": (4, 8)}
    spec = TrainSpec.of(name="cells", net=net, steps=4, every=2)
    stopped = napari_unet.train_steps(tmp_path / "data", spec, folder)
    next(p for p in stopped if p.done == 2 and p.payload is not None)
    stopped.close()
    monkeypatch.setattr(fingerprint, "total_memory", lambda: 1 << 24)
    assert napari_unet.train(tmp_path / "data", spec, folder) == folder
