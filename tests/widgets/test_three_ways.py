"""The widget, the copied command and the copied Python code give the same labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet.core.model_card import ModelCard
from napari_unet.core.results import label_hash
from napari_unet.core.specs import load_task
from napari_unet.widgets.segment import SegmentWidget

from .copied import run_copied_command, run_copied_python


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a small untrained model among the user's own and return its name."""
    import torch

    from napari_unet.models.store import write_model
    from napari_unet.nets import build

    task = load_task("cell")
    net = task.net.model_copy(update={"widths": (4, 8)})
    torch.manual_seed(0)
    card = ModelCard(name="noise", title="Untrained", net=net, target=task.target, channels=(1, 3), diameter=8.0)
    network = build(net).eval()
    with torch.no_grad():  # scores on both sides of the threshold, so that there are many objects
        network.head.weight.mul_(20)
        network.head.bias.sub_(network(torch.rand(1, net.inputs, 64, 64)).mean((0, 2, 3)))
    write_model(tmp_path / "models" / "noise", card, network)
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    return "noise"


def test_one_hash(qtbot: QtBot, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tifffile

    path = tmp_path / "some cells.tif"
    data = np.random.default_rng(0).integers(0, 4000, (2, 96, 80)).astype(np.uint16)
    tifffile.imwrite(path, data)
    viewer = ViewerModel()
    layer = viewer.add_image(data, axis_labels=("t", "y", "x"))
    layer._source = layer.source.model_copy(update={"path": str(path)})
    widget = SegmentWidget(viewer)
    qtbot.addWidget(widget)
    widget.models.setCurrentIndex(widget.models.findData(model))
    widget.diameter.setValue(7.25)
    widget.settings.fields["tiling.tile"].value = 32
    widget.sizes.smallest.setText("2")
    widget.settings.fields["device"].value = "cpu"
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None, timeout=180_000)
    labels = viewer.layers[-1]
    assert labels is not layer, widget.status.text()
    assert labels.data.max() > 10
    assert set(labels.features["index"]) == set(np.unique(labels.data)) - {0}
    expected = label_hash(labels.data)
    assert labels.metadata["napari-unet"]["labels_hash"] == expected

    assert run_copied_python(widget) == expected
    _, found = run_copied_command(widget, tmp_path, "some cells-cells.tif")
    assert found == expected
