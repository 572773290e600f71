"""The choice of models."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLineEdit

from napari_unet.core.errors import ModelError
from napari_unet.core.model_card import ModelCard

__all__ = ["ModelBox"]


class ModelBox(QComboBox):
    """A list of models to choose from, and a line for further ones whose scores are averaged with it.

    Attributes
    ----------
    others : QLineEdit
        Names or folders with commas between.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.others = QLineEdit()
        self.others.setPlaceholderText("no other model")

    def fill(self, cards: Sequence[ModelCard], first: str) -> None:
        """List models; the choice stays where it can, else it is `first`."""
        before = self.currentData()
        self.clear()
        for card in cards:
            self.addItem(card.caption, card.name)
            self.setItemData(self.count() - 1, card.description, Qt.ItemDataRole.ToolTipRole)
        kept = self.findData(before)
        self.setCurrentIndex(kept if kept >= 0 else max(0, self.findData(first)))
        names = ", ".join(card.name for card in cards)
        self.others.setToolTip(
            f"Average the scores with those of further models, with commas between. At hand: {names}."
        )

    @property
    def chosen(self) -> tuple[str, ...]:
        """The model, and those it is averaged with; a ModelError says that there is none."""
        if self.currentIndex() < 0:
            raise ModelError("No model was found. Reinstall napari-unet-suite, or train one with 'napari-unet train'.")
        others = [word.strip() for word in re.split(r"[,;]", self.others.text())]
        return tuple(filter(None, (str(self.currentData()), *others)))
