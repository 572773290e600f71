"""Lineages as a tree that can be looked at and clicked: of many thousand tracks only what is visible is drawn."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.core.results import Table

from ._parts import words

__all__ = ["MISSING", "Tree", "plot_widget", "tint"]

MISSING: Final = 'Drawing needs the package pyqtgraph. Install it with: pip install "napari-unet-suite[curves]"'
_LIBRARY: Final = "pyqtgraph"
_PLAIN: Final = "#8ab4f8"
_MARKED: Final = "#ffd54f"
_NEAR: Final = 0.5  # places: a click hits the track that stands nearer than this
_FIRST: Final = 60  # places that are shown at first

Floats = npt.NDArray[np.float64]


def plot_widget(left: str, bottom: str) -> Any:
    """Return an empty plot, or None where the library that draws is not installed."""
    if find_spec(_LIBRARY) is None:
        return None
    plot = import_module(_LIBRARY).PlotWidget(background=None)
    plot.setMenuEnabled(False)
    plot.hideButtons()
    for side, text in (("left", left), ("bottom", bottom)):
        plot.getAxis(side).enableAutoSIPrefix(False)
        plot.setLabel(side, text)
    return plot


def tint(plot: Any, widget: QWidget) -> None:
    """Give the axes of a plot the color of text in the window, which is known when it is shown."""
    color = widget.palette().windowText().color()
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setPen(color)
        axis.setTextPen(color)
        axis.setLabel(axis.labelText, units=axis.labelUnits or None, color=color.name())


class Tree(QWidget):
    """The lineages of some tracks: time runs down, tracks stand side by side."""

    clicked = Signal(int, int)  # track and frame

    def __init__(self) -> None:
        super().__init__()
        self.table: Table = {}
        self.lines: Floats = np.zeros((0, 4))  # x and y of begin and end
        self.drawn = 0  # lines that are on the screen
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.plot = plot_widget("frame", "tracks")
        column.addWidget(words(MISSING) if self.plot is None else self.plot)
        if self.plot is None:
            return
        self.plot.invertY(True)
        self.plot.getAxis("bottom").setStyle(showValues=False)
        library = import_module(_LIBRARY)
        self._curve = library.PlotCurveItem(pen=library.mkPen(_PLAIN, width=1), connect="pairs", skipFiniteCheck=True)
        self._mark = library.PlotCurveItem(pen=library.mkPen(_MARKED, width=3), connect="pairs")
        self._dot = library.ScatterPlotItem(size=11, brush=_MARKED, pen=None)
        for item in (self._curve, self._mark, self._dot):
            self.plot.addItem(item)
        self._show_mark(False)
        self.plot.sigRangeChanged.connect(self._draw)
        self.plot.scene().sigMouseClicked.connect(self._hit)

    def fill(self, table: Table, keep: bool = False) -> None:
        """Show lineages.

        Parameters
        ----------
        table : dict of ndarray
            See :func:`napari_unet.workflows.draw_lineages`.
        keep : bool
            Keep what is looked at; else the first lineages are shown.
        """
        self.table, self.lines = table, _lines(table)
        if self.plot is None:
            return
        self._show_mark(False)
        last, places = int(table["last"].max(initial=1)), float(table["place"].max(initial=1))
        self.plot.setLimits(xMin=-2, xMax=places + 2, yMin=-1, yMax=last + 1)
        if not keep:
            self.plot.setRange(xRange=(-1, min(places, _FIRST) + 1), yRange=(-0.5, last + 0.5), padding=0)
        self._draw()

    def mark(self, track: int, frame: int) -> None:
        """Mark a cell, its track and all that comes of it, and move there if it is out of sight."""
        ids = self.table.get("track", np.zeros(0))
        row = int(np.searchsorted(ids, track))
        if row >= len(ids) or ids[row] != track or self.plot is None:
            return
        place = float(self.table["place"][row])
        found = _lines({name: column[_below(self.table, track)] for name, column in self.table.items()}, track)
        self._mark.setData(found[:, [0, 2]].reshape(-1), found[:, [1, 3]].reshape(-1))
        self._dot.setData([place], [frame])
        self._show_mark(True)
        (low, high), _ = self.plot.viewRange()
        if not low < place < high:
            self.plot.setXRange(place - (high - low) / 2, place + (high - low) / 2, padding=0)

    def _show_mark(self, on: bool) -> None:
        for item in (self._mark, self._dot):
            item.setVisible(on)

    def hit(self, place: float, frame: float) -> tuple[int, int] | None:
        """Return the track at a place of the tree, and the frame; None where there is none."""
        first, last = self.table["first"].astype(int), self.table["last"].astype(int)
        near = np.abs(self.table["place"].astype(float) - place)
        near[(frame < first - 0.7) | (frame > last + 0.7)] = np.inf
        row = int(np.argmin(near)) if len(near) else 0
        if not len(near) or near[row] > _NEAR:
            return None
        return int(self.table["track"][row]), int(np.clip(round(frame), first[row], last[row]))

    def _hit(self, event: Any) -> None:
        if event.button() != Qt.MouseButton.LeftButton or not self.table:
            return
        place: QPointF = self.plot.getPlotItem().vb.mapSceneToView(event.scenePos())
        found = self.hit(place.x(), place.y())
        if found is not None:
            self.clicked.emit(*found)

    def _draw(self, *_: object) -> None:
        (left, right), (top, bottom) = self.plot.viewRange()
        lines = self.lines
        seen = (lines[:, 2] >= left) & (lines[:, 0] <= right) & (lines[:, 3] >= top) & (lines[:, 1] <= bottom)
        found = lines[seen]
        self.drawn = len(found)
        self._curve.setData(found[:, [0, 2]].reshape(-1), found[:, [1, 3]].reshape(-1))


def _lines(table: Table, root: int = 0) -> Floats:
    """Return one line down for each track, and one across from the end of its mother, but for `root`."""
    ids, parent = table["track"].astype(np.int64), table["parent"].astype(np.int64)
    first, last, place = (table[name].astype(np.float64) for name in ("first", "last", "place"))
    down = np.column_stack([place, first, place, last])
    child = np.flatnonzero((parent > 0) & (ids != root))
    mother = np.searchsorted(ids, parent[child])
    sides = np.sort(np.column_stack([place[mother], place[child]]), axis=1)
    across = np.column_stack([sides[:, 0], first[child], sides[:, 1], first[child]])
    up = np.column_stack([place[mother], last[mother], place[mother], first[child]])
    return np.concatenate([down, across, up])


def _below(table: Table, track: int) -> npt.NDArray[np.int64]:
    """Return the rows of a track and of all that comes of it."""
    ids, parent = table["track"].tolist(), table["parent"].tolist()
    found = {track}
    for row in range(len(ids)):  # numbers follow the first cells: a mother comes before her daughters
        if parent[row] in found:
            found.add(ids[row])
    return np.flatnonzero(np.isin(table["track"], list(found)))
