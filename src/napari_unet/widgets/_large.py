"""The labels layer of a run whose labels go to disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_unet.core.axes import Image
from napari_unet.core.results import Piece, Segmentation
from napari_unet.core.steps import Progress, Steps

from ._canvas import Canvas, add_uncertainty, finish_layer
from ._drawn import Drawn, stored_in
from ._layers import channel_axis, placement, repeat
from ._sheet import Sheet

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

    from ._place import Place
    from .segment import SegmentWidget

__all__ = ["LargeCanvas", "open_canvas"]


class LargeCanvas:
    """A layer that is there at once, fills while the run goes on and shows what is written at the end.

    Its labels are never in memory as a whole.

    Parameters
    ----------
    source : napari.layers.Image
        The image layer.
    image : Image
        Its data with axes.
    name : str
        Of the new layer.
    place : Place
        Where the labels go.
    dock : SegmentWidget
        Keeps the layer up to date.
    """

    def __init__(self, source: Layer, image: Image, name: str, place: Place, dock: SegmentWidget) -> None:
        self._viewer, self._source, self._image, self._place = dock.viewer, source, image, place
        self.channels = channel_axis(source, image)
        self.begun = False  # whether there is something that a later run can go on with
        sheet = Sheet(image, self.channels)
        shown = sheet.arrays if len(sheet.arrays) > 1 else sheet.arrays[0]
        self.layer: Labels = dock.viewer.add_labels(shown, name=name, **placement(source, image.axes))
        axes = image.axes if self.channels is not None else image.label_axes
        self.drawn = Drawn(dock.viewer, self.layer, sheet, axes, dock)
        self.drawn.image = image

    @property
    def alive(self) -> bool:
        """True while both layers are in the viewer."""
        return self._source in self._viewer.layers and self.layer in self._viewer.layers

    def steps(self, engine: Any, spec: Any) -> Callable[[], Steps[Segmentation]]:
        """Return what a job has to do.

        Parameters
        ----------
        engine : module
            Has the verbs of :mod:`napari_unet.workflows`.
        spec : SegmentSpec
            Settings.

        Returns
        -------
        callable
            Makes the steps. They fill the layer by themselves: their progress carries no pieces.
        """
        image, sheet, looking, (path, overwrite) = self._image, self.drawn.sheet, self.drawn.looking, self._place

        def unfinished() -> bool:
            self.begun = engine.is_unfinished(path)
            return self.begun

        def make() -> Steps[Segmentation]:
            run = engine.segment_steps(image, spec, preview=looking, output=path, overwrite=overwrite)
            sheet.levels = engine.open_pyramid(image, path, sheet.coarse)
            return _filling(run, sheet.levels, unfinished)

        return make

    def fill(self, _pieces: Iterable[Piece]) -> None:
        """Do nothing: pieces do not come this way."""

    def finish(self, result: Segmentation) -> None:
        """Show the final labels, with their measurements and the record of how they were made."""
        folder = str(self._place.path)
        for other in [y for y in self._viewer.layers if y is not self.layer and stored_in(y) == folder]:
            self._viewer.layers.remove(other)  # it showed what was in that folder before
        finish_layer(self.layer, result, {"axes": self.drawn.axes, "folder": folder})
        if result.uncertainty is not None:
            values, name = repeat(result.uncertainty.data, self.channels), f"{self._source.name} uncertainty"
            add_uncertainty(self._viewer, self.layer, values, name, placement(self._source, self._image.axes))

    def remove(self) -> None:
        """Take the layer out of the viewer, if it is still there."""
        self.drawn.close()
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)


def open_canvas(
    source: Layer, image: Image, name: str, place: Place | None, dock: SegmentWidget
) -> Canvas | LargeCanvas:
    """Make the labels layer that suits a run: one on disk where labels are written while they are found."""
    if place is not None and place.streams:
        return LargeCanvas(source, image, name, place, dock)
    return Canvas(dock.viewer, source, image, name, place)


def _filling(run: Steps[Segmentation], levels: Any, unfinished: Callable[[], bool]) -> Steps[Segmentation]:
    """Put what a run finds into a pyramid, in the thread of the run."""
    begun = going_on = False
    try:
        while True:
            try:
                progress = next(run)
            except StopIteration as last:
                result: Segmentation = last.value
                break
            if progress.total and not begun:
                begun, going_on = True, unfinished()
                levels.begin()
            elif going_on and not unfinished():
                going_on = False  # the labels are in their place
                levels.settle()
            if progress.payload is not None and not levels.settled:
                levels.add(progress.payload)
            yield replace(progress, payload=None)
        if not levels.settled:
            yield Progress(0, 0, "Opening the labels")
            levels.settle()
        return result
    finally:
        run.close()
        if not levels.settled:
            levels.close()
