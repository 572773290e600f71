"""The row that says where labels go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from qtpy.QtWidgets import QCheckBox, QFileDialog, QFormLayout, QLineEdit, QToolButton, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.memory import is_large

from ._ahead import Estimate
from ._going_on import GoOnRow
from ._meant import Place, Run
from ._parts import row, words
from ._settings import output_name

__all__ = ["PlaceRow"]

_SUFFIX: Final = ".ome.zarr"
_KNOWN: Final = (".zarr", ".tif", ".tiff", ".npy", ".png", ".nii", ".gz", ".dcm", ".gpkg", ".geojson", ".zip")


class PlaceRow(QWidget):
    """A line for a path with a button that asks for one, and below what pressing Run will do there.

    Parameters
    ----------
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    noun : str
        What the labels are of.
    ask : callable
        Returns the run that is meant; a UNetError says what is missing.
    """

    def __init__(self, engine: ModuleType | Any, noun: str, ask: Callable[[], Run]) -> None:
        super().__init__()
        self._engine, self.noun = engine, noun
        self._image: Image | None = None
        self._source: str | None = None
        self._shown: object = None  # the image that a place was chosen for
        self._chosen = ""
        self.line = QLineEdit()
        self.line.setPlaceholderText("nowhere: keep in memory")
        self.line.setClearButtonEnabled(True)
        self.line.setToolTip(
            "Labels of any size can be written to OME-Zarr (.ome.zarr) while they are found: they take no memory, and "
            "a run that was stopped goes on. Other files (.tif) are written at the end."
        )
        self.line.textChanged.connect(self.look)
        self.ask = QToolButton()
        self.ask.setText("…")
        self.ask.setToolTip("Choose a name for the labels.")
        self.ask.clicked.connect(self._ask)
        self.replace = QCheckBox("Replace what is there")
        self.hint = words()
        self.estimate = Estimate(engine, ask)
        self.go_on = GoOnRow(engine)
        layout = row((self.line, 1), (self.ask, 0))
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)

    def add_to(self, form: QFormLayout) -> None:
        """Add the rows to a form."""
        form.addRow("Save to", self)
        form.addRow(self.hint)
        form.addRow(self.replace)
        form.addRow(self.go_on)
        self.estimate.add_to(form)
        self.look()

    @property
    def place(self) -> Place | None:
        """What is written in the line; None for nowhere."""
        text = self.line.text().strip()
        if not text:
            return None
        path = Path(text) if "://" in text else Path(text).expanduser().absolute()
        if path.suffix.lower() not in _KNOWN:
            path = path.with_name(path.name + _SUFFIX)
        return Place(path, self.replace.isChecked() and not self.replace.isHidden())

    def show_image(self, image: Image | None, source: str | None) -> None:
        """Choose a place for a large image; what was chosen for another image is forgotten.

        Parameters
        ----------
        image : Image or None
            The chosen image.
        source : str or None
            Its file, if it has one.
        """
        shown = None if image is None else (id(image.data), image.shape, image.axes)
        if shown == self._shown:
            return
        self._shown, self._chosen, self._image, self._source = shown, "", image, source
        self.replace.setChecked(False)
        if image is not None and is_large(image):
            name = output_name(source or image.name, self.noun, _SUFFIX)
            self._chosen = str(self._engine.choose_place(source, name))
        self.line.setText(self._chosen)
        self.look()

    def look(self, _text: str = "") -> None:
        """Say what Run will do with the place as it is now."""
        place = self.place
        there = place is not None and ("://" in self.line.text() or place.path.exists())
        unfinished = place is not None and place.streams and self._engine.is_unfinished(place.path)
        if unfinished:
            text = "An unfinished run is there: Run goes on where it was."
        elif "://" in self.line.text():
            text = "An object store: labels are written there while they are found."
        elif there:
            text = "Something is there. Labels of the same run are checked and shown."
        elif place is not None and self._chosen == self.line.text():
            text = "Large: the labels are written while they are found."
        else:
            text = ""
        self.hint.setText(text)
        self.hint.setVisible(bool(text))
        self.replace.setVisible(there)
        self.estimate.look(self._image, place)
        self.go_on.look(self._image, self._source, None if place is None else place.path)

    def lock(self, running: bool) -> None:
        """Let nothing be chosen while a run goes on."""
        for each in (self, self.replace, self.estimate, self.go_on):
            each.setEnabled(not running)

    def _ask(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save labels to", self.line.text(), "Labels (*.ome.zarr *.tif *.nii.gz *.dcm *.gpkg *.geojson *.zip)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )  # fmt: skip
        if path:
            self.line.setText(path)
