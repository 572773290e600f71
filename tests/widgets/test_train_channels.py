"""Images whose channels are layers of their own are learned from: the same channels, in one order, in all pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet.core.errors import TrainingDataError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import NetSpec, TargetSpec
from napari_unet.widgets._after import try_model
from napari_unet.widgets._pair import PairRow
from napari_unet.widgets.segment import SegmentWidget
from napari_unet.widgets.train import TrainWidget

from .test_train import Trainer, planned

Make = Callable[[], TrainWidget]


class Doctor(Trainer):
    """Has a model of two sequences, and one of two channels without names."""

    def list_models(self) -> list[ModelCard]:
        two: dict[str, Any] = {"net": NetSpec(inputs=2), "target": TargetSpec(), "channels": (2,)}
        made = [ModelCard(name=name, **two) for name in self.models if name not in ("brain", "nuclei")]
        return [ModelCard(name="brain", bands=("T1", "FLAIR"), **two), ModelCard(name="plain", **two), *made]


@pytest.fixture
def viewer() -> ViewerModel:
    """Return a viewer without a window."""
    return ViewerModel()


@pytest.fixture
def engine(tmp_path: Path) -> Doctor:
    """Return an engine that has learned at once."""
    return Doctor(tmp_path)


@pytest.fixture
def make(qtbot: QtBot, viewer: ViewerModel, engine: Doctor, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that opens the dock."""
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", pytest.fail)

    def build() -> TrainWidget:
        widget = TrainWidget(viewer, engine=engine)
        qtbot.addWidget(widget)
        return widget

    return build


def add(viewer: ViewerModel, *names: str, **more: Any) -> list[Any]:
    """Add an image layer for each name, no two alike."""
    start = len(viewer.layers)
    options = {"scale": (0.5, 0.5), "units": ("mm", "mm"), "axis_labels": ("y", "x")} | more
    return [
        viewer.add_image(np.random.default_rng(start + i).random((32, 40), np.float32), name=name, **options)
        for i, name in enumerate(names)
    ]


def label(viewer: ViewerModel, name: str) -> Any:
    values = np.zeros((32, 40), np.int32)
    values[5:12, 5:12] = 1
    return viewer.add_labels(values, name=name, scale=(0.5, 0.5), units=("mm", "mm"))


def choose(row: PairRow, image: Any, labels: Any) -> PairRow:
    row.image.choose(image)
    row.labels.choose(labels)
    return row


def rows(row: PairRow) -> dict[str, str]:
    pairs = zip(row.further.labels, row.further.boxes, strict=True)
    return {label.text(): box.currentText() for label, box in pairs if not box.isHidden()}


def test_one_layer_is_the_image_unless_more_are_asked_for(make: Make, viewer: ViewerModel) -> None:
    t1, flair = add(viewer, "T1", "FLAIR")
    drawn = label(viewer, "drawn")
    widget = make()
    pairs = widget.data.pairs
    row = choose(pairs.rows[0], t1, drawn)
    assert pairs.count.text() == "in one layer"
    assert rows(row) == {}
    assert widget.data.read()[0].image.data is t1.data
    pairs.count.setValue(2)
    assert pairs.count.text() == "in 2 layers"
    assert rows(row) == {"Channel 2 (FLAIR)": "FLAIR"}  # the only other one
    (example,) = widget.data.read()
    np.testing.assert_array_equal(example.image.data, [t1.data, flair.data])
    assert (example.image.axes, example.image.scale, example.channels) == ("cyx", (1, 0.5, 0.5), ("T1", "FLAIR"))
    assert example.labels.data is drawn.data
    assert widget.data.read()[0].image is example.image  # while the layers hold the same
    pairs.count.setValue(1)
    assert rows(row) == {}
    assert widget.data.read()[0].image.data is t1.data


