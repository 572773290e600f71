"""A model of several channels is given a layer for each: found by name, checked before Run, copied as files."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QGuiApplication

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.grids import GridSpec
from napari_unet.core.model_card import ModelCard
from napari_unet.core.results import label_hash
from napari_unet.core.specs import NetSpec, TargetSpec
from napari_unet.models.store import write_model
from napari_unet.nets import build
from napari_unet.widgets._reader import read
from napari_unet.widgets.segment import SegmentWidget

from .conftest import FakeEngine
from .copied import run_copied_command, run_copied_python

nib = pytest.importorskip("nibabel")
Make = Callable[..., SegmentWidget]
AFFINE = np.array([[-1.0, 0, 0, 30], [0, -1, 0, 20], [0, 0, 3, -9], [0, 0, 0, 1]])


def card(name: str, count: int, *channels: int, bands: tuple[str, ...] = ()) -> ModelCard:
    return ModelCard(
        name=name, title=name, target=TargetSpec(), channels=channels, bands=bands, net=NetSpec(ndim=3, inputs=count)
    )


class Engine(FakeEngine):
    """Has a model of two sequences, one of three channels without names, and one of one channel or colors."""

    def list_models(self) -> list[ModelCard]:
        two = card("brain", 2, 2, bands=("T1", "FLAIR"))
        return [two, card("three", 3, 3), card("colors", 3, 1, 3), card("one", 1, 1)]


@pytest.fixture
def viewer() -> ViewerModel:
    """Return a viewer without a window."""
    return ViewerModel()


@pytest.fixture
def make(qtbot: QtBot, viewer: ViewerModel) -> Make:
    """Return what makes a dock in which a model is chosen."""

    def build(model: str = "brain", engine: Any = None) -> SegmentWidget:
        widget = SegmentWidget(viewer, "tumor", engine=engine or Engine())
        qtbot.addWidget(widget)
        widget.models.setCurrentIndex(widget.models.findData(model))
        widget.models.activated.emit(widget.models.currentIndex())  # by hand: it stays
        return widget

    return build


def show(viewer: ViewerModel, file: Path, value: int, affine: Any = AFFINE, depth: int = 9) -> Any:
    values = np.random.default_rng(value).integers(0, 99, (12, 11, depth), np.int16)
    nib.save(nib.Nifti1Image(values, affine), file)
    (layer,) = read(file)
    made = viewer.add_image(layer[0], **layer[1])
    made._source = made.source.model_copy(update={"path": str(file)})
    return made


def add(viewer: ViewerModel, name: str, **more: Any) -> Any:
    return viewer.add_image(np.random.default_rng(len(name)).random((9, 12, 11)), name=name, **more)


def run(widget: SegmentWidget, qtbot: QtBot) -> Image | None:
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None)
    found: Image | None = widget.engine.image
    return found


def rows(widget: SegmentWidget) -> dict[str, str]:
    further = widget.sight.further
    pairs = zip(further.labels, further.boxes, strict=True)
    return {label.text(): box.currentText() for label, box in pairs if not box.isHidden()}


def test_layers_of_files_become_the_channels_of_a_run(
    make: Make, viewer: ViewerModel, qtbot: QtBot, tmp_path: Path
) -> None:
    flair, t1 = show(viewer, tmp_path / "p1_FLAIR.nii", 1), show(viewer, tmp_path / "p1_T1.nii", 2)
    widget = make()
    for layer, row, own in ((t1, {"Channel 2 (FLAIR)": "p1_FLAIR"}, 1), (flair, {"Channel 1 (T1)": "p1_T1"}, 2)):
        widget.images.choose(layer)
        assert rows(widget) == row
        assert f"the image above is channel {own} (" in widget.sight.further.said.text()
        image = run(widget, qtbot)
        assert image is not None, widget.status.text()
        there = workflows.read_image([tmp_path / "p1_T1.nii", tmp_path / "p1_FLAIR.nii"])
        np.testing.assert_array_equal(np.asarray(image.data), there.data)
        for name in ("axes", "scale", "units", "name", "anatomy", "channel_names", "levels"):
            assert getattr(image, name) == getattr(there, name), name
        assert widget.engine.spec.channels == (0, 1)
        assert viewer.layers[-1].data.shape == (9, 11, 12)
        widget.copies.command.click()
        words = shlex.split(QGuiApplication.clipboard().text())
        files = [str(tmp_path / f"p1_{name}.nii") for name in ("T1", "FLAIR")]
        assert (words[2], words[words.index("--channel") + 1]) == tuple(files)
        assert words[words.index("--channels") + 1] == "0,1"
        widget.copies.python.click()
        assert f"napari_unet.read_image({files!r}, axes='zyx')" in QGuiApplication.clipboard().text()


def test_the_choice_counts_whatever_layers_are_called(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    flair, t1, other = add(viewer, "FLAIR"), add(viewer, "T1"), add(viewer, "scan")
    widget = make()
    widget.images.choose(other)
    assert rows(widget) == {"Channel 2 (FLAIR)": "FLAIR"}
    (box,) = widget.sight.further.boxes
    box.choose(t1)
    image = run(widget, qtbot)
    assert image is not None
    np.testing.assert_array_equal(np.asarray(image.data), [other.data, t1.data])
    assert widget.engine.spec.channels == (0, 1)
    widget.copies.command.click()
    assert "IMAGE.tif" in QGuiApplication.clipboard().text()  # layers in memory have no files
    assert flair in viewer.layers


def test_rows_are_there_only_where_they_are_needed(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    widget = make("one")
    a = add(viewer, "a")
    assert rows(widget) == {}
    for model in ("colors", "one"):
        widget.models.setCurrentIndex(widget.models.findData(model))
        assert rows(widget) == {}
        assert widget.sight.further.said.isHidden()
    widget.models.setCurrentIndex(widget.models.findData("three"))
    assert rows(widget) == {"Channel 2": "choose a layer", "Channel 3": "choose a layer"}
    widget.run()
    assert "Choose a layer for Channel 2, Channel 3" in widget.status.text()
    # As many layers as are missing: in their order.
    b = add(viewer, "b")
    c = add(viewer, "c")
    assert rows(widget) == {"Channel 2": "b", "Channel 3": "c"}
    image = run(widget, qtbot)
    assert image is not None
    np.testing.assert_array_equal(np.asarray(image.data), [a.data, b.data, c.data])
    assert widget.engine.spec.channels is None
    viewer.layers.remove(c)
    widget.run()
    assert "Choose a layer for Channel 3" in widget.status.text()
    viewer.add_image(np.zeros((3, 9, 12, 11)), name="whole", axis_labels=("c", "z", "y", "x"))
    widget.images.choose(viewer.layers["whole"])
    assert rows(widget) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"affine": AFFINE + np.outer([2.5, 0, 0, 0], [0, 0, 0, 1])}, "voxels lie up to 2.5 mm away"),
        ({"affine": AFFINE @ np.diag([1, 1, 1.5, 1])}, "voxels are 4.5 x 1 x 1 mm large, not 3 x 1 x 1 mm"),
        ({"depth": 8}, "it has 8 x 11 x 12 pixels along z y x, not 9 x 11 x 12"),
    ],
)
def test_another_grid_is_said_before_run(
    make: Make, viewer: ViewerModel, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    t1 = show(viewer, tmp_path / "T1.nii", 1)
    other = show(viewer, tmp_path / "FLAIR.nii", 2, **change)
    widget = make()
    widget.images.choose(t1)
    widget.sight.further.boxes[0].choose(other)
    assert "'FLAIR' does not lie on the grid of 'T1'" in widget.sight.further.said.text()
    assert words in widget.sight.further.said.text()
    widget.run()
    assert widget.job is None
    assert words in widget.status.text()


def test_a_layer_that_was_moved_in_the_viewer_does_not_fit(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    t1, flair = add(viewer, "T1"), add(viewer, "FLAIR", translate=(0, 2, 0))
    widget = make()
    widget.images.choose(t1)
    widget.run()
    assert "it is moved by 0 x 2 x 0 pixel along its axes" in widget.status.text()
    flair.translate = (0, 0, 0)
    flair.rotate = (0, 0, 10)  # within the plane that is seen
    widget.run()
    assert "turned, sheared or moved otherwise" in widget.status.text()
    flair.rotate = (0, 0, 0)
    assert run(widget, qtbot) is not None
    widget.sight.further.boxes[0].choose(t1)
    widget.run()
    assert "A layer is chosen for two channels" in widget.status.text()


def give_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a model of two sequences that has learned nothing."""
    net, target = NetSpec(ndim=3, inputs=2, outputs=2, widths=(4, 8)), TargetSpec(name="foreground", min_fraction=0)
    torch.manual_seed(0)
    network = build(net).eval()
    with torch.no_grad():  # scores on both sides of the threshold
        network.head.weight.mul_(20)
        network.head.bias.sub_(network(torch.randn(1, 2, 16, 32, 32)).mean((0, 2, 3, 4)))
    more = {"channels": (2,), "bands": ("T1", "FLAIR"), "grid": GridSpec(kind="pixels")}
    made = ModelCard(name="noise", net=net, target=target, **more)
    write_model(tmp_path / "models" / "noise", made, network)
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))


