"""Many images from the dock: what is asked of the engine, the table that fills, and what a double click opens."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog

from napari_unet.core.axes import as_image
from napari_unet.core.batches import Batch, Found
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import Progress, Steps
from napari_unet.io.labels import write_labels
from napari_unet.widgets._beside import FolderRow
from napari_unet.widgets._drawn import stored_in
from napari_unet.widgets._many import as_batch
from napari_unet.widgets.segment import SegmentWidget

from .conftest import FakeEngine

FOUND = (
    Found("a.tif", objects=3, width=12.3, labels="labels/a.ome.zarr"),
    Found("b.tif", failed="'b.tif' is not a readable TIFF."),
)


class ManyEngine(FakeEngine):
    """Finds three objects in the first image, and cannot read the second."""

    def on_cluster_steps(self, make: Any, scheduler: str, workers: int, _note: Any) -> Steps[Batch]:
        self.cluster = scheduler, workers
        return (yield from make(client="connected"))

    def batch_steps(self, source: Path, output: Path, spec: SegmentSpec, **how: Any) -> Steps[Batch]:
        self.asked = source, output, spec, how
        for number, found in enumerate(FOUND, 1):
            self.go.wait(10)
            yield Progress(number, 2, found.image, found, news=found.failed)
        return Batch(output, FOUND)


@pytest.fixture
def dock(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> SegmentWidget:
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", lambda _text: None)
    widget = SegmentWidget(ViewerModel(), engine=ManyEngine())
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Write an image and its labels, as a run leaves them."""
    folder, results = tmp_path / "day 1", tmp_path / "day 1-cells"
    folder.mkdir()
    (results / "labels").mkdir(parents=True)
    tifffile.imwrite(folder / "a.tif", np.arange(600, dtype=np.uint16).reshape(20, 30))
    labels = np.zeros((20, 30), np.int32)
    labels[2:5, 2:5] = 7
    write_labels(results / "labels" / "a.ome.zarr", as_image(labels))
    return folder


def run(dock: SegmentWidget, qtbot: QtBot) -> None:
    dock.many.run()
    qtbot.waitUntil(lambda: dock.job is None, timeout=30_000)


def texts(dock: SegmentWidget) -> list[list[str]]:
    table = dock.many.table
    items = [[table.item(i, j) for j in range(4)] for i in range(table.rowCount())]
    return [["" if item is None else item.text() for item in line] for line in items]


def test_a_folder_with_the_settings_of_the_dock(dock: SegmentWidget, qtbot: QtBot, images: Path) -> None:
    dock.many.source.setText(str(images))
    dock.diameter.setValue(22)
    dock.many.kind.setCurrentText(".tif")
    dock.many.axes.setText("yx")
    run(dock, qtbot)
    source, output, spec, how = dock.engine.asked
    assert (source, output) == (images, images.with_name("day 1-cells")), "a folder beside the images is proposed"
    assert spec.diameter == 22
    assert how == {"kind": ".tif", "axes": "yx", "overwrite": False}
    assert texts(dock) == [["a.tif", "3", "12.3 px", ""], ["b.tif", "", "", f"not segmented: {FOUND[1].failed}"]]
    assert dock.lines.text() == "", "what the table says is not said again"
    assert "Found 3 cells in 1 image. 1 could not be segmented" in dock.status.text()


def test_objects_within_objects(
    dock: SegmentWidget, qtbot: QtBot, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = dock.many
    many.source.setText(str(images))
    many.around.setText("3")
    asked = iter([str(images.with_name("foci")), ""])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: next(asked))
    row, other = (many.beside.findChildren(FolderRow)[number] for number in (0, 1))
    row.asking.click()
    other.asking.click()  # and nothing is chosen
    many.beside.within.setText(" ~/cells ")
    run(dock, qtbot)
    wanted = {"around": "3", "inside": str(images.with_name("foci")), "within": str(Path.home() / "cells")}
    assert {name: dock.engine.asked[3][name] for name in wanted} == wanted
    many.copy_command()
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None
    words = shlex.split(clipboard.text())
    assert [words[words.index(f"--{name}") + 1] for name in wanted] == list(wanted.values())


