"""Buttons for a training that runs or was stopped: pause, resume, finish now, stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unet.core.errors import SpecError, TrainingError, UNetError

from ._parts import button, row

__all__ = ["SteerRow"]

_TOO_EARLY: Final = "The training has only just begun. Try again in a moment."


class SteerRow(QWidget):
    """Pause and Finish now; the dock's own button stops.

    Parameters
    ----------
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    """

    resumed = Signal()  # a training that was stopped is to go on
    failed = Signal(object)  # a UNetError: what was wished was not heard

    def __init__(self, engine: ModuleType | Any) -> None:
        super().__init__()
        self._engine = engine
        self._running, self._held = False, False
        self._name: str | None = None
        self.pause = button("Pause", "Stop for a while; nothing that was learned is lost.", self._pause)
        self.finish = button(
            "Finish now",
            "End well, and make the model of what was learned so far. Stop keeps it for later.",
            self._finish,
        )

    def stand(self, column: QVBoxLayout, buttons: QBoxLayout, stop: QPushButton) -> None:
        """Take a place below the button that starts.

        Parameters
        ----------
        column : QVBoxLayout
            Of the dock.
        buttons : QBoxLayout
            The row of the button that starts, and of `stop`, which moves to this row.
        stop : QPushButton
            Ends the training at once.
        """
        stop.setText("Stop")
        stop.setToolTip("Stop at once. What was learned is kept: Resume goes on.")
        stop.setMinimumHeight(self.pause.minimumHeight())
        buttons.removeWidget(stop)
        own = row((self.pause, 1), (self.finish, 1), (stop, 1))
        own.setContentsMargins(0, 0, 0, 0)
        self.setLayout(own)
        column.insertWidget(column.indexOf(buttons) + 1, self)

    def show_run(self, running: bool, name: str | None) -> None:
        """Show what can be done.

        Parameters
        ----------
        running : bool
            Whether a training runs.
        name : str or None
            Of the model whose training runs or was stopped.
        """
        self._running, self._held, self._name = running, False, name
        self.pause.setText("Pause" if running or name is None else "Resume")
        self.finish.setText("Finish now")
        for each in (self.pause, self.finish):
            each.setEnabled(name is not None)

    def _pause(self) -> None:
        if not self._running:
            self.resumed.emit()
        elif self._wish(self._engine.hold_training, not self._held):
            self._held = not self._held
            self.pause.setText("Resume" if self._held else "Pause")

    def _wish(self, verb: Callable[..., None], *options: bool) -> bool:
        """Say whether a wish could be left for the training; why it could not is said."""
        if self._name is None:
            return False
        folder: Path = self._engine.training_folder(self._name)
        try:
            verb(folder, *options)
        except UNetError as error:
            self.failed.emit(TrainingError(_TOO_EARLY) if isinstance(error, SpecError) else error)
            return False
        return True

    def _finish(self) -> None:
        if not self._wish(self._engine.finish_training):
            return
        for each in (self.pause, self.finish):
            each.setEnabled(False)
        if self._running:
            self.finish.setText("Finishing …")
        else:
            self.resumed.emit()
