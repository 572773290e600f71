"""Tracks of a file are scored, corrected and drawn as those that were made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from pytestqt.qtbot import QtBot

from napari_unet import workflows
from napari_unet.core.linking import LinkSpec
from napari_unet.widgets._adopted import adopt
from napari_unet.widgets._followed import Followed
from napari_unet.widgets._track_files import read
from napari_unet.widgets.correct import CorrectWidget
from napari_unet.widgets.lineage import LineageWidget
from napari_unet.widgets.score import ScoreWidget


def movie() -> np.ndarray:
    """A mother and two daughters, and a cell that stays; numbers are not those of tracks."""
    made = np.zeros((4, 30, 60), np.int32)
    made[:2, 10:20, 10:20], made[2:, 10:20, 8:13], made[2:, 10:20, 17:22] = 7, 9, 4
    made[:, 10:20, 40:50] = 5
    return made


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tracks as GEFF and as a folder of masks."""
    monkeypatch.setattr("napari_unet.io.choosing.data_folder", lambda: tmp_path / "home")
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", lambda _text: None)
    found = workflows.track(movie())
    workflows.write_tracks(tmp_path / "a.geff", found)
    workflows.write_tracks(tmp_path / "01_RES", found, workflows.relabel(movie(), found))
    return tmp_path


def opened(path: Path, viewer: ViewerModel) -> None:
    for layer in read(str(path)):
        viewer.add_layer(Layer.create(*layer))


@pytest.mark.parametrize("name", ["a.geff", "01_RES"])
def test_a_file_is_scored_and_its_errors_lead_to_cells(name: str, files: Path, qtbot: QtBot) -> None:
    viewer = ViewerModel()
    viewer.add_labels(np.where(movie() == 5, 0, movie()), name="truth")
    if name == "a.geff":
        viewer.add_labels(movie(), name="cells")
    opened(files / name, viewer)
    dock = ScoreWidget(viewer, workflows)
    qtbot.addWidget(dock)
    dock.tracks.choose(next(y for y in viewer.layers if y.name.endswith(" tracks")))
    dock.truth.setCurrentText("truth")
    dock.run()
    assert dock.job is not None, dock.status.text()
    qtbot.waitUntil(lambda: dock.job is None)
    assert dock.result is not None
    assert dock.errors.count() == len(dock.result.errors["t"]) > 0
    assert dock.found is not None
    extra = int(np.flatnonzero(dock.result.errors["kind"] == "extra object")[0])
    dock.errors.setCurrentRow(extra)
    assert dock.found.chosen is not None
    row = dock.found.row(dock.found.chosen)
    assert float(dock.found.tracks.nodes["x"][row]) == 44.5


@pytest.mark.parametrize("name", ["a.geff", "01_RES"])
def test_a_file_is_corrected_and_has_a_tree(name: str, files: Path, qtbot: QtBot) -> None:
    viewer = ViewerModel()
    dock, tree = CorrectWidget(viewer, workflows), LineageWidget(viewer, workflows)
    for widget in (dock, tree):
        qtbot.addWidget(widget)
    opened(files / name, viewer)
    if name == "a.geff":
        assert dock.followed is None
        assert "Open the labels" in dock.status.text()
        assert "Open the labels" in tree.status.text()
        viewer.add_labels(movie() + 1, name="other cells")
        assert dock.followed is None
        viewer.add_labels(movie(), name="cells")
    layer = next(y for y in viewer.layers if y.name.endswith(" tracks"))
    count = len(viewer.layers)
    assert dock.followed is not None
    assert dock.followed is tree.followed
    assert dock.followed.layer is layer
    assert "1 divisions" in tree.status.text()
    edges, parent = dock.followed.tracks.edges, dock.followed.tracks.nodes["parent"]
    for row in edges[parent[edges[:, 1]] > 0][0].tolist():
        dock.followed.pick(dock.followed.cell(row))
    dock.do("unlink")
    assert "Done" in dock.status.text()
    assert dock.followed.tracks.counts["divisions"] == 0
    assert not layer.graph
    dock.do("undo")
    assert len(layer.graph) == 2
    assert len(viewer.layers) == count


def test_docks_that_are_open_know_tracks_at_once(files: Path, qtbot: QtBot) -> None:
    viewer = ViewerModel()
    labels = viewer.add_labels(movie(), name="cells")
    dock = CorrectWidget(viewer, workflows)
    qtbot.addWidget(dock)
    made = Followed(viewer, labels, ("tyx", LinkSpec()), workflows.track(movie()), workflows)
    assert dock.followed is made


def test_labels_that_fit_best_are_those_of_the_tracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.io.choosing.data_folder", lambda: tmp_path / "home")
    labels = np.zeros((2, 12, 60), np.int32)
    for i in range(10):
        labels[:, 4:8, 6 * i + 1 : 6 * i + 5] = i + 1
    found = workflows.track(labels)
    workflows.write_tracks(tmp_path / "a.geff", found)
    other = np.where(labels == 10, 99, labels)
    for order in ((other, labels), (labels, other)):
        viewer = ViewerModel()
        for data in order:
            viewer.add_labels(data)
        opened(tmp_path / "a.geff", viewer)
        made = adopt(viewer, viewer.layers[-1], workflows)
        assert made is not None
        assert made.labels.data is labels


def test_a_truth_with_more_cells_is_not_taken_for_what_was_tracked(files: Path, qtbot: QtBot) -> None:
    truth = movie()
    truth[:, 22:28, 2:8] = 11
    for order in (("truth", "cells"), ("cells", "truth")):
        viewer = ViewerModel()
        for name in order:
            viewer.add_labels(truth if name == "truth" else movie(), name=name)
        opened(files / "a.geff", viewer)
        dock = ScoreWidget(viewer, workflows)
        qtbot.addWidget(dock)
        dock.truth.setCurrentText("truth")
        dock.tracks.choose(viewer.layers[-1])
        dock.run()
        assert dock.job is not None, dock.status.text()
        qtbot.waitUntil(lambda dock=dock: dock.job is None)
        assert "errors" in dock.status.text()
