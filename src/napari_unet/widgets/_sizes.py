"""The rows on size: how wide objects are, how small they may be, and what is done with the spacing of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit

from napari_unet.core.amounts import UNITS, count_pixels
from napari_unet.core.errors import UNetError
from napari_unet.core.specs import SegmentSpec

from ._form import explain
from ._parts import pixels, words

if TYPE_CHECKING:
    from napari_unet.core.axes import Image
    from napari_unet.core.model_card import ModelCard

__all__ = ["SizeRows"]

_MEASURED: Final = "measured for you"
_OWN: Final = "the model's own, or such as {}"
_SUCH: Final = {2: "20 mm²", 3: "50 mm³"}


class SizeRows(QObject):
    """Rows of a form that show what has a meaning for the chosen model and image.

    Parameters
    ----------
    parent : QObject
        The dock.

    Attributes
    ----------
    width : QDoubleSpinBox
        How wide objects are, pixels; 0: measured.
    smallest : QLineEdit
        The smallest object: pixels, or with a unit.
    hint : QLabel
        What is done with the spacing, in words.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        help_ = explain(SegmentSpec)
        self.width = pixels(help_["diameter"])
        self.smallest = QLineEdit()
        self.hint = words()
        self._titles = QLabel("Object width"), QLabel("Smallest object")
        self._image: Image | None = None
        self._card: ModelCard | None = None
        units = ", ".join([*UNITS[2], *UNITS[3]])
        self.smallest.setToolTip(f"{help_['min_size']} Or with a unit: {units}; the scale of the layer counts.")
        self.smallest.textChanged.connect(self._explain)
        self.forget()

    def add_to(self, form: QFormLayout) -> None:
        """Add the rows to a form."""
        form.addRow(self._titles[0], self.width)
        form.addRow(self._titles[1], self.smallest)
        form.addRow(self.hint)

    def forget(self) -> None:
        """Say that the width is measured, for an image that was not looked at yet."""
        self.width.setSpecialValueText(_MEASURED)

    def tell(self, diameter: float) -> None:
        """Show the width that was measured."""
        if not self.width.value():
            self.width.setSpecialValueText(f"measured: {diameter:.2f} px")

    def suit(self, image: Image | None, card: ModelCard | None) -> None:
        """Show what has a meaning.

        Parameters
        ----------
        image : Image or None
            The chosen one; None also while its axes are being written.
        card : ModelCard or None
            Of the chosen model.
        """
        self._image, self._card = image, card
        sized = card is None or card.grid.sized
        objects = card is None or not card.target.table
        self._titles[0].setVisible(sized)
        self.width.setVisible(sized)
        self._titles[1].setVisible(objects)
        self.smallest.setVisible(objects)
        self.smallest.setPlaceholderText(_OWN.format(_SUCH[2 if card is None else card.net.ndim]))
        self._explain()

    @property
    def diameter(self) -> float | None:
        """How wide objects are, pixels; None: measured, or of no meaning."""
        return self.width.value() or None if self._card is None or self._card.grid.sized else None

    @property
    def min_size(self) -> float | None:
        """The smallest object, pixels; a SpecError says what is wrong with what is written."""
        text = self.smallest.text().strip()
        if not text or (self._card is not None and self._card.target.table):
            return None
        _, scale, units = self._sides() or (0, (1.0,) * 2, ("pixel",) * 2)
        return count_pixels(text, scale, units)

    def _sides(self) -> tuple[int, tuple[float, ...], tuple[str, ...]] | None:
        """Return how many planes the model sees one by one, and scale and units of its axes."""
        image, ndim = self._image, 2 if self._card is None else self._card.net.ndim
        if image is None or len(image.spatial) < ndim:
            return None
        _, scale, units = image.along("zyx"[-ndim:])
        return image.along("z")[0][0] if "z" in image.axes and ndim == 2 else 1, scale, units

    def _explain(self, _text: str = "") -> None:
        found, said = self._sides(), []
        if self._card is not None and self._image is not None and found is None:
            said.append("This model looks at stacks: it needs an image with depth (z).")
        elif self._card is not None and found is not None:
            planes, scale, units = found
            said.append(self._card.grid.words(scale, units))
            if planes > 1:
                joined = "" if self._card.target.table else " Outlines in neighboring ones are joined."
                said.append(f"The model looks at each of the {planes} slices by itself.{joined}")
        if found is not None and not self.smallest.isHidden():
            said.append(self._in_pixels())
        self.hint.setText(" ".join(filter(None, said)))
        self.hint.setVisible(bool(self.hint.text()))

    def _in_pixels(self) -> str:
        try:
            size = self.min_size
        except UNetError as error:
            return str(error)
        text = self.smallest.text().strip()
        return "" if size is None or text.isdigit() else f"{text} are {size:.1f} pixels."
