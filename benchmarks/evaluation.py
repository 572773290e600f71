"""Scores and labels of annotated fields, through the engine itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_unet.core.axes import Image
from napari_unet.core.specs import NetSpec, NormalizeSpec, load_task
from napari_unet.nets import halo, multiple
from napari_unet.tiling.statistics import measure_statistics
from napari_unet.tiling.stream import Plan, score_plane


def score_field(image: Image, predict: Any, factor: float, net: NetSpec | None = None) -> Any:
    """Return the uint8 scores ``(k, y, x)`` of an image at a fixed magnification, on its own grid."""
    net = net or load_task("cell").net
    plane = image.planes(2)[0]
    statistics = measure_statistics([plane], NormalizeSpec())
    probe = predict(np.zeros((1, net.inputs, multiple(net), multiple(net)), np.float32))
    plan = Plan((factor, factor), statistics, halo(net), multiple(net), net.inputs, probe.shape[1])
    scores = np.zeros((probe.shape[1], *plane.shape), np.uint8)
    for _ in score_plane(plane, plan, predict, scores):
        pass
    return scores
