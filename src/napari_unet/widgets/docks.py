"""The segmentation dock, opened with presets: what there is under Plugins > U-Net."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .segment import SegmentWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["cells", "preset", "satellite", "surfaces", "tumors"]


def preset(task: str) -> type[SegmentWidget]:
    """Open the widget with a preset.

    Parameters
    ----------
    task : str
        An entry of ``tasks/``; several with commas between.

    Returns
    -------
    type
        A class that takes the viewer only, as napari wants it.
    """

    class Preset(SegmentWidget):
        def __init__(self, napari_viewer: Viewer) -> None:
            super().__init__(napari_viewer, task)

    Preset.__name__ = Preset.__qualname__ = task.replace(",", "_")
    return Preset


cells = preset("cell")
tumors = preset("tumor,organ")
satellite = preset("satellite")
surfaces = preset("inspection")
