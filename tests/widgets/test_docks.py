"""The segmentation dock opened with its presets: models, sizes, spacing in words, classes in color."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QGuiApplication

from napari_unet.core.axes import Image
from napari_unet.core.grids import GridSpec
from napari_unet.core.model_card import ModelCard
from napari_unet.core.results import Segmentation
from napari_unet.core.specs import NetSpec, SegmentSpec, TargetSpec
from napari_unet.core.steps import Progress, Steps
from napari_unet.measures.classes import measure
from napari_unet.widgets import docks
from napari_unet.widgets._classes import classes_of
from napari_unet.widgets._layers import KEY
from napari_unet.widgets.segment import SegmentWidget

from .conftest import FakeEngine

Make = Callable[..., SegmentWidget]
LAND = TargetSpec(name="classes", classes=("road", "grass", "roof"), colors=("#ff0000", "#00ff00", "#0000ff"))
OBJECTS = TargetSpec(name="foreground")


def card(name: str, task: str, target: TargetSpec = OBJECTS, grid: str = "objects", **more: Any) -> ModelCard:
    return ModelCard(name=name, task=task, net=NetSpec(), target=target, grid=GridSpec(kind=grid, **more))


NUCLEI = card("nuclei", "cell")
LUMPS = card("lumps", "tumor", grid="spacing", spacing=(1.0, 0.5), unit="mm")
ORGANS = card("organs", "organ", LAND, "spacing", spacing=(1.0, 1.0), unit="mm")
COVER = card("cover", "satellite", LAND, "pixels")
HOUSES = card("houses", "satellite", OBJECTS, "pixels")


class ClassEngine(FakeEngine):
    """Puts classes 1 and 3 into the labels, if the model has classes."""

    def __init__(self, *cards: ModelCard) -> None:
        super().__init__()
        self.cards = {card.name: card for card in cards}

    def list_models(self) -> list[ModelCard]:
        return list(self.cards.values())

    def segment_steps(self, image: Image, spec: SegmentSpec | None = None) -> Steps[Segmentation]:
        yield Progress(1, 1, "Finding objects")
        self.spec = spec or SegmentSpec()
        chosen = self.cards[self.spec.models[0]]
        shape, scale, units = image.along(image.label_axes)
        labels = np.ones(shape, np.int32)
        labels[: shape[0] // 4] = 3
        found = Image(labels, image.label_axes, scale, units, "found")
        classes = [row._asdict() for row in chosen.target.table]
        manifest = {"model": chosen.name, "grid": chosen.grid.kind} | ({"classes": classes} if classes else {})
        table = measure(found)
        table = {"index": table["index"], "name": np.array(["road", "roof"]), **table} if classes else {}
        sure = Image(np.full(shape, 0.75, np.float32), image.label_axes) if self.spec.confidence else None
        return Segmentation(found, 3, 20.0, 0.5, manifest, table, confidence=sure)


@pytest.fixture
def viewer() -> ViewerModel:
    """Return a viewer without a window."""
    return ViewerModel()


@pytest.fixture
def make(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that opens a dock."""
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", lambda _text: None)

    def build(viewer: Any, task: str, *cards: ModelCard) -> SegmentWidget:
        widget = SegmentWidget(viewer, task, ClassEngine(*cards))
        qtbot.addWidget(widget)
        return widget

    return build


def run(qtbot: QtBot, widget: SegmentWidget) -> Any:
    widget.run()
    assert widget.job is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.job is None)
    return widget.viewer.layers[-1]


def texts(widget: SegmentWidget) -> list[list[str]]:
    table = widget.classes
    return [[table.item(y, x).text() for x in range(4)] for y in range(table.rowCount())]


def listed(widget: SegmentWidget) -> list[str]:
    return [widget.models.itemText(i) for i in range(widget.models.count())]


def test_models_of_the_tasks_come_first(make: Make, viewer: ViewerModel) -> None:
    widget = make(viewer, "tumor,organ", NUCLEI, ORGANS, LUMPS)
    assert listed(widget) == ["lumps", "organs", "", "nuclei"]
    assert widget.models.chosen == ("lumps",)
    assert widget.models.missing.isHidden()
    assert make(viewer, "cell", NUCLEI, ORGANS).models.chosen == ("nuclei",)


def test_no_model_for_a_task_is_said_and_breaks_nothing(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((16, 20)), name="image")
    widget = make(viewer, "tumor,organ", NUCLEI)
    assert not widget.models.missing.isHidden()
    assert "No model for tumors and lesions or for organs" in widget.models.missing.text()
    assert "Train a model" in widget.models.missing.text()
    widget.run()
    assert widget.job is None
    assert "Train a model" in widget.status.text()
    widget.models.setCurrentIndex(widget.models.findData("nuclei"))  # of another task: whoever wants it may
    assert run(qtbot, widget).name == "image tumors"


