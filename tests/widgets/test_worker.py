"""A job ends in exactly one way, and its thread is gone afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QObject

from napari_unet.core.errors import ImageError
from napari_unet.core.steps import Progress, Steps
from napari_unet.widgets._worker import Job, Report


class Watch:
    """What a job emitted."""

    def __init__(self, make: Callable[[], Steps[Any]], parent: QObject | None = None) -> None:
        self.reports: list[Report] = []
        self.results: list[object] = []
        self.errors: list[BaseException] = []
        self.job = Job(make, parent)
        self.job.polled.connect(self.reports.extend)
        self.job.succeeded.connect(self.results.append)
        self.job.failed.connect(self.errors.append)
        self.job.start()


def count(n: int, closed: threading.Event | None = None, pause: float = 0.0) -> Steps[str]:
    try:
        for i in range(n):
            time.sleep(pause)
            yield Progress(i + 1, n, "Counting")
        return "done"
    finally:
        if closed is not None:
            closed.set()


def test_reports_then_result(qtbot: QtBot) -> None:
    watch = Watch(lambda: count(3))
    qtbot.waitUntil(lambda: bool(watch.results))
    assert watch.results == ["done"]
    assert [r.progress.done for r in watch.reports] == [1, 2, 3]
    assert not watch.errors


# A generator worker of superqt drops the first of these.
@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), ImageError("unreadable"), MemoryError("x")])
def test_every_error_arrives(qtbot: QtBot, error: Exception) -> None:
    def make() -> Steps[None]:
        yield Progress(0, 0)
        raise error

    watch = Watch(make)
    qtbot.waitUntil(lambda: bool(watch.errors))
    assert watch.errors == [error]
    assert not watch.results


def test_an_error_before_the_first_step_arrives(qtbot: QtBot) -> None:
    def make() -> Steps[None]:
        raise ImportError("no torch here")

    watch = Watch(make)
    qtbot.waitUntil(lambda: bool(watch.errors))
    assert isinstance(watch.errors[0], ImportError)


def test_cancel_closes_the_steps_and_stays_silent(qtbot: QtBot) -> None:
    closed = threading.Event()
    watch = Watch(lambda: count(1000, closed, 0.01))
    qtbot.waitUntil(lambda: bool(watch.reports))
    seen = len(watch.reports)
    watch.job.cancel()
    assert closed.wait(5)
    qtbot.wait(250)
    assert len(watch.reports) == seen
    assert not watch.results
    assert not watch.errors


def test_a_deleted_parent_stops_the_job(qtbot: QtBot) -> None:
    closed = threading.Event()
    parent = QObject()
    watch = Watch(lambda: count(1000, closed, 0.01), parent)
    qtbot.waitUntil(lambda: bool(watch.reports))
    parent.deleteLater()
    qtbot.waitUntil(closed.is_set)


def test_the_program_ends_during_a_job() -> None:
    code = """
import time
from qtpy.QtCore import QCoreApplication
from napari_unet.core.steps import Progress
from napari_unet.widgets._worker import Job

def steps():
    try:
        while True:
            time.sleep(0.05)
            yield Progress(0, 0)
    finally:
        print("closed")

app = QCoreApplication([])
job = Job(steps)
job.start()
time.sleep(0.2)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")
