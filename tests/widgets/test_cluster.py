"""The rows for a cluster: what is asked of it, what is refused before, and what is seen of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QGuiApplication

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import ClusterError, UNetError
from napari_unet.core.results import Segmentation
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import Progress, Steps
from napari_unet.core.workers import Workers
from napari_unet.widgets.segment import SegmentWidget

from .test_large import StoringEngine


class ClusterEngine(StoringEngine):
    """Says that three workers are there."""

    def on_cluster_steps(
        self, make: Callable[..., Steps[Segmentation]], scheduler: str, workers: int, note: Callable[[Workers], None]
    ) -> Steps[Segmentation]:
        self.asked = scheduler, workers
        note(Workers(3, 6, 2**30, 2**33, 12.34, "http://there:8787/status"))
        return (yield from make(client="connected"))


@pytest.fixture
def dock(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SegmentWidget:
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", lambda _text: None)
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((300, 200), np.uint8), name="slide")
    layer._source = layer.source.model_copy(update={"path": str(tmp_path / "slide.zarr")})
    widget = SegmentWidget(viewer, engine=ClusterEngine())
    qtbot.addWidget(widget)
    widget.place.line.setText(str(tmp_path / "labels.ome.zarr"))
    return widget


def finish(qtbot: QtBot, widget: SegmentWidget) -> Any:
    widget.run()
    assert widget.job is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.job is None, timeout=30_000)
    return widget.engine


def test_a_run_on_a_cluster(dock: SegmentWidget, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dock.cluster.address.setText(" tcp://there:8786 ")
    assert not dock.cluster.local.isEnabled()
    engine = dock.engine
    engine.go.clear()
    dock.run()
    assert not dock.cluster.address.isEnabled()
    qtbot.waitUntil(lambda: bool(dock.cluster.seen.text()), timeout=10_000)
    assert dock.cluster.seen.text() == "At work: 3 workers, 6 threads, 1.07 GB of 8.59 GB memory, 12.3 bricks/s"
    opened: list[str] = []
    monkeypatch.setattr("napari_unet.widgets._cluster.QDesktopServices.openUrl", lambda url: opened.append(url.url()))
    dock.cluster.dashboard.click()
    assert opened == ["http://there:8787/status"]
    engine.go.set()
    qtbot.waitUntil(lambda: dock.job is None, timeout=30_000)
    assert engine.asked == ("tcp://there:8786", 0)
    assert engine.given["client"] == "connected"
    assert engine.image.source == str(tmp_path / "slide.zarr")
    assert dock.cluster.address.isEnabled()
    assert dock.cluster.seen.text() == ""
    assert len(dock.viewer.layers) == 2


def test_local_workers_and_none(dock: SegmentWidget, qtbot: QtBot) -> None:
    dock.cluster.local.setValue(2)
    assert finish(qtbot, dock).asked == ("", 2)
    dock.cluster.local.setValue(0)
    dock.engine.done.clear()
    assert "client" not in finish(qtbot, dock).given


def test_the_copied_command_names_the_cluster(dock: SegmentWidget) -> None:
    dock.cluster.local.setValue(2)
    dock.place.line.setText("")
    dock.copies.copy_command()
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None
    assert "--local-workers 2" in clipboard.text()
    assert "slide-cells.ome.zarr" in clipboard.text()


def test_what_workers_cannot_see_is_said_before_the_run(dock: SegmentWidget) -> None:
    dock.cluster.local.setValue(2)
    dock.place.line.setText("labels.tif")
    dock.run()
    assert dock.job is None
    assert "ends in .ome.zarr" in dock.status.text()
    dock.viewer.add_image(np.zeros((30, 20), np.uint8), name="loose")
    dock.images.setCurrentIndex(0)
    dock.run()
    assert dock.job is None
    assert "Workers cannot see this layer" in dock.status.text()


class Apart:
    """A run in another process, as the engine tells of it."""

    def __init__(self, folder: Path, order: dict[str, Any]) -> None:
        self.folder, self.order, self.state = folder, order, "running"

    @property
    def words(self) -> str:
        return f"labels.ome.zarr: {self.state}"

    def stop(self) -> None:
        self.state = "stopped"


class DrivingEngine(ClusterEngine):
    """Has runs that go on when nobody looks."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Apart] = []
        self.looked: list[str] = []
        self.refused: UNetError | None = None

    def start_run(
        self, image: Image, spec: SegmentSpec, output: Path, overwrite: bool, cluster: tuple[str, int]
    ) -> Apart:
        order = {"source": image.source, "axes": image.axes, "output": str(output), "spec": spec.model_dump()}
        self.runs.append(Apart(output, {**order, "cluster": cluster}))
        return self.runs[-1]

    def list_runs(self) -> list[Apart]:
        return self.runs

    def read_image(self, source: str, axes: str) -> Image:
        assert threading.current_thread() is not threading.main_thread()
        return Image(np.zeros((300, 200), np.uint8), axes, name="slide", source=source)

    def follow_run_steps(self, run: Apart, image: Image, note: Callable[[Workers], None]) -> Steps[Segmentation]:
        note(Workers(2, 2))
        yield from super().segment_steps(image, None, preview=lambda: None, output=Path(run.order["output"]))
        run.state = "finished"
        return Segmentation(workflows.read_labels(run.order["output"]), 2, 23.5, 0.1, {"model": "nuclei"}, {})

    def look_at_cluster_steps(self, scheduler: str) -> Steps[Workers]:
        self.looked.append(scheduler)
        yield Progress(0, 0)
        if self.refused is not None:
            raise self.refused
        return Workers(3, 6, 2**30, 2**33, 0.0, "http://there:8787/status")


