"""What all docks have in common: a job belongs to its dock, and never the other way round."""

from __future__ import annotations

import gc
import threading
import time
import weakref

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
    panel.begin(
        lambda: count(n, closed), lambda _: panel.progress(0, 0), lambda result: f"{result}{panel.objectName()}"
    )
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
