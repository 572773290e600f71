"""Learned motion in the tracking dock: the dock, the copied command and the copied Python code find the same tracks."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QGuiApplication
from typer.testing import CliRunner

from napari_unet import cli, workflows
from napari_unet.core.linking import LinkSpec
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import load_task
from napari_unet.widgets._motion import TrackCall, as_command, as_python
from napari_unet.widgets.track import TrackWidget


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write two small untrained models among the user's own, one that foretells motion and one that does not."""
    import torch

    from napari_unet.models.store import write_model
    from napari_unet.nets import build

    monkeypatch.setattr("napari_unet.io.choosing.data_folder", lambda: tmp_path / "home")
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    for name, task in (("guess", load_task("motion")), ("other", load_task("cell"))):
        net = task.net.model_copy(update={"widths": (4, 8)})
        torch.manual_seed(0)
        card = ModelCard(
            name=name, title=name, net=net, target=task.target, normalize=task.normalize, channels=(1,), diameter=12.0
        )
        network = build(net).eval()
        with torch.no_grad():
            network.head.weight.mul_(60)  # offsets of some pixels
        write_model(tmp_path / "models" / name, card, network)


def test_dock_command_and_python_find_the_same_tracks(qtbot: QtBot, models: None, tmp_path: Path) -> None:
    image, labels, _ = workflows.sample_movie("nuclei-movie", frames=3, shape=(96, 96))
    viewer, layers = ViewerModel(), []
    for name, data, add in (("cells", labels, viewer.add_labels), ("movie", image, viewer.add_image)):
        path = tmp_path / f"some {name}.tif"
        tifffile.imwrite(path, np.asarray(data.data), photometric="minisblack")
        layers.append(add(np.asarray(data.data), name=name))
        layers[-1]._source = layers[-1].source.model_copy(update={"path": str(path)})
    widget = TrackWidget(viewer)
    qtbot.addWidget(widget)
    assert [widget.motion.itemData(i) for i in range(widget.motion.count())] == ["", "guess"]
    assert widget.motion.name == ""
    widget.labels.choose(layers[0])
    widget.image.choose(layers[1])
    widget.motion.setCurrentIndex(1)
    widget.settings.fields["max_distance"].value = 2.0
    widget.settings.fields["merging"].value = True
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    found = widget.followed
    assert found is not None, widget.status.text()
    assert found.model == "guess"
    plain = workflows.track(labels, max_distance=2.0, merging=True, image=image)
    assert not np.array_equal(found.tracks.costs, plain.costs)

    widget.copies.copy_python()
    scope: dict = {}
    exec(QGuiApplication.clipboard().text(), scope)
    widget.copies.copy_command()
    words = shlex.split(QGuiApplication.clipboard().text())
    words[words.index("tracks.csv")] = str(tmp_path / "tracks.csv")
    done = CliRunner().invoke(cli.app, words[1:])
    assert done.exit_code == 0, done.output
    table = workflows.read_table(tmp_path / "tracks.csv")
    assert np.array_equal(scope["tracks"].edges, found.tracks.edges)
    assert np.allclose(scope["tracks"].costs, found.tracks.costs)
    for name in ("label", "track", "parent", "lineage"):
        assert np.array_equal(table[name], found.tracks.nodes[name])


def test_a_model_without_an_image_is_an_error_in_words(qtbot: QtBot, models: None, monkeypatch) -> None:
    errors: list[str] = []
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", errors.append)
    viewer = ViewerModel()
    viewer.add_labels(np.ones((2, 16, 16), np.int32), name="cells")
    widget = TrackWidget(viewer)
    qtbot.addWidget(widget)
    widget.motion.setCurrentIndex(1)
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None)
    assert "image" in (" ".join(errors) + widget.status.text())


def test_calls_name_only_what_was_changed() -> None:
    call = TrackCall(LinkSpec(), "my cells.tif", "tyx", "", "")
    assert as_command(call) == "napari-unet track 'my cells.tif' --output tracks.csv --axes tyx"
    changed = TrackCall(LinkSpec(division=False, steady=True, max_gap=0), None, "tzyx", None, "far")
    assert as_command(changed) == (
        "napari-unet track LABELS.tif --output tracks.csv --axes tzyx --max-gap 0 --no-division --steady "
        "--image IMAGE.tif --model far"
    )
    assert "track(labels, image=image, max_gap=0, division=False, steady=True, model='far')" in as_python(changed)
