"""The lesions of the chosen labels layer, one a row; a click goes there."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from ._cells import look_at
from ._diameters import middle_of
from ._layers import layer_axes

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["LesionTable"]

_MOST: Final = 1000  # rows that are listed; the features of the layer have all
_HEADS: Final = {
    "index": "", "class": "Class", "volume_ml": "ml", "volume": "Volume", "area": "Area", "longest_diameter": "Long",
    "short_diameter": "Across", "slice": "Slice", "confidence": "Score",
}  # fmt: skip


class LesionTable(QTableWidget):
    """A table that follows the viewer: it is there while the active layer holds lesions that were measured.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose active layer it shows.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.layer: Labels | None = None
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setToolTip("Click a lesion to go to the plane of its longest diameter. Click a title to sort.")
        self.setMinimumHeight(150)
        vertical, horizontal = self.verticalHeader(), self.horizontalHeader()
        if vertical is not None and horizontal is not None:
            vertical.setVisible(False)
            horizontal.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.itemSelectionChanged.connect(self._go)
        active = viewer.layers.selection.events.active
        active.connect(self._follow)
        # The viewer outlives the dock: without this its events would reach a deleted Qt object.
        self.destroyed.connect(partial(_disconnect, active, self._follow))
        self._follow()

    def _follow(self, event: object = None) -> None:
        layer = self.viewer.layers.selection.active
        if isinstance(layer, Labels) and layer is not self.layer:
            if self.layer is not None:
                _disconnect(self.layer.events.features, self._fill)
            self.layer = layer
            layer.events.features.connect(self._fill)
            self.destroyed.connect(partial(_disconnect, layer.events.features, self._fill))
        if self.layer is not None and self.layer not in self.viewer.layers:
            self.layer = None
        self._fill()

    def _fill(self, event: object = None) -> None:
        known = self._table()
        blocked = self.blockSignals(True)
        self.setSortingEnabled(False)
        self.clear()
        names = [n for n in _HEADS if n in known and not (n == "volume" and "volume_ml" in known)]
        rows = min(_MOST, len(known["index"])) if known else 0
        self.setColumnCount(len(names))
        self.setRowCount(rows)
        self.setHorizontalHeaderLabels([_HEADS[n] for n in names])
        for column, name in enumerate(names):
            for row, value in enumerate(known[name][:rows].tolist()):
                self.setItem(row, column, _cell(value, row))
        self.setSortingEnabled(True)
        self.blockSignals(blocked)
        self.setVisible(rows > 0)

    def _table(self) -> dict[str, Any]:
        features = None if self.layer is None else self.layer.features
        if features is None or not {"index", "longest_diameter"} <= set(features.columns):
            return {}
        # What was corrected by hand has no diameters until it is measured again.
        known = features[features["longest_diameter"].notna()]
        return {str(name): known[name].to_numpy() for name in known.columns}

    def _go(self) -> None:
        items = self.selectedItems()
        if not items or self.layer is None:
            return
        known, row = self._table(), int(items[0].data(Qt.ItemDataRole.UserRole + 1))
        axes = layer_axes(self.layer)[0]
        look_at(self.viewer, self.layer, middle_of(known, row, self.layer, axes))
        self.layer.selected_label = int(known["index"][row])


def _cell(value: float, row: int) -> QTableWidgetItem:
    item = QTableWidgetItem()
    # A number, so that columns are sorted as numbers; whole ones are ids, classes and planes.
    item.setData(Qt.ItemDataRole.DisplayRole, int(value) if float(value).is_integer() else round(float(value), 2))
    item.setData(Qt.ItemDataRole.UserRole + 1, row)
    return item


def _disconnect(emitter: Any, callback: Any, *_: object) -> None:
    # Where the viewer is collected together with the dock, nothing is left to undo.
    with suppress(AttributeError, ValueError):
        emitter.disconnect(callback)
