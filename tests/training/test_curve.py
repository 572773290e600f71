"""The curve of a run is read as it was written."""

from __future__ import annotations

import pytest

from napari_unet.core.results import Epoch
from napari_unet.training.curve import Curve, read_curve


def test_what_is_written_is_read(tmp_path):
    rows = [
        {"step": 10, "seconds": 1.5, "loss": 0.75, "rate": 0.02},
        {"step": 20, "seconds": 3.25, "loss": 0.5, "rate": 0.01, "validation loss": 0.6, "validation AP50": 0.25},
    ]
    curve = Curve(tmp_path)
    curve.write(rows)
    curve.close()
    assert read_curve(tmp_path) == [
        Epoch(10, 0.75, 0.02, 1.5),
        Epoch(20, 0.5, 0.01, 3.25, {"loss": 0.6, "AP50": 0.25}),
    ]


@pytest.mark.parametrize(
    "text", [None, "", "a,b\n1,2\n", "step,seconds,loss,rate\n1,x,2,3\n", "step,seconds,loss,rate\n1\n"]
)
def test_without_a_whole_curve_there_is_none(tmp_path, text):
    if text is not None:
        (tmp_path / "log.csv").write_text(text)
    assert read_curve(tmp_path) == []
