"""The rows on size: how wide objects are, how small they may be, and what is done with the spacing of an image."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING, Final

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit

from napari_unet.core.amounts import UNITS, smallest_of
from napari_unet.core.errors import UNetError
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.stacks import choose_stack, names_area

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
    pieces : QLineEdit
        The same for pieces of classes, all alike or class by class.
    hint : QLabel
        What is done with the spacing, in words.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        help_ = explain(SegmentSpec)
        self.width = pixels(help_["diameter"])
        self.smallest, self.pieces = QLineEdit(), QLineEdit()
        self.hint = words()
        self._titles = QLabel("Object width"), QLabel("Smallest object"), QLabel("Smallest pieces")
        self._image: Image | None = None
        self._card: ModelCard | None = None
        units = ", ".join([*UNITS[2], *UNITS[3]])
        self.smallest.setToolTip(f"{help_['min_size']} Or with a unit: {units}; the scale of the layer counts.")
        self.pieces.setToolTip(self.smallest.toolTip())
        for line in (self.smallest, self.pieces):
            line.textChanged.connect(self._explain)
        self.forget()

    def add_to(self, form: QFormLayout) -> None:
        """Add the rows to a form."""
        form.addRow(self._titles[0], self.width)
        form.addRow(self._titles[1], self.smallest)
        form.addRow(self.hint)

    def add_advanced(self, form: QFormLayout, row: int) -> None:
        """Add what few need to another form."""
        form.insertRow(row, self._titles[2], self.pieces)

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
        pieces = card is not None and not objects and card.target.background
        self._titles[0].setVisible(sized)
        self.width.setVisible(sized)
        self._titles[1].setVisible(objects)
        self.smallest.setVisible(objects)
        self._titles[2].setVisible(pieces)
        self.pieces.setVisible(pieces)
        such = _SUCH[2 if card is None else card.net.ndim]
        self.smallest.setPlaceholderText(_OWN.format(such))
        if pieces and card is not None:
            self.pieces.setPlaceholderText(", ".join(f"{row.name}={such}" for row in card.target.table[:2]))
        self._explain()

    @property
    def diameter(self) -> float | None:
        """How wide objects are, pixels; None: measured, or of no meaning."""
        return self.width.value() or None if self._card is None or self._card.grid.sized else None

    @property
    def min_size(self) -> str | None:
        """The smallest object, or piece of each class, as it is written; a SpecError says what is wrong with it."""
        return self._written if self._in_numbers() else None

    @property
    def _written(self) -> str:
        line = self.pieces if self._card is not None and self._card.target.table else self.smallest
        return line.text().strip() if not line.isHidden() else ""

    @property
    def _pixels(self) -> str:
        return "voxels" if self._axes == "zyx" else "pixels"

    @property
    def _stack(self) -> str:
        """How the model sees a stack, unless the user says otherwise."""
        if self._card is None or names_area(self._written):
            return "planes"
        return choose_stack(SegmentSpec(), self._card, self._image)

    @property
    def _axes(self) -> str:
        """Along which axes sizes are measured."""
        ndim = 2 if self._card is None else self._card.net.ndim
        return "zyx"[-ndim:] if self._stack == "planes" else "zyx"

    def _in_numbers(self) -> dict[str, float]:
        """Return what is written in pixels, by class; the name of all objects is empty."""
        if not self._written:
            return {}
        table = () if self._card is None else self._card.target.table
        names = [row.name for row in table] or [""]
        _, scale, units = self._sides() or (0, (1.0,) * 2, ("pixel",) * 2)
        return dict(zip(names, smallest_of(self._written, names, scale, units), strict=True))

    def _sides(self) -> tuple[int, tuple[float, ...], tuple[str, ...]] | None:
        """Return how many planes the model sees one by one, and scale and units of its axes."""
        image, ndim = self._image, 2 if self._card is None else self._card.net.ndim
        if image is None or len(image.spatial) < ndim:
            return None
        _, scale, units = image.along(self._axes)
        return image.along("z")[0][0] if "z" in image.axes and ndim == 2 else 1, scale, units

    def _explain(self, _text: str = "") -> None:
        found, said = self._sides(), []
        if self._card is not None and self._image is not None and found is None:
            said.append("This model looks at stacks: it needs an image with depth (z).")
        elif self._card is not None and found is not None:
            planes, scale, units = found
            said.append(self._card.grid.words(scale, units))
            if planes > 1:
                said.append(self._in_depth(planes))
        if found is not None:
            said.append(self._in_pixels())
        self.hint.setText(" ".join(filter(None, said)))
        self.hint.setVisible(bool(self.hint.text()))

    def _in_depth(self, planes: int) -> str:
        """Say how the model sees a stack."""
        if self._stack == "sides":
            return f"The model looks at the {planes} slices from three sides, and objects are found in 3D."
        joined = " Outlines in neighboring ones are joined." if self._stack == "planes" else " Objects are found in 3D."
        classes = self._card is not None and self._card.target.table
        return f"The model looks at each of the {planes} slices by itself.{'' if classes else joined}"

    def _in_pixels(self) -> str:
        try:
            found = self._in_numbers()
        except UNetError as error:
            return str(error)
        if not found or self._written.isdigit():
            return ""
        if "" in found:
            return f"{self._written} are {found['']:.1f} {self._pixels}."
        sizes = (
            f"{name} {'only the largest' if isinf(size) else f'{size:.1f} {self._pixels}'}"
            for name, size in found.items()
        )
        return f"Smallest pieces: {', '.join(sizes)}."
