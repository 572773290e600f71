"""Measure the objects or the lesions of a labels layer."""

from __future__ import annotations

from pathlib import PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, UNetError
from napari_unet.core.lesions import Growth, Lesions
from napari_unet.core.results import Table
from napari_unet.core.steps import Progress, Steps

from ._around import AroundRows
from ._chooser import LayerBox
from ._inside import InsideRows
from ._layers import axes_among, axes_beside, layer_image
from ._lesion_table import LesionTable
from ._lesions import LesionRows, change_words, lesion_steps
from ._panel import Panel
from ._parts import Fold, button
from ._truth import TruthRows
from ._worker import Report

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["MeasureWidget"]


class MeasureWidget(Panel):
    """The dock that measures.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where the layers are.
    engine : module, optional
        Has the verbs of :mod:`napari_unet.workflows`.
    """

    def __init__(self, napari_viewer: Viewer, engine: ModuleType | Any = workflows) -> None:
        super().__init__("Choose labels and press Measure. Each object gets a row of measurements.", "Measure")
        self.viewer, self.engine = napari_viewer, engine
        self.table: Table | None = None
        self.lesions: tuple[Lesions, Image | None, Growth | None] | None = None
        self.what = QComboBox()
        self.what.addItems(["objects", "lesions"])
        self.what.setToolTip(
            "Lesions, such as tumors: volumes, and diameters in the plane they lie in. Not for clinical use."
        )
        self.labels = LayerBox(napari_viewer, LabelsLayer)
        self.images = LayerBox(napari_viewer, ImageLayer, nothing="no intensities")
        self.rows = LesionRows(napari_viewer)
        self.around = AroundRows(napari_viewer)
        self.form.addRow("What", self.what)
        self.form.addRow("Labels", self.labels)
        self.form.addRow("Image", self.images)
        self.form.addRow(self.rows)
        self.form.addRow(self.around)
        self.inside = InsideRows(napari_viewer)
        self.related = Fold("Objects within objects", self.inside)
        self.form.addRow(self.related)
        self.table_of_lesions = LesionTable(napari_viewer)
        self.column.addWidget(self.table_of_lesions, 1)
        self.save = button("Save table …", "Write the measurements to a file: CSV or Parquet.", self.ask_where)
        self.page = button("Save report …", "One page with pictures, as HTML or PDF; needs the image.", self.ask_report)
        for each in (self.save, self.page):
            self.column.addWidget(each)
        self.truth = TruthRows(napari_viewer, engine, self)
        self.column.addWidget(Fold("Compare with the truth", self.truth))
        self.column.addStretch(1)
        self.labels.chosen.connect(self._labels_changed)
        self.what.currentTextChanged.connect(self._labels_changed)
        self._labels_changed()

    @property
    def wants_lesions(self) -> bool:
        """Whether lesions are to be measured."""
        return self.what.currentText() == "lesions"

    def _labels_changed(self, _text: str = "") -> None:
        self.table = self.lesions = None
        self.rows.setVisible(self.wants_lesions)
        for each in (self.around, self.related):
            each.setVisible(not self.wants_lesions)
        self.page.setVisible(self.wants_lesions)
        self._allow()
        if self.job is None:
            self.say("Ready." if self.labels.layer is not None else "There are no labels yet: segment an image first.")

    def _allow(self) -> None:
        self.save.setEnabled(self.table is not None)
        self.page.setEnabled(self.lesions is not None and self.lesions[1] is not None)

    def run(self) -> None:
        """Measure; what is missing is said in the status line."""
        layer, source = self.labels.layer, self.images.layer
        if self.job is not None:
            return
        try:
            if layer is None:
                raise ImageError("There are no labels to measure. Segment an image first, or open a labels file.")
            others = () if self.wants_lesions else (self.inside.counted.layer, self.inside.places.layer)
            labels = layer_image(layer, axes_among(layer, (source, *others)))
            image = None if source is None else layer_image(source, axes_beside(source, labels))
            options = self.rows.options(labels) if self.wants_lesions else {}
            asked = {} if options else self.inside.asked(layer, labels)
        except UNetError as error:
            self.complain(error)
            return
        engine = self.engine
        steps = (
            lesion_steps(engine, labels, image, options) if options else self.around.steps(engine, labels, image, asked)
        )

        def make() -> Steps[Any]:
            yield Progress(0, 0, "Measuring")
            return (yield from steps)

        def polled(reports: list[Report]) -> None:
            self.follow(reports)
            if layer not in self.viewer.layers:
                self.cancel("Stopped: the layer was removed.")

        def done(found: Any) -> str:
            if options:
                self.rows.show_lesions(layer, found[0], options["classes"])
                return self._found_lesions(image, *found)
            return self._measured(layer, *found)

        self.begin(make, polled, done)
        self.say("Measuring …")

    def _measured(self, layer: Layer, table: Table, rings: Image | None) -> str:
        layer.features = table
        self.table = table
        if rings is not None:
            self.around.show_rings(layer, rings)
            self.table = table  # choosing among the layers anew has forgotten it
        self._allow()
        count = len(table["index"])
        return f"Measured {count} object{'s' * (count != 1)}. Hold the mouse over one to see its values."

    def _found_lesions(self, image: Image | None, found: Lesions, growth: Growth | None) -> str:
        self.table, self.lesions = found.table, (found, image, growth)
        self._allow()
        count = len(found.table["index"])
        return f"Measured {count} lesion{'s' * (count != 1)}.{change_words(growth)} Not for clinical use."

    def _name(self, ending: str) -> str:
        layer = self.labels.layer
        return f"{PurePath(layer.name).name if layer is not None else 'measurements'}{ending}"

    def ask_where(self) -> None:
        """Ask for a file and write the table to it."""
        kinds = "Tables (*.csv *.parquet)"
        path, _ = QFileDialog.getSaveFileName(self, "Save table", self._name(".csv"), kinds)
        if path:
            self.save_table(path)

    def save_table(self, path: str) -> None:
        """Write the table.

        Parameters
        ----------
        path : str
            A CSV or Parquet file; replaced if it is there.
        """
        table, engine = self.table, self.engine
        if table is not None and self.job is None:
            self._write(lambda: engine.write_table(path, table), path)

    def ask_report(self) -> None:
        """Ask for a file and write a report to it."""
        path, _ = QFileDialog.getSaveFileName(self, "Save report", self._name(".html"), "Reports (*.html *.pdf)")
        if path:
            self.save_report(path)

    def save_report(self, path: str) -> None:
        """Write a report of the lesions.

        Parameters
        ----------
        path : str
            An HTML or PDF file; replaced if it is there.
        """
        engine = self.engine
        if self.lesions is None or self.job is not None:
            return
        found, image, growth = self.lesions
        steps = lambda: engine.report_lesions_steps(path, found, image, growth=growth)  # noqa: E731
        self.begin(steps, self.follow, lambda _: f"Saved {path}.")

    def _write(self, write: Any, path: str) -> None:
        def make() -> Steps[None]:
            yield Progress(0, 0, "Writing")
            write()

        self.begin(make, lambda _reports: None, lambda _: f"Saved {path}.")
        self.say("Writing …")
