"""What the dock widgets look like: rows, buttons, a progress bar and a line that says how things stand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QFormLayout, QProgressBar, QScrollArea, QVBoxLayout, QWidget

from napari_unet.core.errors import UNetError
from napari_unet.core.pace import Pace
from napari_unet.core.steps import Steps

from ._parts import button, order_tabs, row, words
from ._settings import in_the_dock
from ._worker import Job, Report

__all__ = ["Panel"]

_WIDTH: Final = 330


class Panel(QScrollArea):
    """A dock: a line of help, a form, a Run button with Cancel beside it, a progress bar and a status line.

    It scrolls where the screen is too small, so that nothing is cut off.

    Parameters
    ----------
    help_ : str
        One sentence on what to do.
    run : str
        Text of the button that starts.
    """

    settled = Signal()  # nothing runs any more
    working = Signal(bool)  # whether something runs

    job: Job | None = None
    pace: Pace
    _worker: threading.Thread | None = None  # of the last job, which may still be about to stop
    _ears: tuple[Callable[[list[Report]], None], Callable[[Any], str]] | None = None

    def __init__(self, help_: str, run: str) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setMinimumWidth(_WIDTH)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.body = QWidget()
        self.setWidget(self.body)
        self.column = QVBoxLayout(self.body)
        self.column.setContentsMargins(10, 8, 10, 8)
        self.column.setSpacing(8)
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.form.setHorizontalSpacing(10)
        self.form.setVerticalSpacing(8)
        self.start = button(run, "", self.run)
        self.start.setMinimumHeight(40)
        font = self.start.font()
        font.setBold(True)
        font.setPointSizeF(font.pointSizeF() * 1.15)
        self.start.setFont(font)
        self.start.setStyleSheet("QPushButton:enabled {background-color: palette(highlight)}")
        self.stop = button("Cancel", "Stop at once; nothing half-made is left behind.", self._stop)
        self.stop.setMinimumHeight(40)
        self.bar = QProgressBar()
        keep = self.bar.sizePolicy()
        keep.setRetainSizeWhenHidden(True)  # so that nothing jumps when a run starts
        self.bar.setSizePolicy(keep)
        self.status = words()
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing() + 10)  # two lines and the margins
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.column.addWidget(words(help_))
        self.column.addLayout(self.form)
        self.buttons = row((self.start, 3), (self.stop, 1))
        self.column.addLayout(self.buttons)
        self.lines = words()
        self.lines.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.column.addWidget(self.status)
        self.column.addWidget(self.bar)
        self.column.addWidget(self.lines)
        self.tell("")
        self.busy(False)

    def run(self) -> None:
        """Start what the dock is for."""
        raise NotImplementedError

    def event(self, event: QEvent | None) -> bool:
        """Stop when the dock is closed: napari takes this widget out of the window without deleting it."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.cancel()
        if event is not None and event.type() == QEvent.Type.Polish:  # everything is in its place
            order_tabs(self.column)
        return bool(super().event(event))

    def dropped(self) -> None:
        """Clean up after a job that ended without a result."""

    def begin(
        self, make: Callable[[], Steps[Any]], polled: Callable[[list[Report]], None], done: Callable[[Any], str]
    ) -> None:
        """Start a job.

        Parameters
        ----------
        make : callable
            Returns the steps; called in the job's thread.
        polled : callable
            Gets the reports since the last time, possibly none.
        done : callable
            Gets the result and returns what to say about it.
        """
        self.job = job = Job(make, self, self._worker)
        self._worker = job.worker
        # Methods only, which Qt holds weakly. With PySide a job keeps whatever else it calls: if that was the last to
        # hold the dock, the dock went down with the job, and deleted it a second time.
        self._ears, self.pace = (polled, done), Pace()
        self.tell("")
        job.polled.connect(self._heard)
        job.succeeded.connect(self._succeeded)
        job.failed.connect(self._failed)
        self.busy(True)
        self.say("Starting …")
        job.start()

    def cancel(self, text: str = "Stopped.") -> None:
        """Stop the job for the screen at once, and in its thread when the present step is over."""
        if self.job is not None:
            self.job.poll()  # what is over by now is not stopped any more
        if self.job is None:
            return
        self.job.cancel()
        self.dropped()
        self._settle(text)

    def _stop(self) -> None:
        self.cancel()

    def _heard(self, reports: list[Report]) -> None:
        for text in filter(None, (report.progress.news for report in reports)):
            self.tell(text)
        if self._ears is not None:
            self._ears[0](reports)

    def _succeeded(self, result: Any) -> None:
        if self._ears is None:
            return
        try:
            said = self._ears[1](result)
        except UNetError as error:  # what was made cannot be taken over, or not be written down
            self._failed(error)
        else:
            self._settle(said)

    def complain(self, error: BaseException) -> None:
        """Show an error: its text if it was raised for the user, its kind too if nobody expected it."""
        text = in_the_dock(str(error)) if isinstance(error, UNetError) else f"{type(error).__name__}: {error}"
        self.say(text)
        show_error(text)

    @contextmanager
    def complaining(self) -> Iterator[None]:
        """Show what cannot be done within, and go on after it."""
        try:
            yield
        except UNetError as error:
            self.complain(error)

    def _failed(self, error: BaseException) -> None:
        self.dropped()
        self._settle("")
        self.complain(error)

    def _settle(self, text: str) -> None:
        if self.job is not None:
            self.job.deleteLater()
        self.job = self._ears = None
        self.busy(False)
        self.say(text)
        self.settled.emit()

    def busy(self, running: bool) -> None:
        """Show that something runs, or that everything is quiet."""
        self.start.setEnabled(not running)
        self.stop.setEnabled(running)
        self.bar.setRange(0, 0 if running else 1)
        self.bar.setValue(0)
        self.bar.setVisible(running)
        self.working.emit(running)

    def say(self, text: str) -> None:
        """Show a text in the status line."""
        self.status.setText(text)

    def tell(self, text: str) -> None:
        """Add a line below the bar, which stays until the next job begins; an empty one takes all of them away."""
        lines = [self.lines.text(), f"• {in_the_dock(text)}"] if text else []
        self.lines.setText("\n".join(filter(None, lines)))
        self.lines.setVisible(bool(text))

    def follow(self, reports: list[Report]) -> None:
        """Show the last report in the bar and the status line, with the time that is left."""
        for report in reports:
            self.pace.add(report.progress, report.at)
        if reports:
            last = reports[-1].progress
            self.bar.setRange(0, last.total)  # a total of 0 means that nobody knows
            self.bar.setValue(min(last.done, last.total))
            self.say(", ".join(filter(None, (last.note, self.pace.words))))