def test_dock_command_and_python_find_the_same(
    make: Make, viewer: ViewerModel, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_noise(tmp_path, monkeypatch)
    layers = [show(viewer, tmp_path / f"p1_{name}.nii", number) for number, name in enumerate(("FLAIR", "T1"))]
    widget = make("noise", workflows)
    widget.images.choose(layers[1])
    widget.settings.fields["device"].value = "cpu"
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    assert viewer.layers[-1].data.max() > 1, widget.status.text()
    expected = label_hash(viewer.layers[-1].data)
    assert run_copied_python(widget) == expected
    words, found = run_copied_command(widget, tmp_path, "p1_T1-tumors.tif")
    assert found == expected
    assert "--channel" in words


def test_movies_in_layers_are_the_channels_of_a_movie(
    make: Make, viewer: ViewerModel, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_noise(tmp_path, monkeypatch)
    rng, layers = np.random.default_rng(0), {}
    for name in ("FLAIR", "T1"):
        values = rng.integers(0, 99, (12, 11, 9, 3), np.int16)
        nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / f"p1_{name}.nii")
        (layer,) = read(tmp_path / f"p1_{name}.nii")
        layers[name] = viewer.add_image(layer[0], **layer[1])
    widget = make("noise", workflows)
    widget.images.choose(layers["T1"])
    widget.settings.fields["device"].value = "cpu"
    assert rows(widget) == {"Channel 2 (FLAIR)": "p1_FLAIR"}
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    labels = viewer.layers[-1]
    assert labels.data.shape == layers["T1"].data.shape, widget.status.text()
    assert labels.data.max() > 1
    files = [str(tmp_path / f"p1_{name}.nii") for name in ("T1", "FLAIR")]
    found = workflows.segment(files, model="noise", device="cpu")
    assert found.labels.axes == "tzyx"
    assert label_hash(labels.data) == label_hash(found.labels.data)