def test_all_pairs_have_the_channels_of_the_first_in_its_order(make: Make, viewer: ViewerModel) -> None:
    names = [f"p{number}_{name}" for number in (1, 2, 3) for name in ("T1", "FLAIR")]
    layers = dict(zip(names, add(viewer, *names), strict=True))
    truth = [label(viewer, f"drawn {number}") for number in (1, 2, 3)]
    widget = make()
    pairs = widget.data.pairs
    first, second, third = (pairs.rows[0], pairs.add(), pairs.add())
    pairs.count.setValue(2)
    choose(first, layers["p1_T1"], truth[0])
    choose(second, layers["p2_FLAIR"], truth[1])
    choose(third, layers["p3_T1"], truth[2])
    assert rows(first) == {"Channel 2": "choose a layer"}
    assert "Each image has 2 channels. Choose a layer for Channel 2." in first.trouble.text()
    first.further.boxes[0].choose(layers["p1_FLAIR"])
    assert first.trouble.text() == ""
    # The layer of the same patient, whichever channel was chosen as the image.
    assert rows(second) == {"Channel 1 (T1)": "p2_T1"}
    assert "the image above is channel 2 (FLAIR)" in second.further.said.text()
    assert rows(third) == {"Channel 2 (FLAIR)": "p3_FLAIR"}
    found = widget.data.read()
    for number, example in enumerate(found, 1):
        wanted = [layers[f"p{number}_{name}"].data for name in ("T1", "FLAIR")]
        np.testing.assert_array_equal(example.image.data, wanted)
        assert example.channels == ("T1", "FLAIR")
        assert example.image.name == f"p{number}"
    # Whoever starts from a model has its order.
    first.image.choose(layers["p1_FLAIR"])
    assert rows(first) == {"Channel 1 (T1)": "p1_T1"}
    pairs.count.setValue(1)
    pairs.count.setValue(2)
    first.further.boxes[0].choose(layers["p1_T1"])
    assert widget.data.read()[0].channels == ("FLAIR", "T1")
    pairs.order(("T1", "FLAIR"))
    assert [example.channels for example in widget.data.read()] == [("T1", "FLAIR")] * 3
    np.testing.assert_array_equal(widget.data.read()[0].image.data[0], layers["p1_T1"].data)


def test_layers_of_other_names_are_what_they_are_chosen_for(make: Make, viewer: ViewerModel) -> None:
    dapi, gfp, one, other = add(viewer, "DAPI", "GFP", "scan 7", "scan 9")
    drawn = [label(viewer, "a"), label(viewer, "b")]
    widget = make()
    pairs = widget.data.pairs
    pairs.count.setValue(2)
    choose(pairs.rows[0], dapi, drawn[0]).further.boxes[0].choose(gfp)
    row = choose(pairs.add(), other, drawn[1])
    assert rows(row) == {"Channel 2 (GFP)": "scan 7"}  # what is left
    assert [example.channels for example in widget.data.read()] == [("DAPI", "GFP")] * 2
    np.testing.assert_array_equal(widget.data.read()[1].image.data, [other.data, one.data])
    # What was chosen stays, whatever the first pair comes to be called.
    gfp.name = "actin"
    assert rows(row) == {"Channel 2 (actin)": "scan 7"}
    gfp.name = "actin of the second day"
    assert rows(row) == {"Channel 2 (actin of t…": "scan 7"}  # a dock is narrow
    assert row.further.labels[0].toolTip() == "Channel 2 (actin of the second day)"


def test_channels_that_are_swapped_are_left_to_be_refused(make: Make, viewer: ViewerModel) -> None:
    names = [f"p{number}_{name}" for number in (1, 2) for name in ("T1", "T2", "FLAIR")]
    layers = dict(zip(names, add(viewer, *names), strict=True))
    truth = [label(viewer, "a"), label(viewer, "b")]
    widget = make()
    pairs = widget.data.pairs
    pairs.count.setValue(3)
    row = choose(pairs.rows[0], layers["p1_T1"], truth[0])
    for box, name in zip(row.further.boxes, ("T2", "FLAIR"), strict=True):
        box.choose(layers[f"p1_{name}"])
    row = choose(pairs.add(), layers["p2_T1"], truth[1])
    assert rows(row) == {"Channel 2 (T2)": "p2_T2", "Channel 3 (FLAIR)": "p2_FLAIR"}
    for box, name in zip(row.further.boxes, ("FLAIR", "T2"), strict=True):
        box.choose(layers[f"p2_{name}"])
    first, second = widget.data.read()
    assert first.channels == ("T1", "T2", "FLAIR")
    assert second.channels == ()
    assert second.image.channel_names == ("T1", "FLAIR", "T2")  # which the engine refuses


def test_what_does_not_lie_on_one_grid_is_said_below_the_pair(
    make: Make, viewer: ViewerModel, qtbot: QtBot, engine: Doctor
) -> None:
    t1, flair = add(viewer, "T1", "FLAIR")
    drawn = label(viewer, "drawn")
    widget = make()
    widget.data.pairs.count.setValue(2)
    row = choose(widget.data.pairs.rows[0], t1, drawn)
    planned(qtbot, widget)
    widget.begin_with.name.setText("mine")
    for change, back, words in (
        ({"translate": (0, 2)}, {"translate": (0, 0)}, "it is moved by 0 x 2 millimeter along its axes"),
        ({"scale": (0.5, 0.6)}, {"scale": (0.5, 0.5)}, "its pixels are 0.5 x 0.6 mm large, not 0.5 x 0.5 mm"),
        ({"rotate": 10}, {"rotate": 0}, "turned, sheared or moved otherwise"),
    ):
        for name, value in change.items():
            setattr(flair, name, value)
        row.look()
        assert "'FLAIR' does not lie on the grid of 'T1'" in row.trouble.text()
        assert words in row.trouble.text()
        widget.look()
        assert words in widget.plan.text.text()
        with pytest.raises(pytest.fail.Exception, match="grid of 'T1'"):
            widget.run()
        assert widget.job is None
        for name, value in back.items():
            setattr(flair, name, value)
    row.look()
    assert row.trouble.text() == ""
    flair.data = flair.data[:-1]
    row.look()
    assert "it has 31 x 40 pixels along y x, not 32 x 40" in row.trouble.text()
    row.further.boxes[0].choose(t1)
    assert "A layer is chosen for two channels" in row.trouble.text()
    assert engine.given == []