@pytest.fixture
def driving(dock: SegmentWidget) -> SegmentWidget:
    dock.engine = DrivingEngine()
    return dock


def test_connect_says_who_is_there(driving: SegmentWidget, qtbot: QtBot) -> None:
    rows = driving.cluster
    assert not rows.connect.isEnabled()
    rows.address.setText("tcp://there:8786")
    rows.connect.click()
    assert not rows.connect.isEnabled()
    qtbot.waitUntil(lambda: "3 workers" in rows.seen.text(), timeout=10_000)
    assert not rows.dashboard.isHidden()
    driving.engine.refused = ClusterError("No scheduler answers at 'tcp://there:8786'.")
    rows.connect.click()
    qtbot.waitUntil(lambda: "No scheduler answers" in driving.status.text(), timeout=10_000)
    assert rows.dashboard.isHidden()
    assert rows.connect.isEnabled()
    assert driving.engine.looked == ["tcp://there:8786"] * 2


def test_a_run_goes_on_when_the_dock_is_closed_and_is_found_again(driving: SegmentWidget, qtbot: QtBot) -> None:
    engine = driving.engine
    driving.cluster.keep.setChecked(True)
    driving.cluster.local.setValue(2)
    engine.go.clear()
    driving.run()
    qtbot.waitUntil(lambda: bool(engine.runs), timeout=10_000)
    driving.cancel()  # as closing does
    (run,) = engine.runs
    assert run.state == "running"
    assert run.order["cluster"] == ("", 2)
    engine.go.set()
    assert engine.closed.wait(10)

    again = SegmentWidget(ViewerModel(), engine=engine)
    qtbot.addWidget(again)
    again.cluster.runs.show_runs([(run, run.order, run.state, run.words)])
    assert again.cluster.runs.list.currentText() == "labels.ome.zarr: running"
    again.cluster.runs.again.click()
    qtbot.waitUntil(lambda: run.state == "finished" and again.job is None, timeout=30_000)
    image, labels = again.viewer.layers
    assert image.metadata["napari-unet"]["file"] == run.order["source"]
    assert int(np.asarray(labels.data[0] if labels.multiscale else labels.data).max()) > 1
    # Once more: the image is there already.
    again.cluster.runs.show_runs([(run, run.order, run.state, run.words)])
    again.cluster.runs.again.click()
    qtbot.waitUntil(lambda: again.job is None and len(again.viewer.layers) == 2, timeout=30_000)
    assert image in again.viewer.layers


