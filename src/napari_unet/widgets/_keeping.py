"""Corrections are kept on the disk from the moment they are made, so that closing the viewer loses none."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.core.axes import Image
from napari_unet.core.errors import UNetError

from ._layers import layer_image
from ._records import crop_of

if TYPE_CHECKING:
    from napari.layers import Labels

__all__ = ["Keeper", "corrected"]

_PAUSE: Final = 1000  # milliseconds from a change to the disk


def corrected(layer: Labels) -> tuple[Image, Image]:
    """Return a region as it was taken and, a copy, as it is now; without channels."""
    before, now = _parts(layer)
    return before, replace(now, data=np.array(now.data))


def _parts(layer: Labels) -> tuple[Image, Image]:
    region = crop_of(layer)
    axes = str(region["axes"])
    plain = axes.replace("c", "")
    return Image(region["before"], plain), Image(layer_image(layer, axes).data, plain)


class Keeper(QObject):
    """Keeps what is painted in a region.

    Parameters
    ----------
    layer : napari.layers.Labels
        The region.
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    parent : QObject
        As long as it lives, the region is kept.
    """

    failed = Signal(object)  # an error: what was painted is on the screen only

    def __init__(self, layer: Labels, engine: Any, parent: QObject) -> None:
        super().__init__(parent)
        self.layer, self._engine = layer, engine
        self.folder = str(crop_of(layer)["region"])
        self._kept: npt.NDArray[np.int32] = corrected(layer)[1].data
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="napari-unet-keeping")
        self._job: Future[None] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE)
        self._timer.timeout.connect(self._tick)
        for event in (layer.events.paint, layer.events.labels_update, layer.events.set_data):
            event.connect(self._changed)

    @property
    def changed(self) -> bool:
        """Whether anything was corrected."""
        before, now = _parts(self.layer)
        return not np.array_equal(before.data, now.data)

    def _changed(self, _event: object = None) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _tick(self) -> None:
        if self._job is not None and not self._job.done():
            self._timer.start()
            return
        self._hear()
        self._job = self._pool.submit(self._keep, *_parts(self.layer), crop_of(self.layer)["view"])

    def _hear(self) -> None:
        error = self._job.exception() if self._job is not None else None
        self._job = None
        if error is not None:
            self.failed.emit(error)

    def _keep(self, before: Image, now: Image, view: Mapping[str, slice]) -> None:
        if np.array_equal(now.data, self._kept):
            return
        now = replace(now, data=np.array(now.data))  # painting goes on meanwhile
        self._engine.keep_draft(self.folder, before, now, view)
        self._kept = now.data

    def flush(self) -> None:
        """Keep what is painted now; when this returns it is on the disk, or `failed` has said why not."""
        self._timer.stop()
        if self._job is not None:
            self._job.exception()  # waits for it
        try:
            self._keep(*_parts(self.layer), crop_of(self.layer)["view"])
        except UNetError as error:
            self.failed.emit(error)

    def close(self, drop: bool) -> None:
        """End.

        Parameters
        ----------
        drop : bool
            What was kept is not needed any more.
        """
        for event in (self.layer.events.paint, self.layer.events.labels_update, self.layer.events.set_data):
            event.disconnect(self._changed)
        self._timer.stop()
        if drop:
            self._pool.submit(self._engine.drop_draft, self.folder)
        self._pool.shutdown(wait=True)
        self.setParent(None)  # whoever looks for what keeps a layer finds it no more
        self.deleteLater()
