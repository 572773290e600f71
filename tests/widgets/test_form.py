"""A spec survives the way through its form."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from napari_unet.core.errors import SpecError
from napari_unet.core.specs import NetSpec, SegmentSpec, TilingSpec, TrainSpec
from napari_unet.widgets._form import Form, explain
from napari_unet.widgets._plan_form import PlanForm


@pytest.mark.parametrize(
    "spec",
    [
        SegmentSpec(),
        SegmentSpec(channels=(0, 2), threshold=0.35, min_size=0.0, tiling=TilingSpec(tile=64)),
        NetSpec(ndim=3, widths=(8, 16), block="residual"),
        TrainSpec(seed=3),
    ],
)
def test_round_trip(qtbot: QtBot, spec: SegmentSpec) -> None:
    form = Form(spec)
    qtbot.addWidget(form.native)
    assert form.spec() == spec


def test_skip_labels_and_help(qtbot: QtBot) -> None:
    form = Form(SegmentSpec(), {"tiling.tile": "Tile size"}, skip=("model",))
    qtbot.addWidget(form.native)
    assert "model" not in form.fields
    assert form.fields["tiling.tile"].label == "Tile size"
    assert "network's grid" in form.fields["tiling.tile"].tooltip
    assert form.spec(model="blobs") == SegmentSpec(model="blobs")


@pytest.mark.parametrize(("field", "text"), [("threshold", "much"), ("threshold", "1.5"), ("min_size", "-1")])
def test_bad_values_are_named(qtbot: QtBot, field: str, text: str) -> None:
    form = Form(SegmentSpec())
    qtbot.addWidget(form.native)
    form.fields[field].value = text
    with pytest.raises(SpecError, match=field):
        form.spec()


def test_threads_of_a_training_are_left_to_pytorch(qtbot: QtBot) -> None:
    form = PlanForm("cell")
    qtbot.addWidget(form.native)
    assert form.fields["threads"].label == "Threads (0: PyTorch's choice)"


def test_channels_are_numbers_or_names(qtbot: QtBot) -> None:
    form = Form(SegmentSpec())
    qtbot.addWidget(form.native)
    form.fields["channels"].value = "red, 3 none"
    assert form.spec().channels == ("red", 3, "none")
    form.fields["channels"].value = ""
    assert form.spec().channels is None


def test_every_field_is_explained() -> None:
    for spec in (SegmentSpec, TilingSpec, TrainSpec):
        assert set(spec.model_fields) <= set(explain(spec))
