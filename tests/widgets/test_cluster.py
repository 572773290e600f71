"""The rows for a cluster: what is asked of it, what is refused before, and what is seen of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet.core.results import Segmentation
from napari_unet.core.steps import Steps
from napari_unet.widgets.segment import SegmentWidget

from .test_large import StoringEngine


class ClusterEngine(StoringEngine):
    """Says that three workers are there."""

    def on_cluster_steps(
        self, make: Callable[..., Steps[Segmentation]], scheduler: str, workers: int, note: Callable[[int, str], None]
    ) -> Steps[Segmentation]:
        self.asked = scheduler, workers
        note(3, "http://there:8787/status")
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


def test_a_run_on_a_cluster(dock: SegmentWidget, qtbot: QtBot, tmp_path: Path) -> None:
    dock.cluster.address.setText(" tcp://there:8786 ")
    assert not dock.cluster.local.isEnabled()
    engine = dock.engine
    engine.go.clear()
    dock.run()
    assert not dock.cluster.address.isEnabled()
    qtbot.waitUntil(lambda: "3 workers at work" in dock.cluster.seen.text(), timeout=10_000)
    assert "http://there:8787/status" in dock.cluster.seen.text()
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
