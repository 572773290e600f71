"""The colors of classes in a labels layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from napari.utils import DirectLabelColormap

from napari_unet.core.classes import ClassRow

__all__ = ["class_colors"]

_HIDDEN: Final = (0.0, 0.0, 0.0, 0.0)
_UNKNOWN: Final = (0.5, 0.5, 0.5, 1.0)  # of a number that is painted and no class


def class_colors(classes: Sequence[ClassRow]) -> DirectLabelColormap:
    """Return the colors of classes, as a labels layer takes them; other numbers are gray."""
    colors: dict[int | None, Any] = {None: _UNKNOWN, 0: _HIDDEN}
    return DirectLabelColormap(color_dict=colors | {row.label: row.color for row in classes})
