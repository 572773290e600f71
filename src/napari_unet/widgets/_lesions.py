"""What the measuring dock asks and does about lesions."""

from __future__ import annotations

import math
from types import ModuleType
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer
from qtpy.QtWidgets import QCheckBox, QFormLayout, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.lesions import Growth, Lesions
from napari_unet.core.steps import Steps

from ._chooser import LayerBox
from ._diameters import draw_diameters
from ._layers import KEY, axes_beside, layer_axes, layer_image, placed, placement

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["LesionRows", "change_words", "lesion_steps"]


class LesionRows(QWidget):
    """Rows for what may be known beside lesions; and their layers.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.classes = QCheckBox("each connected piece is a lesion")
        self.classes.setToolTip("The labels are classes, such as tumor and edema; they get a layer of lesions.")
        self.organ = LayerBox(viewer, LabelsLayer, nothing="no organ")
        self.organ.setToolTip("Labels of the organ: how far is each lesion from its border?")
        self.scores = LayerBox(viewer, ImageLayer, nothing="no scores")
        self.scores.setToolTip("An image of scores; the mean inside of a lesion is its confidence.")
        self.before = LayerBox(viewer, LabelsLayer, nothing="no earlier time")
        self.before.setToolTip("Labels of an earlier time, in the same place: what has grown, come and gone?")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Classes", self.classes)
        form.addRow("Organ", self.organ)
        form.addRow("Scores", self.scores)
        form.addRow("Before", self.before)

    def options(self, labels: Image) -> dict[str, Any]:
        """Return what :func:`lesion_steps` wants to know of the layers that are chosen, for labels of some axes."""
        boxes = {"organ": self.organ, "scores": self.scores, "before": self.before}
        found = {
            name: layer_image(box.layer, axes_beside(box.layer, labels)) for name, box in boxes.items() if box.layer
        }
        return {"classes": self.classes.isChecked(), **found}

    def show_lesions(self, layer: Layer, found: Lesions, classes: bool) -> Layer:
        """Put the table on the labels, in a layer of their own if they were classes, and draw the diameters.

        Parameters
        ----------
        layer : napari.layers.Labels
            What was measured.
        found : Lesions
            What came out.
        classes : bool
            Whether the layer holds classes.

        Returns
        -------
        napari.layers.Labels
            The layer of lesions.
        """
        axes = layer_axes(layer)[0]
        if classes:
            name = f"{layer.name} lesions"
            if name in self.viewer.layers:
                self.viewer.layers.remove(name)
            axes = found.labels.axes
            record, place = {"axes": axes, **placed(found.labels)}, placement(layer, axes)
            layer = self.viewer.add_labels(found.labels.data, name=name, metadata={KEY: record}, **place)
        layer.features = found.table
        draw_diameters(self.viewer, layer, axes, found.table)
        self.viewer.layers.selection.active = layer
        return layer


def lesion_steps(
    engine: ModuleType | Any, labels: Image, image: Image | None, options: dict[str, Any]
) -> Steps[tuple[Lesions, Growth | None]]:
    """Measure lesions and, where labels of an earlier time are given, say what has changed."""
    earlier, options = options.get("before"), {name: value for name, value in options.items() if name != "before"}
    found: Lesions = yield from engine.measure_lesions_steps(labels, image, **options)
    if earlier is None:
        return found, None
    first: Lesions = yield from engine.measure_lesions_steps(earlier, classes=options["classes"])
    growth: Growth = yield from engine.compare_lesions_steps(first, found)
    return found, growth


def change_words(growth: Growth | None) -> str:
    """Say what has changed in one sentence; nothing if nobody asked."""
    if growth is None:
        return ""
    sums = growth.summary
    counts = ", ".join(f"{sums[name]:.0f} {name}" for name in ("matched", "new", "vanished", "split", "merged"))
    size = "volume" if "volume_change" in sums else "area"
    changes = [(name, sums[f"{key}_change"]) for name, key in ((size, size), ("diameters", "diameter_sum"))]
    grown = [f"{name} {change:+.1f} %" for name, change in changes if math.isfinite(change)]  # of nothing there is none
    each = "".join(f" {name}: {words}." for name, words in growth.class_words.items())
    response = f" RECIST 1.1: {growth.response.words}." if growth.response else ""
    sizes = f"; {', '.join(grown)}{' in all' * bool(each)}" if grown else ""
    return f" Since before: {counts}{sizes}.{each}{response}"
