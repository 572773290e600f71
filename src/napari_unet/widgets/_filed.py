"""Layers whose labels lie in a file: what draws them, and what is written to and undone in the file."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_unet.core.errors import UNetError
from napari_unet.core.steps import Progress, Steps

from ._drawn import Drawn, stored_in
from ._keeping import corrected
from ._layers import KEY, layer_axes, layer_image
from ._records import crop_of, note, record_of, table_of
from ._sheet import Sheet
from ._view import View

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from ._panel import Panel

__all__ = ["Filed"]

Work = tuple[Callable[[], Steps[Any]], Callable[[Any], str]]  # what a job does, and what is shown and said of it then
_touched: dict[str, Any] = {}  # folders with something that can be undone, and the engine that keeps it


class Filed:
    """The layers of a viewer that show labels in a file.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layers.
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    dock : Panel
        As long as it lives, the layers are drawn without waiting for the disk.
    """

    def __init__(self, viewer: Viewer, engine: Any, dock: Panel) -> None:
        self._viewer, self._engine, self._dock = viewer, engine, dock
        self._past: dict[str, list[list[tuple[Labels, Any]]]] = {}  # measurements before each correction

    def layers(self, folder: str) -> list[Labels]:
        """List the layers that show the labels of a folder."""
        return [layer for layer in self._viewer.layers if folder and stored_in(layer) == folder]

    def drawn(self, layer: Labels) -> Drawn:
        """Return what draws a layer; a layer that a reader or another dock has made is taken over."""
        for one in self._dock.findChildren(Drawn):
            if one.layer is layer:
                return one
        axes = layer_axes(layer)[0]
        finest = layer.data[0] if layer.multiscale else layer.data
        sheet = finest.sheet if isinstance(finest, View) else Sheet(layer_image(layer, axes), None)
        layer.metadata = {**layer.metadata, KEY: {**record_of(layer), "axes": axes, "folder": stored_in(layer)}}
        return Drawn(self._viewer, layer, sheet, axes, self._dock)

    def can_undo(self, folder: str) -> bool:
        """Say whether something was put back there that can be undone."""
        return bool(self._past.get(folder))

    def removed(self, layer: Labels) -> None:
        """Let go of what could be undone when the last layer that shows it is gone."""
        folder = stored_in(layer)
        if folder in self._past and not self.layers(folder):
            del self._past[folder]
            self.drawn(layer).close(partial(self._engine.forget_edits, folder))

    def put(self, region: Labels) -> Work:
        """Return what is to be done to write the corrections of a region."""
        about, engine = crop_of(region), self._engine
        folder = str(about["region"])
        before, after = corrected(region)
        origins = self.layers(folder)
        drawn = [self.drawn(origin) for origin in origins]
        table, image = (table_of(origins[0]), drawn[0].image) if origins else ({}, None)

        def written(found: Any) -> str:
            edited, measured = found
            _touched[folder] = engine
            # Nothing is left to be kept, whichever dock looks after the region.
            region.metadata = {**region.metadata, KEY: {**about, "before": after.data}}
            self._past.setdefault(folder, []).append([(origin, origin.features) for origin in origins])
            for one in drawn:
                one.layer.features = measured
                note(one.layer, edited.manifest)
            if origins:
                self._viewer.layers.selection.active = origins[0]
            new = f", {len(edited.renamed)} of them new" if edited.renamed else ""
            return f"Put back: {len(edited.ids)} object{'s' * (len(edited.ids) != 1)} changed{new}."

        def make() -> Steps[Any]:
            steps, seen = engine.edit_labels_steps(folder, before, after, about["view"], table, image), False
            try:
                while True:
                    try:
                        progress = next(steps)
                    except StopIteration as end:
                        seen = False
                        return end.value
                    if progress.done:  # it is in the file; a stop takes it out again
                        seen = True
                        _read_anew(drawn)
                    yield progress
            finally:
                steps.close()
                if seen:
                    _read_anew(drawn)

        return make, written

    def undo(self, folder: str) -> Work:
        """Return what is to be done to take the last corrections back."""
        engine = self._engine

        drawn = [self.drawn(layer) for layer in self.layers(folder)]

        def make() -> Steps[Any]:
            yield Progress(0, 0, "Taking the last corrections back")
            record = engine.undo_edit(folder)
            _read_anew(drawn)
            return record

        def undone(record: Any) -> str:
            for origin, features in self._past[folder].pop():
                if origin in self._viewer.layers:
                    origin.features = features
                    note(origin, record)
            return "The last corrections are taken back."

        return make, undone


def _read_anew(drawn: Sequence[Drawn]) -> None:
    for one in drawn:
        if one.sheet.levels is not None:
            one.sheet.levels.refresh()


@atexit.register
def _forget() -> None:
    for folder, engine in _touched.items():
        with suppress(UNetError):
            engine.forget_edits(folder)
