"""Measure the objects of a labels layer."""

from __future__ import annotations

from pathlib import PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer
from qtpy.QtWidgets import QFileDialog

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, UNetError
from napari_unet.core.results import Table
from napari_unet.core.steps import Progress, Steps

from ._chooser import LayerBox
from ._layers import layer_axes, layer_image
from ._panel import Panel
from ._parts import button
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
        self.labels = LayerBox(napari_viewer, LabelsLayer)
        self.images = LayerBox(napari_viewer, ImageLayer, nothing="no intensities")
        self.form.addRow("Labels", self.labels)
        self.form.addRow("Image", self.images)
        self.save = button("Save table (CSV) …", "Write the measurements to a file.", self.ask_where)
        self.save.setEnabled(False)
        self.column.addWidget(self.save)
        self.column.addStretch(1)
        self.labels.chosen.connect(self._labels_changed)
        self._labels_changed()

    def _labels_changed(self) -> None:
        self.table = None
        self.save.setEnabled(False)
        if self.job is None:
            self.say("Ready." if self.labels.layer is not None else "There are no labels yet: segment an image first.")

    def run(self) -> None:
        """Measure; what is missing is said in the status line."""
        layer, source = self.labels.layer, self.images.layer
        if self.job is not None:
            return
        try:
            if layer is None:
                raise ImageError("There are no labels to measure. Segment an image first, or open a labels file.")
            labels = layer_image(layer, layer_axes(layer)[0])
            image = None if source is None else _matching(source, labels)
        except UNetError as error:
            self.complain(error)
            return
        engine = self.engine

        def make() -> Steps[Table]:
            yield Progress(0, 0, "Measuring")
            table: Table = yield from engine.measure_steps(labels, image)
            return table

        def polled(_reports: list[Report]) -> None:
            if layer not in self.viewer.layers:
                self.cancel("Stopped: the layer was removed.")

        self.begin(make, polled, lambda table: self._measured(layer, table))
        self.say("Measuring …")

    def _measured(self, layer: Layer, table: Table) -> str:
        layer.features = table
        self.table = table
        self.save.setEnabled(True)
        return f"Measured {len(table['index'])} objects. Hold the mouse over one to see its values."

    def ask_where(self) -> None:
        """Ask for a file and write the table to it."""
        layer = self.labels.layer
        name = f"{PurePath(layer.name).name if layer is not None else 'measurements'}.csv"
        path, _ = QFileDialog.getSaveFileName(self, "Save table", name, "Tables (*.csv)")
        if path:
            self.save_table(path)

    def save_table(self, path: str) -> None:
        """Write the table.

        Parameters
        ----------
        path : str
            A CSV file; replaced if it is there.
        """
        table, engine = self.table, self.engine
        if table is None or self.job is not None:
            return

        def make() -> Steps[None]:
            yield Progress(0, 0, "Writing")
            engine.write_table(path, table)

        self.begin(make, lambda _reports: None, lambda _: f"Saved {path}.")
        self.say("Writing …")


def _matching(source: Layer, labels: Image) -> Image:
    axes, sure = layer_axes(source)
    # A stack without axis names is read like its labels, whose axes may be known from the run that made them.
    if not sure and len(layer_shape := tuple(source.data.shape)) == len(labels.axes) and layer_shape == labels.shape:
        axes = labels.axes
    return layer_image(source, axes)
