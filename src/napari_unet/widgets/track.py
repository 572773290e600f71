"""Follow the objects of a labels layer through time."""

from __future__ import annotations

from pathlib import PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from napari.layers import Labels as LabelsLayer
from qtpy.QtWidgets import QFileDialog

from napari_unet import workflows
from napari_unet.core.errors import AxesError, ImageError, UNetError
from napari_unet.core.linking import LinkSpec
from napari_unet.core.results import Tracks
from napari_unet.core.steps import Progress, Steps

from ._axes import AxesRow
from ._chooser import LayerBox
from ._form import Form
from ._layers import layer_axes, layer_image, placement
from ._panel import Panel
from ._parts import button
from ._worker import Report

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["TrackWidget"]

_LABELS: Final = {
    "max_distance": "Farthest step (widths)",
    "min_overlap": "Smallest overlap",
    "max_gap": "Longest gap (frames)",
    "division": "Cells divide",
    "merging": "Cells merge",
}
_SHOWN: Final = ("t", "z", "y", "x")  # are the points of the layer already


class TrackWidget(Panel):
    """The dock that tracks.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where the layers are.
    engine : module, optional
        Has the verbs of :mod:`napari_unet.workflows`.
    """

    def __init__(self, napari_viewer: Viewer, engine: ModuleType | Any = workflows) -> None:
        super().__init__("Choose the labels of a movie and press Track. The labels stay as they are.", "Track")
        self.viewer, self.engine = napari_viewer, engine
        self.tracks: Tracks | None = None
        self.labels = LayerBox(napari_viewer, LabelsLayer)
        self.axes = AxesRow()
        self.settings = Form(LinkSpec(), _LABELS, skip=("fixed", "forbidden"))
        self.form.addRow("Labels", self.labels)
        self.axes.add_to(self.form)
        self.column.addWidget(self.settings.native)
        self.save = button("Save tracks (CSV) …", "Write a table with a row for each object and frame.", self.ask_where)
        self.column.addWidget(self.save)
        self.column.addStretch(1)
        self.labels.chosen.connect(self._labels_changed)
        self._labels_changed()

    def _labels_changed(self) -> None:
        layer = self.labels.layer
        self.tracks = None
        self.save.setEnabled(False)
        self.axes.show_layer(layer)
        if layer is not None and not layer_axes(layer)[1]:
            # Whoever opens this dock has a movie: the first dimension is time until told otherwise.
            self.axes.line.setText({3: "tyx", 4: "tzyx"}.get(layer.ndim, ""))
        if self.job is None:
            self.say("Ready." if layer is not None else "There are no labels yet: segment a movie first.")

    def run(self) -> None:
        """Track; what is missing is said in the status line."""
        layer = self.labels.layer
        if self.job is not None:
            return
        try:
            if layer is None:
                raise ImageError("There are no labels to follow. Segment a movie first, or open a labels file.")
            spec, labels, axes = self.settings.spec(), layer_image(layer, self.axes.axes), self.axes.axes
            _check_order(axes)
        except UNetError as error:
            self.complain(error)
            return
        engine = self.engine
        self.begin(
            lambda: engine.track_steps(labels, spec),
            lambda reports: self._polled(layer, reports),
            lambda tracks: self._tracked(layer, axes, tracks),
        )

    def _polled(self, layer: Layer, reports: list[Report]) -> None:
        if layer not in self.viewer.layers:
            self.cancel("Stopped: the layer was removed.")
        elif reports:
            last = reports[-1].progress
            self.progress(last.done, last.total)
            self.say(last.note)

    def _tracked(self, layer: Layer, axes: str, tracks: Tracks) -> str:
        nodes, counts = tracks.nodes, tracks.counts
        if not counts["objects"]:
            return "There is nothing to follow: these labels are empty."
        name = f"{layer.name} tracks"
        self.viewer.add_tracks(
            _points(axes, tracks),
            name=name,
            graph=tracks.graph,
            features={key: column for key, column in nodes.items() if key not in _SHOWN},
            **placement(layer, axes),
        )
        if self.labels.layer is layer:
            self.tracks = tracks
            self.save.setEnabled(True)
        return f"{counts['tracks']} tracks in {counts['lineages']} lineages, {counts['divisions']} divisions."

    def ask_where(self) -> None:
        """Ask for a file and write the tracks to it."""
        layer = self.labels.layer
        name = f"{PurePath(layer.name).name if layer is not None else 'labels'}-tracks.csv"
        path, _ = QFileDialog.getSaveFileName(self, "Save tracks", name, "Tables (*.csv)")
        if path:
            self.save_tracks(path)

    def save_tracks(self, path: str) -> None:
        """Write the tracks.

        Parameters
        ----------
        path : str
            A CSV file; replaced if it is there.
        """
        tracks, engine = self.tracks, self.engine
        if tracks is None or self.job is not None:
            return

        def make() -> Steps[None]:
            yield Progress(0, 0, "Writing")
            engine.write_table(path, tracks.nodes)

        self.begin(make, lambda _reports: None, lambda _: f"Saved {path}.")


def _check_order(axes: str) -> None:
    """Refuse what a tracks layer cannot show."""
    if "t" in axes and axes not in ("tyx", "tzyx", "tcyx"):
        raise AxesError(
            f"The axes of these labels are '{axes}', but napari shows tracks over tyx or tzyx only: time first, then "
            "space. Reorder the labels, or use the command 'napari-unet track', which takes any order."
        )


def _points(axes: str, tracks: Tracks) -> npt.NDArray[np.float64]:
    """Return track, time and place of every node; a channel axis in between, along which labels repeat, stays 0."""
    nodes = tracks.nodes
    nothing = np.zeros(len(nodes["id"]))
    return np.stack([nodes["track"], *(nodes.get(axis, nothing) for axis in axes)], axis=1).astype(np.float64)
