"""Rings around objects in the measuring dock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet import workflows
from napari_unet.widgets import _around
from napari_unet.widgets.measure import MeasureWidget


@pytest.fixture
def viewer() -> ViewerModel:
    """Return a viewer with a stack in which two nuclei lie, and their labels."""
    viewer, labels = ViewerModel(), np.zeros((3, 40, 50), np.int32)
    labels[:, 10:16, 10:16], labels[1, 20:30, 19:30] = 4, 7
    place = {"scale": (2.0, 0.5, 0.5), "units": ("um",) * 3, "axis_labels": ("z", "y", "x"), "translate": (1, 2, 3)}
    viewer.add_image(np.random.default_rng(0).normal(100, 9, labels.shape), name="image", **place)
    viewer.add_labels(labels, name="nuclei", **place)
    return viewer


def measured(viewer: Any, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, around: str, shown: bool = True) -> Any:
    errors: list[str] = []
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", errors.append)
    widget = MeasureWidget(viewer)
    qtbot.addWidget(widget)
    widget.images.setCurrentIndex(1)
    widget.around.distance.setText(around)
    widget.around.shown.setChecked(shown)
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    return widget, errors


def test_rings_are_measured_and_shown(qtbot: QtBot, viewer: ViewerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    widget, errors = measured(viewer, qtbot, monkeypatch, "2 µm")
    assert not errors
    nuclei, rings = viewer.layers["nuclei"], viewer.layers["nuclei rings"]
    assert [layer.name for layer in viewer.layers] == ["image", "nuclei rings", "nuclei"]
    features = nuclei.features
    assert set(np.unique(rings.data)) == {0, 4, 7}
    assert not (np.asarray(rings.data)[np.asarray(nuclei.data) > 0]).any()
    np.testing.assert_allclose(features["ring_volume"], [(rings.data == n).sum() * 0.5 for n in (4, 7)])
    np.testing.assert_allclose(
        features["ring_intensity_mean"], [viewer.layers["image"].data[rings.data == n].mean() for n in (4, 7)]
    )
    assert features["cell_volume"].equals(features["volume"] + features["ring_volume"])
    for of in ("scale", "translate", "units", "axis_labels"):
        assert np.array_equal(getattr(rings, of), getattr(nuclei, of))
    assert widget.save.isEnabled()
    assert widget.labels.layer is nuclei
    # Once more: the layer is replaced, and a distance that reaches no neighboring plane has no ring there.
    measured(viewer, qtbot, monkeypatch, "1 µm")
    assert [layer.name for layer in viewer.layers] == ["image", "nuclei rings", "nuclei"]
    assert not viewer.layers["nuclei rings"].data[0, 20:30, 19:30].any()


def test_only_what_is_asked_for(qtbot: QtBot, viewer: ViewerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    widget, errors = measured(viewer, qtbot, monkeypatch, "2 µm", shown=False)
    assert not errors
    assert "ring_volume" in viewer.layers["nuclei"].features
    assert len(viewer.layers) == 2
    monkeypatch.setattr(_around, "_SHOWN_BYTES", 10)
    measured(viewer, qtbot, monkeypatch, "2 µm")
    assert len(viewer.layers) == 2, "large layers are not shown"
    widget, errors = measured(viewer, qtbot, monkeypatch, "far")
    assert "'far' is no distance" in widget.status.text()
    widget.what.setCurrentText("lesions")
    assert widget.around.isHidden()
    plain = workflows.measure(np.asarray(viewer.layers["nuclei"].data))
    measured(viewer, qtbot, monkeypatch, "")
    assert set(viewer.layers["nuclei"].features) >= set(plain)
    assert "ring_volume" not in viewer.layers["nuclei"].features
