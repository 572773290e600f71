"""The small parts that docks are made of."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QLayout,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

__all__ = ["Caution", "Fold", "button", "copy", "order_tabs", "pixels", "row", "sure", "words"]


class Fold(QWidget):
    """A part of a dock that is folded away until its title is clicked.

    Parameters
    ----------
    title : str
        What is inside.
    content : QWidget
        What is shown and hidden.
    """

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.title = QToolButton()
        self.title.setText(title)
        self.title.setCheckable(True)
        self.title.setAutoRaise(True)
        self.title.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.title.toggled.connect(self._show)
        self.content = content
        column.addWidget(self.title)
        column.addWidget(content)
        self._show(False)

    def _show(self, open_: bool) -> None:
        self.title.setArrowType(Qt.ArrowType.DownArrow if open_ else Qt.ArrowType.RightArrow)
        self.content.setVisible(open_)


def words(text: str = "") -> QLabel:
    """Return a text that wraps and never widens the dock."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


class Caution(QLabel):
    """What must be known before a result is relied on; takes no room if there is nothing.

    Parameters
    ----------
    text : str
        A sentence or two.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setWordWrap(True)
        self.setObjectName("caution")
        self.setStyleSheet("QLabel#caution {color: #d9822b; font-weight: bold}")
        self.setVisible(bool(text))


def button(text: str, tip: str, action: Callable[[], object]) -> QPushButton:
    """Return a push button that calls `action`, a method: Qt holds it weakly, so that a closed dock can go."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(action)
    return made


def order_tabs(layout: QLayout) -> None:
    """Have the tab key go from one field to the next as they are read, whenever they were made."""
    for one, following in itertools.pairwise(_focusable(layout)):
        QWidget.setTabOrder(one, following)


def _focusable(layout: QLayout) -> Iterator[QWidget]:
    for number in range(layout.count()):
        item = layout.itemAt(number)
        widget, inner = (None, None) if item is None else (item.widget(), item.layout())
        if widget is not None and widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            yield widget
        elif widget is not None:
            inner = widget.layout()
        if inner is not None:
            yield from _focusable(inner)


def pixels(tip: str) -> QDoubleSpinBox:
    """Return a field for a length in pixels."""
    field = QDoubleSpinBox()
    field.setRange(0, 10_000)
    field.setDecimals(2)
    field.setSuffix(" px")
    field.setToolTip(tip)
    return field


def row(*widgets: tuple[QWidget, int]) -> QHBoxLayout:
    """Return a row of widgets with their share of its width."""
    made = QHBoxLayout()
    for widget, share in widgets:
        made.addWidget(widget, share)
    return made


def copy(text: str) -> None:
    """Put a text on the clipboard."""
    clipboard = QGuiApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(text)


def sure(parent: QWidget, question: str) -> bool:
    """Ask something that is to be answered with yes or no."""
    answer = QMessageBox.question(parent, "U-Net", question)
    return bool(answer == QMessageBox.StandardButton.Yes)
