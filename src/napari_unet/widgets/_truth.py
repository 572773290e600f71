"""How good labels are: they are compared with true ones in another layer, class by class or lesion by lesion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFormLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_unet.core.errors import ImageError, UNetError
from napari_unet.core.lengths import millimeters

from ._chooser import LayerBox
from ._classes import classes_of
from ._layers import axes_beside, layer_axes, layer_image
from ._parts import button
from ._records import record_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ._panel import Panel

__all__ = ["TruthRows"]

_VOLUMES: Final = ("overlap", "surfaces", "lesions")
_KINDS: Final[dict[str, tuple[tuple[str, ...], bool, dict[str, bool]]]] = {
    "lesions": (_VOLUMES, True, {}), "classes": (_VOLUMES, False, {}), "regions": (_VOLUMES, False, {"nested": True}),
    "objects": (("matching",), False, {}),
}  # fmt: skip
_WORDS: Final = {
    "dice": "Dice", "iou": "IoU", "volume_error": "Volume error", "volume_bias": "Volume bias",
    "volume_error_percent": "Volume error, %", "hd95": "HD95", "nsd": "Surface Dice",
    "lesion_dice": "Lesion Dice", "lesion_hd95": "Lesion HD95", "lesion_sensitivity": "Lesion sensitivity",
    "lesion_precision": "Lesion precision", "lesion_f1": "Lesion F1", "lesions_found": "Lesions found",
    "lesions_missed": "Lesions missed", "lesions_invented": "Lesions invented",
}  # fmt: skip
_LENGTHS: Final = ("hd95", "lesion_hd95")
_SIZES: Final = ("volume_error", "volume_bias")
_COUNTS: Final = ("lesions_found", "lesions_missed", "lesions_invented")
_ROWS: Final = 9  # more are scrolled


class TruthRows(QWidget):
    """Rows of a dock that compare two labels layers, and the scores.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    dock : Panel
        Whose job it is.
    """

    def __init__(self, viewer: Viewer, engine: ModuleType | Any, dock: Panel) -> None:
        super().__init__()
        self._engine, self._dock = engine, dock
        self.labels, self.truth = LayerBox(viewer, Labels), LayerBox(viewer, Labels, nothing="no truth")
        self.truth.setToolTip("Labels drawn by somebody who knows, of the same image.")
        self.what = QComboBox()
        self.what.addItems([*_KINDS])
        self.what.setToolTip(
            "lesions: all that is labeled, whatever its number; classes: each number by itself; regions: classes "
            "within each other, each with all that have higher numbers; objects: as cells are."
        )
        self.scores = QTableWidget(0, 1)
        self.scores.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, part in (("Labels", self.labels), ("True labels", self.truth), ("As", self.what)):
            form.addRow(name, part)
        self.start = button(
            "Compare", "Scores of the labels: Dice, distances of surfaces, lesions found.", self.compare
        )
        form.addRow(self.start)
        form.addRow(self.scores)
        self.labels.chosen.connect(self._labels_changed)
        dock.working.connect(self.start.setDisabled)
        self._show({}, {}, {})
        self._labels_changed()

    def _labels_changed(self) -> None:
        layer = self.labels.layer
        if layer is not None:
            known = "longest_diameter" in layer.features.columns
            kind = "lesions" if known else self.what.currentText()
            if classes_of(layer):
                kind = "regions" if record_of(layer).get("rule", {}).get("nested") else "classes"
            self.what.setCurrentText(kind)

    def compare(self) -> None:
        """Compare; what is missing is said in the dock's status line."""
        layer, truth, dock = self.labels.layer, self.truth.layer, self._dock
        if dock.job is not None:
            return
        try:
            if layer is None or truth is None or layer is truth:
                raise ImageError("Two layers are compared: choose the labels, and other labels that are the truth.")
            labels = layer_image(layer, layer_axes(layer)[0])
            true = layer_image(truth, axes_beside(truth, labels))
        except UNetError as error:
            dock.complain(error)
            return
        metrics, binary, more = _KINDS[self.what.currentText()]
        names = {row.label: row.name for row in classes_of(layer) or classes_of(truth)}
        known = not any(math.isnan(millimeters(unit)) for unit in true.along(true.spatial)[2])
        size = ", ml" if "z" in true.axes else ", mm²"
        units = dict.fromkeys(_LENGTHS, ", mm") | dict.fromkeys(_SIZES, size) if known else {}
        dock.begin(
            lambda: self._engine.evaluate_steps(true, labels, metrics, more, binary=binary),
            dock.follow,
            lambda found: self._scored(found, {} if binary else names, units),
        )
        dock.say("Comparing …")

    def _scored(self, found: Mapping[str, float], names: Mapping[int, str], units: Mapping[str, str]) -> str:
        self._show(found, names, units)
        told = {name: value for name, value in found.items() if name in ("dice", "hd95", "AP50")}
        told |= {name: value for name, value in found.items() if name in ("lesions_found", "lesions_missed", "F1")}
        said = ", ".join(f"{_WORDS.get(name, name)} {_number(name, value)}" for name, value in told.items())
        joined = " Lesions that touch when grown by 3 mm count as one, as in BraTS." if "lesions_found" in found else ""
        return f"{said}.{joined} All scores stand in the table."

    def _show(self, found: Mapping[str, float], names: Mapping[int, str], units: Mapping[str, str]) -> None:
        """Fill the table: a row a score, a column for all classes and one for each."""
        rows = [name for name in found if not name.rpartition("_")[2].isdigit()]
        kinds = sorted({int(name.rpartition("_")[2]) for name in found if name.rpartition("_")[2].isdigit()})
        table = self.scores
        table.setColumnCount(1 + len(kinds))
        table.setHorizontalHeaderLabels(["All" if kinds else "", *(names.get(kind, str(kind)) for kind in kinds)])
        table.setRowCount(len(rows))
        table.setVerticalHeaderLabels([_WORDS.get(name, name) + units.get(name, "") for name in rows])
        for row, name in enumerate(rows):
            for column, key in enumerate((name, *(f"{name}_{kind}" for kind in kinds))):
                item = QTableWidgetItem(_number(name, found.get(key, math.nan)))
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                table.setItem(row, column, item)
        if (header := table.horizontalHeader()) is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
            header.setVisible(bool(kinds))
        table.setVisible(bool(rows))
        table.setFixedHeight(min(len(rows), _ROWS) * max(table.rowHeight(0), 24) + 30 * bool(kinds) + 6)


def _number(name: str, value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:g}" if name in _COUNTS else f"{value:.3f}"
