"""Find objects or classes in an image layer: one widget, opened with presets for each kind of them."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer

from napari_unet import workflows
from napari_unet.core.results import Segmentation
from napari_unet.core.specs import SegmentSpec, load_task

from ._axes import AxesRow
from ._canvas import Canvas
from ._chooser import LayerBox
from ._classes import ClassTable, color_classes
from ._cluster import ClusterRows
from ._copying import Call, CopyRow
from ._edit import EditRow
from ._form import Form
from ._large import open_canvas
from ._lesion_table import LesionTable
from ._many import ManyRows
from ._meant import Place, Run
from ._model_box import ModelBox
from ._news import NEWS
from ._outcome import outcome_words, progress_words
from ._panel import Panel
from ._parts import Caution, Fold
from ._place import PlaceRow
from ._region import RegionBox
from ._settings import CHOICES, HINTS, LABELS
from ._sight import Sight
from ._sizes import SizeRows
from ._truth import TruthRows
from ._worker import Report

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["SegmentWidget"]


class SegmentWidget(Panel):
    """The dock that segments.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the images are.
    task : str
        Preset, an entry of ``tasks/``; several with commas between.
    engine : module, optional
        Has the verbs of :mod:`napari_unet.workflows`.
    """

    def __init__(self, viewer: Viewer, task: str = "cell", engine: ModuleType | Any = workflows) -> None:
        tasks = [load_task(name) for name in task.split(",")]
        super().__init__(f"Choose an image and press Run. {' '.join(t.description for t in tasks)}", "Run")
        self.caution = Caution(" ".join(dict.fromkeys(filter(None, (t.caution for t in tasks)))))
        self.viewer, self.engine, self.noun = viewer, engine, ""  # the noun of the run
        self.canvas: Canvas | None = None
        self.goal: Place | None = None
        self.images = LayerBox(viewer, ImageLayer)
        self.axes = AxesRow()
        self.only, self.models, self.sizes = RegionBox(viewer), ModelBox(tasks), SizeRows(self)
        self.cluster = ClusterRows(self)
        self.diameter = self.sizes.width
        self.place = PlaceRow(engine, self.models.noun, self._meant)
        hidden, spec = ("model", "diameter", "min_size", "region"), SegmentSpec(tiling=tasks[0].tiling)
        self.settings = Form(spec, LABELS, CHOICES, HINTS, skip=hidden)
        self.sight = Sight(viewer, self.images, self.axes, self.models, self.settings)
        self._lay_out()
        self.images.chosen.connect(self._image_changed)
        self.images.listed.connect(self._bands_changed)
        self.axes.line.textChanged.connect(self._suit_model)
        self.models.picked.connect(self._choose_place)
        self.settled.connect(self.place.look)
        self.working.connect(self.place.lock)
        self.place.go_on.chosen.connect(self._go_on)
        NEWS.models.connect(self._list_models)
        self._list_models()
        self._image_changed()

    def _lay_out(self) -> None:
        self.form.addRow(self.caution)
        self.form.addRow("Image", self.images)
        self.sight.further.add_to(self.form, self._suit_model)
        self.axes.add_to(self.form)
        self.form.addRow("Only inside", self.only)
        self.models.add_to(self.form)
        self.sizes.add_to(self.form)
        self.place.add_to(self.form)
        self.sizes.add_advanced(self.settings.rows, [*self.settings.fields].index("threshold") + 1)
        self.settings.rows.insertRow([*self.settings.fields].index("average"), "Also average", self.models.others)
        self.many, self.truth = ManyRows(self.engine, self), TruthRows(self.viewer, self.engine, self)
        folds = {"Advanced": self.settings.native, "Many images": self.many, "Cluster": self.cluster}
        for name, part in (folds | {"Compare with the truth": self.truth}).items():
            self.column.addWidget(Fold(name, part))
        self.classes = ClassTable(self.viewer, self)
        self.copies = CopyRow(self._call, self.models.noun)
        self.copies.said.connect(self.say)
        self.copies.failed.connect(self.complain)
        self.edits = EditRow(self.viewer, self.engine, self)
        for part in (self.classes, LesionTable(self.viewer), self.copies, self.edits):
            self.column.addWidget(part)
        self.column.addStretch(1)

    def _list_models(self) -> None:
        with self.complaining():
            self.models.fill(self.engine.list_models())

    def _image_changed(self) -> None:
        layer = self.images.layer
        self.sizes.forget()
        self.axes.show_layer(layer)
        self._suit_model()
        if layer is None:
            self.say("Open an image: File > Open, or drag it into the viewer.")
        elif self.job is None:
            self.say("Ready." if self.axes.axes else "Say first what the axes of this image are.")

    def _bands_changed(self) -> None:
        if self.sight.changed:
            self._suit_model()

    def _suit_model(self, _text: str = "") -> None:
        seen = self.sight.look()
        self.models.suit(None if seen is None else seen.image)
        self._choose_place()

    def _choose_place(self) -> None:
        seen, card = self.sight.look(), self.models.card
        image, source = (None, None) if seen is None else (seen.image, seen.first)
        self.sizes.suit(image, card)
        self.classes.plan(() if card is None else card.target.table)
        self.place.noun = self.copies.noun = self.models.noun
        self.place.show_image(image, source)

    def spec(self) -> SegmentSpec:
        """Return the settings as they are shown; a SpecError says which of them cannot be used."""
        layer = self.images.layer
        region = None if layer is None else self.only.region(layer, self.axes.axes)
        sizes = {"diameter": self.sizes.diameter, "min_size": self.sizes.min_size}
        return self.settings.spec(model=self.models.chosen, region=region, **sizes)  # type: ignore[return-value]

    def _meant(self) -> Run:
        seen, spec = self.sight.seen(), self.spec()
        seen.check(spec, self.models.card)
        return Run(seen.image, seen.told(spec), self.place.place)

    def run(self) -> None:
        """Start a run; what is missing is said in the status line."""
        with self.complaining():
            self._begin(self.cluster.send(self._meant(), self.sight.seen().source))

    def _go_on(self, stopped: Any) -> None:
        with self.complaining():
            run = self.place.go_on.run(stopped, self._meant())
            self.place.line.setText(str(stopped.output))
            self._begin(self.cluster.send(run, self.sight.seen().source))

    def _begin(self, run: Run) -> None:
        layer = self.images.layer
        if self.job is not None or layer is None or not self.place.estimate.may_run(run):
            return
        self.watch(layer, run, self.cluster.engine(self.engine))
        if self.canvas is not None:
            color_classes(self.canvas.layer, self.models.card.target.table if self.models.card else ())

    def watch(self, layer: ImageLayer, run: Run, engine: ModuleType | Any) -> None:
        """Have an engine do a run, or look on while it is done elsewhere, and show its labels."""
        self.goal, self.noun = run.place, self.models.noun_of(run.spec.models[0])
        self.canvas = open_canvas(layer, run.image, f"{layer.name} {self.noun}", run.place, self)
        self.begin(self.canvas.steps(engine, run.spec), self._polled, self._done)

    def _stop(self) -> None:
        self.cluster.runs.stop_shown()
        super()._stop()

    def cancel(self, text: str = "Stopped.") -> None:
        """Stop; labels that go to a file can be gone on with."""
        if self.canvas is not None and self.canvas.begun:
            text = f"{text} Run goes on where it was."
        self.place.estimate.stop()
        super().cancel(text)

    def dropped(self) -> None:
        """Take the half-filled layer out of the viewer."""
        if self.canvas is not None:
            self.canvas.remove()
        self.canvas = None

    def _polled(self, reports: list[Report]) -> None:
        if self.canvas is None:
            return
        if not self.canvas.alive:
            self.cancel("Stopped: the layer was removed.")
            return
        self.canvas.fill(r.progress.payload for r in reports if r.progress.payload is not None)
        self.follow(reports)
        if reports:
            self.say(progress_words(reports[-1].progress, self.pace))

    def _done(self, result: Segmentation) -> str:
        if self.canvas is not None:
            self.canvas.finish(result)
        self.canvas = None
        self.sizes.tell(result.diameter)
        return outcome_words(result, self.noun, None if self.goal is None else self.goal.path)

    def _call(self) -> Call:
        path = None if self.place.place is None else str(self.place.place.path)
        there, spec = self.images.layer is not None, self.spec()
        call = self.sight.call(spec, path) if there else Call(spec, None, self.axes.axes, path)
        return call._replace(cluster=self.cluster.chosen)