def test_a_caution_is_shown_where_there_is_one(make: Make, viewer: ViewerModel) -> None:
    widget = make(viewer, "tumor,organ", LUMPS)
    assert widget.caution.text() == "Not for clinical use."
    assert not widget.caution.isHidden()
    assert make(viewer, "cell", NUCLEI).caution.isHidden()


def test_a_width_is_asked_for_only_where_it_decides(make: Make, viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((16, 20)))
    widget = make(viewer, "satellite", COVER, HOUSES, NUCLEI)
    assert widget.diameter.isHidden()
    assert widget.sizes.smallest.isHidden()  # a class has no smallest object, but pieces
    assert "as they are" in widget.sizes.hint.text()
    widget.models.setCurrentIndex(widget.models.findData("houses"))
    assert widget.diameter.isHidden()
    assert not widget.sizes.smallest.isHidden()
    widget.models.setCurrentIndex(widget.models.findData("nuclei"))
    assert not widget.diameter.isHidden()
    widget.diameter.setValue(12)
    assert widget.spec().diameter == 12
    widget.models.setCurrentIndex(widget.models.findData("cover"))
    assert widget.spec().diameter is None


def test_what_is_done_with_the_spacing_is_said(make: Make, viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((16, 20)), scale=(3.3, 0.977), units=("mm", "mm"))
    viewer.add_image(np.zeros((16, 20)), name="plain")
    widget = make(viewer, "tumor", LUMPS)
    assert "this layer knows no spacing" in widget.sizes.hint.text()
    widget.images.setCurrentIndex(1)
    assert widget.sizes.hint.text() == "Images are brought to pixels of 1 x 0.5 mm; this layer has 3.3 x 0.977 mm."


def test_a_stack_is_seen_slice_by_slice_by_a_flat_model(make: Make, viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((7, 16, 20)), axis_labels=("z", "y", "x"))
    assert "each of the 7 slices by itself. Outlines" in make(viewer, "tumor", LUMPS).sizes.hint.text()


def test_a_stack_of_cells_has_objects_in_depth(make: Make, viewer: ViewerModel) -> None:
    place: dict[str, Any] = {"axis_labels": ("z", "y", "x"), "units": ("um",) * 3}
    viewer.add_image(np.zeros((7, 16, 20)), name="near", scale=(1, 1, 1), **place)
    viewer.add_image(np.zeros((7, 16, 20)), name="far", scale=(5, 1, 1), **place)
    widget = make(viewer, "cell", card("cells", "cell", TargetSpec(name="heat")))
    assert "each of the 7 slices by itself. Objects are found in 3D." in widget.sizes.hint.text()
    widget.sizes.smallest.setText("10 um3")
    assert "10 um3 are 2.0 voxels" in widget.sizes.hint.text()
    widget.sizes.smallest.setText("10 um2")
    assert "Outlines in neighboring ones are joined. 10 um2 are 10.0 pixels" in widget.sizes.hint.text()
    widget.sizes.smallest.setText("")
    widget.images.setCurrentIndex(1)
    assert "the 7 slices from three sides" in widget.sizes.hint.text()


def test_a_deep_model_needs_depth(make: Make, viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((16, 20)))
    deep = LUMPS.model_copy(update={"net": NetSpec(ndim=3), "grid": GridSpec(kind="spacing", spacing=(1.0,) * 3)})
    assert "needs an image with depth" in make(viewer, "tumor", deep).sizes.hint.text()


def test_the_smallest_size_has_units(make: Make, viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((16, 20)), scale=(2, 0.5), units=("mm", "mm"))
    widget = make(viewer, "tumor", LUMPS)
    assert widget.spec().min_size is None
    widget.sizes.smallest.setText("25 mm2")
    assert widget.spec().min_size == "25 mm2"
    widget.sizes.smallest.setText("0.25 cm²")
    assert widget.spec().min_size == "0.25 cm²"
    assert "0.25 cm² are 25.0 pixels." in widget.sizes.hint.text()
    widget.sizes.smallest.setText("12")
    assert widget.spec().min_size == 12
    widget.sizes.smallest.setText("12 ml")
    widget.run()
    assert widget.job is None
    assert "12 ml" in widget.status.text()


