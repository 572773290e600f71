"""Tiles are tall where there is memory for them, on a processor only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from napari_unet.core.axes import as_image
from napari_unet.core.specs import SegmentSpec
from napari_unet.models import segment
from napari_unet.models.segment import draft_plan
from napari_unet.models.zoo import load_model


@dataclass
class Elsewhere:
    model: object
    device: str = "cuda"
    runtime: str = "torch"

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)


@pytest.mark.parametrize(
    ("free", "workers", "changes", "tall"),
    [
        (16e9, 2, {}, True),
        (16e9, 16, {}, False),
        (64e9, 16, {}, True),
        (2e9, 1, {}, False),
        (None, 1, {}, False),
        (64e9, 2, {"device": "cuda"}, False),
        (64e9, 2, {"device": "cpu", "runtime": "openvino"}, False),
        (64e9, 2, {"device": "cpu", "runtime": "foreign"}, False),
    ],
)
def test_where_there_is_room(monkeypatch, free, workers, changes, tall):
    monkeypatch.setattr(segment, "free_memory", lambda: free)
    model = load_model("nuclei", "cpu")
    model = Elsewhere(model, **changes) if changes else model
    spec = SegmentSpec.of(tiling={"workers": workers})
    plan = draft_plan(as_image(np.zeros((20, 20), np.uint8)), spec, model)
    assert plan.tall is tall
    assert plan.grid((4096, 4096)).edges[0] == (2048 if tall and workers == 2 else 1024)
