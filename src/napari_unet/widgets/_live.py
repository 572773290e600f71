"""What is seen of a training while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.core.pace import Pace, in_words
from napari_unet.core.results import Epoch
from napari_unet.core.steps import Progress, Steps

from ._curves import Curves, load_plots
from ._gallery import Gallery, Pictures, read_pictures
from ._parts import button
from ._worker import Report

__all__ = ["Clock", "LiveBox", "Seen", "watching"]


_PLANNED: Final = "planned"  # the dock has told the plan already


@dataclass(frozen=True)
class Seen:
    """A report, and what it names, read by the thread of the job."""

    epoch: Epoch
    pictures: Pictures = ()
    preview: npt.NDArray[Any] | None = None


def watching(make: Callable[[], Steps[Any]], earlier: Callable[[], list[Epoch]] = list) -> Steps[Any]:
    """Read what a training writes for people to look at, so that nobody waits for it.

    Parameters
    ----------
    make : callable
        Returns the steps of a training, whose progress carries an Epoch now and then.
    earlier : callable
        Returns what the same training has reported before it was stopped.

    Returns
    -------
    Any
        What the training returns.

    Yields
    ------
    Progress
        Of the training, with :class:`Seen` in the place of an Epoch.
    """
    yield Progress(0, 0, "Starting")
    load_plots()
    for epoch in earlier():
        yield Progress(0, 0, "Starting", Seen(epoch))
    steps = make()
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as last:
                return last.value
            if progress.note == _PLANNED:
                progress = replace(progress, news="")
            epoch = progress.payload
            if isinstance(epoch, Epoch):
                progress = Progress(progress.done, progress.total, progress.note, _seen(epoch), progress.news)
            yield progress
    finally:
        steps.close()


def _seen(epoch: Epoch) -> Seen:
    """Read what a report is about; a training that is over by now has taken it away."""
    try:
        pictures = read_pictures(epoch.examples)
        return Seen(epoch, pictures, None if epoch.preview is None else np.load(epoch.preview))
    except OSError:
        return Seen(epoch)


class Clock:
    """What is being done and for how long still.

    Parameters
    ----------
    minutes : float or None
        Time that the training was given; None if its steps are counted.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self._minutes, self._pace, self._note = minutes, Pace(), ""
        self._end: float | None = None

    def add(self, report: Report) -> None:
        """Take a report into account."""
        self._note = report.progress.note
        self._pace.add(report.progress, report.at)
        if self._minutes is not None and isinstance(report.progress.payload, Seen):
            self._end = report.at + 60 * self._minutes - report.progress.payload.epoch.seconds

    @property
    def text(self) -> str:
        """For the status line."""
        left = self._pace.left if self._end is None else self._end - time.monotonic()
        return ", ".join(filter(None, (self._note, in_words(left) if left is not None and left > 0 else "")))


class LiveBox(QWidget):
    """Curves, pictures, and the way to the folder of the run."""

    def __init__(self) -> None:
        super().__init__()
        self.curves = Curves()
        self.gallery = Gallery()
        self.folder = button("Open the run's folder", "Its log, pictures and safe points.", self._open)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.curves, self.gallery, self.folder):
            column.addWidget(widget)
        self.setVisible(False)

    def begin(self, folder: Path) -> Path | None:
        """Show that a training begins.

        Parameters
        ----------
        folder : Path
            Of the run.

        Returns
        -------
        Path or None
            The folder, if nothing of the run is shown yet: it may have a curve of an earlier day.
        """
        self.folder.setToolTip(str(folder))
        self.folder.setVisible(True)
        self.setVisible(True)
        return None if self.curves.points else folder

    def clear(self) -> None:
        """Forget the last training."""
        self.curves.clear()
        self.gallery.clear()
        self.setVisible(False)

    def add(self, found: list[Seen]) -> None:
        """Show reports, in their order."""
        self.curves.add([seen.epoch for seen in found])
        for seen in found[-1:]:
            self.gallery.show_pictures(seen.pictures)

    def end(self) -> None:
        """Show that the run has no folder any more."""
        self.folder.setVisible(False)

    def _open(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(self.folder.toolTip()))
