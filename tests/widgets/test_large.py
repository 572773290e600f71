"""Labels that go to disk: a layer at once, what is looked at first, bounded memory, and every stop can go on."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QTimer

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.results import Piece, Segmentation
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import Progress, Steps
from napari_unet.widgets import _place
from napari_unet.widgets._layers import layer_image
from napari_unet.widgets._looking import seen
from napari_unet.widgets._sheet import Sheet
from napari_unet.widgets.segment import SegmentWidget

from .conftest import FakeEngine, jobs

Make = Callable[..., SegmentWidget]


def truth(shape: tuple[int, ...]) -> np.ndarray:
    """Squares of seven pixels with a number each, in the last two axes."""
    rows, columns = (np.arange(n, dtype=np.int32) // 7 for n in shape[-2:])
    plane = rows[:, None] * (columns[-1] + 1) + columns + 1
    planes = np.arange(np.prod(shape[:-2], dtype=int)).reshape((*shape[:-2], 1, 1)) * plane.max()
    return (plane + planes).astype(np.int32)


class StoringEngine(FakeEngine):
    """Shows pieces of ones, then writes squares; goes on where it was, as the real one does."""

    def __init__(self, side: int = 128, pause: float = 0.0, error: BaseException | None = None) -> None:
        super().__init__(pause=pause, error=error)
        self.side = side
        self.given: dict[str, Any] = {}
        self.views: list[Any] = []
        self.done: set[Any] = set()
        self.choose_place, self.open_pyramid = workflows.choose_place, workflows.open_pyramid
        self.is_unfinished = workflows.is_unfinished

    def tiles(self, shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
        cuts = [[slice(a, min(a + self.side, n)) for a in range(0, n, self.side)] for n in shape[-2:]]
        yield from itertools.product(*(range(n) for n in shape[:-2]), *cuts)

    def segment_steps(self, image: Image, spec: SegmentSpec | None = None, **given: Any) -> Steps[Segmentation]:
        if "output" not in given:
            return (yield from super().segment_steps(image, spec))
        self.closed.clear()
        self.image, self.spec, self.given = image, spec, given
        shape, scale, units = image.along(image.label_axes)
        folder, output = Path(f"{given['output']}.unfinished"), given["output"]
        try:
            yield Progress(0, 0, "Loading the model")
            folder.mkdir(exist_ok=True)
            (folder / "manifest.json").write_text("{}")
            tiles = [index for index in self.tiles(shape) if str(index) not in self.done]
            yield Progress(0, len(tiles), "Going on")
            for number, index in enumerate(tiles):
                self.go.wait(10)
                time.sleep(self.pause)
                self.views.append(given["preview"]())
                if self.error is not None and number == 2:
                    raise self.error
                part = [n.stop - n.start for n in index if isinstance(n, slice)]
                self.done.add(str(index))
                yield Progress(number + 1, len(tiles), "Finding objects", Piece(index, np.ones(part, np.int32)))
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
            workflows.write_labels(
                output, Image(truth(shape), image.label_axes, scale, units), {"model": "nuclei"}, None, True
            )
            labels = workflows.read_labels(output)
            table = {"index": np.array([1, 2]), "area": np.array([3.0, 4.0])}
            return Segmentation(labels, 2, 23.5, 0.1, {"model": "nuclei", "sha256": "0"}, table)
        finally:
            self.closed.set()


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "labels.ome.zarr"


@pytest.fixture
def make(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, place: Path) -> Make:
    """Return a function that opens the dock with a place for the labels."""
    errors: list[str] = []
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", errors.append)

    def build(viewer: Any, engine: Any) -> SegmentWidget:
        widget = SegmentWidget(viewer, engine=engine)
        qtbot.addWidget(widget)
        widget.place.line.setText(str(place))
        widget.errors = errors
        return widget

    return build


def finish(qtbot: QtBot, widget: SegmentWidget) -> Any:
    widget.run()
    assert widget.job is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.job is None, timeout=30_000)
    assert not widget.errors
    return widget.viewer.layers[-1]


def test_without_a_place_labels_stay_in_memory(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((1200, 900), np.uint8))
    widget = make(viewer, StoringEngine())
    widget.place.line.clear()
    assert widget.place.hint.isHidden()
    layer = finish(qtbot, widget)
    assert isinstance(layer.data, np.ndarray)
    assert layer.editable


def test_a_large_image_gets_a_place(
    make: Make, viewer: ViewerModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_place, "is_large", lambda image: image.shape[0] > 100)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "home"))
    layer = viewer.add_image(np.zeros((200, 90), np.uint8), name="my slide")
    layer._source = layer.source.model_copy(update={"path": str(tmp_path / "slide.ome.tif")})
    widget = SegmentWidget(viewer, engine=StoringEngine())
    assert widget.place.line.text() == str(tmp_path / "slide-cells.ome.zarr")
    assert "Large" in widget.place.hint.text()
    widget.place.line.setText("mine.ome.zarr")
    widget._choose_place()
    assert widget.place.line.text() == "mine.ome.zarr"  # still the same image
    viewer.add_image(np.zeros((50, 90), np.uint8))
    widget.images.setCurrentIndex(0)
    assert not widget.place.line.text()
    viewer.add_image(np.zeros((300, 90), np.uint8), name="loose")
    widget.images.setCurrentIndex(0)
    assert widget.place.line.text().endswith("loose-cells.ome.zarr")
    assert Path(widget.place.line.text()).parent.name == "labels"
    widget.deleteLater()


@pytest.mark.parametrize(
    ("text", "name", "streams"),
    [
        ("a.ome.zarr", "a.ome.zarr", True),
        ("a.zarr", "a.zarr", True),
        ("a", "a.ome.zarr", True),
        ("a.cells", "a.cells.ome.zarr", True),
        ("a.TIF", "a.TIF", False),
        ("a.gpkg", "a.gpkg", False),
        ("a.zip", "a.zip", False),
    ],
)
def test_names(make: Make, viewer: ViewerModel, text: str, name: str, streams: bool) -> None:
    widget = make(viewer, StoringEngine())
    widget.place.line.setText(text)
    found = widget.place.place
    assert found is not None
    assert (found.path, found.streams, found.overwrite) == (Path(name).absolute(), streams, False)


def test_what_is_there_can_be_replaced(make: Make, viewer: ViewerModel, place: Path, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((600, 20), np.uint8))
    engine = StoringEngine()
    widget = make(viewer, engine)
    assert widget.place.replace.isHidden()
    place.mkdir()
    widget.place.look()
    assert not widget.place.replace.isHidden()
    assert "Something is there" in widget.place.hint.text()
    widget.place.replace.setChecked(True)
    finish(qtbot, widget)
    assert engine.given["overwrite"] is True
    assert engine.given["output"] == place


CASES = {
    "2D": ((1300, 900), {}, (1300, 900)),
    "movie": ((3, 600, 120), {"axis_labels": ("t", "y", "x")}, (3, 600, 120)),
    "channels in front": ((2, 600, 120), {"axis_labels": ("c", "y", "x")}, (600, 120)),
    "channels in the middle": ((3, 2, 600, 120), {"axis_labels": ("t", "c", "y", "x")}, (3, 2, 600, 120)),
    "color": ((600, 120, 3), {"rgb": True}, (600, 120)),
    "one level": ((3, 60, 70), {"axis_labels": ("z", "y", "x")}, (3, 60, 70)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_layer_is_there_at_once_and_right_at_the_end(
    make: Make, viewer: ViewerModel, qtbot: QtBot, case: str, place: Path
) -> None:
    shape, options, expected = CASES[case]
    source = viewer.add_image(np.zeros(shape, np.uint8), name="image", **options)
    engine = StoringEngine()
    engine.go.clear()
    widget = make(viewer, engine)
    widget.run()
    layer = viewer.layers["image cells"]
    assert layer.multiscale == (case != "one level")
    assert not layer.editable
    assert layer.data.shape == expected
    assert layer.axis_labels == (source.axis_labels[1:] if case == "channels in front" else source.axis_labels)
    finest = layer.data[0] if layer.multiscale else layer.data
    engine.go.set()
    qtbot.waitUntil(lambda: widget.job is None, timeout=30_000)
    assert not widget.errors
    assert str(place) in widget.status.text()
    assert viewer.layers[-1] is layer
    assert not layer.editable
    labels = truth(tuple(n for n, a in zip(shape, engine.image.axes, strict=True) if a != "c"))
    shown = labels[:, None].repeat(2, 1) if case == "channels in the middle" else labels
    np.testing.assert_array_equal(np.asarray(finest), shown)
    if layer.multiscale:
        for level, steps in zip(layer.data, layer.downsample_factors.round().astype(int), strict=True):
            np.testing.assert_array_equal(np.asarray(level), shown[tuple(slice(None, None, s) for s in steps)])
    assert list(layer.features["index"]) == [1, 2]
    record = layer.metadata["napari-unet"]
    assert (record["model"], record["folder"]) == ("nuclei", str(place))
    back = layer_image(layer, record["axes"])  # as the docks that measure and track see it
    assert back.axes == engine.image.label_axes
    np.testing.assert_array_equal(np.asarray(back.data), labels)


def test_the_layer_fills_while_the_run_goes_on(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((1024, 1024), np.uint8), name="image")
    engine = StoringEngine(side=256, pause=0.1)
    widget = make(viewer, engine)
    widget.run()
    layer = viewer.layers["image cells"]
    drawn: list[tuple[float, int]] = []
    layer.events.set_data.connect(
        lambda event: drawn.append((time.monotonic(), int(np.count_nonzero(layer._slice.image.raw))))
    )
    qtbot.waitUntil(lambda: widget.job is None, timeout=30_000)
    partly = [(at, n) for at, n in drawn if 0 < n < layer.data[-1].size]
    assert len({n for _, n in partly}) > 2
    assert all(b[0] - a[0] > 0.19 for a, b in itertools.pairwise(partly))


def test_drawing_never_waits_for_the_disk_but_reading_does(
    make: Make, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.widgets._sheet._IN_MEMORY", 600**2 + 300**2)  # not the finest level
    viewer.add_image([np.zeros((n, n), np.uint8) for n in (1200, 600)], name="image")
    layer = finish(qtbot, make(viewer, StoringEngine(side=600)))
    levels = layer.data[0]._sheet.levels
    read: list[Any] = []
    before = levels._read_stored
    levels._read_stored = lambda *given: read.append(threading.current_thread()) or before(*given)
    layer._data_level = 0
    layer.corner_pixels = np.array([[200, 100], [1099, 999]])
    layer.refresh()
    assert threading.main_thread() not in read
    labels = truth((1200, 1200))
    coarse = labels[::2, ::2].repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(layer._slice.image.raw, coarse[200:1100, 100:1000])
    qtbot.waitUntil(lambda: np.array_equal(layer._slice.image.raw, labels[200:1100, 100:1000]), timeout=10_000)
    assert read
    assert threading.main_thread() not in read
    np.testing.assert_array_equal(np.asarray(layer.data[0][500:600, 10:20]), labels[500:600, 10:20])
    assert read[-1] is threading.main_thread()


def test_cancel_leaves_a_run_that_goes_on(make: Make, viewer: ViewerModel, qtbot: QtBot, place: Path) -> None:
    viewer.add_image(np.zeros((1024, 1024), np.uint8), name="image")
    engine = StoringEngine(pause=0.05)
    widget = make(viewer, engine)
    widget.run()
    qtbot.waitUntil(lambda: len(engine.done) > 10, timeout=30_000)
    start = time.monotonic()
    widget.stop.click()
    assert widget.status.text() == "Stopped. Run goes on where it was."
    assert "goes on" in widget.place.hint.text()
    assert [y.name for y in viewer.layers] == ["image"]
    engine.go = threading.Event()  # what runs next waits, so that only what was done before can be seen
    widget.run()  # at once: the last run is not over yet
    layer = viewer.layers["image cells"]
    qtbot.waitUntil(lambda: bool(layer._slice.image.raw.any()), timeout=10_000)
    assert engine.closed.is_set() or time.monotonic() - start < 10
    seen_before = int(np.count_nonzero(layer._slice.image.raw))
    assert 0 < seen_before < layer._slice.image.raw.size
    engine.go.set()
    qtbot.waitUntil(lambda: widget.job is None, timeout=30_000)
    np.testing.assert_array_equal(np.asarray(layer.data[0]), truth((1024, 1024)))
    assert not widget.errors


def test_a_run_begins_when_the_last_one_is_over(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((600, 20), np.uint8), name="image")
    engine = StoringEngine(pause=0.5)
    widget = make(viewer, engine)
    widget.run()
    qtbot.waitUntil(lambda: bool(engine.views))
    widget.cancel()
    other = StoringEngine()
    widget.engine = other
    widget.run()
    qtbot.waitUntil(lambda: other.image is not None)
    assert engine.closed.is_set()
    qtbot.waitUntil(lambda: widget.job is None)


def test_an_error_is_shown_and_nothing_stays(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((1024, 1024), np.uint8), name="image")
    widget = make(viewer, StoringEngine(error=RuntimeError("no space")))
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None)
    assert widget.errors == ["RuntimeError: no space"]
    assert [y.name for y in viewer.layers] == ["image"]


def test_one_file_one_layer(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((600, 20), np.uint8), name="image")
    widget = make(viewer, StoringEngine())
    first = finish(qtbot, widget)
    widget.engine = StoringEngine()
    second = finish(qtbot, widget)
    assert first not in viewer.layers
    assert second in viewer.layers


def test_what_is_looked_at_reaches_the_engine(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.zeros((4, 1024, 1024), np.uint8), name="image", axis_labels=("t", "y", "x"))
    viewer.dims.set_point(0, 2)
    engine = StoringEngine(side=256, pause=0.03)
    widget = make(viewer, engine)
    widget.run()
    qtbot.waitUntil(lambda: any(engine.views), timeout=30_000)
    assert next(v for v in engine.views if v)["t"] == slice(2, 3)
    viewer.dims.set_point(0, 3)
    qtbot.waitUntil(lambda: engine.views[-1]["t"] == slice(3, 4), timeout=30_000)
    qtbot.waitUntil(lambda: widget.job is None, timeout=30_000)


class TestSeen:
    """The part of a layer that is on the screen, in pixels of its finest level."""

    def layer(self, viewer: ViewerModel, shape: tuple[int, ...], **options: Any) -> Any:
        levels = [np.zeros(shape, int), np.zeros((*shape[:-2], shape[-2] // 4, shape[-1] // 4), int)]
        return viewer.add_labels(levels, **options)

    def test_zoomed(self, viewer: ViewerModel) -> None:
        layer = self.layer(viewer, (400, 800))
        layer._data_level = 1
        layer.corner_pixels = np.array([[10, 20], [29, 59]])
        assert seen(viewer, layer, "yx") == {"y": slice(40, 120), "x": slice(80, 240)}

    def test_time_and_depth(self, viewer: ViewerModel) -> None:
        layer = self.layer(viewer, (3, 5, 40, 80), scale=(1, 2, 0.5, 0.5))
        viewer.dims.set_point((0, 1), (2, 6))
        assert seen(viewer, layer, "tzyx") == {
            "t": slice(2, 3), "z": slice(3, 4), "y": slice(0, 40), "x": slice(0, 80)
        }  # fmt: skip

    def test_in_3d_everything_is_seen(self, viewer: ViewerModel) -> None:
        layer = self.layer(viewer, (3, 5, 40, 80))
        viewer.dims.ndisplay = 3
        assert seen(viewer, layer, "tzyx")["z"] == slice(0, 5)

    def test_channels_are_left_out(self, viewer: ViewerModel) -> None:
        layer = viewer.add_labels(np.zeros((3, 40, 80), int))
        assert set(seen(viewer, layer, "cyx")) == {"y", "x"}

    def test_other_layers_have_more_dimensions(self, viewer: ViewerModel) -> None:
        layer = self.layer(viewer, (40, 80))
        viewer.add_image(np.zeros((7, 40, 80)))
        viewer.dims.set_point(0, 4)
        assert seen(viewer, layer, "yx") == {"y": slice(0, 40), "x": slice(0, 80)}


class TestView:
    """Labels that are not loaded behave as those that are."""

    VALUES = np.random.default_rng(0).integers(0, 99, (4, 600, 70), np.int32)

    def view(self, monkeypatch: pytest.MonkeyPatch, channels: tuple[int, int] | None = None) -> Any:
        monkeypatch.setattr("napari_unet.widgets._sheet._IN_MEMORY", 0)
        sheet = Sheet(Image(np.zeros(self.VALUES.shape, np.uint8), "tyx"), channels)

        class Levels:
            def read(self, level: int, window: Any) -> Any:
                return TestView.VALUES[window].copy()

        sheet.levels = Levels()
        return sheet.arrays[0]

    @pytest.mark.parametrize(
        "key",
        [
            (), 2, -1, (slice(None), 3), (1, slice(10, 20), slice(5, None)), (..., 4), (0, ..., slice(2, 3)), (1, 2, 3),
            (slice(1, 3), slice(None, None, 7), slice(60, 10_000)), slice(3, 3), (slice(None), slice(-50, -3, 2)),
        ],
        ids=str,
    )  # fmt: skip
    def test_indexing(self, monkeypatch: pytest.MonkeyPatch, key: Any) -> None:
        view = self.view(monkeypatch)
        assert (view.shape, view.ndim, view.size, view.dtype) == ((4, 600, 70), 3, self.VALUES.size, np.int32)
        np.testing.assert_array_equal(np.asarray(view[key]), self.VALUES[key])
        inner = view[1:, 50:500][:, 3:, ::2]
        np.testing.assert_array_equal(np.asarray(inner[0, 5]), self.VALUES[1:, 50:500][:, 3:, ::2][0, 5])

    @pytest.mark.parametrize(
        "key", [(slice(None), 1), (2, 0), (slice(1, 3), slice(0, 2)), (0, slice(1, 3), 5), (..., 7)], ids=str
    )
    def test_channels(self, monkeypatch: pytest.MonkeyPatch, key: Any) -> None:
        view = self.view(monkeypatch, (1, 3))
        repeated = self.VALUES[:, None].repeat(3, 1)
        assert view.shape == repeated.shape
        np.testing.assert_array_equal(np.asarray(view), repeated)
        np.testing.assert_array_equal(np.asarray(view[key]), repeated[key])

    def test_what_cannot_be(self, monkeypatch: pytest.MonkeyPatch) -> None:
        view = self.view(monkeypatch)
        for key in ([1, 2], slice(None, None, -1), np.zeros((4, 600, 70), bool)):
            with pytest.raises(IndexError, match="asarray"):
                view[key]
        with pytest.raises(IndexError):
            view[4]
        with pytest.raises(IndexError):
            view[0, 0, 0, 0]
        assert len(list(view)) == 4
        assert np.asarray(view[0], np.float32).dtype == np.float32
        assert int(view[1, 2, 3]) == self.VALUES[1, 2, 3]


def memory() -> int:
    """Return the resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say what is resident")
