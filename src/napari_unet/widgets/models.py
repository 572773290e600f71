"""See, add, share and remove models."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QFileDialog, QListWidget, QListWidgetItem, QMenu, QMessageBox, QPushButton

from napari_unet import workflows
from napari_unet.core.errors import UNetError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.steps import Progress, Steps

from ._adding import FILES, AddOptions, Drops
from ._card import CardView
from ._news import NEWS
from ._panel import Panel
from ._parts import Fold, button, row

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtGui import QAction

__all__ = ["ModelsWidget"]

_HELP: Final = "The models at hand. Drop a model here, a file or a folder, to add it to your own."
_FORMATS: Final = {
    "zip": "One file, for napari-unet",
    "folder": "A folder, for napari-unet",
    "bioimageio": "bioimage.io package",
    "onnx": "ONNX",
    "torchscript": "TorchScript",
}
_KEPT: Final = "This model belongs to the program and cannot be deleted."
_LINES: Final = 8  # of the list, at most


class ModelsWidget(Panel):
    """The dock that looks after the models.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where the dock is.
    engine : module, optional
        Has the verbs of :mod:`napari_unet.workflows`.
    """

    def __init__(self, napari_viewer: Viewer, engine: ModuleType | Any = workflows) -> None:
        super().__init__(_HELP, "Add a model …")
        self.viewer, self.engine = napari_viewer, engine
        self.cards: dict[str, ModelCard] = {}
        self.damaged: dict[str, str] = {}
        self.models = QListWidget()
        self.models.setStyleSheet("QListWidget::item {padding: 4px}")
        self.export = QPushButton("Export as")
        self.export.setToolTip("Write the chosen model so that others, or other programs, can use it.")
        menu = QMenu(self.export)
        for form, text in _FORMATS.items():
            if (action := menu.addAction(f"{text} …")) is not None:
                action.setData(form)
        menu.triggered.connect(self._ask_export)
        self.export.setMenu(menu)
        self.delete = button("Delete …", "", self.ask_delete)
        self.options = AddOptions()
        self.card = CardView()
        self.form.addRow(self.models)
        buttons = row((self.export, 1), (self.delete, 1))
        buttons.setSpacing(8)
        self.form.addRow(buttons)
        self.form.addRow(Fold("When adding", self.options))
        self.column.addWidget(self.card)
        self.column.addStretch(1)
        self.drops = Drops(self.body)
        self.drops.dropped.connect(self.add)
        self.models.currentItemChanged.connect(self._chosen)
        NEWS.models.connect(self.refresh)
        self.say("Ready.")
        self.refresh()

    @property
    def chosen(self) -> str:
        """Name of the chosen model; empty if there is none."""
        item = self.models.currentItem()
        return "" if item is None else str(item.data(Qt.ItemDataRole.UserRole))

    def choose(self, name: str) -> None:
        """Choose a model of the list."""
        known = [*self.cards, *self.damaged]
        self.models.setCurrentRow(known.index(name) if name in known else 0)

    def refresh(self) -> None:
        """Read the list again and keep what is chosen."""
        try:
            self.cards = {card.name: card for card in self.engine.list_models()}
            self.damaged = dict(self.engine.list_damaged())
        except UNetError as error:
            self.complain(error)
            return
        before = self.chosen
        blocked = self.models.blockSignals(True)
        self.models.clear()
        for name, card in self.cards.items():
            self._add_item(name, card.caption)
        for name in self.damaged:
            self._add_item(name, f"{name} (damaged)")
        shown = range(min(self.models.count(), _LINES))
        self.models.setFixedHeight(sum(map(self.models.sizeHintForRow, shown)) + 2 * self.models.frameWidth() + 2)
        self.choose(before)
        self.models.blockSignals(blocked)
        self._chosen()

    def _add_item(self, name: str, text: str) -> None:
        item = QListWidgetItem(text, self.models)
        item.setData(Qt.ItemDataRole.UserRole, name)

    def _chosen(self, *_: object) -> None:
        name, place = self.chosen, None
        if name:
            try:
                place = self.engine.locate_model(name)
            except UNetError as error:  # it has just gone
                self.say(str(error))
        if place is not None and name in self.cards:
            self.card.show_card(self.cards[name], place)
        elif place is not None:
            self.card.show_damage(name, self.damaged[name], place)
        self.card.setVisible(place is not None)
        self.delete.setEnabled(place is not None and not place.bundled and self.job is None)
        self.delete.setToolTip(_KEPT if place and place.bundled else "Delete the chosen model from the disk.")
        self.export.setEnabled(place is not None and name in self.cards and self.job is None)

    def busy(self, running: bool) -> None:
        """Show that something runs, or that everything is quiet."""
        super().busy(running)
        if hasattr(self, "card"):  # the panel calls this while it is built
            self._chosen()

    def event(self, event: QEvent | None) -> bool:
        """Look again when the dock is shown: a model may have come from elsewhere, such as a training in a terminal."""
        if event is not None and event.type() == QEvent.Type.Show:
            self.refresh()
        return super().event(event)

    def run(self) -> None:
        """Ask for a file and add it."""
        path, _ = QFileDialog.getOpenFileName(self, "Add a model", "", FILES)
        if path:
            self.add(Path(path))

    def add(self, path: Path) -> None:
        """Take a model in; what is wrong with it is said in the status line."""
        if self.job is not None:
            return
        engine, options = self.engine, self.options.values()
        self.begin(lambda: engine.add_model_steps(path, **options), self.follow, self._added)

    def _added(self, card: ModelCard) -> str:
        self.options.clear()
        NEWS.models.emit()
        self.choose(card.name)
        return f"Added '{card.name}'."

    def ask_delete(self) -> None:
        """Ask whether the chosen model is to go, and delete it."""
        name = self.chosen
        question = f"Delete the model '{name}' from the disk? This cannot be undone."
        if name and self.agreed(question):
            self.remove(name)

    def agreed(self, question: str) -> bool:
        """Ask a question whose safe answer is no."""
        kind = QMessageBox.StandardButton
        return QMessageBox.question(self, "Delete a model", question, kind.Yes | kind.No, kind.No) == kind.Yes

    def remove(self, name: str) -> None:
        """Delete a model."""
        if self.job is not None:
            return
        engine = self.engine

        def make() -> Steps[None]:
            yield Progress(0, 0, "Deleting")
            engine.remove_model(name)

        def done(_: None) -> str:
            NEWS.models.emit()
            return f"Deleted '{name}'."

        self.begin(make, self.follow, done)
        self.stop.setEnabled(False)  # half a model is worse than none

    def _ask_export(self, action: QAction) -> None:
        form = action.data()
        path, _ = QFileDialog.getSaveFileName(self, "Export a model", f"{self.chosen}{workflows.FORMATS[form]}")
        if path:
            self.write(Path(path), form)

    def write(self, path: Path, form: str) -> None:
        """Write the chosen model; the file dialog has asked whether to replace what is there."""
        name, engine = self.chosen, self.engine
        if not name or self.job is not None:
            return
        steps = lambda: engine.export_model_steps(name, path, form, overwrite=True)  # noqa: E731
        self.begin(steps, self.follow, lambda file: f"Wrote {file}.")
