"""What a model learns from: layers or files, what their labels say, and what it is checked on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from napari.layers import Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QSpinBox, QVBoxLayout, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.errors import TrainingDataError
from napari_unet.core.examples import BACKGROUND, Example

from ._chooser import LayerBox
from ._files import FilesRow
from ._pair import PairRow
from ._pairs import PairList
from ._parts import words
from ._region import inside, regions_on

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["DataBox"]

_SOURCES: Final = {
    "layers": "layers of the viewer",
    "files": "a folder or table",
    "kept": "the corrections I have kept",
}
_TRUTHS: Final = {
    "all": "every object",
    "regions": "those inside shapes",
    "scribbles": "a few strokes",
}
_TRUTH_HELP: Final = {
    "all": "What has no label is learned as background: label every object.",
    "regions": "Label every object inside the shapes, in a stack in all planes. What lies outside is not looked at.",
    "scribbles": "Pixels without a label are not looked at. Give each object a stroke with a number of its own, and "
    "paint some strokes on the background too.",
}
_CHECKS: Final = {
    "share": "some, picked for me",
    "ticked": "those that I tick",
    "none": "nothing",
}
_TABLE: Final = "what the table says"
_SHARE: Final = 0.2  # of the images that are not learned from, where the program picks them


def _filled(box: QComboBox, entries: dict[str, str]) -> QComboBox:
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    for name, text in entries.items():
        box.addItem(text, name)
    return box


class DataBox(QWidget):
    """The part of the dock that says what is learned from.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.source = _filled(QComboBox(), _SOURCES)
        self.pairs = PairList(viewer)
        self.files = FilesRow()
        self.path = self.files.line
        self.sets = _filled(QComboBox(), {})
        self.truth = _filled(QComboBox(), _TRUTHS)
        self.shapes = LayerBox(viewer, Shapes, "choose a shapes layer")
        self.background = QSpinBox()
        self.background.setRange(1, 2**31 - 1)
        self.background.setValue(BACKGROUND)
        self.background.setToolTip("Strokes with this number mark the background.")
        self.hint = words()
        self.check = _filled(QComboBox(), _CHECKS)
        self.check.setToolTip(
            "A model is only as good as it is on images that it has not learned from. Those are held back here."
        )
        self._lay_out()
        for box in (self.source, self.truth, self.check, self.sets):
            box.currentIndexChanged.connect(self._follow)
        for signal in (self.pairs.changed, self.path.textChanged, self.shapes.chosen, self.background.valueChanged):
            signal.connect(self._tell)
        self._follow()

    def _lay_out(self) -> None:
        # A form gives a text that wraps too little height once the dock becomes narrower: it stands between two.
        self.form, below = QFormLayout(), QFormLayout()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for form in (self.form, below):
            form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        column.addLayout(self.form)
        column.addWidget(self.hint)
        column.addLayout(below)
        self.form.addRow("Learn from", self.source)
        for widget in (self.pairs, self.files, self.sets):
            self.form.addRow(widget)
        self.form.addRow("I have labeled", self.truth)
        self.form.addRow("Shapes", self.shapes)
        self.form.addRow("Background is", self.background)
        below.addRow("Check it on", self.check)

    def _follow(self, _index: int = 0) -> None:
        source, truth = self.source.currentData(), self.truth.currentData()
        shown = {
            self.pairs: source == "layers",
            self.files: source == "files",
            self.sets: source == "kept",
            self.truth: source != "kept",
            self.hint: source != "kept",
            self.shapes: truth == "regions" and source == "layers",
            self.background: truth == "scribbles" and source == "layers",
        }
        for widget, visible in shown.items():
            widget.setVisible(visible)
            if (label := self.form.labelForField(widget)) is not None:
                label.setVisible(visible)
        self.check.setItemText(self.check.findData("ticked"), _CHECKS["ticked"] if source == "layers" else _TABLE)
        self.hint.setText(_TRUTH_HELP[truth])
        self.pairs.show_ticks(self.check.currentData() == "ticked" and source == "layers")
        self.changed.emit()

    def _tell(self, _value: object = None) -> None:
        self.changed.emit()

    def show_sets(self, sets: dict[str, str]) -> None:
        """List the collections of corrections: folder to words. The choice stays where it can."""
        before, blocked = self.sets.currentData(), self.sets.blockSignals(True)
        self.sets.clear()
        for folder, text in sets.items():
            self.sets.addItem(text, folder)
        self.sets.setCurrentIndex(max(0, self.sets.findData(before)))
        self.sets.blockSignals(blocked)
        self.changed.emit()

    def choose_set(self, folder: str) -> None:
        """Learn from a collection of corrections."""
        self.sets.setCurrentIndex(max(0, self.sets.findData(folder)))
        self.source.setCurrentIndex(self.source.findData("kept"))

    @property
    def views(self) -> list[tuple[Layer, Image]]:
        """The image layers that are learned from, each with its image; none where it is files."""
        rows = self.pairs.rows if self.source.currentData() == "layers" else []
        found = [(y, pair.source) for pair in rows for y in pair.layers]
        return [(y, image) for y, image in found if y is not None and image is not None]

    @property
    def rules(self) -> dict[str, Any]:
        """The fields of TrainSpec that are set here."""
        share = _SHARE if self.check.currentData() == "share" else 0.0
        truth = self.truth.currentData() if self.source.currentData() != "kept" else "all"
        return {"truth": truth, "validation": share}

    def read(self) -> Path | tuple[Example, ...]:
        """Return what is learned from.

        Returns
        -------
        Path or tuple of Example
            A folder or table, or what the layers hold.

        Raises
        ------
        TrainingDataError, AxesError, SpecError
            If something is missing or does not fit.
        """
        source = self.source.currentData()
        if source == "kept":
            if self.sets.currentData() is None:
                raise TrainingDataError(
                    "No corrections are kept yet. Segment an image, correct the labels, press 'Add to training data'."
                )
            return Path(self.sets.currentData())
        if source == "files":
            if not self.path.text().strip():
                raise TrainingDataError("Choose a folder with images and labels, or a table that names them.")
            return Path(self.path.text().strip()).expanduser()
        found = tuple(example for pair in self.pairs.rows for example in self._examples(pair))
        self.pairs.check([example.image for example in found if isinstance(example.image, Image)])
        if self.check.currentData() == "ticked" and len({e.held_out for e in found}) == 1:
            raise TrainingDataError(
                "Tick at least one image to check the model on, and leave at least one to learn from."
            )
        return found

    def _examples(self, pair: PairRow) -> list[Example]:
        image, labels = pair.read()
        truth, check = self.truth.currentData(), self.check.currentData()
        made = Example(
            image,
            labels,
            scribbles=truth == "scribbles",
            background=self.background.value(),
            held_out={"ticked": pair.held.isChecked(), "none": False}.get(check),
            channels=self.pairs.names(pair, image),
        )
        return [made] if truth != "regions" else self._inside(pair, made)

    def _inside(self, pair: PairRow, example: Example) -> list[Example]:
        shapes, layer = self.shapes.layer, pair.image.layer
        if shapes is None or layer is None:
            raise TrainingDataError("Choose the Shapes layer inside whose shapes you have labeled every object.")
        return inside(example, regions_on(shapes, layer, pair.alone(layer)))
