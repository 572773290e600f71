"""The tree of lineages, linked to the viewer, and plots of divisions and speed."""

from __future__ import annotations

from importlib import import_module
from pathlib import PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from napari.layers import Tracks as TracksLayer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QCheckBox, QFileDialog, QTabWidget, QVBoxLayout, QWidget

from napari_unet import workflows
from napari_unet.core.errors import OutputError, UNetError
from napari_unet.core.linking import Detection
from napari_unet.core.results import Table

from ._adopted import adopt, tell_missing
from ._chooser import LayerBox
from ._followed import Followed
from ._parts import button, row, words
from ._picture import picture_of
from ._tree import MISSING, Tree, plot_widget, tint

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["LineageWidget"]

_BARS: Final = 20


def _bins(values: npt.NDArray[np.float64], step: float) -> npt.NDArray[np.float64]:
    """Return the edges of bars that hold equally many frames each, with the values in their middle."""
    low, high = np.rint(values.min() / step), np.rint(values.max() / step)
    width = max(1.0, np.ceil((high - low + 1) / _BARS))
    return np.asarray((np.arange(np.ceil((high - low + 1) / width) + 1) * width + low - 0.5) * step)


class LineageWidget(QWidget):
    """The dock that shows lineages.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where the layers are.
    engine : module, optional
        Has the verbs of :mod:`napari_unet.workflows`.
    """

    def __init__(self, napari_viewer: Viewer, engine: ModuleType | Any = workflows) -> None:
        super().__init__()
        self.viewer, self.engine = napari_viewer, engine
        self.followed: Followed | None = None
        self.layers = LayerBox(napari_viewer, TracksLayer)
        self.only = QCheckBox("Only lineages that divide")
        self.save = button("Save picture …", "Write what is shown as a PNG or SVG file.", self.ask_where)
        self.tree, self.status = Tree(), words()
        self.tabs = QTabWidget()
        self.tabs.addTab(self.tree, "Tree")
        self.plots = {
            "Divisions": plot_widget("divisions", "time"),
            "Cell cycle": plot_widget("cells", "from division to division"),
            "Speed": plot_widget("mean speed", "time"),
        }
        for name, plot in self.plots.items():
            self.tabs.addTab(words(MISSING) if plot is None else plot, name)
        column = QVBoxLayout(self)
        column.addLayout(row((self.layers, 2), (self.only, 2), (self.save, 1)))
        column.addWidget(self.tabs, 1)
        column.addWidget(self.status)
        self.layers.chosen.connect(self._layer_changed)
        self.layers.listed.connect(self._layer_changed)
        self.only.toggled.connect(self._fill)
        self.tree.clicked.connect(self._branch_clicked)
        self._layer_changed()

    def event(self, event: QEvent | None) -> bool:
        """Take the colors of the window when it is known."""
        if event is not None and event.type() == QEvent.Type.Show:
            for plot in filter(None, (self.tree.plot, *self.plots.values())):
                tint(plot, self)
        return bool(super().event(event))

    def _layer_changed(self) -> None:
        found = adopt(self.viewer, self.layers.layer, self.engine)
        if found is not None and found is self.followed:
            return
        if self.followed is not None:
            self.followed.changed.disconnect(self._refill)
            self.followed.picked.disconnect(self._cell_picked)
        self.followed = found
        if self.followed is not None:
            self.followed.changed.connect(self._refill)
            self.followed.picked.connect(self._cell_picked)
        self._fill()

    def _refill(self) -> None:
        self._fill(keep=True)

    def _fill(self, _on: bool = False, keep: bool = False) -> None:
        found = self.followed
        self.save.setEnabled(found is not None and self.tree.plot is not None)
        if found is None:
            self.status.setText(tell_missing(self.layers.layer))
            return
        table: Table = self.engine.draw_lineages(found.tracks)
        if self.only.isChecked():
            divide = np.isin(table["lineage"], np.unique(table["lineage"][table["parent"].astype(int) > 0]))
            table = {name: column[divide] for name, column in table.items()}
            table["place"] = table["place"] - table["place"].min(initial=np.inf) if divide.any() else table["place"]
        self.tree.fill(table, keep)
        counts = found.tracks.counts
        self.status.setText(
            f"{counts['tracks']} tracks in {counts['lineages']} lineages, {counts['divisions']} divisions. "
            "Click a branch to go to its cell."
        )
        self._plot(found)
        if found.chosen is not None:
            self._cell_picked(found.chosen)

    def _plot(self, found: Followed) -> None:
        if self.tree.plot is None:
            return
        frames, table = self.engine.summarize_frames(found.tracks), found.table
        time, length = found.tracks.units[:1] or ("frame",), found.tracks.units[-1:] or ("pixel",)
        step = found.tracks.scale[0]
        library = import_module("pyqtgraph")
        for name, unit in (("Divisions", time[0]), ("Cell cycle", time[0]), ("Speed", time[0])):
            self.plots[name].clear()
            axis = self.plots[name].getAxis("bottom")
            axis.setLabel(axis.labelText, units=None if unit == "frame" else str(unit))
        axis = self.plots["Speed"].getAxis("left")
        axis.setLabel(axis.labelText, units=f"{length[0]}/{time[0]}")
        bars = {"brush": "#8ab4f8", "pen": None}
        self.plots["Divisions"].addItem(
            library.BarGraphItem(x=frames["time"], height=frames["divisions"], width=0.8 * step, **bars)
        )
        cycles = table["lifetime"][table["complete"]].astype(float)
        if len(cycles):
            heights, edges = np.histogram(cycles, bins=_bins(cycles, step))
            self.plots["Cell cycle"].addItem(
                library.BarGraphItem(x0=edges[:-1], x1=edges[1:] - 0.1 * (edges[1] - edges[0]), height=heights, **bars)
            )
        known = np.isfinite(frames["speed"])
        self.plots["Speed"].plot(frames["time"][known], frames["speed"][known], pen={"color": "#8ab4f8", "width": 2})

    def _branch_clicked(self, track: int, frame: int) -> None:
        found = self.followed
        if found is None:
            return
        rows = found.cells(track)
        if not len(rows):
            return
        times = found.tracks.nodes["t"][rows].astype(int)
        cell = found.cell(int(rows[np.argmin(np.abs(times - frame))]))
        found.look_at(cell)
        found.pick(cell)

    def _cell_picked(self, cell: Detection | None) -> None:
        found = self.followed
        at = found.row(cell) if found is not None and cell is not None else None
        if found is None or cell is None or at is None:
            return
        track = int(found.tracks.nodes["track"][at])
        self.tree.mark(track, cell[0])
        one = {name: column[track - 1] for name, column in found.table.items()}
        self.status.setText(
            f"Cell {cell[1]} of frame {cell[0]}: track {track}, generation {one['generation']}, "
            f"lineage {one['lineage']}, frames {one['first']} to {one['last']}."
        )

    def ask_where(self) -> None:
        """Ask for a file and write the picture to it."""
        name = PurePath(self.layers.layer.name).name if self.layers.layer is not None else "tracks"
        tab = self.tabs.tabText(self.tabs.currentIndex()).lower()
        path, _ = QFileDialog.getSaveFileName(self, "Save picture", f"{name} {tab}.png", "Pictures (*.png *.svg)")
        if path:
            self.save_picture(path)

    def save_picture(self, path: str) -> None:
        """Write what is shown.

        Parameters
        ----------
        path : str
            Ends in ``.png`` or ``.svg``.
        """
        name = self.tabs.tabText(self.tabs.currentIndex())
        plot = self.plots.get(name, self.tree.plot)
        try:
            if plot is None:
                raise OutputError(MISSING)
            if not path.lower().endswith((".png", ".svg")):
                raise OutputError(f"'{path}' is no name for a picture: it must end in .png or .svg.")
            self.engine.write_picture(path, picture_of(plot, path.lower().endswith(".svg")))
        except UNetError as error:
            self.status.setText(str(error))
            return
        self.status.setText(f"Saved {path}.")
