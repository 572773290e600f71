"""The labels layer of a run: what is the same whether its labels are in memory or on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.results import MAPS, MOST_UNCERTAIN, Piece, Segmentation

from ._channels import channel_axis, repeat
from ._classes import color_classes
from ._diameters import draw_diameters
from ._layers import KEY, placed, placement
from ._matching import axes_on

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

    from napari_unet.core.steps import Steps

__all__ = ["Canvas", "Pause"]

_MOST: Final = dict.fromkeys(MAPS, 1.0) | {"uncertainty": MOST_UNCERTAIN}
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

    Attributes
    ----------
    layer : napari.layers.Labels
        The layer, once it is added.
    begun : bool
        Whether there is something that a later run can go on with.
    """

    layer: Labels
    begun = False

    def __init__(self, viewer: Viewer, source: Layer, image: Image) -> None:
        self._viewer, self._source, self._image = viewer, source, image
        self._axes = axes_on(source, image)  # of its data: channels may be layers of their own
        self._place = placement(source, self._axes)
        self._channels = channel_axis(source, image) if "c" in self._axes else None
        self.axes = image.axes if self._channels is not None else image.label_axes

    def _add(self, data: Any, name: str) -> None:
        self.layer = self._viewer.add_labels(data, name=name, **self._place)
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
        raise NotImplementedError

    def fill(self, pieces: Iterable[Piece]) -> None:
        """Show pieces that were found."""

    def finish(self, result: Segmentation, **more: Any) -> None:
        """Show the final labels, with their measurements and the record of how they were made.

        Parameters
        ----------
        result : Segmentation
            Of the run.
        **more : Any
            What is added to the record.
        """
        layer = self.layer
        layer.features = result.table
        color_classes(layer, result.classes)
        layer.metadata = {
            **layer.metadata,
            KEY: {**result.manifest, **placed(result.labels), "axes": self.axes, **more},
        }
        if "longest_diameter" in result.table:
            draw_diameters(self._viewer, layer, self.axes, result.table)
        for name in _MOST:
            if (image := getattr(result, name)) is not None:
                self._add_below(name, self._shown(image.data))

    def _add_below(self, name: str, values: npt.NDArray[np.float32]) -> None:
        """Show where averaged answers differ, or how sure the model is, below the labels and over the image."""
        layers = self._viewer.layers
        self._viewer.add_image(
            values, name=f"{self._source.name} {name}", rgb=False, colormap="inferno", blending="additive",
            contrast_limits=(0, _MOST[name]), metadata={KEY: {"axes": self.axes}}, **self._place,
        )  # fmt: skip
        layers.move(len(layers) - 1, layers.index(self.layer))
        layers.selection.active = self.layer

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
