"""What the measuring dock asks and shows of what lies around objects, such as the cytoplasm around nuclei."""

from __future__ import annotations

import math
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from qtpy.QtWidgets import QCheckBox, QFormLayout, QLineEdit, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.results import Table
from napari_unet.core.steps import Progress, Steps

from ._layers import KEY, layer_axes, placed, placement

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["AroundRows"]

_SHOWN_BYTES: Final = 256 << 20  # larger layers would hold much of the memory


class AroundRows(QWidget):
    """Rows for what is measured around objects; and its layer.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.distance = QLineEdit()
        self.distance.setPlaceholderText("nothing; such as 5 µm, or 12 (pixels)")
        self.distance.setToolTip(
            "Measure the ring around each object, too, such as the cytoplasm around a nucleus: how far it reaches. "
            "Where two rings would meet, each pixel goes to the nearest object."
        )
        self.shown = QCheckBox("Show the rings")
        self.shown.setChecked(True)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Around", self.distance)
        form.addRow(self.shown)
        self.distance.textChanged.connect(self._asked)
        self._asked()

    def _asked(self, _text: str = "") -> None:
        self.shown.setVisible(bool(self.distance.text().strip()))

    def steps(
        self, engine: ModuleType | Any, labels: Image, image: Image | None, others: dict[str, Any]
    ) -> Steps[tuple[Table, Image | None]]:
        """Return what measures objects and what lies around them; the second that comes out is what to show.

        Parameters
        ----------
        engine : module
            Has the verbs of :mod:`napari_unet.workflows`.
        labels, image : Image
            What is measured.
        others : dict
            More of what is asked for.
        """
        around, shown = self.distance.text().strip(), self.shown.isChecked()

        def make() -> Steps[tuple[Table, Image | None]]:
            if not around:
                return (yield from engine.measure_steps(labels, image, **others)), None
            table = yield from engine.measure_steps(labels, image, around=around, **others)
            if not shown or math.prod(labels.shape) * np.dtype(labels.data.dtype).itemsize > _SHOWN_BYTES:
                return table, None
            yield Progress(1, 1, "Drawing the rings")
            rings: Image = engine.grow(labels, around, True, image)
            return table, replace(rings, data=np.asarray(rings.data))

        return make()

    def show_rings(self, layer: Layer, rings: Image) -> None:
        """Show rings as a layer below that of their objects; one that was shown before is replaced.

        Parameters
        ----------
        layer : napari.layers.Labels
            What was measured.
        rings : Image
            The rings.
        """
        name = f"{layer.name} rings"
        if name in self.viewer.layers:
            self.viewer.layers.remove(name)
        record = {"axes": rings.axes, **placed(rings)}
        at = self.viewer.layers.index(layer)
        made = self.viewer.add_labels(
            rings.data, name=name, metadata={KEY: record}, opacity=0.4, **placement(layer, layer_axes(layer)[0])
        )
        made.colormap = layer.colormap  # a ring has the color of its object
        self.viewer.layers.move(self.viewer.layers.index(made), at)
        self.viewer.layers.selection.active = layer
