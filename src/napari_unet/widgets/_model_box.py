"""The choice of models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLineEdit

from napari_unet.core.axes import Image
from napari_unet.core.errors import ModelError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import Task

from ._parts import words

__all__ = ["ModelBox"]

_VOLUME: Final = 8  # planes from which on a stack is a volume
_NOTHING: Final = "none yet"
_MISSING: Final = (
    "No model for {what} is at hand. Make one from labels of your own: Plugins > U-Net > Train a model, kind "
    "'{title}'. Or add one that you have been given: Plugins > U-Net > Models."
)


class ModelBox(QComboBox):
    """A list of models to choose from, and a line for further ones whose scores are averaged with it.

    Models of the dock's tasks come first, all others below a line.

    Parameters
    ----------
    tasks : sequence of Task
        What the dock is for, the most important first.

    Attributes
    ----------
    others : QLineEdit
        Names or folders with commas between.
    missing : QLabel
        Says what to do if there is no model for the tasks.
    """

    picked = Signal()

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__()
        self._tasks = tuple(tasks)
        self._cards: dict[str, ModelCard] = {}
        self._by_hand = False
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.others = QLineEdit()
        self.others.setPlaceholderText("no other model")
        self.missing = words()
        self.currentIndexChanged.connect(self._tell)
        self.activated.connect(self._decide)

    def add_to(self, form: QFormLayout) -> None:
        """Add the rows to a form."""
        form.addRow("Model", self)
        form.addRow(self.missing)

    def _tell(self, _index: int = 0) -> None:
        self.picked.emit()

    def _decide(self, _index: int = 0) -> None:
        self._by_hand = True

    def suit(self, image: Image | None) -> None:
        """Choose a model of volumes for a volume, and one of planes for other images, unless the user has chosen."""
        if image is None or self._by_hand or self.card is None:
            return
        lengths = dict(zip(image.axes, image.shape, strict=True))
        wanted = 3 if lengths.get("z", 1) >= _VOLUME else 2
        own = [card for task in self._tasks for card in self._cards.values() if card.task == task.name]
        fitting = [card.name for card in own if card.net.ndim == wanted]
        if fitting and self.currentData() not in fitting:
            usual = self._tasks[0].model
            self.setCurrentIndex(self.findData(usual if usual in fitting else fitting[0]))

    def fill(self, cards: Sequence[ModelCard]) -> None:
        """List models; the choice stays where it can."""
        before, blocked = self.currentData(), self.blockSignals(True)
        self.clear()
        self._cards = {card.name: card for card in cards}
        own = [card for task in self._tasks for card in cards if card.task == task.name]
        for card in own:
            self._add(card)
        if cards and not own:
            self.addItem(_NOTHING, "")
        if rest := [card for card in cards if card not in own]:
            self.insertSeparator(self.count())
            for card in rest:
                self._add(card)
        kept, first = self.findData(before), self.findData(self._tasks[0].model)
        self.setCurrentIndex(kept if before and kept >= 0 else max(0, first) if own else min(0, self.count() - 1))
        self.blockSignals(blocked)
        self.missing.setText("" if own else self._lack)
        self.missing.setVisible(not own)
        names = ", ".join(self._cards)
        self.others.setToolTip(
            f"Average the scores with those of further models, with commas between. At hand: {names}."
        )
        self.picked.emit()

    def _add(self, card: ModelCard) -> None:
        self.addItem(card.caption, card.name)
        self.setItemData(self.count() - 1, card.description, Qt.ItemDataRole.ToolTipRole)

    @property
    def _lack(self) -> str:
        """What to do where there is no model, in words."""
        what = " or for ".join(task.title[0].lower() + task.title[1:] for task in self._tasks)
        return _MISSING.format(what=what, title=self._tasks[0].title)

    @property
    def card(self) -> ModelCard | None:
        """What is known of the chosen model."""
        return self._cards.get(str(self.currentData()))

    @property
    def noun(self) -> str:
        """What the labels of the chosen model are of, more than one."""
        return self.noun_of(str(self.currentData()))

    def noun_of(self, name: str) -> str:
        """Return what the labels of a model are of, more than one."""
        card = self._cards.get(name)
        task = next((task for task in self._tasks if card is not None and card.task == task.name), self._tasks[0])
        # A task of classes may have models whose labels are objects, such as buildings.
        return "objects" if card is not None and task.target.table and not card.target.table else task.noun

    @property
    def chosen(self) -> tuple[str, ...]:
        """The model, and those it is averaged with; a ModelError says that there is none."""
        if not self.currentData():
            raise ModelError(self._lack)
        others = [word.strip() for word in re.split(r"[,;]", self.others.text())]
        return tuple(filter(None, (str(self.currentData()), *others)))