def test_a_run_is_shown_with_its_own_settings_and_not_with_those_of_the_dock(
    driving: SegmentWidget, qtbot: QtBot
) -> None:
    engine = driving.engine
    driving.cluster.keep.setChecked(True)
    driving.cluster.local.setValue(2)
    driving.settings.fields["threshold"].value = "0.7"
    driving.settings.fields["tiling.tile"].value = 512
    driving.diameter.setValue(23)
    driving.run()
    qtbot.waitUntil(lambda: driving.job is None, timeout=30_000)
    (run,) = engine.runs
    other = Apart(
        run.folder / "other", run.order | {"spec": {"model": ["a", "b"], "confidence": True}, "cluster": None}
    )

    again = SegmentWidget(ViewerModel(), engine=engine)
    qtbot.addWidget(again)
    again.settings.fields["threshold"].value = "0.2"
    rows = again.cluster.runs
    assert rows.settings.isHidden()
    rows.show_runs([(each, each.order, each.state, each.words) for each in (run, other)])
    rows.again.click()
    qtbot.waitUntil(lambda: again.job is None and len(again.viewer.layers) == 2, timeout=30_000)
    text = rows.settings.text()
    for words in ("Model: nuclei", "Object width: 23.0", "Threshold: 0.7", "Tile size: 512", "Local workers: 2"):
        assert f" {words}" in text
    assert "0.2" not in text
    assert "is for the next run" in text
    assert again.settings.fields["threshold"].value == "0.2"  # what somebody has set stays
    rows.list.setCurrentIndex(1)
    assert "Model: a, b" in rows.settings.text()
    assert "Show confidence: yes. All else" in rows.settings.text()
    rows.show_runs([(other, {"spec": {"from": "another version"}}, "finished", "a run")])
    assert rows.settings.isHidden()


def test_labels_of_a_run_are_called_after_its_model(driving: SegmentWidget, qtbot: QtBot, tmp_path: Path) -> None:
    order = {"source": str(tmp_path / "slide.zarr"), "axes": "yx", "output": str(tmp_path / "labels.ome.zarr")}
    run = Apart(tmp_path, order | {"spec": {"model": "tumors"}, "cluster": ["", 0]})
    named = driving.models.noun_of
    driving.models.noun_of = lambda name: "lesions" if name == "tumors" else named(name)  # type: ignore[method-assign]
    rows = driving.cluster.runs
    rows.show_runs([(run, run.order, run.state, run.words)])
    rows.again.click()
    qtbot.waitUntil(lambda: run.state == "finished" and driving.job is None, timeout=30_000)
    assert "slide lesions" in driving.viewer.layers
    assert "2 lesions" in driving.status.text()


def test_cancel_ends_a_run_that_is_followed(driving: SegmentWidget, qtbot: QtBot) -> None:
    engine = driving.engine
    driving.cluster.keep.setChecked(True)
    engine.go.clear()
    driving.run()
    qtbot.waitUntil(lambda: driving.cluster.runs.shown is not None, timeout=10_000)
    driving.stop.click()
    assert engine.runs[0].state == "stopped"
    assert driving.job is None
    engine.go.set()


def test_runs_are_looked_for_while_they_are_on_the_screen(driving: SegmentWidget, qtbot: QtBot) -> None:
    rows = driving.cluster.runs
    driving.engine.runs.append(Apart(Path("here"), {}))
    assert not rows.end.isEnabled()
    rows.setParent(None)
    qtbot.addWidget(rows)
    rows.show()
    qtbot.waitUntil(lambda: rows.list.count() == 1, timeout=10_000)
    rows.end.click()
    assert driving.engine.runs[0].state == "stopped"
    qtbot.waitUntil(lambda: not rows.end.isEnabled(), timeout=10_000)
    rows.hide()
    assert rows._job is None


def test_an_object_store_is_a_place(driving: SegmentWidget) -> None:
    driving.place.line.setText("s3://bucket/a.ome.zarr")
    assert driving.place.place is not None
    assert driving.place.place.path == Path("s3://bucket/a.ome.zarr")
    assert driving.place.place.streams
    assert not driving.place.replace.isHidden()
    assert "object store" in driving.place.hint.text()
