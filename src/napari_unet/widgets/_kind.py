"""The kind of model to be made: its task, and its classes where labels are classes of pixels."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QLineEdit, QWidget

from napari_unet.core.registry import names
from napari_unet.core.specs import Task, load_task

__all__ = ["KindBox"]


class KindBox(QWidget):
    """The rows that say what a model is for.

    Parameters
    ----------
    task : str
        An entry of ``tasks/``, chosen first.
    """

    changed = Signal()
    chosen = Signal(str)  # another task

    def __init__(self, task: str) -> None:
        super().__init__()
        self.tasks = QComboBox()
        self.tasks.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        for name in names("tasks", ".toml"):
            self.tasks.addItem(load_task(name).title, name)
        self.classes = QLineEdit()
        self.classes.setToolTip("Names of the classes 1, 2 and so on in the labels, with commas between.")
        self._title = QLabel("Classes")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Kind", self.tasks)
        form.addRow(self._title, self.classes)
        self.tasks.setCurrentIndex(self.tasks.findData(task))
        self.tasks.currentIndexChanged.connect(self._choose)
        self.classes.textChanged.connect(self._tell)
        self._look()

    @property
    def task(self) -> Task:
        """The chosen task."""
        return load_task(str(self.tasks.currentData()))

    @property
    def values(self) -> dict[str, Any]:
        """The fields of TrainSpec that are set here, for a model that starts from nothing."""
        target = self.task.target
        given = tuple(filter(None, (word.strip() for word in self.classes.text().split(","))))
        if not target.table or not given or given == target.classes:
            return {}
        return {"target": {**target.model_dump(), "classes": given, "colors": ()}}

    def _look(self) -> None:
        target = self.task.target
        for widget in (self._title, self.classes):
            widget.setVisible(bool(target.table))
        self.classes.setText("")
        usual = ", ".join(target.classes)
        self.classes.setPlaceholderText(usual or "as many as there are in the labels")

    def _choose(self, _index: int) -> None:
        self._look()
        self.chosen.emit(self.task.name)
        self._tell()

    def _tell(self, _text: str = "") -> None:
        self.changed.emit()
