"""Before a run the dock says what it will take, and offers runs that were stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QWidget

from napari_unet import workflows
from napari_unet.core.errors import OutputError
from napari_unet.core.preflight import Preflight, Room
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import Progress, Steps
from napari_unet.widgets import _ahead, _place
from napari_unet.widgets._ahead import in_plain_words
from napari_unet.widgets.segment import SegmentWidget

from .conftest import FakeEngine, jobs

GB = 10**9
LOOK = Preflight(
    pixels=10**9, tiles=500, left=1.0, seconds=12_000, speed=0.5, diameter=12.0, device="cpu",
    memory=Room(2 * GB, 20 * GB), disk=Room(12 * GB, 40 * GB), labels=3 * GB,
)  # fmt: skip
TIGHT = replace(LOOK, disk=Room(12 * GB, 13 * GB))


class Engine(FakeEngine):
    """Foretells what it is told to."""

    def __init__(self, look: Preflight | Exception = LOOK) -> None:
        super().__init__()
        self.look, self.asked, self.wait = look, [], threading.Event()
        self.wait.set()
        self.outputs: list[Path | None] = []

    def choose_place(self, source: Any, name: str) -> Path:
        return Path("/nowhere") / name

    def is_unfinished(self, path: Any) -> bool:
        return False

    def preflight_steps(self, image: Any, spec: SegmentSpec, output: Path | None) -> Steps[Preflight]:
        self.asked.append((image.shape, spec, output))
        yield Progress(0, 0, "Computing a few tiles")
        self.wait.wait(10)
        yield Progress(1, 1, "Computing a few tiles")
        if isinstance(self.look, Exception):
            raise self.look
        return self.look

    def segment_steps(self, image: Any, spec: SegmentSpec | None = None, **given: Any) -> Steps[Any]:
        self.outputs.append(given.get("output"))
        return (yield from super().segment_steps(image, spec))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def dock(qtbot: QtBot, viewer: ViewerModel, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SegmentWidget]:
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", lambda text: None)
    monkeypatch.setattr(_ahead, "_WATCH", 20)

    def build(engine: Any) -> SegmentWidget:
        viewer.add_image(np.zeros((20, 30), np.uint8), name="image")
        widget = SegmentWidget(viewer, engine=engine)
        qtbot.addWidget(widget)
        widget.show()
        return widget

    return build


def test_the_estimate_is_said_in_plain_words() -> None:
    text = in_plain_words(LOOK)
    assert "about 3 h 20 min on the processor" in text
    assert "about 12 GB (40 GB free) meanwhile, 3 GB for the labels" in text
    assert "may" not in text
    card = replace(LOOK, left=0.25, device="cuda", device_memory=Room(10 * GB, 11 * GB), memory=Room(2 * GB, 2 * GB))
    text = in_plain_words(replace(card, disk=TIGHT.disk))
    for part in (
        "on the graphics card (cuda) for the 25% that is left",
        "disk may become full",
        "Memory may",
        "card may",
    ):
        assert part in text
    assert "Disk" not in in_plain_words(replace(LOOK, disk=None))


def test_asked_for_and_forgotten_when_something_else_is_meant(
    dock: Callable[..., SegmentWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    engine = Engine()
    widget = dock(engine)
    estimate = widget.place.estimate
    assert estimate.isHidden()
    widget.place.line.setText(str(tmp_path / "a.tif"))
    assert not estimate.isHidden()
    assert not engine.asked  # small: only if somebody wants to know
    engine.wait.clear()
    estimate.start.click()
    qtbot.waitUntil(lambda: "few tiles" in estimate.text.text())
    assert not estimate.start.isEnabled()
    engine.wait.set()
    qtbot.waitUntil(lambda: "3 h 20 min" in estimate.text.text())
    assert engine.asked[0][0] == (20, 30)
    assert engine.asked[0][2] == tmp_path / "a.tif"
    widget.place.look()
    qtbot.wait(60)
    assert "3 h 20 min" in estimate.text.text()
    widget.diameter.setValue(20)
    qtbot.waitUntil(estimate.text.isHidden)
    engine.look = OutputError("The disk is too small. Replace: --overwrite.")
    estimate.start.click()
    qtbot.waitUntil(lambda: "too small" in estimate.text.text())
    assert "'Replace what is there'" in estimate.text.text()
    widget.place.line.clear()
    assert estimate.isHidden()
    assert estimate.text.isHidden()


def test_a_large_image_is_estimated_unasked(
    dock: Callable[..., SegmentWidget], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ahead, "_QUIET", 20)
    for module in (_ahead, _place):
        monkeypatch.setattr(module, "is_large", lambda image: True)
    engine = Engine()
    widget = dock(engine)
    qtbot.waitUntil(lambda: "3 h 20 min" in widget.place.estimate.text.text())
    assert len(engine.asked) == 1
    widget.place.line.clear()
    widget.run()  # whoever runs needs no estimate
    qtbot.waitUntil(lambda: widget.job is None)
    qtbot.wait(100)
    assert len(engine.asked) == 1
    assert widget.place.estimate.text.isHidden()


def test_a_run_asks_where_the_disk_may_become_full(
    dock: Callable[..., SegmentWidget], qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[str] = []
    answers = [False, True]
    monkeypatch.setattr(_ahead, "sure", lambda _, text: questions.append(text) or answers.pop(0))
    engine = Engine(TIGHT)
    widget = dock(engine)
    widget.place.line.setText(str(tmp_path / "a.tif"))
    widget.place.estimate.start.click()
    qtbot.waitUntil(lambda: "may become full" in widget.place.estimate.text.text())
    widget.run()
    assert "12 GB (13 GB free)" in questions[0]
    assert widget.job is None
    widget.run()
    assert widget.job is not None
    assert not widget.place.isEnabled()
    assert not widget.place.estimate.isEnabled()
    qtbot.waitUntil(lambda: widget.job is None)
    assert widget.place.isEnabled()
    assert engine.outputs == [tmp_path / "a.tif"]


def test_running_or_closing_ends_an_estimate(dock: Callable[..., SegmentWidget], qtbot: QtBot, tmp_path: Path) -> None:
    engine = Engine()
    widget = dock(engine)
    widget.place.line.setText(str(tmp_path / "a.tif"))
    engine.wait.clear()
    widget.place.estimate.start.click()
    qtbot.waitUntil(lambda: bool(engine.asked))
    widget.run()
    assert widget.place.estimate.job is None
    engine.wait.set()
    qtbot.waitUntil(lambda: widget.job is None and not jobs())
    engine.wait.clear()
    widget.place.estimate.start.click()
    qtbot.waitUntil(lambda: len(engine.asked) == 2)
    window = QWidget()
    qtbot.addWidget(window)
    widget.setParent(window)
    widget.setParent(None)  # as napari does when the dock is closed
    assert widget.place.estimate.job is None
    engine.wait.set()
    qtbot.waitUntil(lambda: not jobs())


def test_a_run_that_was_stopped_is_offered_and_goes_on(
    qtbot: QtBot, viewer: ViewerModel, bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disks: Any
) -> None:
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", lambda text: None)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "home"))
    source = tmp_path / "image.npy"
    np.save(source, disks[0])
    image = workflows.read_image(source)
    output = tmp_path / "mine.ome.zarr"
    spec = SegmentSpec.of(model=str(bright), diameter=12.0, min_size=9, tiling={"tile": 32})
    expected = workflows.segment(image, spec).hash
    running = workflows.segment_steps(image, spec, output=output)
    while next(running).done < 3:
        pass
    running.close()
    layer = viewer.add_image(np.load(source), name="image")
    layer._source = layer.source.model_copy(update={"path": str(source)})
    widget = SegmentWidget(viewer, engine=workflows)
    qtbot.addWidget(widget)
    row = widget.place.go_on
    assert not row.isHidden()
    assert "mine.ome.zarr" in row.text.text()
    row.start.click()
    assert widget.job is not None, widget.status.text()
    assert widget.place.line.text() == str(output)
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    assert viewer.layers[-1].metadata.get("napari-unet", {}).get("labels_hash") == expected, widget.status.text()
    assert row.isHidden()
    assert not Path(f"{output}.unfinished").exists()