def test_the_smallest_pieces_are_said_class_by_class(make: Make, viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((16, 20)), scale=(2, 0.5), units=("mm", "mm"))
    widget = make(viewer, "satellite", COVER, HOUSES)
    assert widget.sizes.pieces.isHidden() != COVER.target.background
    leaving = COVER.model_copy(update={"target": COVER.target.model_copy(update={"background": True})})
    widget = make(viewer, "satellite", leaving, HOUSES)
    assert not widget.sizes.pieces.isHidden()
    assert "road=20 mm²" in widget.sizes.pieces.placeholderText()
    widget.sizes.pieces.setText("road=25 mm2, 3=4")
    assert widget.spec().min_size == "road=25 mm2, 3=4"
    assert "road 25.0 pixels, grass 0.0 pixels, roof 4.0 pixels" in widget.sizes.hint.text()
    widget.sizes.pieces.setText("street=3")
    assert "no class 'street'" in widget.sizes.hint.text()
    widget.models.setCurrentIndex(widget.models.findData("houses"))
    assert widget.sizes.pieces.isHidden()
    assert widget.spec().min_size is None


def test_labels_of_classes_have_their_colors_names_and_sizes(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((16, 20)), name="tile", scale=(10, 10), units=("m", "m"))
    widget = make(viewer, "satellite", COVER)
    assert [row[0] for row in texts(widget)] == ["road", "grass", "roof"]  # of the model, before there are labels
    layer = run(qtbot, widget)
    assert layer.name == "tile land cover"
    np.testing.assert_allclose(layer.get_color(1), (1, 0, 0, 1))
    np.testing.assert_allclose(layer.get_color(3), (0, 0, 1, 1))
    assert [row.name for row in classes_of(layer)] == ["road", "grass", "roof"]
    status = layer.get_status((0, 0), world=True)
    assert "name: roof" in status["value"] + status["coordinates"]
    assert texts(widget) == [
        ["road", "240", "24000 m²", "75.0%"], ["grass", "0", "", "0 %"], ["roof", "80", "8000 m²", "25.0%"],
    ]  # fmt: skip
    assert not widget.classes.isHidden()
    said = widget.status.text()
    assert "Found 2 of 3 classes (road 75.0%, roof 25.0%) in 0.5 s" in said
    assert "objects" not in said
    widget.classes.cellClicked.emit(2, 0)
    assert layer.selected_label == 3


def test_classes_that_nobody_has_measured_have_no_sizes(make: Make, viewer: ViewerModel) -> None:
    widget = make(viewer, "satellite", COVER)
    rows = [{"label": 1, "name": "road", "color": "#8d8d8d"}]
    viewer.add_labels(np.ones((8, 8), np.int32), metadata={KEY: {"axes": "yx", "classes": rows}})
    widget.classes.look()
    assert texts(widget) == [["road", "", "", ""]]


def test_sizes_of_classes_are_those_on_the_ground(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((16, 20)), name="tile", scale=(10, 10), units=("m", "m"))
    widget = make(viewer, "satellite", COVER)
    layer = run(qtbot, widget)
    layer.features = layer.features.assign(area_m2=layer.features["area"] / 4)
    widget.classes.look()
    assert [row[2] for row in texts(widget)] == ["6000 m²", "", "2000 m²"]


def test_how_sure_the_model_is_becomes_a_layer(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((16, 20)), name="tile", scale=(10, 10), units=("m", "m"))
    widget = make(viewer, "satellite", COVER)
    widget.settings.fields["confidence"].value = True
    widget.copies.command.click()
    assert "--confidence IMAGE-confidence.tif" in QGuiApplication.clipboard().text()
    labels = run(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == ["tile", "tile confidence", "tile land cover"]
    assert viewer.layers[1].contrast_limits == [0, 1]
    np.testing.assert_array_equal(viewer.layers[1].scale, labels.scale)


def test_the_table_follows_the_labels(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((16, 20)), name="tile")
    widget = make(viewer, "satellite", COVER, HOUSES)
    layer = run(qtbot, widget)
    assert texts(widget)[0] == ["road", "240", "", "75.0%"]  # no size where pixels have none
    assert widget.classes.isColumnHidden(2)
    viewer.layers.remove(layer)
    assert texts(widget)[0] == ["road", "", "", ""]
    widget.models.setCurrentIndex(widget.models.findData("houses"))
    assert widget.classes.isHidden()


def test_objects_of_a_task_of_classes_are_objects(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((16, 20)), name="tile")
    widget = make(viewer, "satellite", HOUSES)
    assert run(qtbot, widget).name == "tile objects"
    assert widget.status.text() == "Found 3 objects in 0.5 s."  # and no width, which nobody measured


@pytest.mark.parametrize("preset", [docks.cells, docks.tumors, docks.satellite, docks.surfaces])
def test_presets_are_one_class(preset: type, viewer: ViewerModel, qtbot: QtBot) -> None:
    assert issubclass(preset, SegmentWidget)
    widget = preset(viewer)
    qtbot.addWidget(widget)
    assert widget.models.count()
