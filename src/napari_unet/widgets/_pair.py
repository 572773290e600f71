"""An image and its labels: layers that are learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QLineEdit, QToolButton, QVBoxLayout, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.errors import TrainingDataError, UNetError

from ._chooser import LayerBox
from ._further import FurtherRows
from ._layers import layer_axes, layer_image
from ._matching import axes_on, in_words
from ._parts import row, words
from ._strokes import Strokes

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["PairRow"]

_LETTERS: Final = 6  # of the name of a layer that are always seen
_LOOKED: Final = 2**24  # pixels that are looked through while the user waits


class PairRow(QWidget):
    """An image layer, those of its further channels, and the labels layer that belongs to it.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    others : callable
        Returns the layers of other images, which are no further channels of this one.
    """

    changed = Signal()
    removed = Signal(object)

    def __init__(self, viewer: Viewer, others: Callable[[PairRow], Iterable[Layer | None]]) -> None:
        super().__init__()
        self.image = LayerBox(viewer, ImageLayer, "choose an image")
        self.labels = LayerBox(viewer, LabelsLayer, "choose its labels")
        self.labels.setToolTip("A labels layer of the same size. Add one with the Labels button above the layer list.")
        for box in (self.image, self.labels):
            box.setMinimumContentsLength(_LETTERS)
        self.held = QCheckBox("check")
        self.held.setToolTip("Do not learn from this image: check the model on it.")
        self.axes = QLineEdit()
        self.axes.setPlaceholderText("axes, e.g. zyx")
        self.axes.setToolTip("One letter for each dimension of the image: t time, c channels, z depth, y, x.")
        self.remove = QToolButton()
        self.remove.setText("×")
        self.remove.setToolTip("Take this pair out of the list. The layers stay.")
        self.remove.clicked.connect(self._go)
        self.trouble = words()
        self.trouble.setObjectName("trouble")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row((self.image, 3), (self.labels, 3), (self.held, 0), (self.remove, 0)))
        column.addWidget(self.axes)
        self.further = FurtherRows(viewer, "Each image has {} channels", lambda: others(self))
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.further.add_to(form, self.look)
        column.addLayout(form)
        column.addWidget(self.trouble)
        self.image.chosen.connect(self._image_changed)
        self.strokes = Strokes(self)
        self.strokes.rested.connect(self.look)
        self.labels.chosen.connect(self._labels_changed)
        self.axes.textChanged.connect(self.look)
        self._image_changed()

    def _go(self) -> None:
        self.removed.emit(self)

    def _image_changed(self) -> None:
        layer = self.image.layer
        axes, sure = layer_axes(layer) if layer is not None else ("", True)
        with QSignalBlocker(self.axes):
            self.axes.setText(axes)
        self.axes.setVisible(not sure)
        self.look()

    def _labels_changed(self) -> None:
        self.strokes.listen(self.labels.layer)
        self.look()

    def look(self, _text: str = "") -> None:
        """Say below the row what is wrong with it, and tell that it has changed."""
        self._say()
        self.changed.emit()

    def expect(self, names: Sequence[str]) -> None:
        """Have a row for each channel that the image layer lacks.

        Parameters
        ----------
        names : sequence of str
            Of all channels, empty where nobody knows them; a single one where the image layer has all there are.
        """
        alone = len(names) < 2 or not self._axes or "c" in self._axes
        before = self.further.needed
        self.further.expect(None if alone else self.image.layer, () if alone else names, len(names))
        if before or self.further.needed:
            self._say()

    def _say(self) -> None:
        try:
            self.read()
        except UNetError as error:
            self.trouble.setText(str(error))
        else:
            self.trouble.setText("")
        self.trouble.setVisible(bool(self.trouble.text()))

    @property
    def labeled(self) -> Layer | None:
        """The layer with the labels."""
        return self.labels.layer

    @property
    def layers(self) -> list[Layer | None]:
        """The layers of the channels, or the one that holds all of them."""
        return self.further.layers or [self.image.layer]

    @property
    def source(self) -> Image | None:
        """The image, whatever its labels are; None if something of it is not chosen, or nobody knows its axes."""
        with suppress(UNetError):  # said below the row
            return None if self.image.layer is None else self._source(self.image.layer)
        return None

    @property
    def _axes(self) -> str:
        return self.axes.text().strip().lower() if self.image.layer is not None else ""

    def alone(self, layer: Layer) -> Image:
        """Return the image layer without further channels."""
        return layer_image(layer, self._axes)

    def _source(self, layer: Layer) -> Image:
        return self.further.joined(self._axes) if self.further.needed else self.alone(layer)

    def read(self) -> tuple[Image, Image]:
        """Return the image and its labels.

        Returns
        -------
        tuple of (Image, Image)
            Lazy arrays stay lazy.

        Raises
        ------
        TrainingDataError, AxesError
            If something is missing or does not belong together.
        """
        image, labels = self.image.layer, self.labels.layer
        if image is None or labels is None:
            raise TrainingDataError("Choose an image and the layer with its labels.")
        source = self._source(image)
        found = layer_image(labels, axes_on(labels, source))
        wanted, given = source.along(source.label_axes)[0], found.along(source.label_axes)[0]
        if wanted != given:
            raise TrainingDataError(
                f"'{labels.name}' has {in_words(given)} pixels, but '{image.name}' {in_words(wanted)}. "
                "Choose the labels that were drawn on this image."
            )
        if isinstance(found.data, np.ndarray) and found.data.size <= _LOOKED and not found.data.any():
            raise TrainingDataError(f"'{labels.name}' is empty. Draw some objects in it with napari's brush.")
        return source, found
