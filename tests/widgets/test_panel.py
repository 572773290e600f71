"""What all docks have in common: a job belongs to its dock, and never the other way round."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
from pytestqt.qtbot import QtBot

from napari_unet.core.steps import Progress, Steps
from napari_unet.widgets._panel import Panel


def count(n: int, closed: threading.Event) -> Steps[str]:
    try:
        for i in range(n):
            time.sleep(0.01)
            yield Progress(i + 1, n, "Counting")
        return "done"
    finally:
        closed.set()


def begin(panel: Panel, n: int) -> threading.Event:
    """Start a job whose callbacks hold the dock, as those of most docks do."""
    closed = threading.Event()
    panel.begin(lambda: count(n, closed), lambda _: panel.follow([]), lambda result: f"{result}{panel.objectName()}")
    return closed


def test_a_dock_that_is_dropped_takes_its_job_along(qtbot: QtBot) -> None:
    panel = Panel("Help.", "Run")
    closed = begin(panel, 10_000)
    gone = weakref.ref(panel)
    del panel
    gc.collect()
    assert gone() is None
    qtbot.waitUntil(closed.is_set)


def test_a_job_that_ends_does_not_take_its_dock_along(qtbot: QtBot) -> None:
    # With PySide the job was the last to hold the dock: the end of the one was the end of the other, twice.
    panel = Panel("Help.", "Run")
    begin(panel, 1)
    qtbot.waitUntil(lambda panel=panel: panel.job is None)
    assert panel.status.text() == "done"
    gone = weakref.ref(panel)
    del panel
    gc.collect()
    assert gone() is None
    qtbot.wait(1)


def test_news_stay_in_sight_until_the_next_job(qtbot: QtBot) -> None:
    def steps() -> Steps[str]:
        yield Progress(0, 0, news="It takes 3 h.")
        yield Progress(1, 2, "Counting")
        yield Progress(2, 2, "Counting", news="Memory was short: go on with --batch 1.")
        return "done"

    panel = Panel("Help.", "Run")
    qtbot.addWidget(panel)
    assert panel.lines.isHidden()
    panel.begin(steps, lambda _: None, str)
    qtbot.waitUntil(lambda: panel.job is None)
    assert panel.lines.text() == "• It takes 3 h.\n• Memory was short: go on with 1 in 'Tiles at once' (Advanced)."
    assert not panel.lines.isHidden()
    begin(panel, 1)
    assert panel.lines.isHidden()
    qtbot.waitUntil(lambda: panel.job is None)
    assert not panel.lines.text()


def test_what_is_over_by_now_is_not_stopped(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.widgets._worker._POLL", 10**6)
    panel = Panel("Help.", "Run")
    qtbot.addWidget(panel)
    begin(panel, 1)
    worker = panel._worker
    assert worker is not None
    worker.join(10)
    panel.cancel()
    assert panel.status.text() == "done"


def test_a_job_that_asks_whether_to_stop_is_asked_once(qtbot: QtBot) -> None:
    """Stopping while reports are handed out hands out no others."""
    panel = Panel("Help.", "Run")
    qtbot.addWidget(panel)
    closed = threading.Event()
    panel.begin(lambda: count(1000, closed), lambda _: panel.cancel("Enough."), str)
    qtbot.waitUntil(lambda: panel.job is None)
    assert panel.status.text() == "Enough."
    qtbot.waitUntil(closed.is_set)
