"""Pictures of parts of the images: what was drawn and what the model finds by now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

__all__ = ["Gallery", "Picture", "Pictures", "as_pixmap", "outlined", "read_pictures"]

_EDGE: Final = 96  # pixels of a picture on the screen
_MOST: Final = 3  # rows
_GOLDEN: Final = 0.618033988749895  # neighboring numbers get colors far apart
_TITLES: Final = ("image", "drawn", "found")

Picture = npt.NDArray[np.uint8]
Pictures = tuple[tuple[Picture, Picture, Picture], ...]


def read_pictures(files: Sequence[Path]) -> Pictures:
    """Read what a training has written for people to look at; to be called where nobody waits for it.

    Parameters
    ----------
    files : sequence of Path
        Files (npz) with ``image``, ``truth`` and ``labels``.

    Returns
    -------
    tuple of (ndarray, ndarray, ndarray) of uint8, shape (y, x, 3)
        The image, with the outlines that were drawn, and with those that were found.
    """
    rows = []
    for file in files[:_MOST]:
        with np.load(file) as found:
            image = _gray(_flat(found["image"]))
            truth, labels = (_flat(found[name]) for name in ("truth", "labels"))
        rows.append((image, outlined(image, truth), outlined(image, labels)))
    return tuple(rows)


def _flat(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the middle plane, without channels."""
    while array.ndim > 2:
        array = array.mean(0) if array.dtype.kind == "f" and array.ndim == 3 else array[len(array) // 2]
    return array


def _gray(array: npt.NDArray[Any]) -> Picture:
    low, high = np.percentile(array, (1, 99.8))
    gray = np.clip((array - low) / max(float(high - low), 1e-6), 0, 1)
    return np.repeat((255 * gray).astype(np.uint8)[..., None], 3, -1)


def outlined(image: Picture, labels: npt.NDArray[Any]) -> Picture:
    """Return a picture ``(y, x, 3)`` with the outlines of labels ``(y, x)`` in their colors."""
    labels = labels.astype(np.int64)
    inner = np.pad(labels, 1, mode="edge")
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        for step in (-1, 1):
            edge |= np.roll(inner, step, axis)[1:-1, 1:-1] != labels
    edge &= labels > 0
    hue = (labels[edge] * _GOLDEN % 1)[:, None] * 6 + np.array([0, 4, 2])
    made = image.copy()
    made[edge] = (255 * np.clip(np.abs(hue % 6 - 3) - 1, 0, 1)).astype(np.uint8)
    return made


class Gallery(QWidget):
    """Rows of three pictures: the image, what was drawn, what is found."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(3)
        for column, title in enumerate(_TITLES):
            label = QLabel(title)
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            self._grid.addWidget(label, 0, column)
        self.cells: list[tuple[QLabel, ...]] = []
        self.setVisible(False)

    def clear(self) -> None:
        """Show nothing."""
        self.setVisible(False)

    def show_pictures(self, pictures: Pictures) -> None:
        """Show the pictures of a report.

        Parameters
        ----------
        pictures : tuple
            Of :func:`read_pictures`; nothing changes if it is empty.
        """
        if not pictures:
            return
        while len(self.cells) < len(pictures):
            made = tuple(QLabel() for _ in _TITLES)
            for column, label in enumerate(made):
                label.setAlignment(Qt.AlignmentFlag.AlignCenter)
                self._grid.addWidget(label, len(self.cells) + 1, column)
            self.cells.append(made)
        for i, labels in enumerate(self.cells):
            for j, label in enumerate(labels):
                label.setVisible(i < len(pictures))
                if i < len(pictures):
                    label.setPixmap(as_pixmap(pictures[i][j]))
        self.setVisible(True)


def as_pixmap(picture: Picture) -> QPixmap:
    """Return a picture at the size of the gallery."""
    height, width = picture.shape[:2]
    image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image).scaled(
        _EDGE, _EDGE, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    )
