"""The labels layer of a run."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.results import MOST_UNCERTAIN, Piece, Segmentation

from ._layers import KEY, placement

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

__all__ = ["Canvas"]

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

    Raises
    ------
    ImageError
        If there is not enough memory for the labels.
    """

    def __init__(self, viewer: Viewer, source: Layer, image: Image, name: str) -> None:
        shape = image.along(image.label_axes)[0]
        try:
            self._array = np.zeros(shape, np.int32)
        except MemoryError as error:
            size = 4 * np.prod([float(s) for s in shape]) / 2**30
            raise ImageError(
                f"The labels of '{image.name}' need {size:.0f} GiB of memory, which this computer does not have free. "
                "Use the command 'napari-unet segment' or a part of the image."
            ) from error
        self._viewer, self._source, self._image = viewer, source, image
        self._next = 0.0
        self._stale = False
        self._place = placement(source, image.axes)
        self.layer: Labels = viewer.add_labels(self._shown(self._array), name=name, **self._place)
        self.layer.editable = False

    def _shown(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # napari aligns layers by their last dimensions. A channel axis in front can be left out; one in the middle
        # must be kept, or time would lie on channels: the labels are repeated along it without a copy.
        at = self._image.axes.find("c")
        if at < 1 or at >= len(self._source.scale):
            return array
        shape, strides = list(array.shape), list(array.strides)
        shape.insert(at, self._image.channels)
        strides.insert(at, 0)
        return np.lib.stride_tricks.as_strided(array, shape, strides)

    @property
    def alive(self) -> bool:
        """True while both layers are in the viewer."""
        return self._source in self._viewer.layers and self.layer in self._viewer.layers

    def fill(self, pieces: Iterable[Piece]) -> None:
        """Write pieces, and show them at most five times a second."""
        for piece in pieces:
            self._array[piece.index] = piece.labels
            self._stale = True
        start = time.monotonic()
        if self._stale and start >= self._next:
            self.layer.refresh(extent=False)
            now = time.monotonic()
            self._next, self._stale = now + max(_PAUSE, _SHARE * (now - start)), False

    def finish(self, result: Segmentation) -> None:
        """Show the final labels, with their measurements and the record of how they were made."""
        self.layer.data = self._shown(result.labels.data)
        self.layer.features = result.table
        axes = self._image.axes if self.layer.ndim == len(self._image.axes) else self._image.label_axes
        self.layer.metadata = {**self.layer.metadata, KEY: {**result.manifest, "axes": axes}}
        self.layer.editable = True
        if result.uncertainty is not None:
            self._add_uncertainty(result.uncertainty.data, axes)

    def _add_uncertainty(self, values: npt.NDArray[np.float32], axes: str) -> None:
        """Show where the averaged answers differ, below the labels and over the image."""
        self._viewer.add_image(
            self._shown(values), name=f"{self._source.name} uncertainty", rgb=False, colormap="inferno",
            blending="additive", contrast_limits=(0, MOST_UNCERTAIN), metadata={KEY: {"axes": axes}}, **self._place,
        )  # fmt: skip
        layers = self._viewer.layers
        layers.move(len(layers) - 1, layers.index(self.layer))
        layers.selection.active = self.layer

    def remove(self) -> None:
        """Take the layer out of the viewer, if it is still there."""
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
