"""Samples open as layers."""

from __future__ import annotations

import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_unet.widgets import _samples

from .conftest import FakeEngine


@pytest.mark.parametrize("make", [_samples.simulated_nuclei, _samples.immunohistochemistry])
def test_samples_are_layers(make: object, monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> None:
    monkeypatch.setattr(_samples.workflows, "sample", engine.sample, raising=False)
    viewer = ViewerModel()
    for data in make():
        viewer.add_layer(Layer.create(*data))
    layer = viewer.layers[0]
    assert layer.axis_labels == ("y", "x")
    assert tuple(layer.scale) == (0.5, 0.5)
    assert str(layer.units[0]) == "micrometer"
