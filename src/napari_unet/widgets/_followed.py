"""Tracks in the viewer, their labels and the corrections made to them: what all docks of tracking share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Tracks as TracksLayer
from qtpy.QtCore import QObject, Signal

from napari_unet.core.errors import UNetError
from napari_unet.core.linking import Detection, LinkSpec
from napari_unet.core.results import Tracks

from ._cells import cell_at, look_at, place_of, row_of
from ._layers import KEY, layer_image, placement, source_of

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

__all__ = ["Followed", "followed"]

_SHOWN = ("t", "z", "y", "x")  # are the points of the layer already
_OF_TRACK = ("children", "generation", "lifetime", "speed")
_STILL = 3.0  # pixels of the screen: a hand that moves less has clicked


class Followed(QObject):
    """A tracks layer, the labels it was made of, and the corrections.

    Parameters
    ----------
    viewer : napari.Viewer
        Where they are.
    labels : napari.layers.Labels
        What was tracked; stays as it is.
    settings : tuple of (str, LinkSpec)
        Axes of the labels, and how they were tracked.
    found : Tracks
        As they were found; corrections of before are made again.
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    layer : napari.layers.Tracks, optional
        Shows them already; without it a layer is made.

    Attributes
    ----------
    layer : napari.layers.Tracks
        Shows the tracks as they are now.
    news : str
        What became of corrections of before, and why new ones are not saved, if so.
    """

    changed = Signal()  # other tracks
    picked = Signal(object)  # a cell: frame and label
    chosen: Detection | None = None

    def __init__(
        self, viewer: Viewer, labels: Labels, settings: tuple[str, LinkSpec], found: Tracks, engine: Any,
        layer: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.viewer, self.labels, self.engine = viewer, labels, engine
        self.axes, self.spec = settings
        self.image: Layer | None = None
        self.model = ""  # what foretold motion
        self.colored: Labels | None = None
        self._by = "track"
        try:
            place = engine.place_corrections(found, source_of(viewer, labels))
            self.edits, self.news = engine.correct(found, place, self.spec.merging)
        except UNetError as error:
            self.edits, self.news = (
                engine.correct(found, None, self.spec.merging)[0],
                f"Corrections are not saved. {error}",
            )
        self._read()
        record = {KEY: {"followed": self}}
        if layer is None:
            self.layer = TracksLayer(
                self._points(), name=f"{labels.name} tracks", graph=self.tracks.graph, features=self._features(),
                metadata=record, **placement(labels, self.axes),
            )  # fmt: skip
            viewer.add_layer(self.layer)  # docks that are told of it find it here
        else:
            self.layer = layer
            layer.metadata.update(record)
            self.refresh()
        viewer.mouse_drag_callbacks.append(self._clicked)
        viewer.layers.events.removed.connect(self._removed)

    @property
    def there(self) -> bool:
        """True while both layers are in the viewer."""
        return self.labels in self.viewer.layers and self.layer in self.viewer.layers

    def color(self, by: str) -> None:
        """Show the labels by the number of their track or lineage, in a layer of its own.

        Parameters
        ----------
        by : {"track", "lineage"}
            Which number.
        """
        self._by = by
        data = self._numbered()
        if data is None:
            return
        made = {"name": f"{self.labels.name} by {by}", "metadata": {KEY: {"axes": self.axes}}}
        active = self.viewer.layers.selection.active
        self.colored = self.viewer.add_labels(data, **made, **placement(self.labels, self.axes))
        self.viewer.layers.move(self.viewer.layers.index(self.colored), self.viewer.layers.index(self.layer))
        self.viewer.layers.selection.active = active

    def do(self, verb: str, *cells: Detection) -> str:
        """Correct; ``"undo"`` and ``"redo"`` take no cells. What is refused raises and changes nothing."""
        try:
            said = getattr(self.edits, verb)() if verb in ("undo", "redo") else self.edits.do(verb, *cells)
        finally:  # a correction that could not be written down was made all the same
            if verb != "confirm":
                self.refresh()
        return str(said)

    def solve(self, tracks: Tracks) -> int:
        """Take over what a new solve found, and return how many links came or went."""
        try:
            count = int(self.edits.solve(tracks))
        finally:
            self.refresh()
        return count

    def refresh(self) -> None:
        """Show the tracks as they are now."""
        self._read()
        layer, by = self.layer, self.layer.color_by
        layer.color_by = "track_id"  # the only column that is never missing
        layer.data = self._points()
        layer.features = self._features()
        layer.graph = self.tracks.graph
        layer.color_by = by if by in layer.features else "track_id"
        data = self._numbered() if self.colored in self.viewer.layers else None
        if data is not None and self.colored is not None:
            self.colored.data = data
        self.changed.emit()

    def pick(self, cell: Detection | None) -> None:
        """Make a cell the chosen one."""
        self.chosen = cell
        self.picked.emit(cell)

    def row(self, cell: Detection) -> int | None:
        """Return the row of a cell among the nodes, or None if it is not among the tracks."""
        return row_of(self.tracks, cell)

    def cells(self, track: int) -> npt.NDArray[np.int64]:
        """Return the rows of a track in the order of time."""
        return np.flatnonzero(self.tracks.nodes["track"] == track)

    def cell(self, row: int) -> Detection:
        """Return frame and label of a row."""
        return int(self.tracks.nodes["t"][row]), int(self.tracks.nodes["label"][row])

    def look_at(self, cell: Detection) -> None:
        """Move time, planes and camera to a cell."""
        row = self.row(cell)
        if row is not None:
            look_at(self.viewer, self.layer, place_of(self.axes, self.tracks)[row])

    def _read(self) -> None:
        self.tracks: Tracks = self.edits.tracks()
        self.table = self.engine.summarize_tracks(self.tracks)

    def _points(self) -> npt.NDArray[np.float64]:
        return np.column_stack([self.tracks.nodes["track"], place_of(self.axes, self.tracks)]).astype(np.float64)

    def _features(self) -> dict[str, Any]:
        nodes = self.tracks.nodes
        at = nodes["track"].astype(np.int64) - 1  # tracks are numbered from 1 without gaps
        more = {name: self.table[name][at] for name in _OF_TRACK}
        return {name: column for name, column in nodes.items() if name not in _SHOWN} | more

    def _numbered(self) -> Any:
        if "c" in self.axes:
            return None
        return self.engine.relabel(layer_image(self.labels, self.axes), self.tracks, self._by).data

    def _clicked(self, _viewer: Any, event: Any) -> Iterator[None]:
        """Pick a cell by a click; a hand that drags moves the camera."""
        start, where, ray = np.array(event.pos, float), tuple(event.position), getattr(event, "view_direction", None)
        yield
        while event.type == "mouse_move":
            yield
        if event.button == 1 and np.abs(np.array(event.pos, float) - start).max() <= _STILL:
            cell = cell_at(self.labels, self.axes, where, ray)
            if cell is not None:
                self.pick(cell)

    def _removed(self, event: Any) -> None:
        if event.value is self.layer and self._clicked in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._clicked)
            self.viewer.layers.events.removed.disconnect(self._removed)


def followed(layer: Layer | None) -> Followed | None:
    """Return what is known of a tracks layer, or None if it was not made here."""
    record = layer.metadata.get(KEY) if layer is not None else None
    found = record.get("followed") if isinstance(record, dict) else None
    return found if isinstance(found, Followed) and found.layer is layer else None
