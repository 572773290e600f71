"""Compare tracks with the truth, and go to the errors."""

from __future__ import annotations

import math
import re
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Labels as LabelsLayer
from napari.layers import Tracks as TracksLayer

from napari_unet import workflows
from napari_unet.core.errors import ImageError, UNetError
from napari_unet.core.graph import assemble
from napari_unet.core.linking import Detection
from napari_unet.core.results import Annotation, Table, Tracks, TrackScores

from ._adopted import adopt, tell_missing
from ._cells import look_at, place_of
from ._chooser import LayerBox
from ._doubts import Queue
from ._followed import Followed, followed
from ._layers import KEY, layer_image
from ._panel import Panel

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["ScoreWidget"]

_TRUE: Final = re.compile(r"(?i)(?<![a-z])(true|truth|gt|tra)(?![a-z])")  # 01_GT too


class ScoreWidget(Panel):
    """The dock that scores tracks.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where the layers are.
    engine : module, optional
        Has the verbs of :mod:`napari_unet.workflows`.
    """

    def __init__(self, napari_viewer: Viewer, engine: ModuleType | Any = workflows) -> None:
        super().__init__("Choose tracks and the true labels, and press Compare.", "Compare")
        self.viewer, self.engine = napari_viewer, engine
        self.found: Followed | None = None
        self.result: TrackScores | None = None
        self.tracks = LayerBox(napari_viewer, TracksLayer)
        self.truth = LayerBox(napari_viewer, LabelsLayer)
        self.lineages = LayerBox(napari_viewer, TracksLayer, nothing="every number is a track")
        self.lineages.setToolTip("True tracks with their divisions; their numbers are those of the true labels.")
        self.errors = Queue()
        self.form.addRow("Tracks", self.tracks)
        self.form.addRow("True labels", self.truth)
        self.form.addRow("True tracks", self.lineages)
        self.column.addWidget(self.errors, 1)
        self.errors.currentRowChanged.connect(self._go)
        self._suggest()
        self.say("Ready.")

    def _suggest(self) -> None:
        """Choose what is meant as a truth by its name, and tracks that were made here."""
        for box, kind in ((self.truth, LabelsLayer), (self.lineages, TracksLayer)):
            named = (y for y in self.viewer.layers if isinstance(y, kind) and _TRUE.search(y.name))
            box.choose(next(named, None))
        if followed(self.tracks.layer) is None:
            made = [y for y in self.viewer.layers if followed(y) is not None]
            opened = [y for y in self.viewer.layers if isinstance(y, TracksLayer) and not _TRUE.search(y.name)]
            self.tracks.choose(next(iter([*made, *opened]), None))

    def run(self) -> None:
        """Compare; what is missing is said in the status line."""
        if self.job is not None:
            return
        truth, engine = self.truth.layer, self.engine
        found = adopt(self.viewer, self.tracks.layer, engine)
        try:
            if found is None:
                raise ImageError(f"There is nothing to compare. {tell_missing(self.tracks.layer)}")
            if truth is None:
                raise ImageError("There is nothing to compare with. Open the true labels.")
            if truth in (found.labels, found.colored):
                raise ImageError(f"'{truth.name}' is what was tracked, not a truth. Choose the true labels.")
            labels, true = layer_image(found.labels, found.axes), layer_image(truth, found.axes)
            lineages = _tracks(self.lineages.layer, found.axes) if self.lineages.layer is not None else None
        except UNetError as error:
            self.complain(error)
            return
        tracks, annotations = found.tracks, _annotations(truth)
        self.begin(
            lambda: engine.score_tracks_steps(tracks, labels, lineages, true, annotations),
            self.follow,
            lambda scores: self._scored(found, scores),
        )

    def _scored(self, found: Followed, result: TrackScores) -> str:
        self.found, self.result = found, result
        self.errors.fill(result.errors)
        said = ", ".join(f"{name} {value:.3f}" for name, value in result.scores.items() if not math.isnan(value))
        return f"{said}. {len(result.errors['t'])} errors: click one to go there."

    def _go(self, row: int) -> None:
        found, result = self.found, self.result
        if found is None or result is None or row < 0 or not found.there:
            return
        one = {name: column[row : row + 1] for name, column in result.errors.items()}
        place = place_of(found.axes, Tracks(one, np.zeros((0, 2), np.int64), found.tracks.axes, found.tracks.scale))
        look_at(self.viewer, found.layer, place[0])
        cell = _cell_at(found.tracks, one) if one["truth"][0] else (int(one["t"][0]), int(one["label"][0]))
        if cell is not None and found.row(cell) is not None:
            found.pick(cell)


def _cell_at(tracks: Tracks, error: Table) -> Detection | None:
    """Return the cell where an error is that bears a number of the truth; None if there is none."""
    nodes = tracks.nodes
    rows = np.flatnonzero(nodes["t"] == error["t"][0])
    if not len(rows):
        return None
    away = sum((nodes[axis][rows].astype(np.float64) - float(error[axis][0])) ** 2 for axis in tracks.axes[1:])
    row = rows[int(np.argmin(away))]
    size = float(nodes["area"][row]) ** (1 / (len(tracks.axes) - 1))
    return (int(nodes["t"][row]), int(nodes["label"][row])) if float(np.min(away)) <= size**2 else None


def _annotations(layer: Layer) -> tuple[Annotation, ...]:
    """Return what is annotated beside the markers of a truth that was opened."""
    record = layer.metadata.get(KEY)
    found = record.get("annotations", ()) if isinstance(record, dict) else ()
    return tuple(one for one in found if isinstance(one, Annotation))


def _tracks(layer: Layer, axes: str) -> Tracks:
    """Read the tracks of a layer, whose numbers are those of the labels."""
    data = np.asarray(layer.data)
    parent = {track: parents[0] for track, parents in layer.graph.items()}
    table: Table = {"track": data[:, 0].astype(np.int64)}
    table |= {axis: data[:, 1 + i] for i, axis in enumerate(axes) if axis != "c"}
    table["parent"] = np.array([parent.get(track, 0) for track in data[:, 0].astype(int).tolist()], np.int64)
    number = layer.features.get("number")  # in a folder of the Cell Tracking Challenge
    if number is not None and len(number) == len(data):
        table["number"] = np.asarray(number)
    return assemble(table, layer.name).tracks
