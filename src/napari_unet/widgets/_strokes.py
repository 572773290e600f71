"""When somebody who paints in labels rests."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["Strokes"]

_REST: Final = 1000  # milliseconds without a stroke


class Strokes(QObject):
    """Tells that labels were changed, once nobody has painted in them for a second.

    Parameters
    ----------
    parent : QObject
        Hears of it.
    """

    rested = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._layers: list[Layer] = []  # one at most
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST)
        self._timer.timeout.connect(self.rested)
        self.destroyed.connect(partial(_leave, self._layers, self._painted))

    def listen(self, layer: Layer | None) -> None:
        """Listen to a labels layer, and to no other any more."""
        self._timer.stop()
        _leave(self._layers, self._painted)
        if layer is not None:
            self._layers.append(layer)
            layer.events.paint.connect(self._painted)
            layer.events.data.connect(self._painted)

    def _painted(self, _event: object = None) -> None:
        self._timer.start()


def _leave(layers: list[Any], callback: Any, *_: object) -> None:
    # Where the viewer is collected together with the dock, its layers may be empty shells: nothing is left to undo.
    with suppress(AttributeError):
        for layer in layers:
            layer.events.paint.disconnect(callback)
            layer.events.data.disconnect(callback)
    layers.clear()
