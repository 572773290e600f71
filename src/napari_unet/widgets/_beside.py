"""Folders: a line with a button that asks for one, and those of other objects on many images."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QFormLayout, QLineEdit, QToolButton, QWidget

from ._parts import row

__all__ = ["BesideRows", "FolderRow"]


class FolderRow(QWidget):
    """A line for a folder, with a button that asks for one.

    Parameters
    ----------
    line : QLineEdit
        Says that it was edited when a folder was chosen, too.
    title : str
        Of the window that asks.
    """

    def __init__(self, line: QLineEdit, title: str) -> None:
        super().__init__()
        self._line, self._title = line, title
        self.asking = QToolButton()
        self.asking.setText("…")
        self.asking.setToolTip(title)
        self.asking.clicked.connect(self._ask)
        layout = row((line, 1), (self.asking, 0))
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)

    def _ask(self) -> None:
        found = QFileDialog.getExistingDirectory(self, self._title, self._line.text())
        if found:
            self._line.setText(found)
            self._line.editingFinished.emit()


class BesideRows(QWidget):
    """Rows for labels of other objects on many images: foci in nuclei, nuclei in cells."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.within = QLineEdit(), QLineEdit()
        tips = (
            "Labels of smaller objects on the same images, such as foci: how many lie in each object, and how much of "
            "it they cover. The results of another run over these images, or labels with their names.",
            "Labels of larger objects on the same images, such as cells: in which of them each object lies. The "
            "results of another run over these images, or labels with their names.",
        )
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for words, line, tip in zip(("Count inside", "Lie in"), (self.inside, self.within), tips, strict=True):
            line.setPlaceholderText("nothing; a folder of labels")
            line.setToolTip(tip)
            form.addRow(words, FolderRow(line, "Results of another run, or a folder of labels"))

    def asked(self) -> dict[str, str]:
        """Return what is asked for, as :func:`napari_unet.workflows.batch` takes it."""
        lines = {"inside": self.inside.text().strip(), "within": self.within.text().strip()}
        return {name: str(Path(text).expanduser()) for name, text in lines.items() if text}
