"""A list of the viewer's layers that follows the viewer."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

__all__ = ["LayerBox"]


class LayerBox(QComboBox):
    """A list of the viewer's layers of one kind that follows the viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Its layers are listed, those on top first.
    kind : type
        Class of the layers, e.g. ``napari.layers.Image``.
    nothing : str
        If given, the first entry, which stands for no layer.
    parent : QWidget, optional
        Of this list.
    """

    chosen = Signal()
    listed = Signal()  # layers of any kind came or went, and the choice is the same

    def __init__(self, viewer: Viewer, kind: type, nothing: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layers, self._kind, self._nothing = viewer.layers, kind, nothing
        self._found: list[Layer | None] = []
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        events = self._layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._follow)
        # The viewer outlives the dock: without this its events would reach a deleted Qt object.
        self.destroyed.connect(partial(_disconnect, self._layers, self._follow))
        self._follow()
        active = viewer.layers.selection.active
        if not nothing and active in self._found:
            self.setCurrentIndex(self._found.index(active))
        self.currentIndexChanged.connect(self._tell)

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        index = self.currentIndex()
        return self._found[index] if 0 <= index < len(self._found) else None

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer, if it is listed."""
        if layer in self._found:
            self.setCurrentIndex(self._found.index(layer))

    def _tell(self, _index: int) -> None:
        self.chosen.emit()

    def _follow(self, event: object = None) -> None:
        before = self.layer
        found: list[Layer | None] = [y for y in reversed(self._layers) if isinstance(y, self._kind)]
        for layer in found:
            layer.events.name.disconnect(self._follow)  # type: ignore[union-attr]
            layer.events.name.connect(self._follow)  # type: ignore[union-attr]
        found = [None, *found] if self._nothing else found
        blocked = self.blockSignals(True)
        self.clear()
        self.addItems([self._nothing if layer is None else layer.name for layer in found])
        self._found = found
        self.setCurrentIndex(found.index(before) if before in found else 0 if found else -1)
        self.blockSignals(blocked)
        (self.chosen if self.layer != before else self.listed).emit()


def _disconnect(layers: Any, callback: Any, *_: object) -> None:
    # Where the viewer is collected together with the dock, its layers may be empty shells: nothing is left to undo.
    with suppress(AttributeError):
        for event in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            event.disconnect(callback)
        for layer in layers:
            layer.events.name.disconnect(callback)
