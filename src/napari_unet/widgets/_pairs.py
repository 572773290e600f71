"""Which layers are learned from: images, each with its labels."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QLineEdit, QToolButton, QVBoxLayout, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.errors import TrainingDataError, UNetError

from ._chooser import LayerBox
from ._layers import layer_axes, layer_image
from ._matching import axes_on, in_words, matching
from ._parts import button, row, words
from ._strokes import Strokes

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["PairList", "PairRow"]

_LETTERS: Final = 6  # of the name of a layer that are always seen
_LOOKED: Final = 2**24  # pixels that are looked through while the user waits


class PairRow(QWidget):
    """An image layer and the labels layer that belongs to it.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    changed = Signal()
    removed = Signal(object)

    def __init__(self, viewer: Viewer) -> None:
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
        try:
            self.read()
        except UNetError as error:
            self.trouble.setText(str(error))
        else:
            self.trouble.setText("")
        self.trouble.setVisible(bool(self.trouble.text()))
        self.changed.emit()

    @property
    def labeled(self) -> Layer | None:
        """The layer with the labels."""
        return self.labels.layer

    @property
    def source(self) -> Image | None:
        """The image, whatever its labels are; None if it is not chosen, or nobody knows its axes."""
        with suppress(UNetError):  # said below the row
            return None if self.image.layer is None else self._source(self.image.layer)
        return None

    def _source(self, layer: Layer) -> Image:
        return layer_image(layer, self.axes.text().strip().lower())

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


class PairList(QWidget):
    """The pairs that are learned from; the first sensible one is filled in.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.rows: list[PairRow] = []
        self.ticked = False
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.more = button("Add another pair", "Learn from a further image and its labels.", self.add)
        self._column.addWidget(self.more)
        self.add()
        viewer.layers.events.inserted.connect(self.fill)
        self.destroyed.connect(partial(_disconnect, viewer.layers, self.fill))

    def add(self) -> PairRow:
        """Add a row, filled with the next image that has labels."""
        made = PairRow(self._viewer)
        self._column.insertWidget(len(self.rows), made)
        self.rows.append(made)
        made.changed.connect(self._tell)
        made.removed.connect(self.take)
        self.fill()
        self.show_ticks(self.ticked)
        return made

    def fill(self, _event: object = None) -> None:
        """Fill the rows that nobody has filled yet."""
        used = {id(row.labeled) for row in self.rows if row.labeled is not None}
        for found in self.rows:
            if found.image.layer is not None or found.labeled is not None:
                continue
            image, labels = next((p for p in matching(self._viewer) if id(p[1]) not in used), (None, None))
            if image is not None and labels is not None:
                used.add(id(labels))
                found.labels.choose(labels)
                found.image.choose(image)
        self._tell()

    def take(self, row_: PairRow) -> None:
        """Take a row out; the last one is only emptied."""
        if len(self.rows) == 1:
            row_.image.choose(None)
            row_.labels.choose(None)
            return
        self.rows.remove(row_)
        self._column.removeWidget(row_)
        row_.setParent(None)
        row_.deleteLater()
        self._tell()

    def show_ticks(self, shown: bool) -> None:
        """Show or hide what says which images the model is checked on."""
        self.ticked = shown
        for found in self.rows:
            found.held.setVisible(shown)

    def _tell(self) -> None:
        self.changed.emit()


def _disconnect(layers: Any, callback: Any, *_: object) -> None:
    # Where the viewer is collected together with the dock, its layers may be empty shells: nothing is left to undo.
    with suppress(AttributeError):
        layers.events.inserted.disconnect(callback)
