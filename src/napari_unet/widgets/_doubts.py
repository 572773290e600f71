"""The queue of what may be wrong in tracks."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QListWidget

from napari_unet.core.linking import Detection
from napari_unet.core.results import Table

__all__ = ["Queue", "tell"]

_MOST: Final = 1000  # entries that are listed
_SERIOUS: Final = 0.3
_WORDS: Final = {
    "jump": "moves unusually far",
    "size": "changes its size",
    "ambiguous": "another link is nearly as good",
    "division": "daughters are unlike",
    "gap": "was missing before",
    "start": "appears from nowhere",
    "end": "disappears",
    "short": "is there for a short time",
}


class Queue(QListWidget):
    """A list of doubts or errors, one a line; choosing one tells which cells it is about."""

    chosen = Signal(object)  # list of cells: the parent, if there is one, and the cell

    def __init__(self) -> None:
        super().__init__()
        self._cells: list[list[Detection]] = []
        self.setMinimumHeight(120)
        self.setUniformItemSizes(True)
        self.currentRowChanged.connect(self._tell)

    def fill(self, table: Table) -> None:
        """List events.

        Parameters
        ----------
        table : dict of ndarray
            Columns ``kind``, ``t`` and ``label``, and perhaps ``doubt``, ``before`` and ``before_label``; see
            :func:`napari_unet.workflows.list_doubts`.
        """
        columns = {name: column[:_MOST].tolist() for name, column in table.items()}
        blocked = self.blockSignals(True)
        self.clear()
        self._cells = []
        for i, kind in enumerate(columns["kind"]):
            cell = (int(columns["t"][i]), int(columns["label"][i]))
            above = (int(columns["before"][i]), int(columns["before_label"][i])) if "before" in columns else (-1, -1)
            self._cells.append([above, cell] if above[0] >= 0 else [cell])
            doubt = f"{100 * columns['doubt'][i]:.0f} %  " if "doubt" in columns else ""
            self.addItem(f"{doubt}frame {cell[0]}, cell {cell[1]}: {_WORDS.get(kind, kind)}")
        self.setCurrentRow(-1)
        self.blockSignals(blocked)

    def step(self, by: int) -> None:
        """Go to the next entry, or to the one before."""
        if self.count():
            self.setCurrentRow(max(0, min(self.count() - 1, self.currentRow() + by)))

    def forget(self, cells: list[Detection]) -> None:
        """Take entries out that are about one of some cells; the next one becomes the present one, unseen."""
        gone = set(cells)
        blocked = self.blockSignals(True)
        for i in reversed([i for i, about in enumerate(self._cells) if about[-1] in gone]):
            self.takeItem(i)
            del self._cells[i]
        self.setCurrentRow(min(self.currentRow(), self.count() - 1))
        self.blockSignals(blocked)

    def _tell(self, row: Any) -> None:
        if 0 <= row < len(self._cells):
            self.chosen.emit(self._cells[row])


def tell(table: Table) -> str:
    """Say how many doubts there are, and how many of them come first for a person."""
    serious = int(np.count_nonzero(table["doubt"].astype(np.float64) >= _SERIOUS))
    return f"{len(table['doubt'])} doubts" + (f" ({serious} of {100 * _SERIOUS:.0f} % or more)" if serious else "")
