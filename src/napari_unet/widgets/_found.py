"""The table of images that were segmented together: a double click opens one with its labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_unet import workflows
from napari_unet.core.batches import Found

from ._layers import KEY
from ._reader import labels_layer, read

if TYPE_CHECKING:
    from .segment import SegmentWidget

__all__ = ["FoundTable"]

_TITLES: Final = ("Image", "Objects", "Width", "Note")
_SHOWN: Final = 8  # rows; more are scrolled


class FoundTable(QTableWidget):
    """The table; it is there while it has rows.

    Parameters
    ----------
    dock : SegmentWidget
        Whose viewer shows the images.
    """

    def __init__(self, dock: SegmentWidget) -> None:
        super().__init__(0, len(_TITLES))
        self._dock = dock
        self._source = self._output = Path()
        self._rows: dict[str, int] = {}
        self._layers: list[Any] = []  # of the image that was opened last
        self.setHorizontalHeaderLabels([*_TITLES])
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.cellDoubleClicked.connect(self.look)
        self.setToolTip("Double-click an image to open it with its labels.")
        across, down = self.horizontalHeader(), self.verticalHeader()
        if across is not None and down is not None:
            across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            across.setResizeContentsPrecision(0)  # of the rows in sight: there may be thousands
            across.setStretchLastSection(True)
            down.setVisible(False)
        self._fit()

    def begin(self, source: Path, output: Path) -> None:
        """Empty the table for images of one folder, whose results are in another."""
        self._source, self._output = source, output
        self._rows.clear()
        self.setRowCount(0)
        self.setHorizontalHeaderLabels([*_TITLES])
        self._fit()

    def list(self, images: Iterable[Found]) -> None:
        """Show what came of images, and no others."""
        self.begin(self._source, self._output)
        for found in images:
            self.tell(found)

    def tell(self, found: Found) -> None:
        """Show what came of an image, in its own row."""
        if (at := self._rows.get(found.image)) is None:
            at = self._rows[found.image] = self.rowCount()
            self.insertRow(at)
        width = f"{found.width:.1f} px" if found.width else ""
        note = f"not segmented: {found.failed}" if found.failed else found.note
        what = found.classes or str(found.objects)
        if found.classes:
            self.setHorizontalHeaderItem(1, QTableWidgetItem("Classes"))
        for column, text in enumerate((found.image, "" if found.failed else what, width, note)):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            item.setData(Qt.ItemDataRole.UserRole, found.labels)
            self.setItem(at, column, item)
        self._fit()

    def _fit(self) -> None:
        rows = self.rowCount()
        self.setVisible(rows > 0)
        self.setFixedHeight(min(rows, _SHOWN) * max(self.rowHeight(0), 24) + 34)

    def look(self, at: int, _column: int = 0) -> None:
        """Open an image with its labels, and hide the one before."""
        item = self.item(at, 0)
        if item is None:
            return
        name, labels = item.text(), item.data(Qt.ItemDataRole.UserRole)
        image = self._source if self._source.name == name else self._source / name
        with self._dock.complaining():
            images = read(image)
            opened = [(data, str(image)) for data in images if data[2] == "image"] or [(data, "") for data in images]
            if labels:
                place = self._output / labels
                made = workflows.read_labels(place)
                opened.append((labels_layer(replace(made, name=f"{name} {self._dock.models.noun}")), str(place)))
            for layer in self._layers:
                layer.visible = False
            self._layers = []
            for (values, options, kind), place in opened:
                # Corrections go into the store of labels; an image is named where it lies.
                where = {"folder" if place.endswith(".zarr") and kind == "labels" else "file": place} if place else {}
                options["metadata"] = options["metadata"] | {KEY: where | options["metadata"][KEY]}
                added = getattr(self._dock.viewer, f"add_{kind}")(values, **options)
                self._layers += added if isinstance(added, list) else [added]
