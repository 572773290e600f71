"""How a training will go, in words, before it starts; and the settings that few need."""

from __future__ import annotations

import threading
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.core.errors import UNetError
from napari_unet.core.results import Plan
from napari_unet.core.specs import TrainSpec
from napari_unet.core.steps import Progress, Steps

from ._parts import Fold, words
from ._patches import Draw, PatchBox
from ._plan_form import PlanForm
from ._worker import Job, Report

__all__ = ["PlanBox", "Stopped", "drawing", "planning"]

_SAFE_POINT: Final = "last.pt"


class Stopped(NamedTuple):
    """A run that can be gone on with: its folder and settings; None if there is none."""

    run: tuple[Path, TrainSpec] | None


def planning(engine: Any, data: Any, spec: TrainSpec) -> Steps[Plan]:
    """Look for a run of the same name that was stopped, then plan.

    Parameters
    ----------
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    data : path or sequence of Example
        What is learned from.
    spec : TrainSpec
        Settings.

    Returns
    -------
    Plan
        Of the engine.

    Yields
    ------
    Progress
        First with :class:`Stopped`, then of the engine.
    """
    folder = engine.training_folder(spec.name)
    found = engine.unfinished_training(folder) if (folder / _SAFE_POINT).is_file() else None
    yield Progress(0, 0, "Looking at the images", Stopped(None if found is None else (folder, found[0])))
    plan: Plan = yield from engine.plan_steps(data, spec)
    return plan


def drawing(engine: Any, data: Any, spec: TrainSpec, count: int, seed: int) -> Steps[Any]:
    """Draw patches as a training with these settings sees them, others with each seed."""
    shown: Steps[Any] = engine.preview_patches_steps(data, spec.model_copy(update={"seed": spec.seed + seed}), count)
    return shown


class PlanBox(QWidget):
    """The plan of a training in words, made in the background, and a form for whoever wants it otherwise.

    Parameters
    ----------
    task : str
        Preset that gives the defaults.
    """

    edited = Signal()
    stopped = Signal(object)  # folder and settings of a run of this name that can be gone on with, or None

    def __init__(self, task: str) -> None:
        super().__init__()
        self.plan: Plan | None = None
        self._job: Job | None = None
        self._last: threading.Thread | None = None
        self._draw: Draw | None = None
        self.text = words()
        self.warnings = words()
        self.warnings.setObjectName("warnings")
        self.form = PlanForm(task)
        for field in self.form.fields.values():
            field.changed.connect(self._edited)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.text)
        column.addWidget(self.warnings)
        self.patches, self.native = PatchBox(), QWidget()
        inner = QVBoxLayout(self.native)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addWidget(self.form.native)
        inner.addWidget(self.patches)
        column.addWidget(Fold("Advanced", self.native))
        self.say("")

    def suit(self, task: str) -> None:
        """Take the defaults of another task; what was changed by hand is forgotten."""
        self.form.suit(task)

    def _edited(self, _value: object = None) -> None:
        self.edited.emit()

    def changes(self) -> dict[str, Any]:
        """Return the settings that somebody has changed; see :meth:`PlanForm.changes`."""
        return self.form.changes()

    def look(self, make: Callable[[], Steps[Plan]], draw: Draw | None = None) -> None:
        """Plan in the background, and show what comes of it.

        Parameters
        ----------
        make : callable
            Returns the steps of a plan; called in another thread.
        draw : callable, optional
            Returns the steps that draw patches: their number and a seed are given.
        """
        self.stop()
        self._draw = draw
        self.say("Looking at the images …")
        self._job = job = Job(make, self, self._last)
        self._last = job.worker
        job.polled.connect(self._heard)
        job.succeeded.connect(self._planned)
        job.failed.connect(self._failed)
        job.start()

    def stop(self) -> None:
        """Stop planning."""
        if self._job is not None:
            self._job.cancel()
            self._job.deleteLater()
        self._job = None
        self.plan = self.patches.draw = None
        self.patches.stop()

    def say(self, text: str, warnings: tuple[str, ...] = ()) -> None:
        """Show sentences, and below them what the user should think about."""
        self.text.setText(text)
        self.text.setVisible(bool(text))
        self.warnings.setText("".join(f"<p style='margin:2px'>⚠ {escape(w)}</p>" for w in warnings))
        self.warnings.setVisible(bool(warnings))

    def _heard(self, reports: list[Report]) -> None:
        for report in reports:
            if isinstance(report.progress.payload, Stopped):
                self.stopped.emit(report.progress.payload.run)
        if reports and reports[-1].progress.note:
            self.text.setText(f"{reports[-1].progress.note} …")

    def _planned(self, plan: Plan) -> None:
        self.stop()
        self.plan, self.patches.draw = plan, self._draw
        self.form.show_plan(plan.spec)
        self.patches.look()
        self.say("\n".join(f"• {sentence}" for sentence in plan.words), plan.warnings)

    def _failed(self, error: BaseException) -> None:
        self.stop()
        self.say("", (str(error) if isinstance(error, UNetError) else f"{type(error).__name__}: {error}",))
