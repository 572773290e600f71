"""Bad labels in the tracking dock: a clear message or the right result, and corrections that are never lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet import workflows
from napari_unet.widgets.track import TrackWidget


def movie() -> np.ndarray:
    """Return labels of six squares that stay."""
    labels = np.zeros((5, 64, 96), np.int32)
    for number in range(6):
        y, x = 8 + 30 * (number // 3), 8 + 30 * (number % 3)
        labels[:, y : y + 10, x : x + 10] = number + 1
    return labels


def track(labels: np.ndarray, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, home: Path) -> tuple[Any, TrackWidget]:
    monkeypatch.setattr("napari_unet.io.choosing.data_folder", lambda: home)
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", lambda _text: None)
    viewer = ViewerModel()
    viewer.add_labels(labels, name="cells")
    widget = TrackWidget(viewer, workflows)
    qtbot.addWidget(widget)
    widget.run()
    if widget.job is not None:
        qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    return viewer, widget


def nothing_in_one(labels: np.ndarray) -> np.ndarray:
    labels[2] = 0
    return labels


def in_two_places(labels: np.ndarray) -> np.ndarray:
    labels[3][labels[3] == 6] = 1
    return labels


def in_pieces(labels: np.ndarray) -> np.ndarray:
    labels[:, 12:14] = 0
    return labels


def a_picture(labels: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).integers(100, 4000, (2, 24, 24)).astype(np.int32)


def a_stack(_labels: np.ndarray) -> np.ndarray:
    z, y, x = np.mgrid[:24, :96, :128]
    stack = np.zeros(z.shape, np.int32)
    for number in range(12):
        at = 8 + number % 8, 16 + 30 * (number // 4), 16 + 30 * (number % 4)
        stack[((z - at[0]) / 6) ** 2 + ((y - at[1]) / 11) ** 2 + ((x - at[2]) / 11) ** 2 < 1] = number + 1
    return stack


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nothing_in_one, "6 tracks in 6 lineages"),
        (lambda labels: labels[:1], "6 tracks in 6 lineages"),
        (in_two_places, "In frame 3 the label 1 is in two places"),
        (in_pieces, "6 tracks in 6 lineages"),
        (a_picture, "looks like a picture and not like labels"),
        (a_stack, "as sections of bodies in a stack do"),
    ],
    ids=["empty frame", "one frame", "two places", "pieces", "picture", "stack"],
)
def test_it_is_tracked_or_told(
    change: Any, words: str, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    labels = change(movie())
    before = labels.copy()
    viewer, widget = track(labels, qtbot, monkeypatch, tmp_path)
    assert words in f"{widget.lines.text()} {widget.status.text()}"
    assert np.array_equal(viewer.layers["cells"].data, before)


def test_a_folder_that_is_there_is_not_replaced(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, widget = track(movie(), qtbot, monkeypatch, tmp_path / "home")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("day 1")
    widget.save_tracks(str(tmp_path / "mine"))
    assert "is a folder that is there already" in widget.status.text()
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["diary.txt"]


def test_corrections_survive_a_disk_that_is_full(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, widget = track(movie(), qtbot, monkeypatch, tmp_path / "home")
    made = widget.followed
    assert made is not None
    made.do("split", (2, 1))
    (tmp_path / "full").write_text("a file where a folder should be")
    widget.save_tracks(str(tmp_path / "full" / "tracks.csv"))
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    assert "tracks.csv" in widget.status.text()
    again, _ = track(movie(), qtbot, monkeypatch, tmp_path / "home")
    assert len(np.unique(again.layers["cells tracks"].data[:, 0])) == 7
