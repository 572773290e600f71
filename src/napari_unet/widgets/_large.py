"""The labels layer of a run whose labels go to disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import QObject, QTimer

from napari_unet.core.axes import Image
from napari_unet.core.errors import OutputError
from napari_unet.core.results import Piece, Segmentation
from napari_unet.core.steps import Progress, Steps

from ._canvas import Canvas, Pause, add_uncertainty, finish_layer
from ._layers import KEY, channel_axis, placement, repeat
from ._looking import Looking, seen
from ._sheet import Sheet, draw_quickly

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

    from ._place import Place
    from .segment import SegmentWidget

__all__ = ["LargeCanvas", "open_canvas", "stored_in"]

_TICK: Final = 100  # milliseconds


class LargeCanvas(QObject):
    """A layer that is there at once, fills while the run goes on and shows what is written at the end.

    Its labels are never in memory as a whole. As long as the dock lives, what is drawn is loaded in another thread.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layer.
    source : napari.layers.Image
        The image layer.
    image : Image
        Its data with axes.
    name : str
        Of the new layer.
    parent : QObject
        The dock.
    """

    def __init__(self, viewer: Viewer, source: Layer, image: Image, name: str, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._source, self._image = viewer, source, image
        self.channels = channel_axis(source, image)
        self.sheet = sheet = Sheet(image, self.channels)
        self.looking = Looking()
        self.begun = False  # whether there is something that a later run can go on with
        self.folder = ""
        arrays = sheet.arrays
        self.layer: Labels = viewer.add_labels(
            arrays if len(arrays) > 1 else arrays[0], name=name, **placement(source, image.axes)
        )
        self.layer.editable = False
        draw_quickly(self.layer, sheet)
        self._seen, self._pause = 0, Pause()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="napari-unet-drawing")
        self._loading: Future[None] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        sheet.idle.clear()
        self.destroyed.connect(sheet.idle.set)

    @property
    def axes(self) -> str:
        """Letters of the layer's dimensions."""
        return self._image.axes if self.channels is not None else self._image.label_axes

    @property
    def alive(self) -> bool:
        """True while both layers are in the viewer."""
        return self._source in self._viewer.layers and self.layer in self._viewer.layers

    def steps(self, engine: Any, spec: Any, place: Place | None) -> Callable[[], Steps[Segmentation]]:
        """Return what a job has to do.

        Parameters
        ----------
        engine : module
            Has the verbs of :mod:`napari_unet.workflows`.
        spec : SegmentSpec
            Settings.
        place : Place
            Where the labels go; not None.

        Returns
        -------
        callable
            Makes the steps. They fill the layer by themselves: their progress carries no pieces.
        """
        if place is None:
            raise OutputError("Say under 'Save to' where the labels go.")
        self.folder = str(place.path)
        image, sheet, looking, note = self._image, self.sheet, self.looking, self._note_begun

        def make() -> Steps[Segmentation]:
            run = engine.segment_steps(image, spec, preview=looking, output=place.path, overwrite=place.overwrite)
            sheet.levels = engine.open_pyramid(image, place.path, sheet.coarse)
            return _filling(run, sheet.levels, lambda: note(engine.is_unfinished(place.path)))

        return make

    def _note_begun(self, begun: bool) -> None:
        self.begun = begun

    def fill(self, _pieces: Iterable[Piece]) -> None:
        """Do nothing: pieces do not come this way."""

    def _tick(self) -> None:
        if self.layer not in self._viewer.layers:
            self.close()
            return
        levels = self.sheet.levels
        if not self.layer.visible or levels is None:
            return
        self.looking.note(seen(self._viewer, self.layer, self.axes))
        if levels.changes != self._seen and self._pause.over:
            self._seen = levels.changes
            with self._pause:
                self.layer.refresh(extent=False)
        if self._loading is None or self._loading.done():
            self._loading = self._pool.submit(_load, self.sheet)

    def finish(self, result: Segmentation) -> None:
        """Show the final labels, with their measurements and the record of how they were made."""
        for other in [y for y in self._viewer.layers if y is not self.layer and stored_in(y) == self.folder]:
            self._viewer.layers.remove(other)  # it showed what was in that folder before
        finish_layer(self.layer, result, {"axes": self.axes, "folder": self.folder})
        self.layer.editable = False
        if result.uncertainty is not None:
            values, name = repeat(result.uncertainty.data, self.channels), f"{self._source.name} uncertainty"
            add_uncertainty(self._viewer, self.layer, values, name, placement(self._source, self._image.axes))

    def remove(self) -> None:
        """Take the layer out of the viewer, if it is still there."""
        self.close()
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)

    def close(self) -> None:
        """Load nothing any more."""
        self._timer.stop()
        self.sheet.idle.set()
        self._pool.shutdown(wait=False, cancel_futures=True)


def open_canvas(
    source: Layer, image: Image, name: str, place: Place | None, dock: SegmentWidget
) -> Canvas | LargeCanvas:
    """Make the labels layer that suits a run: one on disk where labels are written while they are found."""
    if place is not None and place.streams:
        return LargeCanvas(dock.viewer, source, image, name, dock)
    return Canvas(dock.viewer, source, image, name)


def stored_in(layer: Layer) -> str:
    """Return the folder that a layer's labels lie in; empty for all other layers."""
    record = layer.metadata.get(KEY)
    return str(record.get("folder", "")) if isinstance(record, dict) else ""


def _load(sheet: Sheet) -> None:
    while not sheet.idle.is_set() and sheet.levels.fetch():
        pass


def _filling(run: Steps[Segmentation], levels: Any, note: Callable[[], None]) -> Steps[Segmentation]:
    """Put what a run finds into a pyramid, in the thread of the run."""
    begun = False
    try:
        while True:
            try:
                progress = next(run)
            except StopIteration as last:
                result: Segmentation = last.value
                break
            if progress.total and not begun:
                begun = True
                levels.begin()
                note()
            if progress.payload is not None:
                levels.add(progress.payload)
            yield replace(progress, payload=None)
        yield Progress(0, 0, "Opening the labels")
        levels.settle()
        return result
    finally:
        run.close()
        if not levels.settled:
            levels.close()
