"""A labels layer of any size on the screen: what is looked at is loaded in another thread."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer

from ._canvas import Pause
from ._layers import KEY
from ._looking import Looking, seen
from ._sheet import Sheet, draw_quickly

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_unet.core.axes import Image

__all__ = ["Drawn", "stored_in"]

_TICK: Final = 100  # milliseconds


class Drawn(QObject):
    """Keeps a layer up to date as long as the dock lives and the layer is in the viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layer.
    layer : napari.layers.Labels
        Shows the arrays of `sheet`.
    sheet : Sheet
        The labels.
    axes : str
        Letters of the layer's dimensions.
    parent : QObject
        The dock.
    """

    def __init__(self, viewer: Viewer, layer: Labels, sheet: Sheet, axes: str, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self.layer, self.sheet, self.axes = viewer, layer, sheet, axes
        self.looking = Looking()
        self.image: Image | None = None  # whose labels they are, if that is known
        layer.editable = False
        draw_quickly(layer, sheet)
        self._seen, self._pause = 0, Pause()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="napari-unet-drawing")
        self._loading: Future[None] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        sheet.idle.clear()
        self.destroyed.connect(sheet.idle.set)

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

    def close(self, last: Callable[[], Any] | None = None) -> None:
        """Load nothing any more; `last` is done in the other thread."""
        self._timer.stop()
        self.sheet.idle.set()
        if last is not None:
            self._pool.submit(last)
        self._pool.shutdown(wait=False, cancel_futures=last is None)


def stored_in(layer: Layer) -> str:
    """Return the OME-Zarr that a labels layer shows without loading it; empty for all other layers."""
    record = layer.metadata.get(KEY)
    if isinstance(record, dict) and "folder" in record:
        return str(record["folder"])
    path = str(layer.source.path or "")
    lazy = not isinstance(layer.data, np.ndarray)
    return path if isinstance(layer, Labels) and lazy and path.endswith(".zarr") and "://" not in path else ""


def _load(sheet: Sheet) -> None:
    while not sheet.idle.is_set() and sheet.levels.fetch():
        pass
