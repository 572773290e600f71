"""The row that chooses a part of the image, and the same part for the command and in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

import napari_unet
from napari_unet import workflows
from napari_unet.core.errors import AxesError, SpecError
from napari_unet.core.region import outline, region_text
from napari_unet.core.results import label_hash
from napari_unet.widgets._region import region_of
from napari_unet.widgets.segment import SegmentWidget

from .copied import run_copied_command, run_copied_python

BOX = np.array([[20.0, 10.0], [20.0, 70.0], [60.0, 70.0], [60.0, 10.0]])
TURN = np.array([[0.8, -0.6], [0.6, 0.8]])


def close(found: Any, expected: Any) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


@pytest.mark.parametrize(
    ("image", "shapes"),
    [
        ({}, {}),
        ({"scale": (0.5, 0.25), "translate": (7, -3)}, {}),
        ({}, {"scale": (2, 3), "translate": (1, 2)}),
        ({"rotate": 30, "scale": (0.5, 0.5)}, {"affine": np.array([[1, 0.2, 5], [0, 1.1, -2], [0, 0, 1]])}),
        ({"affine": np.array([[0.8, -0.6, 5], [0.6, 0.8, 0], [0, 0, 1]])}, {"shear": [0.3], "rotate": -10}),
    ],
)
def test_shapes_come_to_the_pixels_that_they_lie_on(image: dict[str, Any], shapes: dict[str, Any]) -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((100, 90)), **image)
    drawn = viewer.add_shapes(ndim=2, **shapes)
    # Drawn where the corners are seen, whatever the layers are turned and scaled by.
    drawn.add([np.array([drawn.world_to_data(layer.data_to_world(corner)) for corner in BOX])], shape_type="polygon")
    close(region_of(drawn, layer, "yx"), [BOX])


def test_any_axes_and_kinds_of_images() -> None:
    viewer = ViewerModel()
    flat = viewer.add_shapes([BOX, BOX], shape_type=["rectangle", "ellipse"])
    expected = [outline("rectangle", BOX), outline("ellipse", BOX)]
    color = viewer.add_image(np.zeros((100, 90, 3), np.uint8), rgb=True)
    close(region_of(flat, color, "yxc"), expected)
    deep = viewer.add_image(np.zeros((2, 3, 100, 90)), scale=(5, 1, 1, 1))
    close(region_of(flat, deep, "tzyx"), expected)
    tall = viewer.add_shapes([np.hstack([np.full((4, 2), 1.0), BOX])], shape_type="polygon", scale=(5, 1, 1, 1))
    close(region_of(tall, deep, "tcyx"), [BOX])
    pyramid = viewer.add_image([np.zeros((100, 90)), np.zeros((50, 45))], multiscale=True, scale=(0.5, 0.5))
    close(region_of(flat, pyramid, "yx"), [outline("rectangle", 2 * BOX), outline("ellipse", 2 * BOX)])
    turned = viewer.add_image(np.zeros((100, 90, 5)), rgb=False)
    beside = viewer.add_shapes([np.hstack([BOX, np.full((4, 1), 2.0)])], shape_type="polygon")
    close(region_of(beside, turned, "yxz"), [BOX])


def test_what_is_no_region_is_said() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((100, 90)))
    with pytest.raises(SpecError, match="holds no shapes"):
        region_of(viewer.add_shapes(ndim=2), layer, "yx")
    with pytest.raises(SpecError, match="no inside"):
        region_of(viewer.add_shapes([BOX], shape_type="path"), layer, "yx")
    with pytest.raises(AxesError, match="Axes"):
        region_of(viewer.add_shapes([BOX]), layer, "")


def test_what_napari_saves_is_the_same_region(tmp_path: Path) -> None:
    from napari_builtins.io import napari_write_shapes

    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((100, 90)))
    kinds = ["rectangle", "ellipse", "polygon"]
    drawn = viewer.add_shapes([BOX, BOX / 3, BOX[:3] + 0.123], shape_type=kinds)
    napari_write_shapes(str(tmp_path / "shapes.csv"), drawn.data, {"shape_type": drawn.shape_type})
    assert workflows.read_region(tmp_path / "shapes.csv") == region_of(drawn, layer, "yx")


def test_the_row_follows_the_layers(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((100, 90)))
    widget = SegmentWidget(viewer)
    qtbot.addWidget(widget)
    assert widget.only.layer is None
    assert widget.spec().region is None
    drawn = viewer.add_shapes([BOX], name="here")
    assert widget.only.layer is None  # a layer of shapes alone limits no run
    widget.only.setCurrentIndex(widget.only.findText("here"))
    close(widget.spec().region, [BOX])
    viewer.layers.remove(drawn)
    assert widget.spec().region is None


def test_one_hash(qtbot: QtBot, disks, bright, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(bright.parent))
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, disks[0])
    viewer = ViewerModel()
    layer = viewer.add_image(disks[0], scale=(0.5, 0.5), translate=(3, 4), rotate=20)
    layer._source = layer.source.model_copy(update={"path": str(path)})
    drawn = viewer.add_shapes(ndim=2, scale=(0.7, 1.3), affine=np.array([[0.8, -0.6, 5], [0.6, 0.8, 0], [0, 0, 1]]))
    inside = [drawn.world_to_data(layer.data_to_world(corner)) for corner in BOX]
    drawn.add([np.array(inside), np.array(inside[:3]) - 1.7], shape_type=["ellipse", "polygon"])
    widget = SegmentWidget(viewer)
    qtbot.addWidget(widget)
    widget.models.setCurrentIndex(widget.models.findData("bright"))
    widget.diameter.setValue(12)
    widget.settings.fields["tiling.tile"].value = 32
    widget.settings.fields["device"].value = "cpu"
    widget.only.setCurrentIndex(1)
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None, timeout=180_000)
    labels = viewer.layers[-1].data
    whole = napari_unet.segment(disks[0], model="bright", diameter=12.0)
    assert 3 < len(np.unique(labels)) < whole.objects - 10
    expected = label_hash(labels)

    assert run_copied_python(widget) == expected
    words, found = run_copied_command(widget, tmp_path, "cells-cells.tif")
    assert found == expected
    assert words[words.index("--region") + 1] == region_text(widget.spec().region)
