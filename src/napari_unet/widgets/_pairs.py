"""Which layers are learned from: images, each with its labels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QSpinBox, QVBoxLayout, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.errors import TrainingDataError

from ._matching import matching
from ._pair import PairRow
from ._parts import button, row

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["PairList"]

_MOST: Final = 32  # channels in layers of their own


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
        self._names: tuple[str, ...] = ("",)  # of the channels, in the order that all pairs have
        self._model: tuple[str, ...] = ()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.more = button("Add another pair", "Learn from a further image and its labels.", self.add)
        self.count = QSpinBox()
        self.count.setRange(1, _MOST)
        self.count.setSpecialValueText("in one layer")
        self.count.setPrefix("in ")
        self.count.setSuffix(" layers")
        self.count.setToolTip(
            "How many layers an image is. More than one where each channel is a layer of its own, such as T1 and FLAIR "
            "of a patient, or two dyes: each pair has a row for each of them then, in the order of the first pair."
        )
        self.count.valueChanged.connect(self._recount)
        self._column.addWidget(self.more)
        self._column.addLayout(row((QLabel("Channels"), 0), (self.count, 1)))
        self.add()
        viewer.layers.events.inserted.connect(self.fill)
        self.destroyed.connect(partial(_disconnect, viewer.layers, self.fill))

    def add(self) -> PairRow:
        """Add a row, filled with the next image that has labels."""
        made = PairRow(self._viewer, self._of_others)
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

    @property
    def channels(self) -> list[list[Layer | None]]:
        """The layers of each image whose channels are layers of their own."""
        return [pair.layers for pair in self.rows if pair.further.needed]

    def names(self, pair: PairRow, image: Image) -> tuple[str, ...]:
        """Return what the channels of a pair are called: as those of the first pair, however its layers are called.

        Parameters
        ----------
        pair : PairRow
            One of the rows.
        image : Image
            What it gives.

        Returns
        -------
        tuple of str
            Empty where there are no names, or its layers say that they are in another order.
        """
        own, first = ([name.casefold() for name in names] for names in (image.channel_names, self._names))
        swapped = own != first and sorted(own) == sorted(first)
        return self._names if pair.further.needed and all(first) and not swapped else ()

    def order(self, names: Sequence[str]) -> None:
        """Have the channels in the order of a model that knows them by these names, if they are the same."""
        if tuple(names) != self._model:
            self._model = tuple(names)
            self._tell()

    def check(self, images: Sequence[Image]) -> None:
        """Refuse images that differ in the number of their channels, where these are layers of their own.

        Raises
        ------
        TrainingDataError
            If one has more than another.
        """
        first, *rest = images
        for image in rest if self.count.value() > 1 else ():
            if image.channels != first.channels:
                raise TrainingDataError(
                    f"'{image.name}' has {image.channels} channels, but '{first.name}' has {first.channels}. Give all "
                    "images the same channels, in the same order, or take those that lack some out."
                )

    def _recount(self, count: int) -> None:
        self._names = ("",) * count
        self._tell()

    def _of_others(self, pair: PairRow) -> list[Layer | None]:
        """Return the layers of all pairs whose image is another one."""
        other = [each for each in self.rows if each is not pair and each.image.layer != pair.image.layer]
        return [layer for each in other for layer in each.layers]

    def _tell(self) -> None:
        self._agree()
        self.changed.emit()

    def _agree(self) -> None:
        """Have the same channels in all pairs: those of the first that is complete."""
        for each in self.rows:
            each.expect(self._names)
        found = (each.source for each in self.rows if each.further.needed)
        names = next((image.channel_names for image in found if image is not None), ())
        if names and _set(names) == _set(self._model):
            names = self._model
        if names and names != self._names:
            self._names = names
            for each in self.rows:
                each.expect(names)


def _set(names: Sequence[str]) -> list[str]:
    return sorted(name.casefold() for name in names)


def _disconnect(layers: Any, callback: Any, *_: object) -> None:
    # Where the viewer is collected together with the dock, its layers may be empty shells: nothing is left to undo.
    with suppress(AttributeError):
        layers.events.inserted.disconnect(callback)
