"""The line for a folder or a table with annotated images."""

from __future__ import annotations

from qtpy.QtWidgets import QFileDialog, QLineEdit, QMenu, QToolButton, QWidget

from ._parts import row

__all__ = ["FilesRow"]


class FilesRow(QWidget):
    """A line for a path, and a button that asks for a folder or a table."""

    def __init__(self) -> None:
        super().__init__()
        self.line = QLineEdit()
        self.line.setPlaceholderText("folder with images and labels, or a CSV table")
        self.ask = QToolButton()
        self.ask.setText("…")
        self.ask.setToolTip("Choose a folder or a table.")
        self.ask.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.ask)
        menu.addAction("A folder …", self._ask_folder)
        menu.addAction("A table …", self._ask_table)
        self.ask.setMenu(menu)
        layout = row((self.line, 1), (self.ask, 0))
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)

    def _ask_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "A folder with images and labels")
        self.line.setText(found or self.line.text())

    def _ask_table(self) -> None:
        found, _ = QFileDialog.getOpenFileName(self, "A table of images and labels", "", "Tables (*.csv)")
        self.line.setText(found or self.line.text())
