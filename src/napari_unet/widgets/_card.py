"""What is known of a model, as rows of words."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Final

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from ._parts import button, words

if TYPE_CHECKING:
    from napari_unet.core.model_card import ModelCard
    from napari_unet.workflows import ModelPlace

__all__ = ["CardView", "facts", "scores"]

_ROWS: Final = (
    "For", "Network", "Channels", "Object widths", "Made by", "License", "Trained on", "Tiles", "Size", "Belongs to",
    "sha256",
)  # fmt: skip
_KINDS: Final = {"onnx": "ONNX", "torchscript": "TorchScript", "state_dict": "PyTorch, runs code of its own"}
_SHOWN: Final = ("AP50", "mAP", "PQ", "mDice", "Dice")
_SHORT: Final = 12


def facts(card: ModelCard, place: ModelPlace) -> dict[str, str]:
    """Say what a model is.

    Parameters
    ----------
    card : ModelCard
        What is known.
    place : ModelPlace
        Where it lies.

    Returns
    -------
    dict of str
        Title to text; empty where nothing is known.
    """
    kind = card.net.architecture if card.foreign is None else _KINDS[card.foreign.format]
    found = (
        card.task,
        f"{card.net.ndim}D, {kind}",
        " or ".join(map(str, card.channels)),
        card.widths,
        ", ".join(card.authors),
        card.license or "not stated",
        card.data or "not stated",
        card.tiles,
        place.size_text,
        "this program" if place.bundled else "you",
        card.sha256[:_SHORT],
    )
    return dict(zip(_ROWS, found, strict=True))


def scores(card: ModelCard) -> str:
    """Write the scores as a table in HTML; every word of the card is escaped."""
    if not card.metrics:
        return ""
    known = {name for kind in card.metrics.values() for name in kind}
    columns = [name for name in _SHOWN if name in known] or sorted(known)[:3]
    head = "".join(f"<th align='right'>{escape(name)}</th>" for name in columns)
    rows = []
    for kind, found in card.metrics.items():
        cells = "".join(
            f"<td align='right'>{found[name]:.3f}</td>" if name in found else "<td></td>" for name in columns
        )
        where = re.sub("^fold", "left out: part", kind).replace("_", " ")
        rows.append(f"<tr><td>{escape(where)}</td>{cells}</tr>")
    return f"<table cellpadding='3'><tr><th align='left'>Scores</th>{head}</tr>{''.join(rows)}</table>"


class CardView(QWidget):
    """What is known of one model."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        self.title = words()
        font = self.title.font()
        font.setBold(True)
        font.setPointSizeF(font.pointSizeF() * 1.15)
        self.title.setFont(font)
        self.text = words()
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.form.setHorizontalSpacing(10)
        self.rows: dict[str, QLabel] = {}
        for name in _ROWS:
            self.rows[name] = words()
            self.form.addRow(name, self.rows[name])
        self.folder = button("Open its folder", "", self._open)
        self.form.addRow("", self.folder)
        self.scores = words()
        for label in (self.title, self.text, *self.rows.values()):
            # A card may come from a stranger: its words are words and never markup.
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column.addWidget(self.title)
        column.addWidget(self.text)
        column.addLayout(self.form)
        column.addWidget(self.scores)

    def show_card(self, card: ModelCard, place: ModelPlace) -> None:
        """Show a model.

        Parameters
        ----------
        card : ModelCard
            What is known.
        place : ModelPlace
            Where it lies.
        """
        self._fill(card.title or card.name, card.description, facts(card, place), place)
        self.rows["sha256"].setToolTip(card.sha256)
        self.scores.setText(scores(card))

    def show_damage(self, name: str, why: str, place: ModelPlace) -> None:
        """Show a model that cannot be used, and why.

        Parameters
        ----------
        name, why : str
            The model and its trouble.
        place : ModelPlace
            Where it lies.
        """
        self._fill(f"{name} is damaged", why, {"Size": place.size_text}, place)
        self.scores.setText("")

    def _fill(self, title: str, text: str, found: dict[str, str], place: ModelPlace) -> None:
        self.title.setText(title)
        self.text.setText(text)
        self.text.setVisible(bool(text))
        for name, label in self.rows.items():
            label.setText(found.get(name, ""))
            for widget in (label, self.form.labelForField(label)):
                if widget is not None:
                    widget.setVisible(bool(found.get(name)))
        self.folder.setToolTip(str(place.folder))

    def _open(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(self.folder.toolTip()))
