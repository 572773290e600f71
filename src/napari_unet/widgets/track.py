"""Follow the objects of a labels layer through time."""

from __future__ import annotations

from pathlib import Path, PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, OutputError, UNetError
from napari_unet.core.linking import LinkSpec
from napari_unet.core.results import Tracks
from napari_unet.core.steps import Progress, Steps

from ._axes import AxesRow
from ._chooser import LayerBox
from ._followed import Followed
from ._form import Form
from ._layers import layer_axes, layer_image, source_of
from ._motion import MotionBox, TrackCall, TrackCopies
from ._news import NEWS
from ._panel import Panel
from ._parts import button, row
from ._tracked import carry, check_order, describe
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
    "steady": "Cells keep their way",
}
_FORMATS: Final = (
    "Tables (*.csv)", "GEFF folders (*.geff)", "TrackMate files (*.xml)", "Folders of masks: no ending (*)",
)  # fmt: skip
_COLORS: Final = {"by track": "track", "by lineage": "lineage", "no": ""}


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
        self.followed: Followed | None = None
        self.labels = LayerBox(napari_viewer, LabelsLayer)
        self.image = LayerBox(napari_viewer, ImageLayer, nothing="none")
        self.axes, self.motion = AxesRow(), MotionBox()
        self.settings = Form(LinkSpec(), _LABELS, skip=("method", "fixed", "forbidden", "absent"))
        self.colors = QComboBox()
        self.colors.addItems(list(_COLORS))
        self.colors.setToolTip("Show the labels with one color a track or lineage, in a new layer.")
        self.image.setToolTip("What was segmented: brightness helps to tell cells apart and to see divisions.")
        self.form.addRow("Labels", self.labels)
        self.axes.add_to(self.form)
        self.form.addRow("Image", self.image)
        self.form.addRow("Motion model", self.motion)
        self.form.addRow("Color labels", self.colors)
        self.column.addWidget(self.settings.native)
        self.save = button(
            "Save tracks …",
            "Write a table, GEFF, TrackMate or masks, by the ending.",
            self.ask_where,
        )
        self.save_table = button("Save table …", "Write a table with a row for each track.", self.ask_where_table)
        self.column.addLayout(row((self.save, 1), (self.save_table, 1)))
        self.copies = TrackCopies(self._call)
        self.copies.said.connect(self.say)
        self.copies.failed.connect(self.complain)
        self.column.addWidget(self.copies)
        self.column.addStretch(1)
        NEWS.models.connect(self._list_models)
        self._list_models()
        self.labels.chosen.connect(self._labels_changed)
        self._labels_changed()

    def _labels_changed(self) -> None:
        layer = self.labels.layer
        self.followed = None
        self._can_save(False)
        self.axes.show_layer(layer)
        if layer is not None and not layer_axes(layer)[1]:
            # Whoever opens this dock has a movie: the first dimension is time until told otherwise.
            self.axes.line.setText({3: "tyx", 4: "tzyx"}.get(layer.ndim, ""))
        if self.job is None:
            self.say("Ready." if layer is not None else "There are no labels yet: segment a movie first.")

    def _list_models(self) -> None:
        with self.complaining():
            self.motion.fill(self.engine.list_models())

    def _call(self) -> TrackCall:
        spec, seen = cast("LinkSpec", self.settings.spec()), self.image.layer
        image = source_of(self.viewer, seen) if seen is not None else ""
        return TrackCall(spec, source_of(self.viewer, self.labels.layer), self.axes.axes, image, self.motion.name)

    def run(self) -> None:
        """Track; what is missing is said in the status line."""
        layer = self.labels.layer
        if self.job is not None:
            return
        try:
            if layer is None:
                raise ImageError("There are no labels to follow. Segment a movie first, or open a labels file.")
            spec = cast("LinkSpec", self.settings.spec())
            labels, axes = layer_image(layer, self.axes.axes), self.axes.axes
            check_order(axes)
            image = self._image(axes)
        except UNetError as error:
            self.complain(error)
            return
        engine, model = self.engine, self.motion.name
        self.begin(
            lambda: engine.track_steps(labels, spec, image, model),
            lambda reports: self._polled(layer, reports),
            lambda tracks: self._tracked(layer, (axes, spec, model), tracks),
        )

    def _image(self, axes: str) -> Image | None:
        layer = self.image.layer
        if layer is None:
            return None
        own, sure = layer_axes(layer)
        return layer_image(layer, own if sure or layer.ndim != len(axes) else axes)

    def _polled(self, layer: Layer, reports: list[Report]) -> None:
        if layer not in self.viewer.layers:
            self.cancel("Stopped: the layer was removed.")
        else:
            self.follow(reports)

    def _tracked(self, layer: Layer, settings: tuple[str, LinkSpec, str], tracks: Tracks) -> str:
        if not tracks.counts["objects"]:
            return "There is nothing to follow: these labels are empty."
        made = Followed(self.viewer, layer, settings[:2], tracks, self.engine)
        made.image, made.model = self.image.layer, settings[2]
        kept = carry(made)
        if by := _COLORS[self.colors.currentText()]:
            made.color(by)
        if self.labels.layer is layer:
            self.followed = made
            self._can_save(True)
        counts = made.tracks.counts
        said = f"{counts['tracks']} tracks in {counts['lineages']} lineages, {counts['divisions']} divisions."
        return " ".join(filter(None, [said, describe(made), kept or made.news]))

    def _can_save(self, yes: bool) -> None:
        self.save.setEnabled(yes)
        self.save_table.setEnabled(yes)

    def ask_where(self) -> None:
        """Ask for a file and write the tracks to it."""
        if path := self._ask("tracks", _FORMATS):
            self.save_tracks(path)

    def ask_where_table(self) -> None:
        """Ask for a file and write the table of tracks to it."""
        if path := self._ask("table", _FORMATS[:1]):
            self.save_tracks(path, "table")

    def _ask(self, what: str, formats: tuple[str, ...]) -> str:
        layer = self.labels.layer
        name = f"{PurePath(layer.name).name if layer is not None else 'labels'}-{what}.csv"
        return str(QFileDialog.getSaveFileName(self, f"Save {what}", name, ";;".join(formats))[0])

    def save_tracks(self, path: str, what: str = "tracks") -> None:
        """Write the tracks, with all corrections.

        Parameters
        ----------
        path : str
            As :func:`~napari_unet.io.tracks.write_tracks` takes it for tracks; a CSV file for a table. A file is
            replaced if it is there, a folder is not.
        what : {"tracks", "table"}
            A row for each object and frame, or one for each track.
        """
        found, engine = self.followed, self.engine
        if found is None or self.job is not None:
            return
        if Path(path).is_dir():
            self.complain(OutputError(f"'{path}' is a folder that is there already. Choose another name."))
            return
        tracks, table = found.tracks, found.table
        labels = layer_image(found.labels, found.axes)

        def make() -> Steps[None]:
            yield Progress(0, 0, "Writing")
            if what == "table":
                engine.write_table(path, table)
            else:
                engine.write_tracks(path, tracks, engine.relabel(labels, tracks))

        self.begin(make, lambda _reports: None, lambda _: f"Saved {path}.")
