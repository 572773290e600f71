"""Correcting labels that are too large to be loaded: a region is taken, painted in, and put back."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.errors import UNetError
from napari_unet.core.steps import Progress, Steps

from ._crop import add_crop, visible_crop
from ._drawn import Drawn, stored_in
from ._layers import KEY, layer_axes, layer_image
from ._parts import button, row
from ._records import crop_of, note, record_of, show, table_of
from ._sheet import Sheet
from ._view import View

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from ._panel import Panel
    from ._worker import Report

__all__ = ["EditRow"]

_touched: dict[str, Any] = {}  # folders with something that can be undone, and the engine that keeps it


class EditRow(QWidget):
    """Three buttons, there as long as the viewer has labels that are not loaded.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layers.
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    dock : Panel
        Does the jobs, one at a time.
    """

    def __init__(self, viewer: Viewer, engine: Any, dock: Panel) -> None:
        super().__init__()
        self._viewer, self._engine, self._dock = viewer, engine, dock
        self._past: dict[str, list[Any]] = {}  # measurements before each correction
        self.take = button("Edit region", "Take what you see to a layer that can be painted in.", self.take_region)
        self.put = button("Put back", "Write the corrections to where the labels came from.", self.put_back)
        self.undo = button("Undo", "Take the last corrections that were put back out again.", self.undo_last)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(QLabel("Correct by hand"))
        column.addLayout(row((self.take, 2), (self.put, 2), (self.undo, 1)))
        layers = viewer.layers
        layers.selection.events.active.connect(self._follow)
        layers.events.removed.connect(self._removed)
        self.destroyed.connect(partial(_disconnect, layers, self._follow, self._removed))
        dock.settled.connect(self._follow)
        self._follow()

    @property
    def _active(self) -> Any:
        return self._viewer.layers.selection.active

    def _follow(self, _event: object = None) -> None:
        layer, idle = self._active, self._dock.job is None
        folder = "" if layer is None else stored_in(layer)
        self.take.setEnabled(idle and bool(folder))
        self.put.setEnabled(idle and layer is not None and bool(crop_of(layer)))
        self.undo.setEnabled(idle and bool(self._past.get(folder)))
        self.setVisible(any(stored_in(y) or crop_of(y) for y in self._viewer.layers))

    def _removed(self, event: Any) -> None:
        layer = event.value
        folder = stored_in(layer)
        if folder in self._past and not any(stored_in(y) == folder for y in self._viewer.layers):
            del self._past[folder]
            self._drawn(layer).close(partial(self._engine.forget_edits, folder))
        for origin in self._origins(str(crop_of(layer).get("region", ""))):
            self._drawn(origin).sheet.holes.pop(id(layer), None)
            origin.refresh()
        self._follow()

    def _origins(self, folder: str) -> list[Labels]:
        return [layer for layer in self._viewer.layers if folder and stored_in(layer) == folder]

    def _drawn(self, layer: Labels) -> Drawn:
        """Return what draws a layer; a layer that a reader or another dock has made is taken over."""
        for one in self._dock.findChildren(Drawn):
            if one.layer is layer:
                return one
        axes = layer_axes(layer)[0]
        finest = layer.data[0] if layer.multiscale else layer.data
        sheet = finest.sheet if isinstance(finest, View) else Sheet(layer_image(layer, axes), None)
        layer.metadata = {**layer.metadata, KEY: {**record_of(layer), "axes": axes, "folder": stored_in(layer)}}
        return Drawn(self._viewer, layer, sheet, axes, self._dock)

    def _begin(self, make: Callable[[], Steps[Any]], done: Callable[[Any], str]) -> None:
        def polled(reports: list[Report]) -> None:
            if reports:
                self._dock.say(f"{reports[-1].progress.note} …")

        self._dock.begin(make, polled, done)
        self._follow()

    def take_region(self) -> None:
        """Take what is seen of the active layer."""
        layer: Labels = self._active
        try:
            view = visible_crop(self._viewer, layer, layer_axes(layer)[0])
            image = layer_image(layer, layer_axes(layer)[0])
        except UNetError as error:
            self._dock.complain(error)
            return
        drawn, engine, folder = self._drawn(layer), self._engine, Path(stored_in(layer))
        sheet = drawn.sheet
        window = tuple(view[a] for a in sheet.axes)

        def make() -> Steps[Any]:
            yield Progress(0, 0, "Reading the region")
            if sheet.levels is None:
                levels = engine.open_pyramid(image, folder, sheet.coarse)
                levels.settle()
                sheet.levels = levels
            return sheet.read(0, window)

        def taken(values: Any) -> str:
            if layer not in self._viewer.layers:
                return "Stopped: the layer was removed."
            show(layer, sheet)
            added = add_crop(self._viewer, layer, view, values)
            sheet.holes[id(added)] = window
            layer.refresh()
            return "Correct the labels with napari's tools, then press Put back."

        self._begin(make, taken)

    def put_back(self) -> None:
        """Write the corrections of the active layer."""
        layer: Labels = self._active
        region, engine = crop_of(layer), self._engine
        folder, axes = str(region["region"]), str(region["axes"]).replace("c", "")
        after = Image(np.array(layer_image(layer, str(region["axes"])).data), axes)
        before = Image(region["before"], axes)
        origins = self._origins(folder)
        drawn = [self._drawn(origin) for origin in origins]
        table = table_of(origins[0]) if origins else {}

        def make() -> Steps[Any]:
            image = drawn[0].image if drawn else None
            found = yield from engine.edit_labels_steps(folder, before, after, region["view"], table, image)
            for one in drawn:
                one.sheet.levels.refresh()
            return found

        def written(found: Any) -> str:
            edited, measured = found
            _touched[folder] = engine
            for origin in origins:
                self._past.setdefault(folder, []).append(origin.features)
                origin.features = measured
                note(origin, edited.manifest)
            with suppress(ValueError):
                self._viewer.layers.remove(layer)
            if origins:
                self._viewer.layers.selection.active = origins[0]
            return f"Put back: {len(edited.ids)} objects changed, {len(edited.renamed)} of them new."

        self._begin(make, written)

    def undo_last(self) -> None:
        """Take the last corrections of the active layer back."""
        layer: Labels = self._active
        folder, engine, drawn = stored_in(layer), self._engine, self._drawn(layer)

        def make() -> Steps[Any]:
            yield Progress(0, 0, "Taking the last corrections back")
            record = engine.undo_edit(folder)
            drawn.sheet.levels.refresh()
            return record

        def undone(record: Any) -> str:
            layer.features = self._past[folder].pop()
            note(layer, record)
            return "The last corrections are taken back."

        self._begin(make, undone)


def _disconnect(layers: Any, active: Any, removed: Any, *_: object) -> None:
    # Where the viewer is collected together with the dock, its layers may be empty shells: nothing is left to undo.
    with suppress(AttributeError):
        layers.selection.events.active.disconnect(active)
        layers.events.removed.disconnect(removed)


@atexit.register
def _forget() -> None:
    for folder, engine in _touched.items():
        with suppress(UNetError):
            engine.forget_edits(folder)
