"""Run the steps of a long job in a thread while the screen stays alive.

The thread never touches Qt or napari: it puts what it has into a queue, and a timer of the main thread takes it out.
So a deleted window cannot be called from the thread, and every exception arrives (napari's own generator worker drops a
`RuntimeError`, which is what running out of graphics memory raises).
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.core.errors import Cancelled, UNetError
from napari_unet.core.steps import Progress, Steps

__all__ = ["Job", "Report"]

_log = logging.getLogger(__name__)
_POLL: Final = 100  # milliseconds
_LOOK_UP: Final = 0.1  # seconds between two looks at what is waited for
_PATIENCE: Final = 5.0  # seconds that the end of the program waits for a tile in work
_running: set[tuple[threading.Thread, threading.Event]] = set()


@dataclass(frozen=True)
class Report:
    """A Progress and the moment at which it was made, in seconds of the monotonic clock."""

    at: float
    progress: Progress


@dataclass(frozen=True)
class _End:
    result: Any = None
    error: BaseException | None = None


class Job(QObject):
    """One job in one thread.

    Parameters
    ----------
    make : callable
        Returns the steps; called in the thread, so that importing the engine does not freeze the screen.
    parent : QObject, optional
        When it is deleted the job stops.
    after : threading.Thread, optional
        Of a job that was told to stop: this one begins when it is over.
    """

    polled = Signal(object)  # list of Report, possibly empty: a heartbeat
    succeeded = Signal(object)  # what the steps return
    failed = Signal(object)  # the exception

    def __init__(
        self, make: Callable[[], Steps[Any]], parent: QObject | None = None, after: threading.Thread | None = None
    ) -> None:
        super().__init__(parent)
        self._stop = threading.Event()
        self._queue: queue.SimpleQueue[Report | _End] = queue.SimpleQueue()
        work = partial(_work, make, self._stop, self._queue, after)
        self.worker = threading.Thread(target=work, name="napari-unet", daemon=True)
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL)
        self._timer.timeout.connect(self.poll)
        self._polling = False
        self.destroyed.connect(self._stop.set)

    def start(self) -> None:
        """Begin."""
        _running.add((self.worker, self._stop))
        self.worker.start()
        self._timer.start()

    def cancel(self) -> None:
        """Stop: nothing is emitted any more, and the thread ends when its present step is over."""
        self._stop.set()
        self._timer.stop()

    def poll(self) -> None:
        """Emit what has come from the thread by now."""
        if self._polling:
            return
        self._polling = True
        try:
            self._emit()
        finally:
            self._polling = False

    def _emit(self) -> None:
        reports: list[Report] = []
        end: _End | None = None
        while not self._queue.empty():
            item = self._queue.get()
            if isinstance(item, _End):
                end = item
            else:
                reports.append(item)
        self.polled.emit(reports)
        if end is None or self._stop.is_set():
            return
        self._timer.stop()
        if end.error is None:
            self.succeeded.emit(end.result)
        else:
            self.failed.emit(end.error)


def _work(
    make: Callable[[], Steps[Any]],
    stop: threading.Event,
    reports: queue.SimpleQueue[Report | _End],
    after: threading.Thread | None,
) -> None:
    end = _End(error=Cancelled("The run ended without a result."))
    try:
        while after is not None and after.is_alive() and not stop.is_set():
            after.join(_LOOK_UP)
        steps = make()
        try:
            while not stop.is_set():
                reports.put(Report(time.monotonic(), next(steps)))
        except StopIteration as last:
            end = _End(last.value)
        finally:
            steps.close()
    except UNetError as error:
        end = _End(error=error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the screen must hear of it
        _log.exception("The run stopped with an unexpected error.")
        end = _End(error=error)
    finally:
        reports.put(end)
        _running.discard((threading.current_thread(), stop))


@atexit.register
def _stop_all() -> None:
    # A daemon thread inside torch may crash the interpreter while it is taken down, so wait a little for it.
    running = list(_running)
    for _, stop in running:
        stop.set()
    for thread, _ in running:
        thread.join(_PATIENCE)
