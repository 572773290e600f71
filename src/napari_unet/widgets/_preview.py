"""What the model finds by now, where the user looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import QTimer

from napari_unet.core.axes import Image

from ._channels import channel_axis, repeat
from ._layers import KEY, layer_axes, layer_image, placement
from ._looking import seen
from ._matching import axes_on

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["Preview", "preview_of"]

_EDGE: Final = 512  # pixels that are looked at, at most
_DEPTH: Final = 24  # planes, for networks that see several
_TURN: Final = 200  # milliseconds, in which the curves of the same report are drawn, and the user heard


class Preview:
    """A labels layer on the part of an image that is seen when the training starts.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layer with the first labels.
    layer : napari.layers.Image
        What is looked at.
    whole : Image
        Its data with axes, perhaps among further channels.
    ndim : int
        Dimensions of the network.
    """

    def __init__(self, viewer: Viewer, layer: Layer, whole: Image, ndim: int = 2) -> None:
        self._viewer, self._source, self._axes = viewer, layer, axes_on(layer, whole)
        view = seen(viewer, layer, self._axes[: layer.ndim])  # colors are no dimension of a layer
        sizes = dict(zip(whole.axes, whole.shape, strict=True))
        self.window = {a: self._cut(a, view.get(a, slice(0, n)), n, ndim) for a, n in sizes.items() if a != "c"}
        self._channels = channel_axis(layer, whole) if "c" in self._axes else None
        self._whole = whole
        self.layer: Labels | None = None
        self._waits = False  # to be added

    @staticmethod
    def _cut(axis: str, part: slice, length: int, ndim: int) -> slice:
        most = {"y": _EDGE, "x": _EDGE, "z": _DEPTH if ndim == 3 else 1}.get(axis, 1)
        part = part if part.stop > part.start else slice(0, length)
        if axis == "z" and ndim == 3:
            part = slice(max(0, part.start - most // 2), min(length, part.start + most // 2))
        start = max(0, (part.start + part.stop - most + 1) // 2) if part.stop - part.start > most else part.start
        return slice(start, min(start + most, part.stop, length))

    @property
    def image(self) -> Image:
        """What is to be segmented: the part that is seen, of one time point; one plane for a 2D network."""
        whole = self._whole
        single = [a for a in "tz" if a in self.window and self.window[a].stop - self.window[a].start == 1]
        index = tuple(
            slice(None) if a == "c" else self.window[a].start if a in single else self.window[a] for a in whole.axes
        )
        kept = [i for i, a in enumerate(whole.axes) if a not in single]
        return Image(
            whole.data[index],
            "".join(whole.axes[i] for i in kept),
            tuple(whole.scale[i] for i in kept),
            tuple(whole.units[i] for i in kept),
            f"{whole.name} (seen)",
            valid=tuple(mask[self.window["y"], self.window["x"]] for mask in whole.valid[:1]),
            channel_names=whole.channel_names,
        )

    def show(self, labels: npt.NDArray[Any], name: str) -> None:
        """Show labels, a moment later; once the user has taken the layer away, nothing is shown any more.

        Parameters
        ----------
        labels : ndarray of int
            Of :attr:`image`.
        name : str
            Of the layer.
        """
        shape = [s.stop - s.start for s in self.window.values()]
        shown = repeat(np.ascontiguousarray(labels, dtype=np.int32).reshape(shape), self._channels)
        if self.layer is not None:
            if self._waits or self.layer in self._viewer.layers:
                self.layer.data = shown
            return
        source = self._source
        if source not in self._viewer.layers:
            return
        starts = [self.window[a].start if a in self.window else 0 for a in self._axes[: source.ndim]]
        # Where the first pixel lies before the affine, as for every layer.
        corner = source.affine.inverse(source.data_to_world(starts))
        place = placement(source, self._axes)
        place["translate"] = np.asarray(corner)[-len(place["scale"]) :]
        self.layer = Labels(shown, name=name, metadata={KEY: {"preview": True}}, **place)
        self.layer.editable = False
        self._waits = True
        # In a turn of its own: napari takes most of a tenth of a second for it, and the report is shown in this one.
        QTimer.singleShot(_TURN, self._add)

    def _add(self) -> None:
        self._waits = False
        if self.layer is None or self._source not in self._viewer.layers:
            return
        chosen = self._viewer.layers.selection
        active = chosen.active
        # The user goes on painting. Nobody is told of a choice that is taken back: it would hold the screen for longer.
        with chosen.events.blocker_all():
            self._viewer.add_layer(self.layer)
            chosen.active = active

    def remove(self) -> None:
        """Take the layer out of the viewer, if it is still there."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None


def preview_of(viewer: Viewer, views: Sequence[tuple[Layer, Image]], ndim: int = 2) -> Preview | None:
    """Choose what is looked at: the topmost visible of some image layers.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layers.
    views : sequence of (napari.layers.Image, Image)
        Layers that are learned from, and what is seen of them; if there are none, all of the viewer.
    ndim : int
        Dimensions of the network.

    Returns
    -------
    Preview or None
        None if there is nothing to look at.
    """
    for layer in [y for y in reversed(viewer.layers) if isinstance(y, ImageLayer) and y.visible]:
        whole = next((image for each, image in views if each == layer), None)
        axes = "" if views else layer_axes(layer)[0]
        if whole is not None or {"y", "x"} <= set(axes):
            return Preview(viewer, layer, whole or layer_image(layer, axes), ndim)
    return None
