"""Bands of one file, a layer each, are one image again for a model that looks at several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import nibabel
import numpy as np
import pytest
import rasterio
import tifffile
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QGuiApplication
from rasterio.transform import Affine

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.bands import choose_bands
from napari_unet.core.errors import ImageError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.results import label_hash
from napari_unet.core.specs import NetSpec, NormalizeSpec, TargetSpec, load_task
from napari_unet.widgets._reader import read
from napari_unet.widgets.segment import SegmentWidget

from .conftest import FakeEngine
from .copied import run_copied_command, run_copied_python

PLACE = Affine(10, 0, 500000, 0, -10, 5300000)
NAMES = ("red", "green", "blue", "nir")
Make = Callable[..., SegmentWidget]
FIXED = NormalizeSpec(kind="fixed", offset=(0, 0, 0), divisor=(4000, 4000, 4000))


def write(path: Path, count: int = 4) -> np.ndarray:
    bands = np.random.default_rng(0).integers(1, 4000, (count, 72, 96)).astype(np.uint16)
    facts = {"count": count, "height": 72, "width": 96, "dtype": bands.dtype, "crs": "EPSG:32633"}
    with rasterio.open(path, "w", driver="GTiff", transform=PLACE, **facts) as raster:
        raster.write(bands)
        raster.descriptions = NAMES[:count]
    return bands


def show(viewer: ViewerModel, path: Path) -> list[Any]:
    (layer,) = read(path)
    return list(viewer.add_image(layer[0], **layer[1]))


def card(name: str, **more: Any) -> ModelCard:
    return ModelCard(name=name, title=name, net=NetSpec(), target=TargetSpec(), **more)


class Engine(FakeEngine):
    """Has a model of three bands, one of three bands by name, and one that looks at one channel."""

    def list_models(self) -> list[ModelCard]:
        return [
            card("three", channels=(1, 3), normalize=FIXED),
            card("named", channels=(3,), bands=("NIR", "red", "green")),
            card("one", channels=(1, 3)),
        ]


@pytest.fixture
def engine() -> Engine:
    """Return an engine that is done at once."""
    return Engine()


@pytest.fixture
def viewer() -> ViewerModel:
    """Return a viewer without a window."""
    return ViewerModel()


@pytest.fixture
def make(qtbot: QtBot, viewer: ViewerModel, engine: Engine) -> Make:
    """Return what makes a dock in which a model is chosen."""

    def build(model: str, channels: str = "") -> SegmentWidget:
        widget = SegmentWidget(viewer, engine=engine)
        qtbot.addWidget(widget)
        widget.models.setCurrentIndex(widget.models.findData(model))
        widget.settings.fields["channels"].value = channels
        return widget

    return build


def run(widget: SegmentWidget, qtbot: QtBot) -> Image:
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None)
    image = widget.engine.image
    assert image is not None, widget.status.text()
    return image


def test_any_band_stands_for_all(make: Make, viewer: ViewerModel, engine: Engine, qtbot: QtBot, tmp_path: Path) -> None:
    bands = write(tmp_path / "a.tif")
    layers = show(viewer, tmp_path / "a.tif")
    there = workflows.read_image(tmp_path / "a.tif")
    widget = make("three", "blue, green, 0")
    for layer in (layers[1], layers[3]):
        widget.images.choose(layer)
        image = run(widget, qtbot)
        assert isinstance(image.data, da.Array)
        np.testing.assert_array_equal(np.moveaxis(np.asarray(image.data), image.axes.index("c"), 0), bands)
        for name in ("axes", "scale", "units", "name", "source", "geo", "levels"):
            assert getattr(image, name) == getattr(there, name), name
        assert engine.spec is not None
        assert engine.spec.channels == ("blue", "green", 0)
        labels = viewer.layers[-1]
        assert (labels.data.shape, tuple(labels.scale)) == ((72, 96), (10, 10))
    assert widget.settings.fields["channels"].native.placeholderText() == f"all of {choice(range(4))}"


def test_channels_of_a_microscope_keep_their_names(
    make: Make, viewer: ViewerModel, engine: Engine, qtbot: QtBot, tmp_path: Path
) -> None:
    file, names = tmp_path / "cells.ome.tif", ["green", "DAPI", "red", "NIR"]
    bands = np.random.default_rng(0).integers(1, 4000, (4, 72, 96)).astype(np.uint16)
    tifffile.imwrite(file, bands, photometric="minisblack", metadata={"axes": "CYX", "Channel": {"Name": names}})
    show(viewer, file)
    there = workflows.read_image(file)
    image = run(make("named"), qtbot)
    assert image.channel_names == there.channel_names == tuple(names)
    # A model that knows bands by name sees them in its own order, as on the command line.
    assert choose_bands(image, None, ("NIR", "red", "green")) == (3, 2, 0)
    assert run(make("three", "red, DAPI, nir"), qtbot).channels == 4


def choice(numbers: Any) -> str:
    return ", ".join(f"{n} {NAMES[n]}" for n in numbers)


def test_a_model_that_looks_at_one_channel_sees_the_layer_as_before(
    make: Make, viewer: ViewerModel, engine: Engine, qtbot: QtBot, tmp_path: Path
) -> None:
    bands = write(tmp_path / "a.tif")
    layer = show(viewer, tmp_path / "a.tif")[2]
    widget = make("one")
    widget.images.choose(layer)
    image = run(widget, qtbot)
    assert image.axes == "yx"
    np.testing.assert_array_equal(image.data, bands[2])
    there = choice(range(4))
    assert widget.settings.fields["channels"].native.placeholderText() == f"this layer; or some of {there}"
    widget.copies.python.click()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[2] == f"image = napari_unet.read_image({str(tmp_path / 'a.tif')!r})"
    assert lines[3] == "result = napari_unet.segment(image, model='one', channels=(2,))"
    widget.settings.fields["channels"].value = "3, 0, 1"
    assert run(widget, qtbot).channels == 4


def test_deleted_bands_are_named_if_the_model_needs_them(
    make: Make, viewer: ViewerModel, engine: Engine, qtbot: QtBot, tmp_path: Path
) -> None:
    bands = write(tmp_path / "a.tif")
    layers = show(viewer, tmp_path / "a.tif")
    widget = make("named")
    widget.images.choose(layers[0])
    line = widget.settings.fields["channels"].native
    viewer.layers.remove(layers[2])  # which this model does not need
    assert line.placeholderText() == f"all of {choice((0, 1, 3))}"
    image = run(widget, qtbot)
    at = image.axes.index("c")
    np.testing.assert_array_equal(np.take(np.asarray(image.data), [0, 1, 3], at), np.moveaxis(bands[[0, 1, 3]], 0, at))
    engine.image = None
    layers[3].scale = (5, 5)  # changed by hand: no band of the file any more
    widget.run()
    assert engine.image is None
    assert "as they were opened: 3 nir." in widget.status.text()
    assert choice((0, 1)) in widget.status.text()
    layers[3].scale = (10, 10)
    assert run(widget, qtbot).channels == 4


def test_layers_of_the_user_are_what_they_were(
    make: Make, viewer: ViewerModel, engine: Engine, qtbot: QtBot, tmp_path: Path
) -> None:
    write(tmp_path / "a.tif")
    show(viewer, tmp_path / "a.tif")
    mine = viewer.add_image(np.zeros((72, 96), np.uint16))
    widget = make("three")
    widget.images.choose(mine)
    assert run(widget, qtbot).data is mine.data
    assert widget.settings.fields["channels"].native.placeholderText() == "all"


def test_the_same_file_twice_is_two_images(make: Make, viewer: ViewerModel, tmp_path: Path) -> None:
    write(tmp_path / "a.tif")
    first, second = (show(viewer, tmp_path / "a.tif") for _ in range(2))
    widget = make("three", "0, 1, 2")
    widget.images.choose(first[0])
    before = widget.sight.seen()
    for layer in second:
        viewer.layers.remove(layer)
    assert widget.sight.seen().image is before.image
    viewer.layers.remove(first[1])
    with pytest.raises(ImageError, match="1 green"):
        widget.sight.seen().check(widget.spec(), widget.models.card)


def test_channels_of_volumes_keep_their_anatomy(
    make: Make, viewer: ViewerModel, engine: Engine, qtbot: QtBot, tmp_path: Path
) -> None:
    data = np.random.default_rng(0).normal(size=(6, 7, 5, 1, 3)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(data, np.diag([2, 2, 4, 1])), tmp_path / "a.nii.gz")
    layers = show(viewer, tmp_path / "a.nii.gz")
    there = workflows.read_image(tmp_path / "a.nii.gz")
    widget = make("three", "2, 1, 0")
    widget.images.choose(layers[1])
    image = run(widget, qtbot)
    assert there.anatomy is not None
    assert (image.axes, image.anatomy, image.scale, image.units) == ("czyx", there.anatomy, there.scale, there.units)
    np.testing.assert_array_equal(np.asarray(image.data), np.asarray(there.data))
    labels = viewer.layers[-1]
    assert labels.data.shape == (5, 7, 6)
    np.testing.assert_array_equal(labels.translate, layers[1].translate)


def test_time_before_channels_stays_time(
    make: Make, viewer: ViewerModel, engine: Engine, qtbot: QtBot, tmp_path: Path
) -> None:
    import tifffile

    data = np.random.default_rng(0).integers(0, 4000, (2, 3, 40, 32)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": "TCYX"})
    layers = show(viewer, tmp_path / "a.ome.tif")
    widget = make("three")
    widget.images.choose(layers[1])
    image = run(widget, qtbot)
    assert image.axes == "tcyx"
    np.testing.assert_array_equal(np.asarray(image.data), data)
    assert viewer.layers[-1].data.shape == (2, 40, 32)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a small untrained model of three bands among the user's own and return its name."""
    import torch

    from napari_unet.models.store import write_model
    from napari_unet.nets import build

    task = load_task("cell")
    net = task.net.model_copy(update={"widths": (4, 8), "inputs": 3})
    torch.manual_seed(0)
    about = ModelCard(
        name="bands", title="Untrained", net=net, target=task.target, channels=(3,), diameter=8.0, normalize=FIXED
    )
    network = build(net).eval()
    with torch.no_grad():  # scores on both sides of the threshold, so that there are many objects
        network.head.weight.mul_(20)
        network.head.bias.sub_(network(torch.rand(1, 3, 64, 64)).mean((0, 2, 3)))
    write_model(tmp_path / "models" / "bands", about, network)
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    return "bands"


def test_the_copied_calls_give_the_same_labels(qtbot: QtBot, trained: str, tmp_path: Path) -> None:
    write(tmp_path / "some place.tif")
    viewer = ViewerModel()
    layers = show(viewer, tmp_path / "some place.tif")
    widget = SegmentWidget(viewer)
    qtbot.addWidget(widget)
    widget.images.choose(layers[3])
    widget.models.setCurrentIndex(widget.models.findData(trained))
    widget.settings.fields["channels"].value = "nir, 1, 0"
    widget.diameter.setValue(7.25)
    widget.settings.fields["tiling.tile"].value = 32
    widget.sizes.smallest.setText("2")
    widget.settings.fields["device"].value = "cpu"
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None, timeout=180_000)
    labels = viewer.layers[-1]
    assert labels not in layers, widget.status.text()
    assert labels.data.max() > 10
    expected = label_hash(labels.data)

    assert run_copied_python(widget) == expected
    words, found = run_copied_command(widget, tmp_path, "some place-cells.tif")
    assert found == expected
    assert words[:3] == ["napari-unet", "segment", str(tmp_path / "some place.tif")]
    assert words[words.index("--channels") + 1] == "nir,1,0"
