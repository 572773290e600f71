"""Correcting labels that are too large to be loaded: a region is taken, painted in, and put back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_unet.core.errors import UNetError
from napari_unet.core.steps import Progress, Steps

from ._crop import Crop, add_crop, read_crop, visible_crop
from ._drawn import stored_in
from ._filed import Filed
from ._keeping import Keeper
from ._layers import layer_axes, layer_image
from ._parts import button, row, sure, words
from ._records import crop_of, show

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from ._panel import Panel
    from ._worker import Report

__all__ = ["EditRow"]

_KEPT: Final = "Corrections of these labels were not put back yet: Edit region shows them again."
_GO_ON: Final = "These corrections were made before and not put back. Go on with them, or press Put back or Discard."


class EditRow(QWidget):
    """Four buttons, there as long as the viewer has labels that are not loaded.

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
        self._filed = Filed(viewer, engine, dock)
        self.take = button("Edit region", "Take what you see to a layer that can be painted in.", self.take_region)
        self.undo = button("Undo", "Take the last corrections that were put back out again.", self.undo_last)
        self.put = button("Put back", "Write the corrections to where the labels came from.", self.put_back)
        self.drop = button("Discard", "Throw the corrections of this region away.", self.discard)
        self.hint = words()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(QLabel("Correct by hand"))
        column.addLayout(row((self.take, 1), (self.undo, 1)))
        column.addLayout(row((self.put, 1), (self.drop, 1)))
        column.addWidget(self.hint)
        layers = viewer.layers
        layers.selection.events.active.connect(self._follow)
        layers.events.removed.connect(self._removed)
        self.destroyed.connect(partial(_disconnect, layers, self._follow, self._removed))
        dock.settled.connect(self._follow)
        self._follow()

    @property
    def _active(self) -> Any:
        return self._viewer.layers.selection.active

    @property
    def _region(self) -> Any:
        """The region that is chosen; if none is, the only one that there is."""
        regions = [y for y in self._viewer.layers if crop_of(y)]
        return self._active if self._active in regions else regions[0] if len(regions) == 1 else None

    def _follow(self, _event: object = None) -> None:
        layer, region, idle = self._active, self._region, self._dock.job is None
        folder = "" if layer is None else stored_in(layer)
        taken = any(crop_of(y).get("region") == folder for y in self._viewer.layers)
        self.take.setEnabled(idle and bool(folder) and not taken)
        self.undo.setEnabled(idle and self._filed.can_undo(folder))
        for each in (self.put, self.drop):
            each.setEnabled(idle and region is not None)
        kept = bool(folder) and not taken and self._engine.has_draft(folder)
        self.hint.setText(_KEPT if kept else "")
        self.hint.setVisible(kept)
        self.setVisible(any(stored_in(y) or crop_of(y) for y in self._viewer.layers))

    def event(self, event: QEvent | None) -> bool:
        """Keep at once what was painted when the row is hidden: perhaps the viewer is being closed."""
        if event is not None and event.type() == QEvent.Type.Hide:
            for keeper in self.findChildren(Keeper):
                keeper.flush()
        return bool(super().event(event))

    def _removed(self, event: Any) -> None:
        layer = event.value
        self._filed.removed(layer)
        for keeper in self._keepers(layer):
            if changed := keeper.changed:
                keeper.flush()
                self._dock.say("The corrections are kept: select the labels and press Edit region to see them again.")
            keeper.close(drop=not changed)
        for origin in self._filed.layers(str(crop_of(layer).get("region", ""))):
            self._filed.drawn(origin).sheet.holes.pop(id(layer), None)
            origin.refresh()
        self._follow()

    def _begin(self, make: Callable[[], Steps[Any]], done: Callable[[Any], str]) -> None:
        def polled(reports: list[Report]) -> None:
            if reports:
                self._dock.say(f"{reports[-1].progress.note} …")

        self._dock.begin(make, polled, done)
        self._follow()

    def take_region(self) -> None:
        """Take what is seen of the active layer, or what was taken before and not put back."""
        layer: Labels = self._active
        axes, folder, engine = layer_axes(layer)[0], stored_in(layer), self._engine
        try:
            view = {} if engine.has_draft(folder) else visible_crop(self._viewer, layer, axes)
            image = layer_image(layer, axes)
        except UNetError as error:
            self._dock.complain(error)
            return
        sheet = self._filed.drawn(layer).sheet

        def make() -> Steps[Crop]:
            yield Progress(0, 0, "Reading the region")
            if sheet.levels is None:
                levels = engine.open_pyramid(image, Path(folder), sheet.coarse)
                levels.settle()
                sheet.levels = levels
            return read_crop(sheet, view, engine.find_draft(folder))

        def taken(crop: Crop) -> str:
            if layer not in self._viewer.layers:
                return "Stopped: the layer was removed."
            show(layer, sheet)
            added = add_crop(self._viewer, layer, crop)
            sheet.holes[id(added)] = tuple(crop.view[a] for a in sheet.axes)
            layer.refresh()
            Keeper(added, engine, self).failed.connect(self._dock.complain)
            return _GO_ON if crop.kept else "Correct the labels with napari's tools, then press Put back."

        self._begin(make, taken)

    def put_back(self) -> None:
        """Write the corrections of the region."""
        layer = self._region
        make, done = self._filed.put(layer)

        def written(found: Any) -> str:
            text = done(found)
            for keeper in self._keepers(layer):
                keeper.close(drop=True)
            with suppress(ValueError):
                self._viewer.layers.remove(layer)
            return text

        self._begin(make, written)

    def discard(self) -> None:
        """Throw the region away, and what was corrected in it."""
        layer: Labels = self._region
        keepers = self._keepers(layer)
        if any(k.changed for k in keepers) and not sure(self, "Throw the corrections of this region away?"):
            return
        for keeper in keepers:
            keeper.close(drop=True)
        self._viewer.layers.remove(layer)
        self._dock.say("The labels are as they were.")

    def undo_last(self) -> None:
        """Take the last corrections of the active layer back."""
        self._begin(*self._filed.undo(stored_in(self._active)))
        self._dock.stop.setEnabled(False)  # it is done at once, and cannot be half done

    def _keepers(self, layer: Labels) -> list[Keeper]:
        return [keeper for keeper in self.findChildren(Keeper) if keeper.layer is layer]


def _disconnect(layers: Any, active: Any, removed: Any, *_: object) -> None:
    # Where the viewer is collected together with the dock, its layers may be empty shells: nothing is left to undo.
    with suppress(AttributeError):
        layers.selection.events.active.disconnect(active)
        layers.events.removed.disconnect(removed)
