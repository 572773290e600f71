"""The labels layer of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.results import MOST_UNCERTAIN, Piece, Segmentation

from ._before import Before, Origin, packing, remember
from ._layers import KEY, channel_axis, placement, repeat

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

    from napari_unet.core.steps import Steps

    from ._place import Place

__all__ = ["Canvas", "Pause", "add_uncertainty", "finish_layer"]

_PAUSE: Final = 0.2  # seconds between two refreshes, at least
_SHARE: Final = 4.0  # a refresh that takes long waits this many times as long before the next


class Canvas:
    """The labels layer of a run: there at once, filled piece by piece, right at the end.

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
        shape = image.along(image.label_axes)[0]
        try:
            self._array = np.zeros(shape, np.int32)
        except MemoryError as error:
            size = 4 * np.prod([float(s) for s in shape]) / 2**30
            raise ImageError(
                f"The labels of '{image.name}' need {size:.0f} GiB of memory, which this computer does not have free. "
                "Give a file to write to under 'Save to': the labels go to disk while they are found."
            ) from error
        self._viewer, self._source, self._image, self._goal = viewer, source, image, place
        self._pause = Pause()
        self._stale = False
        self._before: Before | None = None
        self._place, self._channels = placement(source, image.axes), channel_axis(source, image)
        self.layer: Labels = viewer.add_labels(self._shown(self._array), name=name, **self._place)
        self.layer.editable = False

    def _shown(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return repeat(array, self._channels)

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
            Makes the steps.
        """
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

    def finish(self, result: Segmentation) -> None:
        """Show the final labels, with their measurements and the record of how they were made."""
        self.layer.data = self._shown(result.labels.data)
        axes = self._image.axes if self.layer.ndim == len(self._image.axes) else self._image.label_axes
        finish_layer(self.layer, result, {"axes": axes})
        if self._before is not None:
            model = str(result.manifest.get("model", ""))
            remember(self.layer, Origin(self._before, ref(self._source), self._image.axes, model))
        self.layer.editable = True
        if result.uncertainty is not None:
            name = f"{self._source.name} uncertainty"
            add_uncertainty(self._viewer, self.layer, self._shown(result.uncertainty.data), name, self._place)

    def remove(self) -> None:
        """Take the layer out of the viewer, if it is still there."""
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)


class Pause:
    """Leaves time between two refreshes: a fifth of a second, and more where they take long.

    It is a context around a refresh, which it times.
    """

    def __init__(self) -> None:
        self._start = self._next = 0.0

    @property
    def over(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() >= self._next

    def __enter__(self) -> None:
        """Begin a refresh."""
        self._start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        """End it."""
        now = time.monotonic()
        self._next = now + max(_PAUSE, _SHARE * (now - self._start))


def finish_layer(layer: Labels, result: Segmentation, more: dict[str, Any]) -> None:
    """Give a layer the measurements and the record of a run.

    Parameters
    ----------
    layer : napari.layers.Labels
        Shows the labels.
    result : Segmentation
        Of the run.
    more : dict
        What is added to the record.
    """
    layer.features = result.table
    layer.metadata = {**layer.metadata, KEY: {**result.manifest, **more}}


def add_uncertainty(
    viewer: Viewer, layer: Labels, values: npt.NDArray[np.float32], name: str, place: dict[str, Any]
) -> None:
    """Show where averaged answers differ, below the labels and over the image.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layer.
    layer : napari.layers.Labels
        The labels.
    values : ndarray of float32
        On the grid of the labels.
    name : str
        Of the new layer.
    place : dict
        See :func:`~._layers.placement`.
    """
    viewer.add_image(
        values, name=name, rgb=False, colormap="inferno", blending="additive", contrast_limits=(0, MOST_UNCERTAIN),
        metadata={KEY: {"axes": layer.metadata[KEY]["axes"]}}, **place,
    )  # fmt: skip
    viewer.layers.move(len(viewer.layers) - 1, viewer.layers.index(layer))
    viewer.layers.selection.active = layer
