"""The tracking dock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Tracks as TracksLayer
from pytestqt.qtbot import QtBot

from napari_unet import workflows
from napari_unet.core.errors import OutputError
from napari_unet.core.steps import Progress
from napari_unet.widgets.track import TrackWidget

Make = Callable[..., TrackWidget]


def movie() -> np.ndarray:
    """Return labels of a cell that divides and one that stays."""
    y, x = np.mgrid[:64, :64]
    labels = np.zeros((4, 64, 64), np.int32)
    for t in range(4):
        labels[t][np.hypot(y - 10, x - 10) < 4] = 9
        for i, column in enumerate([30] if t < 2 else [22, 38]):
            labels[t][np.hypot(y - 30, x - column) < (8 if t < 2 else 5.5)] = i + 1
    return labels


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.io.choosing.data_folder", lambda: tmp_path / "home")


@pytest.fixture
def viewer() -> ViewerModel:
    """Return a viewer with the labels of a movie."""
    viewer = ViewerModel()
    place = {"scale": (60, 0.5, 0.5), "translate": (0, 7, 8), "units": ("s", "um", "um")}
    viewer.add_labels(movie(), name="cells", **place)
    return viewer


@pytest.fixture
def make(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that opens the dock and remembers the notifications."""
    errors: list[str] = []
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", errors.append)

    def build(viewer: Any, engine: Any = workflows) -> TrackWidget:
        widget = TrackWidget(viewer, engine)
        qtbot.addWidget(widget)
        widget.errors = errors
        return widget

    return build


def finish(qtbot: QtBot, widget: TrackWidget) -> None:
    assert widget.job is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.job is None)


