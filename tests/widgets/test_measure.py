"""The measuring dock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet.core.errors import ImageError
from napari_unet.core.steps import Progress, Steps
from napari_unet.widgets.measure import MeasureWidget
from napari_unet.widgets.segment import SegmentWidget

from .conftest import FakeEngine

Make = Callable[..., MeasureWidget]


@pytest.fixture
def viewer() -> ViewerModel:
    """Return a viewer with an image and labels."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((8, 9)), name="image", scale=(0.5, 0.5))
    viewer.add_labels(np.eye(8, 9, dtype=int) * 3, name="labels", scale=(0.5, 0.5), units=("um", "um"))
    return viewer


@pytest.fixture
def make(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that opens the dock and remembers the notifications."""
    errors: list[str] = []
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", errors.append)

    def build(viewer: Any, engine: Any) -> MeasureWidget:
        widget = MeasureWidget(viewer, engine=engine)
        qtbot.addWidget(widget)
        widget.errors = errors
        return widget

    return build


def finish(qtbot: QtBot, widget: MeasureWidget) -> None:
    assert widget.job is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.job is None)


def test_table_on_the_layer_and_in_a_file(
    make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot, tmp_path: Path
) -> None:
    widget = make(viewer, engine)
    assert not widget.save.isEnabled()
    widget.run()
    finish(qtbot, widget)
    assert engine.thread is not threading.main_thread()
    labels, image = engine.measured
    assert image is None
    assert (labels.axes, labels.scale, labels.units) == ("yx", (0.5, 0.5), ("micrometer", "micrometer"))
    assert list(viewer.layers["labels"].features["index"]) == [3]
    assert "Measured 1 object. " in widget.status.text()
    path = str(tmp_path / "table.csv")
    widget.save_table(path)
    finish(qtbot, widget)
    assert list(engine.written[path]["index"]) == [3]
    assert path in widget.status.text()


def test_the_time_that_is_left_is_told(
    make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, table, said = threading.Event(), {"index": np.array([3])}, []

    def slow(*_: Any, **__: Any) -> Steps[Any]:
        for done in range(1, 5):
            yield Progress(done, 10, "Measuring")
            time.sleep(0.02)
        go.wait(5)
        return table

    monkeypatch.setattr(engine, "measure_steps", slow)
    widget = make(viewer, engine)
    widget.run()
    qtbot.waitUntil(lambda: "left" in widget.status.text())
    said.append(widget.status.text())
    go.set()
    finish(qtbot, widget)
    assert said == ["Measuring, about 1 s left"]


def test_intensities(make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot) -> None:
    widget = make(viewer, engine)
    assert [widget.images.itemText(i) for i in range(widget.images.count())] == ["no intensities", "image"]
    widget.images.setCurrentIndex(1)
    widget.run()
    finish(qtbot, widget)
    assert engine.measured[1].name == "image"


def test_a_stack_is_read_like_its_labels(make: Make, engine: FakeEngine, qtbot: QtBot) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((2, 3, 8, 9)), name="image")
    viewer.add_labels(np.ones((2, 3, 8, 9), int), metadata={"napari-unet": {"axes": "tzyx"}})
    widget = make(viewer, engine)
    widget.images.setCurrentIndex(1)
    widget.run()
    finish(qtbot, widget)
    assert [image.axes for image in engine.measured] == ["tzyx", "tzyx"]


def test_labels_repeated_along_channels_are_measured_once(make: Make, engine: FakeEngine, qtbot: QtBot) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((4, 3, 16, 20)), axis_labels=("t", "c", "y", "x"), scale=(2, 1, 0.5, 0.5))
    segment = SegmentWidget(viewer, engine=engine)
    qtbot.addWidget(segment)
    segment.run()
    qtbot.waitUntil(lambda: segment.job is None)
    widget = make(viewer, engine)
    widget.run()
    finish(qtbot, widget)
    labels, _ = engine.measured
    assert (labels.axes, labels.shape, labels.scale) == ("tyx", (4, 16, 20), (2, 0.5, 0.5))


def test_errors_are_shown(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    widget = make(
        viewer, FakeEngine(error=ImageError("The shapes differ. Choose the image the labels were made from."))
    )
    widget.run()
    finish(qtbot, widget)
    assert "shapes differ" in widget.status.text()
    assert widget.errors == [widget.status.text()]
    assert not widget.save.isEnabled()


def test_nothing_to_measure(make: Make, engine: FakeEngine) -> None:
    widget = make(ViewerModel(), engine)
    assert "no labels" in widget.status.text()
    widget.run()
    assert widget.job is None
    assert "no labels" in widget.status.text()


def test_labels_removed_meanwhile(make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot) -> None:
    widget = make(viewer, engine)
    widget.run()
    viewer.layers.remove("labels")
    finish(qtbot, widget)
    assert "removed" in widget.status.text()
