"""Lesions in the viewer: their table, their diameters in the right plane, and their report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Shapes
from pytestqt.qtbot import QtBot

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.widgets._diameters import draw_diameters
from napari_unet.widgets._lesion_table import LesionTable
from napari_unet.widgets._lesions import change_words
from napari_unet.widgets.measure import MeasureWidget
from napari_unet.widgets.segment import SegmentWidget

from .conftest import FakeEngine

SCALE, UNITS = (3.0, 1.0, 1.0), ("mm",) * 3


def classes() -> np.ndarray:
    """Return a map of two classes with three lesions."""
    places = np.stack(np.meshgrid(*(np.arange(n) for n in (12, 40, 44)), indexing="ij"), -1) * SCALE
    found = np.zeros(places.shape[:3], np.uint8)
    for center, radius, kind in (((15, 12, 12), 8, 1), ((24, 30, 12), 5, 1), ((9, 20, 32), 7, 2)):
        found[np.linalg.norm(places - center, axis=-1) <= radius] = kind
    return found


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    place = {"scale": SCALE, "units": UNITS, "axis_labels": ("z", "y", "x"), "translate": (100.0, 20.0, -7.0)}
    viewer.add_image(np.random.default_rng(0).random((12, 40, 44)), name="scan", **place)
    viewer.add_labels(classes(), name="tumor", **place)
    return viewer


@pytest.fixture
def dock(qtbot: QtBot, viewer: ViewerModel, monkeypatch: pytest.MonkeyPatch) -> MeasureWidget:
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", pytest.fail)
    widget = MeasureWidget(viewer)
    qtbot.addWidget(widget)
    widget.what.setCurrentText("lesions")
    return widget


def finish(qtbot: QtBot, widget: Any) -> None:
    assert widget.job is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)


def test_classes_become_lesions_with_table_and_diameters(
    qtbot: QtBot, dock: MeasureWidget, viewer: ViewerModel
) -> None:
    dock.rows.classes.setChecked(True)
    dock.images.setCurrentIndex(1)
    dock.run()
    finish(qtbot, dock)
    assert "Measured 3 lesions" in dock.status.text()
    assert "Not for clinical use" in dock.status.text()
    lesions, lines = viewer.layers["tumor lesions"], viewer.layers["tumor lesions diameters"]
    assert isinstance(lesions, Labels)
    assert isinstance(lines, Shapes)
    # The layer of classes is as it was.
    assert viewer.layers["tumor"].data.max() == 2
    assert np.unique(lesions.data).tolist() == [0, 1, 2, 3]
    for layer in (lesions, lines):
        np.testing.assert_allclose(layer.scale, SCALE)
        np.testing.assert_allclose(layer.translate, (100, 20, -7))
        assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert list(lesions.features["class"]) == [1, 1, 2]
    assert "intensity_p95" in lesions.features
    assert len(lines.data) == 6
    for line, index, length in zip(lines.data, lines.features["index"], lines.features["length"], strict=True):
        (plane,) = set(line[:, 0])
        assert plane == lesions.features["slice"][index - 1]
        assert np.hypot(*(np.diff(line, axis=0)[0] * SCALE)[1:]) == pytest.approx(length)
        # The middle of both lines lies in the lesion.
        assert lesions.data[tuple(np.rint(line.mean(axis=0)).astype(int))] == index
    assert not dock.viewer.layers.selection.active.name.endswith("diameters")


def test_a_click_goes_to_the_lesion(qtbot: QtBot, dock: MeasureWidget, viewer: ViewerModel) -> None:
    dock.rows.classes.setChecked(True)
    dock.run()
    finish(qtbot, dock)
    table = dock.findChild(LesionTable)
    assert isinstance(table, LesionTable)
    assert table.rowCount() == 3
    heads = [table.horizontalHeaderItem(k).text() for k in range(table.columnCount())]
    assert heads == ["", "Class", "ml", "Long", "Across", "Slice"]
    lesions = viewer.layers["tumor lesions"]
    for row in range(3):
        table.selectRow(row)
        index = int(table.item(row, 0).text())
        assert viewer.dims.point[0] == pytest.approx(100 + 3 * lesions.features["slice"][index - 1])
        assert lesions.selected_label == index
    viewer.layers.remove("tumor lesions")
    assert table.rowCount() == 0


def test_what_has_changed_is_said(qtbot: QtBot, dock: MeasureWidget, viewer: ViewerModel) -> None:
    earlier = np.where(classes() == 2, 0, classes())
    viewer.add_labels(earlier, name="earlier", scale=SCALE, units=UNITS, axis_labels=("z", "y", "x"))
    dock.labels.choose(viewer.layers["tumor"])
    dock.rows.before.choose(viewer.layers["earlier"])
    dock.rows.organ.choose(viewer.layers["tumor"])
    dock.rows.scores.choose(viewer.layers["scan"])
    dock.run()
    finish(qtbot, dock)
    assert "1 matched, 1 new, 0 vanished" in dock.status.text()
    assert {"organ_distance", "confidence"} <= set(viewer.layers["tumor"].features)
    assert "Class 1" not in dock.status.text(), "lesions of no class"
    dock.rows.classes.setChecked(True)
    dock.run()
    finish(qtbot, dock)
    assert "in all. Class 1: sum of diameters " in dock.status.text()


def test_table_and_report_are_saved(qtbot: QtBot, dock: MeasureWidget, viewer: ViewerModel, tmp_path: Path) -> None:
    assert not dock.page.isEnabled()
    dock.images.setCurrentIndex(1)
    dock.run()
    finish(qtbot, dock)
    dock.save_report(str(tmp_path / "r.html"))
    finish(qtbot, dock)
    assert "Not for clinical use" in (tmp_path / "r.html").read_text("utf-8")
    dock.save_table(str(tmp_path / "t.csv"))
    finish(qtbot, dock)
    table = workflows.read_table(tmp_path / "t.csv")
    np.testing.assert_allclose(table["longest_diameter"], viewer.layers["tumor"].features["longest_diameter"])
    dock.what.setCurrentText("objects")
    assert not dock.page.isVisible()
    assert not dock.save.isEnabled()


def test_diameters_are_thin_and_without_words_in_3d(viewer: ViewerModel) -> None:
    layer = viewer.layers["tumor"]
    table = workflows.measure_lesions(workflows_image(layer), classes=True).table
    lines = draw_diameters(viewer, layer, "zyx", table)
    assert lines is not None
    words = list(lines.features["words"])
    assert [bool(word) for word in words] == [True] * 3 + [False] * 3
    assert re.fullmatch(r"\d+\.\d × \d+\.\d mm", words[0])
    flat = list(lines.edge_width)
    viewer.dims.ndisplay = 3
    assert not lines.text.visible
    assert max(lines.edge_width) < min(flat)
    viewer.dims.ndisplay = 2
    assert lines.text.visible
    assert list(lines.edge_width) == flat
    viewer.layers.remove(lines)
    viewer.dims.ndisplay = 3
    assert lines.text.visible  # nobody looks after it any more


def test_diameters_are_drawn_once_and_nothing_is_drawn_of_nothing(viewer: ViewerModel) -> None:
    layer = viewer.layers["tumor"]
    table = workflows.measure_lesions(workflows_image(layer)).table
    for _ in range(2):
        draw_diameters(viewer, layer, "zyx", table)
    assert [y.name for y in viewer.layers if isinstance(y, Shapes)] == ["tumor diameters"]
    assert draw_diameters(viewer, layer, "zyx", {name: column[:0] for name, column in table.items()}) is None
    assert not [y for y in viewer.layers if isinstance(y, Shapes)]


def workflows_image(layer: Labels) -> Any:
    from napari_unet.widgets._layers import layer_image

    return layer_image(layer, "zyx")


@pytest.mark.parametrize("axes", ["tyx", "xzy"])
def test_lines_lie_where_the_axes_say(axes: str) -> None:
    values = np.zeros((3, 20, 20), np.int32)
    values[1, 4:9, 4:14], values[2, 10:13, 2:5] = 1, 2
    data = values if axes == "tyx" else values.transpose(2, 0, 1)
    viewer = ViewerModel()
    layer = viewer.add_labels(data, scale=(0.5, 2.0, 0.5), axis_labels=tuple(axes), units=("mm",) * 3)
    from napari_unet.core.axes import Image

    table = workflows.measure_lesions(Image(data, axes, (0.5, 2.0, 0.5), ("millimeter",) * 3)).table
    lines = draw_diameters(viewer, layer, axes, table)
    assert lines is not None
    for line, index in zip(lines.data, lines.features["index"], strict=True):
        assert data[tuple(np.rint(line.mean(axis=0)).astype(int))] == index


def test_of_many_lesions_the_longest_are_drawn(viewer: ViewerModel) -> None:
    layer = viewer.add_labels(np.zeros((2, 30, 30), np.int32), name="many")
    count = 400
    table = {
        "index": np.arange(1, count + 1), "slice": np.zeros(count, int), "longest_diameter": np.arange(count) + 1.0,
        "short_diameter": np.ones(count),
    }  # fmt: skip
    for line in ("longest", "short"):
        table |= {f"{line}_{a}{end}": np.full(count, 1.0 + end) for a in "yx" for end in (0, 1)}
    lines = draw_diameters(viewer, layer, "zyx", table)
    assert lines is not None
    assert len(lines.data) == 600
    assert lines.features["index"].min() == 101


def test_lesions_of_classes_keep_their_place_in_the_patient(
    qtbot: QtBot, dock: MeasureWidget, viewer: ViewerModel
) -> None:
    from napari_unet.core.anatomy import stand_up
    from napari_unet.widgets._layers import KEY, layer_image

    place = stand_up(np.diag([1.0, 1.0, 3.0, 1.0]), (44, 40, 12))
    viewer.layers["tumor"].metadata = {KEY: {"axes": "zyx", "anatomy": place}}
    dock.rows.classes.setChecked(True)
    dock.run()
    finish(qtbot, dock)
    lesions = viewer.layers["tumor lesions"]
    assert layer_image(lesions, "zyx").anatomy == place
    assert "patient_x" in lesions.features


class LesionEngine(FakeEngine):
    """An engine whose task measures lesions."""

    def segment_steps(self, image: Any, spec: Any = None) -> Any:
        from dataclasses import replace

        result = yield from super().segment_steps(image, spec)
        return replace(result, table=workflows.measure_lesions(result.labels).table)


def test_the_segmentation_dock_shows_lesions_where_its_task_measures_them(qtbot: QtBot, viewer: ViewerModel) -> None:
    viewer.layers.remove("tumor")
    widget = SegmentWidget(viewer, engine=LesionEngine())
    qtbot.addWidget(widget)
    table = widget.findChild(LesionTable)
    assert isinstance(table, LesionTable)
    assert table.rowCount() == 0
    widget.run()
    finish(qtbot, widget)
    assert table.rowCount() == 2
    assert len(viewer.layers["scan cells diameters"].data) == 4


def told(table: Any) -> dict[str, list[str]]:
    """Return the scores of a table by their names."""
    return {
        table.verticalHeaderItem(row).text(): [table.item(row, k).text() for k in range(table.columnCount())]
        for row in range(table.rowCount())
    }


@pytest.mark.parametrize("make", [MeasureWidget, lambda viewer: SegmentWidget(viewer, "tumor,organ")])
def test_labels_are_compared_with_the_truth(
    make: Any, qtbot: QtBot, viewer: ViewerModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", said.append)
    worse = np.where(classes() == 2, 0, classes())
    viewer.add_labels(worse, name="found", scale=SCALE, units=UNITS, axis_labels=("z", "y", "x"))
    dock = make(viewer)
    qtbot.addWidget(dock)
    rows = dock.truth
    rows.labels.choose(viewer.layers["found"])
    rows.compare()
    assert dock.job is None
    assert "Two layers are compared" in dock.status.text()
    rows.truth.choose(viewer.layers["tumor"])
    rows.what.setCurrentText("classes")
    rows.compare()
    finish(qtbot, dock)
    expected = workflows.evaluate(
        workflows_image(viewer.layers["tumor"]), workflows_image(viewer.layers["found"]),
        ("overlap", "surfaces", "lesions"),
    )  # fmt: skip
    found = told(rows.scores)
    assert [rows.scores.horizontalHeaderItem(k).text() for k in range(3)] == ["All", "1", "2"]
    assert (
        found["Dice"]
        == [f"{expected[name]:.3f}" for name in ("dice", "dice_1", "dice_2")]
        == ["0.500", "1.000", "0.000"]
    )
    counts = [expected[f"lesions_{what}_{kind}"] for what, kind in (("found", 1), ("missed", 2))]
    assert [found["Lesions found"][1], found["Lesions missed"][2]] == [f"{n:g}" for n in counts]
    assert min(counts) >= 1
    assert {"HD95, mm", "Surface Dice", "Volume error, ml", "Lesion Dice", "Lesion F1"} <= set(found)
    assert "Dice 0.500" in dock.status.text()
    rows.what.setCurrentText("regions")
    rows.compare()
    finish(qtbot, dock)
    regions = workflows.evaluate(classes(), worse, ("overlap",), nested=True)
    assert told(rows.scores)["Dice"] == [f"{regions[name]:.3f}" for name in ("dice", "dice_1", "dice_2")]
    rows.what.setCurrentText("lesions")
    rows.compare()
    finish(qtbot, dock)
    assert rows.scores.columnCount() == 1
    binary = workflows.evaluate(classes() > 0, worse > 0, ("overlap",))
    assert told(rows.scores)["Dice"] == [f"{binary['dice']:.3f}"] != ["1.000"]
    rows.what.setCurrentText("objects")
    rows.compare()
    finish(qtbot, dock)
    assert "AP50" in told(rows.scores)


def test_of_nothing_no_change_is_told() -> None:
    now = np.zeros((4, 12, 12), np.int32)
    now[1:3, 3:7, 3:7] = 1
    nothing, found = (workflows.measure_lesions(Image(labels, "zyx")) for labels in (now * 0, now))
    growth = workflows.compare_lesions(nothing, found)
    assert change_words(growth).startswith(" Since before: 0 matched, 1 new, 0 vanished, 0 split, 0 merged.")
    same = change_words(workflows.compare_lesions(found, found))
    assert "; volume +0.0 %, diameters +0.0 %" in same
