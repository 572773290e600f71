"""Find objects in an image layer: one widget, opened with a preset for each kind of object."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from napari.layers import Image as ImageLayer

from napari_unet import workflows
from napari_unet.core.errors import ImageError, UNetError
from napari_unet.core.results import Segmentation
from napari_unet.core.specs import SegmentSpec, load_task

from ._axes import AxesRow
from ._canvas import Canvas
from ._chooser import LayerBox
from ._copying import Call, CopyRow
from ._edit import EditRow
from ._form import Form, explain
from ._large import open_canvas
from ._layers import layer_image, source_of
from ._lesion_table import LesionTable
from ._meant import Place, Run
from ._model_box import ModelBox
from ._news import NEWS
from ._outcome import outcome_words, progress_words
from ._panel import Panel
from ._parts import Fold, pixels
from ._place import PlaceRow
from ._region import RegionBox
from ._settings import CHOICES, HINTS, LABELS
from ._worker import Pace, Report

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["SegmentWidget", "cells", "preset"]

_MEASURED: Final = "measured for you"


class SegmentWidget(Panel):
    """The dock that segments.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the images are.
    task : str
        Preset, an entry of ``tasks/``.
    engine : module, optional
        Has the verbs of :mod:`napari_unet.workflows`.
    """

    def __init__(self, viewer: Viewer, task: str = "cell", engine: ModuleType | Any = workflows) -> None:
        found = load_task(task)
        super().__init__(f"Choose an image and press Run. {found.description}", "Run")
        self.task, self.noun = found, f"{task}s"
        self.viewer, self.engine, self.pace = viewer, engine, Pace()
        self.canvas: Canvas | None = None
        self.goal: Place | None = None
        self.images, self.axes = LayerBox(viewer, ImageLayer), AxesRow()
        self.only, self.models = RegionBox(viewer), ModelBox()
        self.diameter = pixels(explain(SegmentSpec)["diameter"])
        self.place = PlaceRow(engine, self.noun, self._meant)
        hidden, spec = ("model", "diameter", "region"), SegmentSpec(tiling=self.task.tiling)
        self.settings = Form(spec, LABELS, CHOICES, HINTS, skip=hidden)
        self._lay_out()
        self.images.chosen.connect(self._image_changed)
        self.axes.line.textChanged.connect(self._choose_place)
        self.settled.connect(self.place.look)
        self.working.connect(self.place.lock)
        self.place.go_on.chosen.connect(self._go_on)
        NEWS.models.connect(self._list_models)
        self._list_models()
        self._image_changed()

    def _lay_out(self) -> None:
        self.form.addRow("Image", self.images)
        self.axes.add_to(self.form)
        self.form.addRow("Only inside", self.only)
        self.form.addRow("Model", self.models)
        self.form.addRow("Object width", self.diameter)
        self.place.add_to(self.form)
        self.settings.rows.insertRow([*self.settings.fields].index("average"), "Also average", self.models.others)
        self.column.addWidget(Fold("Advanced", self.settings.native))
        self.copies = CopyRow(self._call, self.noun)
        self.copies.said.connect(self.say)
        self.copies.failed.connect(self.complain)
        self.edits = EditRow(self.viewer, self.engine, self)
        for part in (LesionTable(self.viewer), self.copies, self.edits):
            self.column.addWidget(part)
        self.column.addStretch(1)

    def _list_models(self) -> None:
        try:
            cards = self.engine.list_models()
        except UNetError as error:
            self.complain(error)
            return
        self.models.fill([c for c in cards if c.task == self.task.name] or cards, self.task.model)

    def _image_changed(self) -> None:
        layer = self.images.layer
        self.diameter.setSpecialValueText(_MEASURED)
        self.axes.show_layer(layer)
        self._choose_place()
        if layer is None:
            self.say("Open an image: File > Open, or drag it into the viewer.")
        elif self.job is None:
            self.say("Ready." if self.axes.axes else "Say first what the axes of this image are.")

    def _choose_place(self, _text: str = "") -> None:
        layer = self.images.layer
        try:
            image = None if layer is None else layer_image(layer, self.axes.axes)
        except UNetError:
            image = None  # its axes are being written
        self.place.show_image(image, source_of(self.viewer, layer))

    def spec(self) -> SegmentSpec:
        """Return the settings as they are shown; a SpecError says which of them cannot be used."""
        layer = self.images.layer
        region = None if layer is None else self.only.region(layer, self.axes.axes)
        found = self.settings.spec(model=self.models.chosen, diameter=self.diameter.value() or None, region=region)
        return found  # type: ignore[return-value]

    def _meant(self) -> Run:
        layer = self.images.layer
        if layer is None:
            raise ImageError("There is no image to work on. Open one: File > Open, or drag it into the viewer.")
        return Run(layer_image(layer, self.axes.axes), self.spec(), self.place.place)

    def run(self) -> None:
        """Start a run; what is missing is said in the status line."""
        try:
            self._begin(self._meant())
        except UNetError as error:
            self.complain(error)

    def _go_on(self, stopped: Any) -> None:
        try:
            run = self.place.go_on.run(stopped, self._meant())
            self.place.line.setText(str(stopped.output))
            self._begin(run)
        except UNetError as error:
            self.complain(error)

    def _begin(self, run: Run) -> None:
        layer = self.images.layer
        if self.job is not None or layer is None or not self.place.estimate.may_run(run):
            return
        self.goal, self.pace = run.place, Pace()
        self.canvas = open_canvas(layer, run.image, f"{layer.name} {self.noun}", run.place, self)
        self.begin(self.canvas.steps(self.engine, run.spec), self._polled, self._done)

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
        for report in reports:
            self.pace.add(report)
        if reports:
            last = reports[-1].progress
            self.progress(last.done, last.total)
            self.say(progress_words(last, self.pace))

    def _done(self, result: Segmentation) -> str:
        if self.canvas is not None:
            self.canvas.finish(result)
        self.canvas = None
        if not self.diameter.value():
            self.diameter.setSpecialValueText(f"measured: {result.diameter:.2f} px")
        return outcome_words(result, self.noun, None if self.goal is None else self.goal.path)

    def _call(self) -> Call:
        source, place = source_of(self.viewer, self.images.layer), self.place.place
        return Call(self.spec(), source, self.axes.axes, None if place is None else str(place.path))


def preset(task: str) -> type[SegmentWidget]:
    """Open the widget with a preset.

    Parameters
    ----------
    task : str
        An entry of ``tasks/``.

    Returns
    -------
    type
        A class that takes the viewer only, as napari wants it.
    """

    class Preset(SegmentWidget):
        def __init__(self, napari_viewer: Viewer) -> None:
            super().__init__(napari_viewer, task)

    Preset.__name__ = Preset.__qualname__ = f"{task}s"
    return Preset


cells = preset("cell")
