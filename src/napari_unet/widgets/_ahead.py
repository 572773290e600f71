"""What is said before a run: how long it will take, and what room it needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, Final

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.errors import UNetError
from napari_unet.core.memory import is_large
from napari_unet.core.preflight import Preflight, size_words, time_words

from ._meant import Place, Run
from ._parts import button, row, sure, words
from ._settings import in_the_dock
from ._worker import Job, Report

__all__ = ["Estimate", "in_plain_words"]

_WATCH: Final = 500  # milliseconds between two looks whether what is said still holds
_QUIET: Final = 1500  # milliseconds without a change, after which a large image is estimated unasked


def in_plain_words(found: Preflight) -> str:
    """Say what a run will take.

    Parameters
    ----------
    found : Preflight
        The estimate.

    Returns
    -------
    str
        A few sentences.
    """
    device = "the processor" if found.device == "cpu" else f"the graphics card ({found.device})"
    rest = f" for the {found.left:.0%} that is left" if found.left < 1 else ""
    parts = [f"It will take about {time_words(found.seconds)} on {device}{rest}."]
    if found.disk is not None:
        parts.append(f"Disk: about {found.disk.words} meanwhile, {size_words(found.labels)} for the labels in the end.")
    parts.append(f"Memory: about {found.memory.words}.")
    if found.device_memory is not None:
        parts.append(f"Memory of the card: about {found.device_memory.words}.")
    if found.disk is not None and found.disk.tight:
        parts.append("The disk may become full: make room, or choose another place.")
    if found.memory.tight:
        parts.append("Memory may be short: close other programs, or set fewer threads (Advanced).")
    if found.device_memory is not None and found.device_memory.tight:
        parts.append("The memory of the card may be short: set a smaller tile size (Advanced).")
    return " ".join(parts)


class Estimate(QWidget):
    """Says what a run will take, if it is large or goes to a file; computed in another thread.

    Parameters
    ----------
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    ask : callable
        Returns image, settings and place of the run that is meant; a UNetError says what is missing.
    """

    def __init__(self, engine: ModuleType | Any, ask: Callable[[], Run]) -> None:
        super().__init__()
        self._engine, self._ask = engine, ask
        self.job: Job | None = None
        self._of: object = None  # the run that `found` is of
        self._next: object = None
        self._seen: object = None
        self.found: Preflight | None = None
        self.text = words()
        self.start = button("What will it take?", "Compute a few parts, and tell time, memory and disk.", self.estimate)
        layout = row((self.start, 1))
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)
        self._quiet = QTimer(self)
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(_QUIET)
        self._quiet.timeout.connect(self._unasked)
        self._watch = QTimer(self)
        self._watch.setInterval(_WATCH)
        self._watch.timeout.connect(self._look_again)

    def add_to(self, form: QFormLayout) -> None:
        """Add the rows to a form."""
        form.addRow(self)
        form.addRow(self.text)
        self._say("")

    def look(self, image: Image | None, place: Place | None) -> None:
        """Follow the choice of an image and a place; a large image is estimated when nothing changes for a while."""
        seen = (
            None if image is None else (id(image.data), image.shape, image.axes, None if place is None else place.path)
        )
        if seen == self._seen:
            return
        self._seen = seen
        self.forget()
        large = image is not None and is_large(image)
        self.setVisible(image is not None and (large or place is not None))
        if large:
            self._quiet.start()

    def forget(self) -> None:
        """Say nothing any more, and estimate no more."""
        self.stop()
        self.found = self._of = None
        self._watch.stop()
        self._say("")

    def _look_again(self) -> None:
        try:
            same = self._ask().key == self._of
        except UNetError:
            same = False
        if not same:
            self.forget()

    def _unasked(self) -> None:
        if self.start.isVisible():
            self.estimate()

    def _say(self, text: str) -> None:
        self.text.setText(text)
        self.text.setVisible(bool(text))

    def estimate(self) -> None:
        """Begin; what is missing is said."""
        self.stop()
        try:
            run = self._ask()
        except UNetError as error:
            self._say(in_the_dock(str(error)))
            return
        self._next, self.found = run.key, None
        path = None if run.place is None else run.place.path
        self.job = job = Job(partial(self._engine.preflight_steps, run.image, run.spec, path), self)
        job.polled.connect(self._heard)
        job.succeeded.connect(self._succeeded)
        job.failed.connect(self._failed)
        self.start.setEnabled(False)
        self._say("Looking ahead …")
        job.start()

    def stop(self) -> None:
        """Estimate no more: the run itself begins, or another one is meant."""
        self._quiet.stop()
        if self.job is not None:
            self.job.cancel()
            self._over("")

    def _over(self, text: str) -> None:
        if self.job is not None:
            self.job.deleteLater()
        self.job = None
        self.start.setEnabled(True)
        self._say(text)

    def _heard(self, reports: list[Report]) -> None:
        if reports:
            self._say(f"{reports[-1].progress.note} …")

    def _succeeded(self, found: Preflight) -> None:
        self.found, self._of = found, self._next
        self._watch.start()
        self._over(in_plain_words(found))

    def _failed(self, error: BaseException) -> None:
        self._over(in_the_dock(str(error)))

    def may_run(self, run: Run) -> bool:
        """Stop estimating, and ask if the disk may become full."""
        found = self.found if self._of == run.key else None
        disk = None if found is None else found.disk
        if disk is not None and disk.tight:
            question = f"The disk may become full: about {disk.words} are needed. Run all the same?"
            if not sure(self, question):
                return False
        self.forget()
        return True
