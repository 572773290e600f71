"""What layers of labels that lie in a file say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.core.results import Table

from ._layers import KEY
from ._sheet import Sheet

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

__all__ = ["crop_of", "note", "record_of", "show", "table_of"]


def record_of(layer: Layer) -> dict[str, Any]:
    """Return what a layer says of the run that made it."""
    found = layer.metadata.get(KEY)
    return dict(found) if isinstance(found, dict) else {}


def crop_of(layer: Layer) -> dict[str, Any]:
    """Return what a layer says of the region that it holds; empty for all other layers."""
    found = record_of(layer)
    return found if "region" in found else {}


def note(layer: Layer, manifest: dict[str, Any]) -> None:
    """Have a layer say what is in the file by now."""
    kept = {name: value for name, value in record_of(layer).items() if name in ("axes", "folder", "geo")}
    layer.metadata = {**layer.metadata, KEY: {**manifest, **kept}}


def table_of(layer: Labels) -> Table:
    """Return the measurements of a layer; empty if there are none."""
    found = {str(name): column.to_numpy() for name, column in layer.features.items()}
    return found if "index" in found else {}


def show(layer: Labels, sheet: Sheet) -> None:
    """Have a layer show a sheet, if it shows the same labels in another way."""
    if any(array is sheet.arrays[0] for array in (layer.data if layer.multiscale else [layer.data])):
        return
    if layer.multiscale:
        # What is seen is found out anew, from the coarsest level on.
        layer.corner_pixels = np.array([[0] * layer.ndim, [n - 1 for n in sheet.arrays[-1].shape]])
    layer.data = sheet.arrays if layer.multiscale else sheet.arrays[0]
    layer.editable = False
