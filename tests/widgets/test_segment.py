"""The segmentation dock: controls follow the layers, a run fills a layer, and every end is clean."""

from __future__ import annotations

import gc
import itertools
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy
from npe2 import PluginManifest
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QGuiApplication

from napari_unet.core.axes import as_image
from napari_unet.core.errors import ModelError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.results import Segmentation
from napari_unet.core.specs import NetSpec, TargetSpec
from napari_unet.widgets import docks, segment
from napari_unet.widgets._chooser import LayerBox
from napari_unet.widgets._outcome import found_words
from napari_unet.widgets.segment import SegmentWidget

from .conftest import FakeEngine, jobs

Make = Callable[..., SegmentWidget]


@pytest.fixture
def viewer() -> ViewerModel:
    """Return a viewer without a window."""
    return ViewerModel()


@pytest.fixture
def make(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that opens the dock and remembers the notifications."""
    errors: list[str] = []
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", errors.append)

    def build(viewer: Any, engine: Any) -> SegmentWidget:
        widget = SegmentWidget(viewer, engine=engine)
        qtbot.addWidget(widget)
        widget.errors = errors
        return widget

    return build


def finish(qtbot: QtBot, widget: SegmentWidget) -> Any:
    """Run to the end and return the new layer."""
    widget.run()
    assert widget.job is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.job is None)
    return widget.viewer.layers[-1]


def names(widget: SegmentWidget) -> list[str]:
    return [widget.images.itemText(i) for i in range(widget.images.count())]


def test_controls_follow_the_layers(make: Make, viewer: ViewerModel, engine: FakeEngine) -> None:
    widget = make(viewer, engine)
    assert names(widget) == []
    assert "Open an image" in widget.status.text()
    a = viewer.add_image(np.zeros((8, 8)), name="a")
    assert names(widget) == ["a"]
    assert widget.status.text() == "Ready."
    viewer.add_labels(np.zeros((8, 8), int), name="not an image")
    b = viewer.add_image(np.zeros((5, 8, 8)), name="b")
    assert names(widget) == ["b", "a"]
    assert widget.images.layer is a
    a.name = "renamed"
    assert names(widget) == ["b", "renamed"]
    assert widget.images.currentText() == "renamed"
    viewer.layers.remove(a)
    assert widget.images.layer is b
    assert widget.axes.axes == "zyx"


def test_the_active_image_is_chosen_first(make: Make, viewer: ViewerModel, engine: FakeEngine) -> None:
    a = viewer.add_image(np.zeros((8, 8)), name="a")
    viewer.add_image(np.zeros((8, 8)), name="b")
    viewer.layers.selection.active = a
    assert make(viewer, engine).images.layer is a


def test_models_are_listed_and_the_preset_is_chosen(make: Make, viewer: ViewerModel, engine: FakeEngine) -> None:
    widget = make(viewer, engine)
    assert [widget.models.itemText(i) for i in range(widget.models.count())] == ["Blobs", "Nuclei"]
    assert widget.spec().model == "nuclei"
    assert widget.spec().diameter is None
    widget.diameter.setValue(23.5)
    assert widget.spec().diameter == 23.5


def test_volumes_get_a_model_of_volumes(qtbot: QtBot, viewer: ViewerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    dimensions = {"flat": 2, "deep": 3, "deeper": 3}
    cards = [
        ModelCard(name=name, task="tumor", net=NetSpec(ndim=ndim), target=TargetSpec(name="foreground"))
        for name, ndim in dimensions.items()
    ]
    organ = cards[1].model_copy(update={"name": "an organ", "task": "organ"})
    monkeypatch.setattr(engine, "list_models", lambda: [organ, *cards])
    widget = SegmentWidget(viewer, "tumor,organ", engine)
    qtbot.addWidget(widget)
    photo = viewer.add_image(np.zeros((32, 32)), name="photo")
    assert widget.models.currentData() == "flat"
    scan = viewer.add_image(np.zeros((12, 32, 32)), name="scan")
    viewer.add_image(np.zeros((12, 32, 32)), name="movie", axis_labels=("t", "y", "x"))
    for layer, wanted in (("scan", "deep"), ("movie", "flat"), ("scan", "deep"), ("photo", "flat")):
        widget.images.setCurrentText(layer)
        assert widget.models.currentData() == wanted
    # What the user has chosen stays.
    widget.models.setCurrentIndex(widget.models.findData("deeper"))
    widget.models.activated.emit(widget.models.currentIndex())
    for layer in (scan, photo):
        widget.images.setCurrentText(layer.name)
        assert widget.models.currentData() == "deeper"


CASES = {
    "2D": (np.zeros((16, 20), np.uint8), {}, "yx", (16, 20)),
    "RGB": (np.zeros((16, 20, 3), np.uint8), {"rgb": True}, "yxc", (16, 20)),
    "RGBA stack": (np.zeros((5, 16, 20, 4), np.uint8), {"rgb": True}, "zyxc", (5, 16, 20)),
    "zyx": (np.zeros((5, 16, 20)), {}, "zyx", (5, 16, 20)),
    "tyx": (np.zeros((5, 16, 20)), {"axis_labels": ("t", "y", "x")}, "tyx", (5, 16, 20)),
    "tzyx": (np.zeros((2, 5, 16, 20)), {"axis_labels": ("time", "z", "y", "x")}, "tzyx", (2, 5, 16, 20)),
    "czyx": (np.zeros((2, 5, 16, 20)), {"axis_labels": ("channel", "z", "y", "x")}, "czyx", (5, 16, 20)),
    "pyramid": ([np.zeros((32, 40)), np.zeros((16, 20))], {"multiscale": True}, "yx", (32, 40)),
}


@pytest.mark.parametrize("case", CASES)
def test_axes_of_every_kind_of_layer(
    make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot, case: str
) -> None:
    data, options, axes, shape = CASES[case]
    viewer.add_image(data, name="image", **options)
    widget = make(viewer, engine)
    layer = finish(qtbot, widget)
    assert engine.image is not None
    assert engine.image.axes == axes
    assert layer.name == "image cells"
    assert layer.data.shape == shape
    assert layer.data.dtype == np.int32
    assert set(np.unique(layer.data)) == {1, 2}


def test_four_dimensions_are_asked_for(make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((2, 5, 16, 20)), name="stack")
    widget = make(viewer, engine)
    assert not widget.axes.line.isHidden()
    assert "4 dimensions" in widget.axes.hint.text()
    widget.run()
    assert widget.job is None
    assert "tzyx" in widget.status.text()
    assert len(viewer.layers) == 1
    widget.axes.line.setText("TZYX")
    assert "time 2, depth 5" in widget.axes.hint.text()
    finish(qtbot, widget)
    assert engine.image is not None
    assert engine.image.axes == "tzyx"


@pytest.mark.parametrize("text", ["tzy", "qzyx", "zzyx", "yx"])
def test_wrong_axes_are_refused(make: Make, viewer: ViewerModel, engine: FakeEngine, text: str) -> None:
    viewer.add_image(np.zeros((2, 5, 16, 20)))
    widget = make(viewer, engine)
    widget.axes.line.setText(text)
    widget.run()
    assert widget.job is None
    assert widget.status.text() == widget.errors[-1] != ""
    assert len(viewer.layers) == 1


def test_plain_pictures_show_no_axes(make: Make, viewer: ViewerModel, engine: FakeEngine) -> None:
    viewer.add_image(np.zeros((16, 20)))
    assert make(viewer, engine).axes.line.isHidden()


def test_labels_lie_where_the_image_lies(make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot) -> None:
    source = viewer.add_image(
        np.zeros((5, 16, 20)),
        scale=(2, 0.5, 0.25),
        translate=(1, 2, 3),
        rotate=np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]),
        shear=(0, 0, 0.3),
        affine=np.array([[1, 0, 0, 4], [0, 0.9, 0.1, 5], [0, 0.2, 1.1, 6], [0, 0, 0, 1]]),
        units=("s", "um", "um"),
        axis_labels=("t", "y", "x"),
    )
    layer = finish(qtbot, make(viewer, engine))
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(layer, name), getattr(source, name), err_msg=name)
    np.testing.assert_allclose(layer.affine.affine_matrix, source.affine.affine_matrix)
    assert layer.units == source.units
    assert layer.axis_labels == source.axis_labels
    for point in ((0, 0, 0), (4, 15, 19)):
        np.testing.assert_allclose(layer.data_to_world(point), source.data_to_world(point))
    assert engine.image is not None
    assert engine.image.scale == (2, 0.5, 0.25)
    assert engine.image.units == ("second", "micrometer", "micrometer")


def test_channels_in_front_are_left_out(make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot) -> None:
    source = viewer.add_image(
        np.zeros((3, 5, 16, 20)),
        scale=(1, 2, 0.5, 0.25),
        translate=(0, 1, 2, 3),
        units=("pixel", "um", "um", "um"),
        axis_labels=("c", "z", "y", "x"),
    )
    layer = finish(qtbot, make(viewer, engine))
    np.testing.assert_allclose(layer.scale, source.scale[1:])
    np.testing.assert_allclose(layer.translate, source.translate[1:])
    assert layer.units == source.units[1:]
    assert layer.axis_labels == ("z", "y", "x")


def test_channels_in_the_middle_do_not_move_time(
    make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot
) -> None:
    viewer.add_image(np.zeros((4, 3, 16, 20)), axis_labels=("t", "c", "y", "x"))
    layer = finish(qtbot, make(viewer, engine))
    assert layer.data.shape == (4, 3, 16, 20)
    assert np.shares_memory(layer.data[:, 0], layer.data[:, 2])
    layer.data[1, 0, 3, 4] = 7
    assert layer.data[1, 2, 3, 4] == 7


def test_a_lazy_image_is_not_computed(make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot) -> None:
    read: list[object] = []

    def load(block_info: Any = None) -> np.ndarray:
        read.append(block_info)
        return np.zeros((1, 16, 20), np.float32)

    data = da.map_blocks(load, chunks=((1,) * 6, (16,), (20,)), dtype=np.float32, meta=np.zeros((0, 0, 0), np.float32))
    viewer.add_image(data, contrast_limits=(0, 1))
    before = len(read)  # what napari shows
    widget = make(viewer, engine)
    finish(qtbot, widget)
    assert len(read) == before
    assert engine.image is not None
    assert engine.image.data is data


def test_a_run_fills_the_layer_piece_by_piece(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    engine = FakeEngine(rows=4)
    engine.go.clear()
    viewer.add_image(np.zeros((16, 20)), name="image")
    widget = make(viewer, engine)
    widget.run()
    layer = viewer.layers["image cells"]
    assert not layer.data.any()
    assert not layer.editable
    assert not widget.start.isEnabled()
    assert widget.stop.isEnabled()
    qtbot.waitUntil(lambda: "Loading" in widget.status.text())
    assert widget.bar.maximum() == 0
    seen = []
    layer.events.set_data.connect(lambda event: seen.append((time.monotonic(), int((layer.data[:, 0] == 1).sum()))))
    engine.pause = 0.12
    engine.go.set()
    qtbot.waitUntil(lambda: "of 4" in widget.status.text())
    qtbot.waitUntil(lambda: widget.job is None)
    assert any(0 < rows < 16 for _, rows in seen)
    times = [at for at, rows in seen if rows < 16]
    assert all(b - a > 0.19 for a, b in itertools.pairwise(times))
    assert layer.editable
    assert "Found 2 cells, 23.5 px wide" in widget.status.text()
    assert "23.5" in widget.diameter.text()
    assert widget.spec().diameter is None


def test_measurements_and_record_come_along(make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((16, 20)))
    layer = finish(qtbot, make(viewer, engine))
    assert list(layer.features["index"]) == [1, 2]
    assert list(layer.features["area"]) == [3.0, 4.0]
    assert layer.metadata["napari-unet"]["model"] == "nuclei"
    status = layer.get_status((3, 19), world=True)
    assert "area: 4" in status["value"] + status["coordinates"]


def test_the_engine_works_in_its_thread(make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((16, 20)))
    finish(qtbot, make(viewer, engine))
    assert engine.thread is not None
    assert engine.thread is not threading.main_thread()


@pytest.mark.parametrize(("count", "said"), [(1, "1 tumor"), (2, "2 tumors")])
def test_one_is_not_many(count: int, said: str) -> None:
    labels = as_image(np.zeros((4, 4), np.int32), "yx")
    result = Segmentation(labels, count, 0.0, 1.0, {"model": "a"}, {})
    assert found_words(result, "tumors").startswith(f"{said},")


def test_settings_reach_the_engine(make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((16, 20)))
    widget = make(viewer, engine)
    widget.diameter.setValue(12)
    widget.settings.fields["threshold"].value = "0.4"
    widget.settings.fields["channels"].value = "1, 0"
    widget.settings.fields["tiling.tile"].value = 64
    finish(qtbot, widget)
    assert engine.spec == widget.spec()
    assert engine.spec is not None
    assert (engine.spec.diameter, engine.spec.threshold, engine.spec.channels) == (12, 0.4, (1, 0))
    assert engine.spec.tiling.tile == 64


def test_cancel_answers_at_once(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    engine = FakeEngine(rows=8, pause=0.5)
    viewer.add_image(np.zeros((16, 20)), name="image")
    widget = make(viewer, engine)
    widget.run()
    qtbot.waitUntil(lambda: "of 8" in widget.status.text())
    start = time.monotonic()
    widget.stop.click()
    assert time.monotonic() - start < 1
    assert [y.name for y in viewer.layers] == ["image"]
    assert widget.job is None
    assert widget.start.isEnabled()
    assert widget.status.text() == "Stopped."
    qtbot.waitUntil(engine.closed.is_set)
    widget.engine = FakeEngine()
    assert finish(qtbot, widget).data.any()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ModelError("The model is damaged. Download it again."), "The model is damaged. Download it again."),
        (RuntimeError("CUDA out of memory"), "RuntimeError: CUDA out of memory"),
    ],
)
def test_errors_are_shown(make: Make, viewer: ViewerModel, qtbot: QtBot, error: Exception, text: str) -> None:
    viewer.add_image(np.zeros((16, 20)), name="image")
    widget = make(viewer, FakeEngine(error=error))
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None)
    assert widget.status.text() == text
    assert widget.errors == [text]
    assert [y.name for y in viewer.layers] == ["image"]
    assert widget.start.isEnabled()


def test_bad_settings_are_refused(make: Make, viewer: ViewerModel, engine: FakeEngine) -> None:
    viewer.add_image(np.zeros((16, 20)))
    widget = make(viewer, engine)
    widget.settings.fields["threshold"].value = "high"
    widget.run()
    assert widget.job is None
    assert "threshold" in widget.status.text()


def test_the_tab_key_goes_from_top_to_bottom(make: Make, viewer: ViewerModel, engine: FakeEngine) -> None:
    viewer.add_image(np.zeros((16, 20)))
    widget = make(viewer, engine)
    widget.show()
    chain, at = [], widget.images
    while at not in chain:
        chain.append(at)
        at = at.nextInFocusChain()
    fields = widget.settings.fields
    wanted = [
        widget.images, widget.only, widget.models, widget.diameter, widget.place.line, widget.place.ask,
        widget.place.estimate.start, widget.start, widget.stop, fields["threshold"].native, fields["device"].native,
        widget.edits.take, widget.edits.put,
    ]  # fmt: skip
    places = [chain.index(each) for each in wanted]
    assert places == sorted(places)


def test_nothing_to_run_on(make: Make, viewer: ViewerModel, engine: FakeEngine) -> None:
    widget = make(viewer, engine)
    widget.run()
    assert "no image" in widget.status.text()
    viewer.add_image(np.zeros((16, 20)))
    none = make(viewer, SimpleNamespace(list_models=list, find_unfinished=lambda *_: []))
    none.run()
    assert "No model" in none.status.text()


def test_models_that_cannot_be_listed(make: Make, viewer: ViewerModel) -> None:
    def broken() -> None:
        raise ModelError("The folder of models cannot be read.")

    widget = make(viewer, SimpleNamespace(list_models=broken, find_unfinished=lambda *_: []))
    assert widget.errors == ["The folder of models cannot be read."]


@pytest.mark.parametrize("which", ["image", "image cells"])
def test_a_layer_removed_during_a_run_stops_it(make: Make, viewer: ViewerModel, qtbot: QtBot, which: str) -> None:
    engine = FakeEngine(rows=100, pause=0.02)
    viewer.add_image(np.zeros((200, 20)), name="image")
    widget = make(viewer, engine)
    widget.run()
    qtbot.waitUntil(lambda: "of 100" in widget.status.text())
    viewer.layers.remove(which)
    qtbot.waitUntil(lambda: widget.job is None)
    assert "removed" in widget.status.text()
    assert "image cells" not in viewer.layers
    qtbot.waitUntil(engine.closed.is_set)


def test_a_proxied_viewer_is_enough(make: Make, viewer: ViewerModel, engine: FakeEngine, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((16, 20)), name="image")
    widget = make(PublicOnlyProxy(viewer), engine)
    chosen: list[None] = []
    widget.images.chosen.connect(lambda: chosen.append(None))
    viewer.add_image(np.zeros((16, 20)), name="other")
    assert not chosen  # still the same image
    finish(qtbot, widget)
    assert viewer.layers["image cells"].data.any()


def test_copies(make: Make, viewer: ViewerModel, engine: FakeEngine, tmp_path: Any) -> None:
    layer = viewer.add_image(np.zeros((5, 16, 20)), axis_labels=("t", "y", "x"))
    widget = make(viewer, engine)
    widget.diameter.setValue(9.5)
    clipboard = QGuiApplication.clipboard()
    widget.copies.command.click()
    assert clipboard.text() == (
        "napari-unet segment IMAGE.tif --output IMAGE-cells.tif --model nuclei --diameter 9.5 --axes tyx"
    )
    assert "IMAGE.tif" in widget.status.text()
    layer._source = layer.source.model_copy(update={"path": "/data/movie.tif"})
    widget.copies.python.click()
    assert clipboard.text().splitlines()[2:] == [
        "image = napari_unet.read_image('/data/movie.tif', axes='tyx')",
        "result = napari_unet.segment(image, model='nuclei', diameter=9.5)",
    ]
    assert widget.status.text() == "Copied."
    other = viewer.add_image(np.zeros((5, 16, 20)))  # as if the reader had made a layer of each channel
    other._source = layer.source
    widget.copies.command.click()
    assert "movie" not in clipboard.text()


def test_the_preset_is_a_widget_class() -> None:
    assert issubclass(docks.cells, SegmentWidget)


class TestWindow:
    """With a real window, as the menu opens it."""

    def open(self, make_napari_viewer: Any, engine: FakeEngine) -> tuple[Any, SegmentWidget]:
        viewer = make_napari_viewer()
        viewer.add_image(np.zeros((200, 20)), name="image")
        widget = SegmentWidget(viewer, engine=engine)
        viewer.window.add_dock_widget(widget, name="Cells")
        return viewer, widget

    def test_closing_the_viewer_stops_the_run(self, make_napari_viewer: Any, qtbot: QtBot) -> None:
        engine = FakeEngine(rows=100, pause=0.02)
        viewer, widget = self.open(make_napari_viewer, engine)
        widget.run()
        qtbot.waitUntil(lambda: "of 100" in widget.status.text())
        viewer.close()
        qtbot.waitUntil(engine.closed.is_set)
        qtbot.waitUntil(lambda: not jobs())

    def test_closing_the_window_stops_the_run(self, make_napari_viewer: Any, qtbot: QtBot) -> None:
        engine = FakeEngine(rows=100, pause=0.02)
        viewer, widget = self.open(make_napari_viewer, engine)
        widget.run()
        qtbot.waitUntil(lambda: "of 100" in widget.status.text())
        viewer.window.close()
        qtbot.waitUntil(engine.closed.is_set)
        qtbot.waitUntil(lambda: not jobs())

    def test_the_menu_opens_it(
        self, make_napari_viewer: Any, npe2pm: Any, monkeypatch: pytest.MonkeyPatch, engine: FakeEngine
    ) -> None:
        monkeypatch.setattr(segment.workflows, "list_models", engine.list_models)
        manifest = PluginManifest.from_file(Path(segment.__file__).parents[1] / "napari.yaml")
        with npe2pm.tmp_plugin(manifest=manifest):
            viewer = make_napari_viewer()
            viewer.add_image(np.zeros((200, 20)), name="image")
            for entry in manifest.contributions.widgets:
                _dock, widget = viewer.window.add_plugin_dock_widget(manifest.name, entry.display_name)
                assert widget.viewer == viewer
                assert widget.findChildren(LayerBox) or entry.display_name == "Models"

    def test_removing_the_dock_stops_the_run(self, make_napari_viewer: Any, qtbot: QtBot) -> None:
        engine = FakeEngine(rows=100, pause=0.02)
        viewer, widget = self.open(make_napari_viewer, engine)
        widget.run()
        qtbot.waitUntil(lambda: "of 100" in widget.status.text())
        viewer.window.remove_dock_widget(widget)
        assert "image cells" not in viewer.layers
        qtbot.waitUntil(engine.closed.is_set)
        gone = weakref.ref(widget)
        widget = None  # the last one who holds it

        def collected() -> bool:
            gc.collect()
            return gone() is None

        qtbot.waitUntil(collected)
        viewer.add_image(np.zeros((8, 8)))  # reaches no deleted list
