"""Patches as a training will see them, varied, with their labels: a look at what the settings do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.errors import UNetError
from napari_unet.core.steps import Steps

from ._gallery import Picture, as_pixmap, outlined
from ._parts import Fold, button, words
from ._worker import Job, Report

__all__ = ["PatchBox", "patch_pictures"]

_COUNT: Final = 9
_COLUMNS: Final = 3
_DIM: Final = 0.35  # brightness of what nobody has labeled

Draw = Callable[[int, int], Steps[Sequence[tuple[Image, Image]]]]


def patch_pictures(steps: Steps[Sequence[tuple[Image, Image]]]) -> Steps[list[Picture]]:
    """Draw patches and read them as pictures; to be called where nobody waits for it.

    Parameters
    ----------
    steps : generator
        Returns patches, channels first and about 0 to 1, and their labels, -1 where nothing is known.

    Returns
    -------
    list of ndarray of uint8, shape (y, x, 3)
        In color where a patch has three channels, else their mean; outlines of the labels upon it. Of a volume the
        middle plane.

    Yields
    ------
    Progress
        Of the steps.
    """
    found = yield from steps
    return [_picture(np.asarray(patch.data), np.asarray(labels.data)) for patch, labels in found]


def _picture(patch: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Picture:
    while labels.ndim > 2:
        patch, labels = patch[:, patch.shape[1] // 2], labels[len(labels) // 2]
    color = np.moveaxis(patch, 0, -1) if len(patch) == 3 else np.repeat(patch.mean(0)[..., None], 3, -1)
    color = np.clip(np.nan_to_num(color), 0, 1) * np.where(labels < 0, _DIM, 1)[..., None]
    return outlined((255 * color).astype(np.uint8), np.maximum(labels, 0))


class PatchBox(QWidget):
    """Pictures of varied patches, folded away until somebody wants to see them, and computed only then.

    Attributes
    ----------
    draw : callable or None
        Returns the steps that draw so many patches from a seed; None while what is chosen cannot be learned from.
    """

    def __init__(self) -> None:
        super().__init__()
        self.draw: Draw | None = None
        self.cells: list[QLabel] = []
        self._seed = 0
        self._job: Job | None = None
        self._last: threading.Thread | None = None
        self.text = words()
        self.more = button("Others", "Draw other patches.", self._others)
        content = QWidget()
        self._grid = QGridLayout()
        self._grid.setSpacing(3)
        column = QVBoxLayout(content)
        column.setContentsMargins(10, 0, 0, 0)
        column.addWidget(self.text)
        column.addLayout(self._grid)
        column.addWidget(self.more)
        self.fold = Fold("Show examples", content)
        self.fold.title.setToolTip("Patches as the model will see them: varied, with the outlines of their labels.")
        self.fold.title.toggled.connect(self.look)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.fold)

    def look(self) -> None:
        """Draw the patches, if they are to be seen and there is something to draw from."""
        self.stop()
        if not self.fold.title.isChecked():
            return
        if self.draw is None:
            self.text.setText("There is nothing to draw from yet: see the plan above.")
            self.text.setVisible(True)
            return
        draw, seed = self.draw, self._seed
        self._job = job = Job(lambda: patch_pictures(draw(_COUNT, seed)), self, self._last)
        self._last = job.worker
        job.polled.connect(self._heard)
        job.succeeded.connect(self._drawn)
        job.failed.connect(self._failed)
        self.text.setText("Drawing patches …")
        self.text.setVisible(True)
        job.start()

    def stop(self) -> None:
        """Stop drawing."""
        if self._job is not None:
            self._job.cancel()
            self._job.deleteLater()
        self._job = None

    def _others(self) -> None:
        self._seed += 1
        self.look()

    def _heard(self, reports: list[Report]) -> None:
        if reports and reports[-1].progress.note:
            self.text.setText(f"{reports[-1].progress.note} …")

    def _drawn(self, pictures: list[Picture]) -> None:
        self.stop()
        self.text.setVisible(False)
        while len(self.cells) < len(pictures):
            label = QLabel()
            label.setMinimumWidth(1)  # in a narrow dock rather less of a picture than of everything
            self._grid.addWidget(label, len(self.cells) // _COLUMNS, len(self.cells) % _COLUMNS)
            self.cells.append(label)
        for label, picture in zip(self.cells, pictures, strict=False):
            label.setPixmap(as_pixmap(picture))
        for number, label in enumerate(self.cells):
            label.setVisible(number < len(pictures))

    def _failed(self, error: BaseException) -> None:
        self.stop()
        self.text.setText(str(error) if isinstance(error, UNetError) else f"{type(error).__name__}: {error}")