def test_rows_of_the_cluster_count(dock: SegmentWidget, qtbot: QtBot, images: Path) -> None:
    dock.many.source.setText(str(images))
    dock.cluster.local.setValue(2)
    run(dock, qtbot)
    assert dock.engine.cluster == ("", 2)
    assert dock.engine.asked[3]["client"] == "connected"
    dock.many.copy_command()
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None
    assert clipboard.text().endswith("--local-workers 2")
    dock.cluster.address.setText("tcp://there:8786")
    dock.many.copy_command()
    assert clipboard.text().endswith("--scheduler tcp://there:8786")
    dock.many.kind.setCurrentText(".tif")
    dock.many.run()
    assert dock.job is None
    assert "Workers write labels as .ome.zarr" in dock.status.text()
    dock.cluster.keep.setChecked(True)
    dock.many.run()
    assert dock.job is None
    assert "is for one image" in dock.status.text()


def test_classes_are_told_by_their_shares(
    dock: SegmentWidget, qtbot: QtBot, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped = (Found("a.tif", shares=(("land", 0.75), ("water", 0.25))), Found("b.tif", shares=(("land", 0.25),)))
    monkeypatch.setitem(globals(), "FOUND", mapped)
    dock.many.source.setText(str(images))
    run(dock, qtbot)
    assert [line[1] for line in texts(dock)] == ["land 75.00%; water 25.00%", "land 25.00%"]
    title = dock.many.table.horizontalHeaderItem(1)
    assert title is not None
    assert title.text() == "Classes"
    assert "Found land 50.00%; water 12.50% on average of 2 images." in dock.status.text()


def test_a_double_click_opens_an_image_with_its_labels(dock: SegmentWidget, qtbot: QtBot, images: Path) -> None:
    dock.many.source.setText(str(images))
    run(dock, qtbot)
    dock.many.table.look(0)
    first, second = dock.viewer.layers
    assert isinstance(first, ImageLayer)
    assert isinstance(second, LabelsLayer)
    assert second.name == "a.tif cells"
    assert set(np.unique(np.asarray(second.data))) == {0, 7}
    assert stored_in(second) == str(images.with_name("day 1-cells") / "labels" / "a.ome.zarr"), "corrections go there"
    assert dock.sight.seen().source == str(images / "a.tif")
    dock.many.table.look(0)
    assert [layer.visible for layer in dock.viewer.layers] == [False, False, True, True]
    dock.many.table.look(1)
    assert "b.tif" in dock.status.text(), "what is not there is said"


def test_what_is_missing_is_said(dock: SegmentWidget, images: Path) -> None:
    dock.many.run()
    assert dock.job is None
    assert "Say where the images are" in dock.status.text()
    dock.many.source.setText(str(images))
    dock.settings.fields["anomaly"].value = True
    dock.many.run()
    assert dock.job is None
    assert "is for one image" in dock.status.text()


def test_it_stops(dock: SegmentWidget, qtbot: QtBot, images: Path) -> None:
    dock.engine.go.clear()
    dock.many.source.setText(str(images))
    dock.many.run()
    assert not dock.many.start.isEnabled()
    dock.cancel()
    dock.engine.go.set()
    assert dock.many.start.isEnabled()
    assert dock.status.text().startswith("Stopped.")


def test_the_command_that_does_the_same(dock: SegmentWidget, images: Path) -> None:
    dock.many.source.setText(str(images))
    dock.settings.fields["confidence"].value = True
    dock.many.copy_command()
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None
    said = shlex.split(clipboard.text())
    assert said[:5] == ["napari-unet", "batch", str(images), "--output", str(images.with_name("day 1-cells"))]
    assert said[-1] == "--confidence"
    spec = SegmentSpec(diameter=20, threshold=0.4)
    line = as_batch(spec, Path("in"), Path("out"), ".tif", {"axes": "tyx", "around": "5 µm"})
    assert line == (
        "napari-unet batch in --output out --model nuclei --diameter 20.0 --threshold 0.4 --axes tyx "
        "--around '5 µm' --format .tif"
    )
