"""Make a model from labels that were drawn in the viewer."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import QTimer

from napari_unet import workflows
from napari_unet.core.errors import SpecError, UNetError
from napari_unet.core.specs import TrainSpec

from ._after import AfterBox, try_model
from ._data import DataBox
from ._growing import GrowRow
from ._kind import KindBox
from ._live import Clock, LiveBox, Seen, watching
from ._news import NEWS
from ._panel import Panel
from ._plan import PlanBox, drawing, planning
from ._preview import Preview, preview_of
from ._start import StartBox
from ._steer import SteerRow
from ._worker import Report

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_unet.workflows import Collection

__all__ = ["TrainWidget"]

_HELP: Final = "Draw labels on an image, then press Train. The viewer stays free while the model learns."
_BEGUN: Final = "A training of '{name}' was stopped: press Resume, or give the new model another name."
_MANY: Final = 1_000_000  # steps: the time decides
_SOON: Final = 300  # milliseconds in which several changes count as one


class TrainWidget(Panel):
    """The dock that trains.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where the layers are.
    engine : module, optional
        Has the verbs of :mod:`napari_unet.workflows`.
    task : str
        Preset, an entry of ``tasks/``.
    """

    def __init__(self, napari_viewer: Viewer, engine: ModuleType | Any = workflows, task: str = "cell") -> None:
        super().__init__(_HELP, "Train")
        self.viewer, self.engine, self.kind = napari_viewer, engine, KindBox(task)
        self.clock = Clock()
        self.preview: Preview | None = None
        self.going: tuple[Any, TrainSpec] | None = None  # a run that was begun: its data and settings
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON)
        self._soon.timeout.connect(self.look)
        self.data, self.begin_with, self.plan = DataBox(napari_viewer), StartBox(), PlanBox(task)
        self.live, self.after, self.steer = LiveBox(), AfterBox(), SteerRow(engine)
        self.grow, self.pause = GrowRow(napari_viewer, engine, self), self.steer.pause
        self._lay_out()
        self.plan.stopped.connect(self._offer)
        self.settled.connect(self._soon.start)
        self.kind.chosen.connect(self.plan.suit)
        for signal in (self.data.changed, self.plan.edited, self.kind.changed, self.begin_with.changed):
            signal.connect(self._soon.start)
        self.after.tried.connect(self._try)
        self.after.stands.connect(self._show_after)
        self.after.wanted.connect(self._export)
        self.grow.grown.connect(self._grown)
        NEWS.models.connect(self.list_models)
        self.list_models()
        self.list_sets()
        self.busy(False)
        self.say("Ready.")

    def _lay_out(self) -> None:
        for widget in (self.data, self.grow, self.kind, self.begin_with, self.plan):
            self.form.addRow(widget)
        self.steer.stand(self.column, self.buttons, self.stop)
        self.steer.resumed.connect(self._resume)
        self.steer.failed.connect(self.complain)
        self.column.addWidget(self.live)
        self.column.addWidget(self.after)
        self.column.addStretch(1)

    def list_models(self) -> None:
        """List the models again."""
        with self.complaining():
            self.begin_with.show_models(self.engine.list_models())

    def list_sets(self) -> None:
        """List the collections of corrections again."""
        self.data.show_sets({str(one.table): f"{one.name}: {one.caption}" for one in self.engine.list_collections()})

    def busy(self, running: bool) -> None:
        """Show that something runs, or that everything is quiet."""
        super().busy(running)
        if not hasattr(self, "after"):  # the panel calls this while it is built
            return
        self.steer.show_run(running, None if self.going is None else self.going[1].name)
        for widget in (self.data, self.kind, self.begin_with, self.plan):
            widget.setEnabled(not running)
        self.plan.setVisible(not running or self.live.isHidden())  # curves and pictures stand where it was
        self.after.export.setEnabled(not running)

    def spec(self) -> TrainSpec:
        """Return the settings as they are shown; a SpecError says which of them cannot be used."""
        given = {"steps": _MANY, **self.data.rules, **self.begin_with.values, **self.plan.changes()}
        given |= ({} if given["start"] else self.kind.values) | ({"minutes": None} if given["steps"] != _MANY else {})
        return TrainSpec.of(task=self.kind.task.name, **given)

    def look(self) -> None:
        """Look at what is chosen: say what is wrong with it, or plan the training in the background."""
        if self.job is not None:
            return
        try:
            self._suit()
            data = self.data.read()
            spec, engine = self.spec(), self.engine
        except UNetError as error:
            self.plan.stop()
            self.plan.say(str(error))
            return
        self.plan.look(lambda: planning(engine, data, spec), partial(drawing, engine, data, spec))

    def _suit(self) -> None:
        """Start from a model that fits the kind and the image, also while something is wrong with the labels."""
        views = self.data.views
        self.begin_with.suit(views[0][1] if views else None, self.kind.task)
        self.data.pairs.order(self.begin_with.bands)

    def _offer(self, stopped: tuple[Path, TrainSpec] | None) -> None:
        """Offer to go on with a run of this name that was stopped, today or another day."""
        if self.job is None:
            self.going = stopped
            self.busy(False)

    def run(self) -> None:
        """Start a training; what is missing is said in the status line."""
        if self.job is not None:
            return
        try:
            self._suit()
            if self.begin_with.wrong:
                raise SpecError(self.begin_with.wrong)
            if self.going is not None and self.going[1].name == self.begin_with.values["name"]:
                raise SpecError(_BEGUN.format(name=self.going[1].name))
            data, spec = self.data.read(), self.spec()
        except UNetError as error:
            self.complain(error)
            return
        self.live.clear()
        self._go(data, spec)

    def _resume(self) -> None:
        if self.job is None and self.going is not None:
            self._go(*self.going)

    def _stop(self) -> None:
        self.cancel("Stopped. What was learned is kept: Resume goes on where it was.")

    def _go(self, data: Any, spec: TrainSpec) -> None:
        engine, planned = self.engine, self.plan.plan
        self.plan.stop()
        self.going, self.clock = (data, spec), Clock(spec.minutes)
        net = self.kind.task.net if planned is None or planned.spec.net is None else planned.spec.net
        self.preview = preview_of(self.viewer, self.data.views, net.ndim)
        image = None if self.preview is None else self.preview.image
        self.after.setVisible(False)
        earlier = partial(engine.training_curve, self.live.begin(engine.training_folder(spec.name)))
        make = partial(engine.train_apart_steps, data, spec, preview=image)
        self.begin(partial(watching, make, earlier), self._polled, self._done)

    def _polled(self, reports: list[Report]) -> None:
        found = [r.progress.payload for r in reports if isinstance(r.progress.payload, Seen)]
        self.live.add(found)
        for labels in [seen.preview for seen in found if seen.preview is not None][-1:]:
            if self.preview is not None:
                self.preview.show(labels, f"{self.going[1].name} preview" if self.going else "preview")
        for report in reports:
            self.clock.add(report)
        self.follow(reports)
        self.say(self.clock.text)

    def _done(self, folder: Path) -> str:
        name = self.going[1].name if self.going else Path(folder).name
        self.going = None
        self.live.end()
        NEWS.models.emit()
        card = next((card for card in self.engine.list_models() if card.name == name), None)
        if card is None:
            return f"The model is in {folder}."
        self.after.show_model(card, self.engine.locate_model(name))
        self.begin_with.propose(name)
        return f"Done: '{name}' is in the lists of models."

    def _show_after(self) -> None:
        self.ensureWidgetVisible(self.after.attempt)

    def _try(self, name: str) -> None:
        try_model(self.viewer, name, task=self.kind.task.name, channels=self.data.pairs.channels)

    def _export(self, path: Path) -> None:
        if self.job is None:
            steps = partial(self.engine.export_model_steps, self.after.name, path, "bioimageio", overwrite=True)
            self.begin(steps, self.follow, lambda file: f"Wrote {file}.")

    def _grown(self, found: Collection, model: str) -> None:
        self.list_sets()
        self.data.choose_set(str(found.table))
        self.begin_with.choose(model)
        self.begin_with.propose(found.name)
