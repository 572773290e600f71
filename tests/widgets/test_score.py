"""The dock that scores tracks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet import workflows
from napari_unet.core.linking import LinkSpec
from napari_unet.widgets._followed import Followed
from napari_unet.widgets._track_files import get_reader, read
from napari_unet.widgets.score import ScoreWidget


def movie() -> np.ndarray:
    """Return labels of a cell that divides, whose daughters have numbers of their own, and one that stays."""
    y, x = np.mgrid[:64, :64]
    labels = np.zeros((6, 64, 64), np.int32)
    for t in range(6):
        labels[t][np.hypot(y - 10, x - 10) < 4] = 1
        for i, column in enumerate([30] if t < 3 else [22, 38]):
            labels[t][np.hypot(y - 30, x - column) < (8 if t < 3 else 5.5)] = 2 if t < 3 else 3 + i
    return labels


@pytest.fixture
def viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ViewerModel:
    """Return a viewer with labels, their tracks, and the truth."""
    monkeypatch.setattr("napari_unet.io.choosing.data_folder", lambda: tmp_path / "home")
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", lambda _text: None)
    viewer = ViewerModel()
    viewer.add_labels(movie(), name="truth")
    tracks = workflows.track(movie())
    points = np.stack([tracks.nodes["label"], *(tracks.nodes[a] for a in "tyx")], axis=1)
    viewer.add_tracks(points, name="true tracks", graph={3: [2], 4: [2]})
    layer = viewer.add_labels(movie(), name="cells", scale=(1, 0.5, 0.5))
    Followed(viewer, layer, ("tyx", LinkSpec()), tracks, workflows)
    return viewer


def compare(viewer: ViewerModel, qtbot: QtBot) -> ScoreWidget:
    dock = ScoreWidget(viewer, workflows)
    qtbot.addWidget(dock)
    dock.tracks.setCurrentText("cells tracks")
    dock.truth.setCurrentText("truth")
    dock.lineages.setCurrentText("true tracks")
    dock.run()
    assert dock.job is not None, dock.status.text()
    qtbot.waitUntil(lambda: dock.job is None)
    return dock


def test_perfect_tracks(viewer: ViewerModel, qtbot: QtBot) -> None:
    dock = compare(viewer, qtbot)
    for score in ("SEG", "DET", "TRA", "LNK", "CHOTA", "BC"):
        assert f"{score} 1.000" in dock.status.text()
    assert "0 errors" in dock.status.text()


def test_the_truth_is_found_by_its_name_and_is_not_what_was_tracked(viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_labels(movie(), name="structures")
    dock = ScoreWidget(viewer, workflows)
    qtbot.addWidget(dock)
    chosen = [box.layer.name for box in (dock.tracks, dock.truth, dock.lineages) if box.layer is not None]
    assert chosen == ["cells tracks", "truth", "true tracks"]
    for name in ("cells", "cells by track"):
        if name in viewer.layers:
            dock.truth.setCurrentText(name)
            dock.run()
            assert "is what was tracked" in dock.status.text()
    assert dock.job is None


def test_an_error_is_gone_to(viewer: ViewerModel, qtbot: QtBot) -> None:
    found = viewer.layers["cells tracks"].metadata["napari-unet"]["followed"]
    found.do("split", (4, 3))
    dock = compare(viewer, qtbot)
    assert "BC 1.000" in dock.status.text()
    assert "LNK 1.000" not in dock.status.text()
    assert dock.errors.count() >= 1
    picked = []
    found.picked.connect(picked.append)
    dock.errors.setCurrentRow(0)
    assert viewer.dims.current_step[0] in (3, 4)
    assert picked
    assert picked[0][1] == 3


def test_the_cell_is_found_though_the_truth_has_other_numbers(viewer: ViewerModel, qtbot: QtBot) -> None:
    found = viewer.layers["cells tracks"].metadata["napari-unet"]["followed"]
    found.do("split", (4, 3))
    turned = np.array([0, 4, 3, 1, 2])  # every number of the truth is that of another cell
    viewer.layers["truth"].data = turned[movie()]
    true = viewer.layers["true tracks"]
    rows = true.data.copy()
    rows[:, 0] = turned[rows[:, 0].astype(int)]
    viewer.layers.remove(true)
    viewer.add_tracks(rows, name="true tracks", graph={1: [3], 2: [3]})
    dock = compare(viewer, qtbot)
    picked: list[tuple[int, int]] = []
    found.picked.connect(picked.append)
    for row in range(dock.errors.count()):
        dock.errors.setCurrentRow(row)
    assert picked
    assert {label for _, label in picked} == {3}


def test_nothing_to_compare(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", lambda _text: None)
    dock = ScoreWidget(ViewerModel(), workflows)
    qtbot.addWidget(dock)
    dock.run()
    assert "nothing to compare" in dock.status.text()


def test_a_truth_that_is_opened_is_found_and_seg_is_that_of_what_is_annotated(
    viewer: ViewerModel, qtbot: QtBot, tmp_path: Path
) -> None:
    truth = tmp_path / "01_GT"
    (truth / "SEG").mkdir(parents=True)
    tracks = workflows.track(movie())
    workflows.write_tracks(truth / "TRA", tracks, workflows.relabel(movie(), tracks))
    (truth / "TRA" / "res_track.txt").rename(truth / "TRA" / "man_track.txt")
    whole = np.where(movie()[2] == 2, 9, 0).astype(np.uint16)
    whole[:30] = 0
    tifffile.imwrite(truth / "SEG" / "man_seg002.tif", whole)
    for name in ("truth", "true tracks", "cells tracks"):
        viewer.layers.remove(name)
    workflows.write_tracks(tmp_path / "01_RES", tracks, workflows.relabel(movie(), tracks))
    assert get_reader(str(truth)) is read
    for place in (truth, tmp_path / "01_RES"):
        for data, options, kind in read(str(place)):
            getattr(viewer, f"add_{kind}")(data, **options)
    dock = ScoreWidget(viewer, workflows)
    qtbot.addWidget(dock)
    chosen = [box.layer.name for box in (dock.tracks, dock.truth, dock.lineages)]
    assert chosen == ["01_RES tracks", "01_GT", "01_GT tracks"]
    dock.run()
    qtbot.waitUntil(lambda: dock.job is None)
    assert f"SEG {(whole > 0).sum() / (movie()[2] == 2).sum():.3f}" in dock.status.text()
    assert "TRA 1.000" in dock.status.text()
