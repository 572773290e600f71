"""Classes of pixels on the screen: their colors in a layer, and a table that says how much there is of each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_unet.core.amounts import amount_words
from napari_unet.core.classes import ClassRow

from ._colors import class_colors
from ._layers import KEY

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from ._panel import Panel

__all__ = ["ClassTable", "classes_of", "color_classes"]

_COLUMNS: Final = ("Class", "Pixels", "Size", "Share")
_ROWS: Final = 8  # more are scrolled


def classes_of(layer: Layer | None) -> tuple[ClassRow, ...]:
    """Return the classes that the numbers of a labels layer mean; empty if it has none."""
    record = layer.metadata.get(KEY) if isinstance(layer, Labels) else None
    return tuple(ClassRow(**row) for row in record.get("classes", ())) if isinstance(record, dict) else ()


def color_classes(layer: Labels, classes: Sequence[ClassRow]) -> None:
    """Give every class of a layer its color; no classes leave the layer as it is."""
    if classes:
        layer.colormap = class_colors(classes)


class ClassTable(QTableWidget):
    """The classes of the active labels, else of the last ones, else of the chosen model.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layers.
    dock : Panel
        Whose runs fill layers.
    """

    def __init__(self, viewer: Viewer, dock: Panel) -> None:
        super().__init__(0, len(_COLUMNS))
        self._viewer = viewer
        self._planned: tuple[ClassRow, ...] = ()
        self.setHorizontalHeaderLabels(_COLUMNS)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setToolTip("Click a class to paint with it.")
        if (header := self.horizontalHeader()) is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        if (rows := self.verticalHeader()) is not None:
            rows.setVisible(False)
        self.cellClicked.connect(self._pick)
        layers = viewer.layers
        layers.selection.events.active.connect(self.look)
        layers.events.removed.connect(self.look)
        self.destroyed.connect(partial(_disconnect, layers, self.look))
        dock.settled.connect(self.look)
        self.look()

    def plan(self, classes: Sequence[ClassRow]) -> None:
        """Show the classes of a model, as long as no layer has any."""
        self._planned = tuple(classes)
        self.look()

    @property
    def layer(self) -> Labels | None:
        """The labels that are meant."""
        active = self._viewer.layers.selection.active
        if classes_of(active):
            return active
        return next((y for y in reversed(self._viewer.layers) if classes_of(y)), None)

    def look(self, _event: object = None) -> None:
        """Show what is known now."""
        layer = self.layer
        classes = self._planned if layer is None else classes_of(layer)
        found = None if layer is None else _counted(layer)
        none = ("", "", "") if found is None else ("0", "", "0 %")
        self.setRowCount(len(classes))
        for at, row in enumerate(classes):
            pixels, size, share = (found or {}).get(row.label, none)
            for column, text in enumerate((row.name, pixels, size, share)):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                else:
                    item.setIcon(_swatch(row.color))
                    item.setToolTip(f"{row.label}: {row.name}")
                self.setItem(at, column, item)
        self.setColumnHidden(2, not any(size for _, size, _ in (found or {}).values()))
        self.setVisible(bool(classes))
        self.resizeRowsToContents()
        header = self.horizontalHeader()
        height = 0 if header is None else header.sizeHint().height()
        self.setFixedHeight(height + sum(self.rowHeight(k) for k in range(min(len(classes), _ROWS))) + 4)

    def _pick(self, row: int, _column: int) -> None:
        if (layer := self.layer) is not None:
            layer.selected_label = classes_of(layer)[row].label


def _counted(layer: Labels) -> dict[int, tuple[str, str, str]] | None:
    """Return pixels, size and share of each class, in words, as they were measured; None if nobody has measured."""
    table = layer.features
    if not {"index", "pixels", "share"} <= set(table.columns) or not {"volume", "area"} & set(table.columns):
        return None
    size = next(name for name in ("volume", "area_m2", "area") if name in table.columns)
    ndim = 3 if size == "volume" else 2
    units = ["meter"] * 2 if size == "area_m2" else [str(unit) for unit in layer.units][-ndim:]
    found = {}
    for row in table[["index", "pixels", size, "share"]].itertuples(index=False):
        # napari puts a row for the background in front, which says nothing.
        if row[0]:
            found[int(row[0])] = f"{int(row[1]):,}", amount_words(float(row[2]), units), f"{float(row[3]):.1%}"
    return found


def _swatch(color: str) -> QIcon:
    picture = QPixmap(16, 16)
    picture.fill(QColor(color))
    return QIcon(picture)


def _disconnect(layers: Any, callback: Any, *_: object) -> None:
    # Where the viewer is collected together with the dock, its layers may be empty shells: nothing is left to undo.
    with suppress(AttributeError):
        layers.selection.events.active.disconnect(callback)
        layers.events.removed.disconnect(callback)