def test_mixed_numbers_of_channels_are_said_before_the_start(make: Make, viewer: ViewerModel) -> None:
    t1, flair = add(viewer, "T1", "FLAIR")
    many = viewer.add_image(np.random.random((3, 32, 40)), name="three", axis_labels=("c", "y", "x"))
    truth = [label(viewer, "a"), label(viewer, "b")]
    widget = make()
    pairs = widget.data.pairs
    pairs.count.setValue(2)
    choose(pairs.rows[0], t1, truth[0]).further.boxes[0].choose(flair)
    row = choose(pairs.add(), many, truth[1])
    assert rows(row) == {}  # its layer has all of them
    with pytest.raises(TrainingDataError, match="'three' has 3 channels, but 'T1 \\+ FLAIR' has 2"):
        widget.data.read()
    widget.look()
    assert "Give all images the same channels" in widget.plan.text.text()
    many.data = many.data[:2]
    assert len(widget.data.read()) == 2


def test_shapes_lie_on_layers_whatever_their_channels(make: Make, viewer: ViewerModel) -> None:
    t1, _flair = add(viewer, "T1", "FLAIR")
    widget = make()
    widget.data.pairs.count.setValue(2)
    choose(widget.data.pairs.rows[0], t1, label(viewer, "drawn"))
    box = np.array([[2.0, 3.0], [2, 8], [9, 8], [9, 3]])
    widget.data.truth.setCurrentIndex(1)
    widget.data.shapes.choose(viewer.add_shapes([box], shape_type="rectangle", name="known"))
    (example,) = widget.data.read()
    assert example.region == (tuple(map(tuple, (2 * box).tolist())),)


def test_a_model_is_trained_watched_and_tried_on_all_channels(
    make: Make, viewer: ViewerModel, qtbot: QtBot, engine: Doctor
) -> None:
    a, b, c, d = add(viewer, "a_x", "a_y", "b_x", "b_y")
    widget = make()
    pairs = widget.data.pairs
    pairs.count.setValue(2)
    choose(pairs.rows[0], a, label(viewer, "one")).further.boxes[0].choose(b)
    choose(pairs.add(), c, label(viewer, "two"))
    planned(qtbot, widget)
    assert widget.begin_with.values["start"] == "brain"  # which takes two channels, too
    for layer in (c, d):
        layer.visible = False
    widget.begin_with.name.setText("mine")
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None)
    (data, _, seen), *_ = engine.given
    assert [example.channels for example in data] == [("x", "y")] * 2
    assert seen is not None
    np.testing.assert_array_equal(seen.data, [a.data, b.data])
    qtbot.waitUntil(lambda: "mine preview" in viewer.layers)
    assert viewer.layers["mine preview"].data.shape == (32, 40)
    dock = SegmentWidget(viewer, engine=engine)
    qtbot.addWidget(dock)
    # Its card does not say what the channels are called: those of the pair in which the chosen layer is.
    for active, expected in ((d, [c, d]), (a, [a, b])):
        viewer.layers.selection.active = active
        assert try_model(viewer, "mine", dock, channels=pairs.channels) is dock
        qtbot.waitUntil(lambda: dock.job is None)
        assert engine.image is not None, dock.status.text()
        np.testing.assert_array_equal(engine.image.data, [layer.data for layer in expected])
        engine.image = None


def test_corrections_hold_all_channels(make: Make, viewer: ViewerModel, qtbot: QtBot, engine: Doctor) -> None:
    t1, flair = add(viewer, "T1", "FLAIR")
    widget = make()
    dock = SegmentWidget(viewer, engine=engine)
    qtbot.addWidget(dock)
    viewer.layers.selection.active = flair
    try_model(viewer, "brain", dock)
    qtbot.waitUntil(lambda: dock.job is None)
    drawn = viewer.layers[-1]
    drawn.data[3:9, 3:9] = 7
    widget.grow.add.click()
    qtbot.waitUntil(lambda: widget.job is None)
    ((image, after, _before, _model),) = engine.collected
    np.testing.assert_array_equal(image.data, [t1.data, flair.data])
    assert image.channel_names == ("T1", "FLAIR")
    np.testing.assert_array_equal(after.data, drawn.data)