def test_tracks_lie_on_their_labels(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    labels = viewer.layers["cells"]
    before = labels.data.copy()
    widget = make(viewer)
    assert widget.axes.axes == "tyx"
    widget.run()
    finish(qtbot, widget)
    layer = viewer.layers["cells tracks"]
    assert isinstance(layer, TracksLayer)
    assert np.array_equal(layer.scale, labels.scale)
    assert np.array_equal(layer.translate, labels.translate)
    assert layer.units == labels.units
    assert layer.graph == {3: [1], 4: [1]}
    assert {"label", "area", "parent", "lineage", "track_id"} <= set(layer.features)
    values = [before[int(t), round(y), round(x)] for _, t, y, x in layer.data]
    assert values == layer.features["label"].tolist()
    assert np.array_equal(labels.data, before)
    assert widget.status.text().startswith("4 tracks in 2 lineages, 1 divisions. Cells are ")
    assert "µm wide and move" in widget.status.text() or "micrometer wide and move" in widget.status.text()


def test_tracks_that_are_made_twice_have_a_file_of_corrections_each(
    make: Make, viewer: ViewerModel, qtbot: QtBot
) -> None:
    widget, made = make(viewer), []
    for _ in range(2):
        widget.run()
        finish(qtbot, widget)
        made.append(widget.followed)
    first, second = made
    assert first is not None
    assert second is not None
    second.do("unlink", (1, 1), (2, 1))
    with pytest.raises(OutputError, match="another window or layer"):
        first.do("delete", (3, 9))
    assert first.edits.place != second.edits.place
    for one in made:
        assert workflows.correct(one.edits.base, one.edits.place)[0].done == one.edits.done


def test_corrections_hold_when_changed_masks_are_tracked_again(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    widget = make(viewer)
    widget.run()
    finish(qtbot, widget)
    made = widget.followed
    assert made is not None
    made.do("unlink", (1, 1), (2, 1))
    made.do("confirm", (1, 1), (2, 2))
    made.do("delete", (3, 9))
    made.do("split", (2, 9))
    labels = viewer.layers["cells"]
    labels.data[0, 50:58, 50:58] = 5
    labels.data[2][labels.data[2] == 9] = 7
    viewer.layers.remove(made.layer)
    widget.run()
    finish(qtbot, widget)
    again = widget.followed
    assert again is not None
    assert again is not made
    assert "3 links and cells that you corrected before stay so" in widget.status.text()
    assert "1 links and cells that you corrected could not be kept: masks are gone." in widget.status.text()
    assert again.edits.children((1, 1)) == [(2, 2)]
    assert again.row((3, 9)) is None
    assert again.row((0, 5)) is not None
    assert ((1, 1), (2, 1)) in again.edits.forbidden
    assert len(again.tracks.nodes["t"]) == len(again.layer.data)


@pytest.mark.parametrize(("choice", "values"), [("by track", [1, 2, 3, 4]), ("by lineage", [1, 2])])
def test_labels_are_colored_in_a_new_layer(
    make: Make, viewer: ViewerModel, qtbot: QtBot, choice: str, values: list[int]
) -> None:
    labels = viewer.layers["cells"]
    before = labels.data.copy()
    widget = make(viewer)
    widget.colors.setCurrentText(choice)
    widget.run()
    finish(qtbot, widget)
    colored = viewer.layers[f"cells {choice}"]
    assert np.unique(np.asarray(colored.data)).tolist() == [0, *values]
    assert np.array_equal(np.asarray(colored.data) > 0, before > 0)
    assert np.array_equal(colored.translate, labels.translate)
    assert np.array_equal(labels.data, before)
    assert [layer.name for layer in viewer.layers] == ["cells", f"cells {choice}", "cells tracks"]


def test_the_table_of_tracks_is_shown_and_saved(make: Make, viewer: ViewerModel, qtbot: QtBot, tmp_path: Path) -> None:
    widget = make(viewer)
    widget.colors.setCurrentText("no")
    widget.run()
    finish(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells tracks"]
    features = viewer.layers["cells tracks"].features
    assert {"generation", "lifetime", "speed", "children"} <= set(features)
    assert features["generation"].tolist() == [1] * 6 + [2] * 4
    path = tmp_path / "table.csv"
    widget.save_tracks(str(path), "table")
    finish(qtbot, widget)
    table = workflows.read_table(path)
    assert table["lifetime"].tolist() == [120, 240, 120, 120]
    assert table["parent"].tolist() == [0, 0, 1, 1]


def test_an_image_reaches_the_engine(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    image = np.random.default_rng(0).integers(0, 99, (4, 64, 64)).astype(np.uint8)
    viewer.add_image(image, name="light")
    seen: list[Any] = []

    class Engine:
        def track_steps(self, labels: Any, spec: Any, picture: Any, model: str = "") -> Any:
            seen.append(picture)
            return workflows.track_steps(labels, spec, picture, model)

        def __getattr__(self, name: str) -> Any:
            return getattr(workflows, name)

    widget = make(viewer, Engine())
    widget.image.setCurrentText("light")
    widget.run()
    finish(qtbot, widget)
    assert seen[0].axes == "tyx"
    assert "cells tracks" in viewer.layers


def test_settings_reach_the_engine(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    widget = make(viewer)
    widget.settings.fields["division"].value = False
    widget.run()
    finish(qtbot, widget)
    assert viewer.layers["cells tracks"].graph == {}
    widget.settings.fields["max_distance"].value = "near"
    widget.run()
    assert widget.job is None
    assert "max_distance" in widget.status.text()
    assert widget.errors == [widget.status.text()]


def test_the_table_is_saved(make: Make, viewer: ViewerModel, qtbot: QtBot, tmp_path: Path) -> None:
    widget = make(viewer)
    assert not widget.save.isEnabled()
    widget.run()
    finish(qtbot, widget)
    path = tmp_path / "tracks.csv"
    widget.save_tracks(str(path))
    finish(qtbot, widget)
    assert workflows.read_table(path)["track"].max() == 4


@pytest.mark.parametrize("name", ["a.csv", "a.geff", "a.xml", "folder"])
def test_tracks_are_saved_in_every_format_of_the_command(
    make: Make, viewer: ViewerModel, qtbot: QtBot, tmp_path: Path, name: str
) -> None:
    widget = make(viewer)
    widget.run()
    finish(qtbot, widget)
    widget.save_tracks(str(tmp_path / name))
    finish(qtbot, widget)
    assert widget.followed is not None
    assert workflows.read_tracks(tmp_path / name).tracks.counts == widget.followed.tracks.counts


@pytest.mark.parametrize(("axes", "index"), [("tzyx", (slice(None), None)), ("tcyx", (slice(None), None))])
def test_four_dimensions(make: Make, qtbot: QtBot, axes: str, index: Any) -> None:
    viewer = ViewerModel()
    viewer.add_labels(movie()[index], name="cells", metadata={"napari-unet": {"axes": axes}})
    widget = make(viewer)
    widget.run()
    finish(qtbot, widget)
    assert viewer.layers["cells tracks"].data.shape == (10, 5)
    assert not viewer.layers["cells tracks"].data[:, 2].any()


def test_labels_repeated_along_channels(make: Make, qtbot: QtBot) -> None:
    labels = movie()
    repeated = np.lib.stride_tricks.as_strided(
        labels, (4, 2, 64, 64), (labels.strides[0], 0, *labels.strides[1:]), writeable=False
    )
    viewer = ViewerModel()
    viewer.add_labels(repeated, name="cells", metadata={"napari-unet": {"axes": "tcyx"}})
    widget = make(viewer)
    widget.run()
    finish(qtbot, widget)
    assert viewer.layers["cells tracks"].graph == {3: [1], 4: [1]}


@pytest.mark.parametrize(("axes", "text"), [("zyx", "no time"), ("ytx", "time first"), ("yx", "3 dimensions")])
def test_axes_that_do_not_fit(make: Make, viewer: ViewerModel, qtbot: QtBot, axes: str, text: str) -> None:
    widget = make(viewer)
    widget.axes.line.setText(axes)
    widget.run()
    if widget.job is not None:
        finish(qtbot, widget)
    assert text in widget.status.text()
    assert len(viewer.layers) == 1


def test_nothing_to_follow(make: Make, qtbot: QtBot) -> None:
    widget = make(ViewerModel())
    assert "no labels" in widget.status.text()
    widget.run()
    assert widget.job is None
    viewer = ViewerModel()
    viewer.add_labels(np.zeros((2, 8, 8), int))
    widget = make(viewer)
    widget.run()
    finish(qtbot, widget)
    assert "empty" in widget.status.text()
    assert len(viewer.layers) == 1


class SlowEngine:
    """Reports a frame whenever it is let go on."""

    def __init__(self) -> None:
        self.go, self.closed = threading.Event(), threading.Event()

    def list_models(self) -> list[Any]:
        return []

    def track_steps(self, labels: Any, spec: Any, image: Any, model: str = "") -> Any:
        try:
            yield Progress(1, 4, "Reading frame 1 of 2")
            while True:
                self.go.wait(10)
                yield Progress(2, 4, "Reading frame 2 of 2")
        finally:
            self.closed.set()


def test_progress_and_cancel(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    engine = SlowEngine()
    widget = make(viewer, engine)
    widget.run()
    qtbot.waitUntil(lambda: "frame 1 of 2" in widget.status.text())
    assert (widget.bar.value(), widget.bar.maximum()) == (1, 4)
    widget.stop.click()
    assert widget.job is None
    assert widget.status.text() == "Stopped."
    engine.go.set()
    assert engine.closed.wait(5)
    assert len(viewer.layers) == 1


def test_labels_removed_meanwhile(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    engine = SlowEngine()
    widget = make(viewer, engine)
    widget.run()
    viewer.layers.remove("cells")
    finish(qtbot, widget)
    assert "removed" in widget.status.text()
    engine.go.set()
    assert engine.closed.wait(5)
