"""The labels layer of a run whose labels go to disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_unet.core.axes import Image
from napari_unet.core.results import Segmentation
from napari_unet.core.steps import Progress, Steps

from ._canvas import Canvas
from ._drawn import Drawn, stored_in
from ._sheet import Sheet
from ._small import SmallCanvas

if TYPE_CHECKING:
    from napari.layers import Layer

    from ._meant import Place
    from .segment import SegmentWidget

__all__ = ["open_canvas"]


class LargeCanvas(Canvas):
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
        super().__init__(dock.viewer, source, image)
        self._goal = place
        sheet = Sheet(image, self._channels)
        self._add(sheet.arrays if len(sheet.arrays) > 1 else sheet.arrays[0], name)
        self.drawn = Drawn(dock.viewer, self.layer, sheet, self.axes, dock)
        self.drawn.image = image

    def steps(self, engine: Any, spec: Any) -> Callable[[], Steps[Segmentation]]:
        """Return what a job has to do; it fills the layer by itself: its progress carries no pieces."""
        image, sheet, looking, (path, overwrite) = self._image, self.drawn.sheet, self.drawn.looking, self._goal

        def unfinished() -> bool:
            self.begun = engine.is_unfinished(path)
            return self.begun

        def make() -> Steps[Segmentation]:
            run = engine.segment_steps(image, spec, preview=looking, output=path, overwrite=overwrite)
            sheet.levels = engine.open_pyramid(image, path, sheet.coarse)
            return _filling(run, sheet.levels, unfinished)

        return make

    def finish(self, result: Segmentation, **more: Any) -> None:
        """Show the final labels; see :meth:`Canvas.finish`."""
        folder = str(self._goal.path)
        for other in [y for y in self._viewer.layers if y is not self.layer and stored_in(y) == folder]:
            self._viewer.layers.remove(other)  # it showed what was in that folder before
        super().finish(result, folder=folder, **more)

    def remove(self) -> None:
        """Take the layer out of the viewer, if it is still there."""
        self.drawn.close()
        super().remove()


def open_canvas(source: Layer, image: Image, name: str, place: Place | None, dock: SegmentWidget) -> Canvas:
    """Make the labels layer that suits a run: one on disk where labels are written while they are found."""
    if place is not None and place.streams:
        return LargeCanvas(source, image, name, place, dock)
    return SmallCanvas(dock.viewer, source, image, name, place)


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
