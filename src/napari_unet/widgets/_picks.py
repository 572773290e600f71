"""Which cells were clicked last, marked in the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from napari_unet.core.linking import Detection

from ._cells import place_of
from ._followed import Followed
from ._layers import placement

if TYPE_CHECKING:
    from napari.layers import Points
    from napari.viewer import Viewer

__all__ = ["Picks"]

_MOST: Final = 3
_COLORS: Final = ("#ffd54f", "#ff8a65", "#4dd0e1")
_NAME: Final = "picked cells"


class Picks:
    """Up to three cells in the order of picking; one more takes the place of the first.

    Parameters
    ----------
    viewer : napari.Viewer
        Where they are marked.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Points | None = None
        self.cells: list[Detection] = []

    def add(self, cell: Detection) -> None:
        """Pick a cell; one that is picked already becomes the last."""
        self.cells = [*(c for c in self.cells if c != cell), cell][-_MOST:]

    def last(self, count: int) -> list[Detection]:
        """Return the last picked cells in the order of time, or fewer if there are not so many."""
        return sorted(self.cells[-count:], key=lambda cell: cell[0])

    def words(self) -> str:
        """Name the picked cells."""
        return ", ".join(f"{i + 1}: cell {label} of frame {t}" for i, (t, label) in enumerate(self.cells))

    def show(self, followed: Followed | None) -> None:
        """Mark them; without tracks nothing is marked.

        Parameters
        ----------
        followed : Followed or None
            Where the cells are.
        """
        rows = [] if followed is None else [followed.row(cell) for cell in self.cells]
        found = [(i, row) for i, row in enumerate(rows) if row is not None]
        if followed is None or not found:
            self.hide()
            return
        places = place_of(followed.axes, followed.tracks)[[row for _, row in found]]
        area = float(np.median(followed.tracks.nodes["area"].astype(np.float64)))
        size = 0.5 * area ** (1 / (len(followed.tracks.axes) - 1))
        made: dict[str, Any] = {
            "size": max(size, 3.0), "face_color": [_COLORS[i] for i, _ in found], "border_color": "black",
            "text": {"string": [str(i + 1) for i, _ in found], "color": "black", "size": 10},
        }  # fmt: skip
        self.hide()
        active = self._viewer.layers.selection.active
        self._layer = self._viewer.add_points(places, name=_NAME, **made, **placement(followed.labels, followed.axes))
        self._viewer.layers.selection.active = active

    def hide(self) -> None:
        """Take the marks away."""
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None
