"""Runs that were stopped before, offered again."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_unet.core.axes import Image
from napari_unet.core.specs import SegmentSpec

from ._meant import Place, Run
from ._parts import button, row, words

__all__ = ["GoOnRow"]


class GoOnRow(QWidget):
    """Offers to go on with a run on the chosen image that was stopped; hidden where there is none.

    Parameters
    ----------
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    """

    chosen = Signal(object)  # an Unfinished

    def __init__(self, engine: ModuleType | Any) -> None:
        super().__init__()
        self._engine = engine
        self.found: Any = None
        self.text = words()
        self.start = button("Go on", "With the settings of that run.", self._go_on)
        layout = row((self.text, 3), (self.start, 1))
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)
        self.setVisible(False)

    def look(self, image: Image | None, source: str | None, path: Path | None) -> None:
        """Look beside an image, and where results go of images that have no folder.

        Parameters
        ----------
        image : Image or None
            The chosen image.
        source : str or None
            Its file, if it has one.
        path : Path or None
            Where labels go now: what is said of that place stands there already.
        """
        folders = [Path(source).absolute().parent] if source and "://" not in source else []
        found = [] if image is None else self._engine.find_unfinished(image, folders)
        runs = [each for each in found if each.output != path]
        self.found = runs[0] if runs else None
        self.text.setText(runs[0].words if runs else "")
        self.text.setToolTip(str(runs[0].output) if runs else "")
        self.setVisible(bool(runs))

    @staticmethod
    def run(stopped: Any, meant: Run) -> Run:
        """Return a run that goes on.

        Parameters
        ----------
        stopped : Unfinished
            The run that was stopped; its settings count.
        meant : Run
            What the dock shows: the image, and what labels do not depend on.

        Returns
        -------
        Run
            On the image.
        """
        free = {"tiling": meant.spec.tiling.model_dump(), "device": meant.spec.device}
        return Run(meant.image, SegmentSpec.of(**stopped.settings, **free), Place(stopped.output))

    def _go_on(self) -> None:
        if self.found is not None:
            self.chosen.emit(self.found)
