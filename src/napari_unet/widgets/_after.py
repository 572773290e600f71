"""What to do with a model that has just been made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from napari.layers import Image as ImageLayer
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_unet.core.model_card import ModelCard

from ._card import CardView
from ._parts import button, row

__all__ = ["AfterBox", "try_model"]

_PLUGIN: Final = "napari-unet-suite"
_SOON: Final = 300  # milliseconds
# The docks by what they are for; napari opens them by their names.
_DOCKS: Final = {
    "cell": "Segment cells and nuclei",
    "tumor": "Segment tumors and organs",
    "organ": "Segment tumors and organs",
    "satellite": "Segment satellite and aerial images",
    "inspection": "Inspect surfaces",
}


class AfterBox(QWidget):
    """The card of a new model, a button to try it and one to export it."""

    tried = Signal(str)  # name of the model
    wanted = Signal(object)  # Path of the package to write
    stands = Signal()  # a moment after a model is shown: everything is in its place

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self.card = CardView()
        self.attempt = button("Try it", "Segment the chosen image with the new model.", self._try)
        self.export = button("Export …", "Write a bioimage.io package, which other programs read.", self._ask)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON)
        self._soon.timeout.connect(self.stands)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row((self.attempt, 1), (self.export, 1)))
        column.addWidget(self.card)
        self.setVisible(False)

    def show_model(self, card: ModelCard, place: Any) -> None:
        """Show a model.

        Parameters
        ----------
        card : ModelCard
            What is known of it; its description says whether it is better than the model it started from.
        place : ModelPlace
            Where it lies.
        """
        self.name = card.name
        self.card.show_card(card, place)
        self.setVisible(True)
        self._soon.start()

    def _try(self) -> None:
        self.tried.emit(self.name)

    def _ask(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Export a model", f"{self.name}.zip", "bioimage.io (*.zip)")
        if path:
            self.wanted.emit(Path(path))


def try_model(
    viewer: Any, name: str, dock: Any = None, task: str = "cell", channels: Sequence[Sequence[Any]] = ()
) -> Any:
    """Segment the current image with a model, in the dock that segments.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layers and the docks.
    name : str
        Of the model.
    dock : SegmentWidget, optional
        The dock; by default the viewer's, which is opened if it is not.
    task : str
        Of the model: chooses the dock.
    channels : sequence of sequences of layers
        Images whose channels are layers of their own, in the order of the model: if one of these layers is chosen, all
        of them are segmented.

    Returns
    -------
    SegmentWidget
        The dock, which runs now.
    """
    if dock is None:
        _, dock = viewer.window.add_plugin_dock_widget(_PLUGIN, _DOCKS.get(task, _DOCKS["cell"]), tabify=True)
    active = viewer.layers.selection.active
    chosen = active if isinstance(active, ImageLayer) else dock.images.layer
    together = next((layers for layers in channels if chosen in layers), ())
    dock.images.choose(together[0] if together else chosen)
    dock.models.setCurrentIndex(dock.models.findData(name))
    dock.sight.further.choose(together)
    dock.run()
    return dock
