"""The labels layer of a run whose labels are in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.results import Piece, Segmentation

from ._before import Before, Origin, packing, remember
from ._canvas import Canvas, Pause
from ._news import NEWS

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_unet.core.steps import Steps

    from ._meant import Place

__all__ = ["SmallCanvas"]


class SmallCanvas(Canvas):
    """A layer that is there at once, fills piece by piece, and can be painted in at the end.

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
    place : Place, optional
        Where the labels are written to at the end.

    Raises
    ------
    ImageError
        If there is not enough memory for the labels.
    """

    def __init__(self, viewer: Viewer, source: Layer, image: Image, name: str, place: Place | None = None) -> None:
        super().__init__(viewer, source, image)
        shape = image.along(image.label_axes)[0]
        try:
            self._array = np.zeros(shape, np.int32)
        except MemoryError as error:
            size = 4 * np.prod([float(s) for s in shape]) / 2**30
            raise ImageError(
                f"The labels of '{image.name}' need {size:.0f} GiB of memory, which this computer does not have free. "
                "Give a file to write to under 'Save to': the labels go to disk while they are found."
            ) from error
        self._goal = place
        self._pause = Pause()
        self._stale = False
        self._before: Before | None = None
        self._add(self._shown(self._array), name)

    def steps(self, engine: Any, spec: Any) -> Callable[[], Steps[Segmentation]]:
        """Return what a job has to do; see :meth:`Canvas.steps`."""
        image, place = self._image, self._goal
        options = {} if place is None else {"output": place.path, "overwrite": place.overwrite}
        return lambda: packing(partial(engine.segment_steps, image, spec, **options), self._packed)

    def _packed(self, before: Before) -> None:
        self._before = before

    def fill(self, pieces: Iterable[Piece]) -> None:
        """Write pieces, and show them at most five times a second."""
        for piece in pieces:
            self._array[piece.index] = piece.labels
            self._stale = True
        if self._stale and self._pause.over:
            self._stale = False
            with self._pause:
                self.layer.refresh(extent=False)

    def finish(self, result: Segmentation, **more: Any) -> None:
        """Show the final labels; see :meth:`Canvas.finish`."""
        self.layer.data = self._shown(result.labels.data)
        super().finish(result, **more)
        if self._before is not None:
            model = str(result.manifest.get("model", ""))
            bands = None if self._axes == self._image.axes else self._image
            given = result.manifest.get("settings", {}).get("channels")
            channels = None if given is None else tuple(given)
            remember(self.layer, Origin(self._before, ref(self._source), self._axes, model, bands, channels))
            NEWS.found.emit()
        self.layer.editable = True
