"""Samples open as layers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_unet.widgets import _samples

from .conftest import FakeEngine


def test_the_truth_of_a_movie_is_one_to_compare_with() -> None:
    layers = [Layer.create(*data) for data in _samples.bacteria_movie()]
    masks, tracks = layers[1].data, layers[2].data
    found = masks[tuple(np.rint(tracks[:, 1:]).astype(int).T)]
    assert (found == tracks[:, 0]).mean() > 0.9  # the middle of a bent rod may lie beside it


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
