"""What can be said about a model that is being added, and which file it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLineEdit, QWidget

from napari_unet.core.registry import names

__all__ = ["FILES", "AddOptions", "Drops"]

# A card stands for the folder that it lies in.
FILES: Final = "Models (*.zip *.onnx *.pt *.pth *.ts *.torchscript card.json card.toml *.yaml);;All files (*)"
_OPEN: Final = "as the file says"


class AddOptions(QWidget):
    """Settings that are rarely needed: the file says it all, as a rule."""

    def __init__(self) -> None:
        super().__init__()
        self.name = QLineEdit()
        self.name.setPlaceholderText(_OPEN)
        self.name.setToolTip("What the new model is called.")
        self.target = QComboBox()
        self.target.addItem(_OPEN, None)
        for name in names("targets"):
            self.target.addItem(name, name)
        self.target.setToolTip("Only for a bare network: what its channels mean.")
        self.replace = QCheckBox("Replace a model of the same name")
        self.trust = QCheckBox("Allow its own code to run")
        self.trust.setToolTip(
            "Some models bring Python code, which can do all that you can. Check this only if you know who made it."
        )
        form = QFormLayout(self)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setContentsMargins(10, 0, 0, 0)
        form.addRow("Name", self.name)
        form.addRow("Objects as", self.target)
        form.addRow(self.replace)
        form.addRow(self.trust)

    def values(self) -> dict[str, Any]:
        """Return the settings as keywords of ``add_model``."""
        return {
            "name": self.name.text().strip() or None,
            "target": self.target.currentData(),
            "consent": self.trust.isChecked(),
            "overwrite": self.replace.isChecked(),
        }

    def clear(self) -> None:
        """Forget the settings: none of them is meant for the next file."""
        self.name.clear()
        self.target.setCurrentIndex(0)
        self.replace.setChecked(False)
        self.trust.setChecked(False)


class Drops(QObject):
    """Takes what is dropped on a widget: one file or folder at a time.

    Parameters
    ----------
    area : QWidget
        Where things can be dropped.
    """

    dropped = Signal(object)  # the Path of a model

    def __init__(self, area: QWidget) -> None:
        super().__init__(area)
        area.setAcceptDrops(True)
        area.installEventFilter(self)

    def eventFilter(self, area: QObject | None, event: QEvent | None) -> bool:  # noqa: N802  # Qt's name
        """Welcome one file or folder, and hand it on when it is dropped."""
        if not isinstance(event, QDropEvent):  # as those of a drag are, too
            return super().eventFilter(area, event)
        data = event.mimeData()
        paths = [url.toLocalFile() for url in data.urls()] if data is not None else []
        if len(paths) == 1 and paths[0]:
            event.acceptProposedAction()
            if event.type() == QEvent.Type.Drop:
                self.dropped.emit(Path(paths[0]))
        return True
