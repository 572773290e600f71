"""The button that keeps corrections for the next training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.errors import UNetError
from napari_unet.core.steps import Progress, Steps

from ._before import Before, Origin, origin_of, remember
from ._layers import layer_image
from ._matching import axes_on
from ._news import NEWS
from ._parts import button, words
from ._worker import Report

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from ._panel import Panel

__all__ = ["GrowRow"]


class GrowRow(QWidget):
    """A button for corrected labels, there as long as the viewer has labels that this program has found.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layers.
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    dock : Panel
        Does the job.
    """

    grown = Signal(object, str)  # the Collection, and the model that had found the labels

    def __init__(self, viewer: Viewer, engine: Any, dock: Panel) -> None:
        super().__init__()
        self._viewer, self._engine, self._dock = viewer, engine, dock
        self.add = button("Add to training data", "", self.add_corrections)
        self.hint = words()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.add)
        column.addWidget(self.hint)
        viewer.layers.selection.events.active.connect(self._follow)
        self.destroyed.connect(partial(_disconnect, viewer.layers, self._follow))
        dock.settled.connect(self._follow)
        NEWS.found.connect(self._follow)
        self._follow()

    @property
    def layer(self) -> Layer | None:
        """The labels that are meant: the active ones, or the only ones that are known."""
        known = [y for y in self._viewer.layers if origin_of(y) is not None]
        active = self._viewer.layers.selection.active
        return active if active in known else known[-1] if known else None

    def _follow(self, _event: object = None) -> None:
        layer = self.layer
        self.setVisible(layer is not None)
        self.add.setEnabled(layer is not None and self._dock.job is None)
        if layer is not None:
            self.add.setToolTip(f"Keep what you have corrected in '{layer.name}', to learn from it.")

    def add_corrections(self) -> None:
        """Keep what was corrected in the labels."""
        layer = self.layer
        origin = origin_of(layer)
        if layer is None or origin is None or self._dock.job is not None:
            return
        try:
            image = layer_image(origin.source(), origin.axes) if origin.image is None else origin.image
            labels = layer_image(layer, axes_on(layer, image))
            after = Image(np.array(labels.data), labels.axes, labels.scale, labels.units, layer.name)
        except UNetError as error:
            self._dock.complain(error)
            return
        engine, more = self._engine, {} if origin.channels is None else {"channels": origin.channels}

        def make() -> Steps[Any]:
            yield Progress(0, 0, "Looking for what you have corrected")
            found = yield from engine.collect_steps(
                image, after, Image(origin.before.unpack(), after.axes), origin.model, **more
            )
            return found, Before.pack(after.data)

        self._dock.begin(make, self._polled, partial(self._added, layer, origin))

    def _polled(self, reports: list[Report]) -> None:
        if reports:
            self._dock.say(f"{reports[-1].progress.note} …")

    def _added(self, layer: Layer, origin: Origin, result: Any) -> str:
        found, after = result
        remember(layer, replace(origin, before=after))  # what is corrected next counts by itself
        self.grown.emit(found, origin.model)
        return f"Added {found.added}. Kept for '{found.name}': {found.caption}."


def _disconnect(layers: Any, callback: Any, *_: object) -> None:
    layers.selection.events.active.disconnect(callback)
