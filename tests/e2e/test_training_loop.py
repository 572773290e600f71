"""Segment, correct, train in a process of its own, segment again: all of it in the viewer, which never waits."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QTimer

from napari_unet import workflows
from napari_unet.core.specs import TrainSpec
from napari_unet.training import process
from napari_unet.widgets._after import try_model
from napari_unet.widgets.segment import SegmentWidget
from napari_unet.widgets.train import TrainWidget

PATIENCE = 300_000  # milliseconds, on a machine that has much else to do


class Heart:
    """Beats in the main thread, and notes for how long that worked between two beats.

    Work is counted, and not time, which other programs on the machine take too.
    """

    def __init__(self) -> None:
        self.beats: list[float] = []
        self._worked = time.thread_time()
        self._timer = QTimer()
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _beat(self) -> None:
        worked = time.thread_time()
        self.beats.append(worked - self._worked)
        self._worked = worked


class Short(TrainWidget):
    """Trains for some steps on small patches, whatever is chosen."""

    def spec(self) -> TrainSpec:
        short = {"steps": 6, "every": 3, "batch": 1, "patch": 32, "threads": 1, "minutes": None}
        return TrainSpec.of(**(super().spec().model_dump(exclude_unset=True) | short))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bright: Path, forked: Any) -> Path:
    """Return the folder of the user's models, with a small one in it."""
    forked(process)
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path))
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", pytest.fail)
    shutil.copytree(bright, tmp_path / "bright")
    return tmp_path


def segment(qtbot: QtBot, dock: SegmentWidget) -> Any:
    qtbot.waitUntil(lambda: dock.job is None, timeout=PATIENCE)
    assert "Found" in dock.status.text(), dock.status.text()
    return dock.viewer.layers[-1]


@pytest.mark.slow
def test_the_whole_loop(qtbot: QtBot, home: Path, disks: tuple[np.ndarray, np.ndarray]) -> None:
    image, _truth = disks
    viewer = ViewerModel()
    field = viewer.add_image(image, name="field")
    segmenting = SegmentWidget(viewer)
    training = Short(viewer)
    for dock in (segmenting, training):
        qtbot.addWidget(dock)
    viewer.layers.selection.active = field
    labels = segment(qtbot, try_model(viewer, "bright", segmenting))
    # Erase one object and draw another, with the tools of napari.
    objects = np.argwhere(labels.data > 0)
    labels.fill(tuple(objects[0]), 0)
    labels.brush_size = 6
    labels.selected_label = int(labels.data.max()) + 1
    labels.paint((90, 4), labels.selected_label)
    assert not training.grow.isHidden()
    training.grow.add.click()
    qtbot.waitUntil(lambda: training.job is None, timeout=PATIENCE)
    assert "Added 2" in training.status.text(), training.status.text()
    (kept,) = workflows.list_collections()
    assert (kept.name, kept.places) == ("bright", 2)
    assert training.begin_with.values["start"] == "bright"
    assert training.begin_with.values["name"] == "bright-2"
    qtbot.waitUntil(lambda: training.plan.plan is not None, timeout=PATIENCE)
    assert training.plan.text.text()
    heart = Heart()
    training.run()
    qtbot.waitUntil(lambda: training.job is None, timeout=PATIENCE)
    assert "Done" in training.status.text(), training.status.text()
    # One of some hundreds may fall together with what the interpreter does now and then for itself.
    assert sorted(heart.beats)[-2] < 0.1
    assert max(heart.beats) < 0.2
    assert len(training.live.curves.points["loss"]) >= 2
    assert not training.live.gallery.isHidden()
    (made,) = (card for card in workflows.list_models() if card.name == "bright-2")
    assert made.training["start"] == "bright"
    assert training.after.card.title.text() == "bright-2"
    again = segment(qtbot, try_model(viewer, "bright-2", segmenting))
    assert again.metadata["napari-unet"]["model"] == "bright-2"
    assert kept.table.is_file()
