"""Averages and uncertainty in the dock: chosen under Advanced, shown as a layer, repeated exactly."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QGuiApplication
from typer.testing import CliRunner

from napari_unet import cli, workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import ModelError, SpecError
from napari_unet.core.results import Segmentation, label_hash
from napari_unet.core.runtimes import RUNTIMES
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import Steps
from napari_unet.widgets.segment import SegmentWidget

from .conftest import FakeEngine


class Doubtful(FakeEngine):
    """Says of every pixel how far down it is."""

    def segment_steps(self, image: Image, spec: SegmentSpec | None = None) -> Steps[Segmentation]:
        found = yield from super().segment_steps(image, spec)
        shape = found.labels.shape
        doubt = np.broadcast_to(np.linspace(0, 0.5, shape[-2], dtype=np.float32)[:, None], shape).copy()
        return Segmentation(
            found.labels, found.objects, found.diameter, 0.1, found.manifest, found.table,
            Image(doubt, found.labels.axes),
        )  # fmt: skip


@pytest.fixture
def make(qtbot: QtBot) -> Any:
    """Return a function that opens the dock."""

    def build(viewer: Any, engine: Any = workflows) -> SegmentWidget:
        widget = SegmentWidget(viewer, engine=engine)
        qtbot.addWidget(widget)
        return widget

    return build


def run(qtbot: QtBot, widget: SegmentWidget) -> None:
    widget.run()
    assert widget.job is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.job is None, timeout=120_000)


def test_the_settings_are_under_advanced(make: Any) -> None:
    widget = make(ViewerModel(), FakeEngine())
    fields = widget.settings.fields
    assert (fields["average"].value, fields["dropout_samples"].value, fields["uncertainty"].value) == ("none", 0, False)
    assert fields["average"].choices == ("none", "flips", "rotations")
    assert fields["runtime"].choices == ("auto", *RUNTIMES)
    assert all(fields[name].tooltip for name in ("average", "dropout_samples", "uncertainty", "runtime"))
    assert widget.models.others.window() is widget.window()
    assert not widget.models.others.isVisibleTo(widget)
    assert "blobs, nuclei" in widget.models.others.toolTip()
    fields["average"].value = "flips"
    fields["uncertainty"].value = True
    fields["dropout_samples"].value = 3
    spec = widget.spec()
    assert (spec.model, spec.average, spec.uncertainty, spec.dropout_samples) == ("nuclei", "flips", True, 3)


def test_further_models_are_named_in_a_line(make: Any) -> None:
    widget = make(ViewerModel(), FakeEngine())
    widget.models.others.setText(" blobs; my models/cells 2 , ")
    assert widget.spec().model == ("nuclei", "blobs", "my models/cells 2")
    widget.models.others.setText("nuclei")
    with pytest.raises(SpecError, match="several that differ"):
        widget.spec()
    widget.models.others.clear()
    assert widget.spec().model == "nuclei"


def test_listing_models_again_keeps_the_choice(make: Any) -> None:
    widget = make(ViewerModel(), FakeEngine())
    widget.models.setCurrentIndex(widget.models.findData("blobs"))
    cards = FakeEngine().list_models()
    widget.models.fill([*cards[::-1], cards[0].model_copy(update={"name": "new"})])
    assert (widget.models.count(), widget.models.chosen) == (3, ("blobs",))
    widget.models.fill(cards[1:])
    assert widget.models.chosen == ("nuclei",)
    widget.models.fill([])
    with pytest.raises(ModelError, match="No model"):
        _ = widget.models.chosen


def test_uncertainty_alone_is_refused_in_words(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", lambda _: None)
    viewer = ViewerModel()
    viewer.add_image(np.zeros((8, 8)))
    widget = make(viewer, FakeEngine())
    widget.settings.fields["uncertainty"].value = True
    widget.run()
    assert "several answers" in widget.status.text()
    assert len(viewer.layers) == 1


@pytest.mark.parametrize("axes", [("t", "y", "x"), ("t", "c", "y", "x"), ("c", "t", "y", "x")])
def test_uncertainty_is_a_layer_where_the_image_is(make: Any, qtbot: QtBot, axes: tuple[str, ...]) -> None:
    viewer = ViewerModel()
    shape = tuple({"t": 5, "c": 3, "y": 16, "x": 20}[a] for a in axes)
    n = len(axes)
    source = viewer.add_image(
        np.zeros(shape), name="image", scale=(7, 2, 0.5, 0.25)[-n:], translate=(9, 1, 2, 3)[-n:],
        units=("pixel", "s", "um", "um")[-n:], axis_labels=axes, affine=np.diag([1, 1, 0.9, 1.1, 1][-n - 1 :]),
    )  # fmt: skip
    widget = make(PublicOnlyProxy(viewer), Doubtful())
    run(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == ["image", "image uncertainty", "image cells"]
    doubt, labels = viewer.layers[1:]
    assert viewer.layers.selection.active == labels
    assert widget.images.layer == source
    assert doubt.data.shape == labels.data.shape
    assert (doubt.colormap.name, doubt.blending, doubt.contrast_limits) == ("inferno", "additive", [0, 0.5])
    assert not doubt.rgb
    for name in ("scale", "translate", "units", "axis_labels"):
        np.testing.assert_array_equal(getattr(doubt, name), getattr(labels, name), err_msg=name)
    np.testing.assert_array_equal(doubt.affine.affine_matrix, labels.affine.affine_matrix)
    for corner in ((0,) * (n - 2) + (0, 0), (0,) * (n - 2) + (15, 19)):
        here = corner[-doubt.ndim :]
        np.testing.assert_allclose(doubt.data_to_world(here), source.data_to_world(corner)[-doubt.ndim :])
    # It can be worked on like any other image.
    widget.images.setCurrentIndex(widget.images.findText("image uncertainty"))
    assert widget.axes.axes == "".join(axes).removeprefix("c")


def test_without_uncertainty_there_is_no_layer(make: Any, qtbot: QtBot, engine: FakeEngine) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((16, 20)), name="image")
    run(qtbot, make(viewer, engine))
    assert [layer.name for layer in viewer.layers] == ["image", "image cells"]


def test_three_ways_to_average(
    make: Any, qtbot: QtBot, bright: Path, disks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tifffile

    monkeypatch.setenv("NAPARI_UNET_MODELS", str(bright.parent))
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("cells.tif", disks[0])
    viewer = ViewerModel()
    layer = viewer.add_image(disks[0], name="cells")
    layer._source = layer.source.model_copy(update={"path": str(tmp_path / "cells.tif")})
    widget = make(viewer)
    widget.models.setCurrentIndex(widget.models.findData("bright"))
    widget.diameter.setValue(12)
    for name, value in {"average": "rotations", "uncertainty": True, "device": "cpu", "tiling.tile": 40}.items():
        widget.settings.fields[name].value = value
    run(qtbot, widget)
    doubt, labels = viewer.layers[1:]
    assert labels.data.max() > 30
    assert 0 < doubt.data.max() <= 0.5
    assert "uncertainty" in labels.features
    assert labels.metadata["napari-unet"]["averaged"]["answers"] == 8

    widget.copies.python.click()
    names: dict[str, Any] = {}
    exec(QGuiApplication.clipboard().text(), names)
    assert names["result"].hash == label_hash(labels.data)
    np.testing.assert_array_equal(names["result"].uncertainty.data, doubt.data)

    widget.copies.command.click()
    words = shlex.split(QGuiApplication.clipboard().text())[1:]
    done = CliRunner().invoke(cli.app, words, prog_name="napari-unet")
    assert done.exit_code == 0, done.output
    assert label_hash(np.asarray(workflows.read_labels("cells-cells.tif").data)) == label_hash(labels.data)
    np.testing.assert_array_equal(workflows.read_image("cells-uncertainty.tif").data, doubt.data)


class Rounding(FakeEngine):
    """Computes in 8 bits, and has measured how well that agrees."""

    def segment_steps(self, image: Image, spec: SegmentSpec | None = None) -> Steps[Segmentation]:
        found = yield from super().segment_steps(image, spec)
        return replace(found, manifest=found.manifest | {"agreement_percent": 99.951})


def test_how_well_8_bits_agree_is_shown(make: Any, qtbot: QtBot, engine: FakeEngine) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((16, 20)), name="image")
    widget = make(viewer, Rounding())
    widget.settings.fields["runtime"].value = "openvino-int8"
    run(qtbot, widget)
    assert widget.engine.spec.runtime == "openvino-int8"
    assert "Agreement: 99.95 % of pixels as in float32" in widget.status.text()
    plain = make(viewer, engine)
    run(qtbot, plain)
    assert "Agreement" not in plain.status.text()