def test_a_virtual_slide_of_ten_gigapixels(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    """The main thread is never busy for long, and memory stays where it was."""

    class Endless(StoringEngine):
        def tiles(self, shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
            for number in range(10_000):
                y, x = (50_000 + 1024 * (n - 7) for n in divmod(number % 210, 15))
                yield slice(y, y + 1024), slice(x, x + 1024)

    shapes = [100_000 >> level for level in range(9)]
    viewer.add_labels(np.ones((9, 9), int))  # the first labels of a session are compiled for
    viewer.add_image(
        [np.broadcast_to(np.uint8(0), (n, n)) for n in shapes], multiscale=True, contrast_limits=(0, 1), name="slide"
    )
    widget = make(viewer, Endless())
    beats: list[float] = []
    last = [time.thread_time()]

    def beat() -> None:
        now = time.thread_time()
        beats.append(now - last[0])
        last[0] = now

    timer = QTimer()
    timer.timeout.connect(beat)
    timer.start(10)
    before, start = memory(), time.monotonic()
    widget.run()
    layer = viewer.layers["slide cells"]
    assert time.monotonic() - start < 2
    assert layer.data.shape == (100_000, 100_000)
    qtbot.waitUntil(lambda: bool(layer._slice.image.raw.any()), timeout=5000)
    layer._data_level = 0
    layer.corner_pixels = np.array([[50_000, 50_000], [51_800, 52_800]])
    layer.refresh()
    last[0] = time.thread_time()
    beats.clear()
    qtbot.waitUntil(lambda: len(widget.engine.done) == 210, timeout=60_000)
    qtbot.waitUntil(lambda: bool((layer._slice.image.raw == 1).all()), timeout=20_000)
    assert memory() - before < 500 << 20
    # A few of some hundred beats may fall together with what the interpreter does now and then for itself, or with what
    # another program does on the same core.
    assert sorted(beats)[-4] < 0.1
    assert max(beats) < 0.3
    timer.stop()
    widget.cancel()
    qtbot.waitUntil(lambda: not jobs())


def test_real_labels_are_those_of_a_run_in_memory(
    make: Make, viewer: ViewerModel, qtbot: QtBot, bright: Path, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(bright.parent))
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:700, :600]
    spots = ((y % 16 - 8) ** 2 + (x % 16 - 8) ** 2 < 33) & (
        rng.random((44, 38)).repeat(16, 0).repeat(16, 1)[:700, :600] > 0.4
    )
    data = (rng.normal(1000, 60, y.shape) + 3000 * spots).astype(np.uint16)
    viewer.add_image(data, name="image", scale=(0.5, 0.5), units=("um", "um"))
    widget = make(viewer, workflows)
    widget.models.setCurrentIndex(widget.models.findData("bright"))
    widget.diameter.setValue(12)
    widget.settings.fields["tiling.tile"].value = 128
    widget.settings.fields["device"].value = "cpu"
    layer = finish(qtbot, widget)
    widget.place.line.clear()
    plain = finish(qtbot, widget)
    assert plain.data.max() > 100
    np.testing.assert_array_equal(np.asarray(layer.data[0]), plain.data)
    assert layer.metadata["napari-unet"]["labels_hash"] == plain.metadata["napari-unet"]["labels_hash"]
    assert list(layer.features["area"]) == list(plain.features["area"])
    assert tuple(layer.scale) == (0.5, 0.5)
    assert not Path(f"{place}.unfinished").exists()
    widget.place.line.setText(str(place))
    assert "Something is there" in widget.place.hint.text()
    again = finish(qtbot, widget)  # verified, not computed
    np.testing.assert_array_equal(np.asarray(again.data[0]), plain.data)


class TestWindow:
    """With a real window: whichever way it closes, the run stops and can go on."""

    def open(self, make_napari_viewer: Any, place: Path) -> tuple[Any, SegmentWidget]:
        viewer = make_napari_viewer()
        viewer.add_image(np.zeros((1024, 1024), np.uint8), name="image")
        widget = SegmentWidget(viewer, engine=StoringEngine(pause=0.05))
        widget.place.line.setText(str(place))
        viewer.window.add_dock_widget(widget, name="Cells")
        return viewer, widget

    @pytest.mark.parametrize("what", ["viewer", "window", "dock"])
    def test_closing_stops_a_run_that_can_go_on(
        self, make_napari_viewer: Any, qtbot: QtBot, place: Path, what: str
    ) -> None:
        viewer, widget = self.open(make_napari_viewer, place)
        engine = widget.engine
        widget.run()
        qtbot.waitUntil(lambda: len(engine.done) > 3, timeout=30_000)
        if what == "viewer":
            viewer.close()
        elif what == "window":
            viewer.window.close()
        else:
            viewer.window.remove_dock_widget(widget)
            assert "image cells" not in viewer.layers
        start = time.monotonic()  # the window takes its own time
        qtbot.waitUntil(engine.closed.is_set)
        qtbot.waitUntil(lambda: not jobs())
        assert time.monotonic() - start < 1
        assert len(engine.done) < 64
        assert workflows.is_unfinished(place)
        assert not place.exists()

    def test_a_real_run_is_over_within_a_second_and_goes_on(
        self, make_napari_viewer: Any, qtbot: QtBot, place: Path, bright: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NAPARI_UNET_MODELS", str(bright.parent))
        data = np.random.default_rng(0).integers(0, 4000, (768, 768)).astype(np.uint16)
        spec = SegmentSpec.of(model="bright", diameter=12.0, device="cpu", tiling={"tile": 64})
        expected = workflows.segment(Image(data, "yx"), spec).hash
        viewer = make_napari_viewer()
        viewer.add_image(data, name="image")
        widget = SegmentWidget(viewer)
        widget.place.line.setText(str(place))
        widget.models.setCurrentIndex(widget.models.findData("bright"))
        widget.diameter.setValue(12)
        widget.settings.fields["tiling.tile"].value = 64
        widget.settings.fields["device"].value = "cpu"
        viewer.window.add_dock_widget(widget, name="Cells")
        widget.run()
        qtbot.waitUntil(lambda: widget.bar.maximum() > 50 and widget.bar.value() > 3, timeout=60_000)
        viewer.close()
        start = time.monotonic()  # the window takes its own time
        while jobs():
            time.sleep(0.01)
        assert time.monotonic() - start < 1
        assert workflows.is_unfinished(place)
        assert workflows.segment(Image(data, "yx"), spec, output=place).hash == expected

    def test_the_canvas_says_what_is_looked_at(self, make_napari_viewer: Any, qtbot: QtBot, place: Path) -> None:
        viewer, widget = self.open(partial(make_napari_viewer, show=True), place)
        widget.run()
        layer = viewer.layers["image cells"]
        qtbot.waitUntil(lambda: seen(viewer, layer, "yx")["y"].stop == 1024)
        camera = getattr(viewer, "scene", viewer).camera  # which moved in napari 0.9
        camera.center, camera.zoom = (0, 700, 300), 8
        qtbot.waitUntil(lambda: seen(viewer, layer, "yx")["y"].start > 0, timeout=10_000)
        view = seen(viewer, layer, "yx")
        assert view["y"].start <= 700 < view["y"].stop < 1024
        assert view["x"].start <= 300 < view["x"].stop < 1024
        camera.zoom = 80  # napari keeps what it has loaded; that is no longer what is seen
        qtbot.wait(300)
        near = seen(viewer, layer, "yx")
        for axis, at in (("y", 700), ("x", 300)):
            assert view[axis].start < near[axis].start <= at < near[axis].stop < view[axis].stop
        widget.cancel()
        qtbot.waitUntil(lambda: not jobs())
