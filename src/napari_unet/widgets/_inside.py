"""What the measuring dock asks of objects within objects: foci in nuclei, nuclei in cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels as LabelsLayer
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError

from ._chooser import LayerBox
from ._layers import axes_beside, layer_image

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["InsideRows"]


class InsideRows(QWidget):
    """Rows for labels whose objects lie in those that are measured, or around them.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.counted = LayerBox(viewer, LabelsLayer, nothing="nothing")
        self.counted.setToolTip(
            "Labels of smaller objects, such as foci: how many lie in each object, and how much of it they cover."
        )
        self.places = LayerBox(viewer, LabelsLayer, nothing="nothing")
        self.places.setToolTip("Labels of larger objects, such as cells or regions: in which of them each object lies.")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Count inside", self.counted)
        form.addRow("Lie in", self.places)

    def asked(self, own: Layer, labels: Image) -> dict[str, Any]:
        """Return what is asked for, as :func:`napari_unet.workflows.measure` takes it.

        Parameters
        ----------
        own : napari.layers.Labels
            The layer that is measured.
        labels : Image
            The same, opened; layers of its size that do not say their axes have these.

        Returns
        -------
        dict
            Labels by the names of their layers.

        Raises
        ------
        ImageError
            If it is the same layer.
        """
        chosen = {"inside": self.counted.layer, "within": self.places.layer}
        for words, layer in zip(("Count inside", "Lie in"), chosen.values(), strict=True):
            if layer is not None and layer is own:
                raise ImageError(f"'{words}' names the layer that is measured, '{own.name}'. Choose another one.")
        return {
            name: {layer.name: layer_image(layer, axes_beside(layer, labels))}
            for name, layer in chosen.items()
            if layer is not None
        }
