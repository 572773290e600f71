"""The model to be made: its name, what it starts from, how long it learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from qtpy.QtCore import QLocale, Qt, Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QLineEdit, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.bands import are_colors, band_names
from napari_unet.core.model_card import ModelCard, family, is_plain
from napari_unet.core.specs import Task

from ._parts import words

__all__ = ["StartBox", "fits", "free_name"]

_SCRATCH: Final = "nothing: from scratch"
_NAME: Final = "my-cells"
_LICENSES: Final = ("", "CC0-1.0", "CC-BY-4.0", "CC-BY-NC-4.0", "BSD-3-Clause", "MIT")


class _Minutes(QDoubleSpinBox):
    """Minutes, without zeros that say nothing."""

    def textFromValue(self, value: float) -> str:  # noqa: N802  # Qt's name
        """Write a number as short as it is."""
        return f"{value:g}".replace(".", QLocale().decimalPoint())


class StartBox(QWidget):
    """The rows that say which model is made.

    Attributes
    ----------
    taken : set of str
        Names that models bear already.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.taken: set[str] = set()
        self._cards: list[ModelCard] = []
        self._own = False  # whether the start was chosen, and not only suits
        self.name = QLineEdit(_NAME)
        self.name.setToolTip("What the new model is called in the lists.")
        self.trouble = words()
        self.trouble.setObjectName("trouble")
        self.start = QComboBox()
        self.start.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.start.setToolTip("A model that knows similar images learns from far fewer labels.")
        self.minutes = _Minutes()
        self.minutes.setRange(0.1, 10_000)
        self.minutes.setDecimals(2)
        self.minutes.setValue(10)
        self.minutes.setSuffix(" minutes")
        self.license = QComboBox()
        self.license.setEditable(True)
        self.license.addItems(_LICENSES)
        self.license.setToolTip("What others may do with the model; stands on its card. Empty: not stated.")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("New model", self.name)
        form.addRow(self.trouble)
        form.addRow("Start from", self.start)
        form.addRow("Learn for", self.minutes)
        form.addRow("License", self.license)
        self.name.textChanged.connect(self._look)
        self.start.activated.connect(self._chosen)
        self.start.currentIndexChanged.connect(self._tell)
        self._look()

    def _tell(self, _index: int = 0) -> None:
        self.changed.emit()

    def _chosen(self, _index: int) -> None:
        self._own = True

    def show_models(self, cards: Sequence[ModelCard]) -> None:
        """List the models that one can start from."""
        self._cards = [card for card in cards if card.foreign is None]
        self.taken = {card.name for card in cards}
        before, blocked = self.start.currentData(), self.start.blockSignals(True)
        self.start.clear()
        for card in self._cards:
            self.start.addItem(card.caption, card.name)
            self.start.setItemData(self.start.count() - 1, card.description, Qt.ItemDataRole.ToolTipRole)
        self.start.addItem(_SCRATCH, "")
        self.start.setCurrentIndex(max(0, self.start.findData(before)))
        self.start.blockSignals(blocked)
        self._look()

    def suit(self, image: Any, task: Task) -> None:
        """Start from the model of a task that fits an image, unless one was chosen.

        Parameters
        ----------
        image : Image or Any
            The first that is learned from; something else if it is in a file.
        task : Task
            What the model is for; its own model is taken where several fit.
        """
        if self._own:
            return
        own = [card for card in self._cards if card.task == task.name]
        if isinstance(image, Image) and not are_colors(image.channels, band_names(image)):
            own = [card for card in own if card.bands or card.net.inputs != 3]  # not one of colors
        fitting = [card.name for card in own if not isinstance(image, Image) or fits(card, image)]
        self._show(task.model if task.model in fitting else fitting[0] if fitting else "")

    def choose(self, name: str) -> None:
        """Start from a model, whatever would suit; empty for none."""
        self._own = True
        self._show(name)

    def _show(self, name: str) -> None:
        self.start.setCurrentIndex(self.start.findData(name))

    def propose(self, name: str) -> None:
        """Propose a name for the new model, or the next free one like it."""
        self.name.setText(free_name(name, self.taken))

    def _look(self, _text: str = "") -> None:
        self.trouble.setText(self.wrong)
        self.trouble.setVisible(bool(self.wrong))
        self.changed.emit()

    @property
    def wrong(self) -> str:
        """What is wrong with the name, in words; empty if nothing is."""
        name = self.name.text().strip()
        if not name:
            return "Give the new model a name."
        if not is_plain(name):
            return f"'{name}' cannot be the name of a model: use letters, digits, spaces and hyphens."
        if name in self.taken:
            return f"There is a model '{name}' already. Choose another name, such as '{free_name(name, self.taken)}'."
        return ""

    @property
    def bands(self) -> tuple[str, ...]:
        """What the channels of the model that is started from are called; empty if they have no names."""
        start = self.start.currentData()
        return next((card.bands for card in self._cards if card.name == start), ())

    @property
    def values(self) -> dict[str, Any]:
        """The fields of TrainSpec that are set here."""
        return {
            "name": self.name.text().strip(),
            "start": self.start.currentData() or "",
            "minutes": self.minutes.value(),
            "license": self.license.currentText().strip(),
        }


def fits(card: ModelCard, image: Image) -> bool:
    """Say whether a model can go on learning from an image."""
    return image.channels in card.channels and card.net.ndim <= len(image.spatial)


def free_name(name: str, taken: set[str]) -> str:
    """Return a name that no model bears: ``name``, ``name-2``, ``name-3`` ..."""
    stem = family(name)
    names = [name, *(f"{stem}-{i}" for i in range(2, len(taken) + 3))]
    return next(n for n in names if n not in taken)
