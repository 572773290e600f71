"""Settings: checked at the door, in words."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from napari_unet.core import specs
from napari_unet.core.errors import RegistryError, SpecError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.registry import names
from napari_unet.core.specs import NetSpec, SegmentSpec, TargetSpec, Task, TrainSpec, load_task

ALL = [getattr(specs, name) for name in specs.__all__ if name.endswith("Spec") or name in ("Task", "ModelCard")]
NEEDED = {"name": "a", "title": "A", "net": NetSpec(), "target": TargetSpec()}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_specs_are_frozen_and_refuse_what_they_do_not_know(kind):
    needed = {k: v for k, v in NEEDED.items() if k in kind.model_fields}
    spec = kind.of(**needed)
    with pytest.raises(SpecError, match="shoe_size"):
        kind.of(**needed, shoe_size=43)
    field = next(iter(kind.model_fields), None)
    if field:
        with pytest.raises(ValidationError):
            setattr(spec, field, getattr(spec, field))


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_specs_survive_json(kind):
    spec = kind.of(**{k: v for k, v in NEEDED.items() if k in kind.model_fields})
    assert kind.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("kind", "values", "text"),
    [
        (NetSpec, {"ndim": 4}, "ndim"),
        (NetSpec, {"widths": ()}, "widths"),
        (NetSpec, {"widths": (8, 0)}, r"widths\.1"),
        (NetSpec, {"block": "dense"}, "plain"),
        (TargetSpec, {"threshold": 1.0}, "threshold"),
        (SegmentSpec, {"diameter": -3}, "greater than 0"),
        (SegmentSpec, {"tiling": {"tile": -1}}, r"tiling\.tile"),
        (TrainSpec, {"steps": "many"}, "steps"),
        (ModelCard, {**NEEDED, "title": "", "name": "a/b"}, "plain word"),
        (ModelCard, {**NEEDED, "title": "", "name": ".hidden"}, "plain word"),
    ],
)
def test_bad_values_are_named(kind, values, text):
    with pytest.raises(SpecError, match=text) as caught:
        kind.of(**values)
    assert str(caught.value).startswith("These settings cannot be used")
    assert "http" not in str(caught.value)


def test_a_setting_that_there_is_not_names_those_that_there_are():
    with pytest.raises(SpecError, match=r"diametr: there is no such setting; did you mean 'diameter'"):
        SegmentSpec.of(diametr=3)
    with pytest.raises(SpecError, match=r"wings: there is no such setting; there are model, "):
        SegmentSpec.of(wings=2)
    with pytest.raises(SpecError, match=r"tiling\.wings: there is no such setting"):
        SegmentSpec.of(tiling={"wings": 2})


@pytest.mark.parametrize("name", names("tasks", ".toml"))
def test_task_files_load(name):
    task = load_task(name)
    assert task.name == name
    assert task.title


def test_unknown_tasks_list_those_there_are():
    with pytest.raises(RegistryError, match="cell"):
        load_task("cells")


def test_a_training_takes_the_rest_from_its_task():
    task = Task(name="a", title="A", diameter=31.0)
    mine = TargetSpec(name="border")
    filled = TrainSpec(target=mine).filled(task)
    assert filled.target == mine
    assert (filled.net, filled.normalize, filled.augment, filled.diameter) == (
        task.net,
        task.normalize,
        task.augment,
        31.0,
    )
    assert filled.filled(Task(name="b", title="B", diameter=5.0)) == filled
