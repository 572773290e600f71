"""The tree of lineages."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QImage

from napari_unet import workflows
from napari_unet.core.linking import LinkSpec
from napari_unet.widgets import _tree
from napari_unet.widgets._followed import Followed
from napari_unet.widgets._tree import Tree
from napari_unet.widgets.lineage import LineageWidget, _bins

Open = Callable[..., LineageWidget]


def movie() -> np.ndarray:
    """Return labels of a cell that divides, whose daughters are there for a while, and one that stays."""
    y, x = np.mgrid[:64, :64]
    labels = np.zeros((6, 64, 64), np.int32)
    for t in range(6):
        labels[t][np.hypot(y - 10, x - 10) < 4] = 9
        for i, column in enumerate([30] if t < 3 else [22, 38]):
            labels[t][np.hypot(y - 30, x - column) < (8 if t < 3 else 5.5)] = i + 1
    return labels


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.io.choosing.data_folder", lambda: tmp_path / "home")


@pytest.fixture
def viewer() -> ViewerModel:
    """Return a viewer with labels and their tracks."""
    viewer = ViewerModel()
    layer = viewer.add_labels(movie(), name="cells", scale=(60, 0.5, 0.5))
    Followed(viewer, layer, ("tyx", LinkSpec()), workflows.track(movie()), workflows)
    return viewer


@pytest.fixture
def dock(viewer: ViewerModel, qtbot: QtBot) -> LineageWidget:
    """Return the dock."""
    made = LineageWidget(viewer, workflows)
    qtbot.addWidget(made)
    return made


def test_a_branch_leads_to_its_cell(dock: LineageWidget, viewer: ViewerModel) -> None:
    assert dock.status.text().startswith("4 tracks in 2 lineages, 1 divisions.")
    table = dock.tree.table
    place = dict(zip(table["track"].tolist(), table["place"].tolist(), strict=True))
    assert dock.tree.hit(place[4] + 0.2, 4.1) == (4, 4)
    assert dock.tree.hit(place[4] + 0.2, 1) is None
    picked = []
    dock.followed.picked.connect(picked.append)
    dock.tree.clicked.emit(4, 4)
    assert viewer.dims.current_step[0] == 4
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[1:] == pytest.approx((15, 19), abs=0.3)
    assert picked == [(4, 2)]
    assert "track 4, generation 2, lineage 1" in dock.status.text()


def test_a_cell_marks_its_branch(dock: LineageWidget) -> None:
    dock.followed.pick((1, 1))
    x, y = dock.tree._mark.getData()
    assert len(x) == 2 * (1 + 2 * 3)  # the mother, and a line down, across and up for each daughter
    assert y.max() == 5
    assert dock.tree._dot.getData()[1].tolist() == [1]
    dock.followed.pick(None)
    dock.followed.pick((1, 77))
    assert dock.tree._dot.getData()[1].tolist() == [1]


def test_corrections_are_seen_at_once(dock: LineageWidget) -> None:
    dock.followed.pick((4, 2))
    dock.followed.do("split", (4, 2))
    assert "track 5" in dock.status.text()
    assert len(dock.tree.table["track"]) == 5
    dock.followed.do("undo")
    assert len(dock.tree.table["track"]) == 4


def test_only_lineages_that_divide(dock: LineageWidget) -> None:
    dock.only.setChecked(True)
    assert dock.tree.table["track"].tolist() == [1, 3, 4]
    dock.tree.mark(2, 0)  # is not drawn
    assert not dock.tree._dot.isVisible()


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_pictures(dock: LineageWidget, tmp_path: Path, suffix: str, start: bytes) -> None:
    dock.resize(400, 300)
    for i in range(dock.tabs.count()):
        dock.tabs.setCurrentIndex(i)
        path = tmp_path / f"{i}.{suffix}"
        dock.save_picture(str(path))
        assert path.read_bytes().startswith(start)
        assert dock.status.text() == f"Saved {path}."
    dock.save_picture(str(tmp_path / "tree.pdf"))
    assert "must end in" in dock.status.text()
    dock.save_picture(str(tmp_path / "missing" / "tree.png"))
    assert "missing" in dock.status.text()


def test_a_picture_shows_all_that_is_shown(dock: LineageWidget, tmp_path: Path) -> None:
    dock.resize(500, 400)
    dock.show()
    dock.tree.plot.grab()  # lays everything out
    dock.save_picture(str(tmp_path / "tree.png"))
    seen = dock.tree.plot.grab().toImage().convertToFormat(QImage.Format.Format_Grayscale8)
    saved = QImage(str(tmp_path / "tree.png")).convertToFormat(QImage.Format.Format_Grayscale8)
    assert saved.width() == 3 * dock.tree.plot.width()
    # Where something is drawn, in tenths of the picture: the same on the screen and in the file.
    drawn = []
    for image in (seen, saved):
        width, height = image.width(), image.height()
        background = image.pixelColor(width - 2, 1).value()
        places = [
            (10 * x // width, 10 * y // height)
            for y in range(height)
            for x in range(width)
            if abs(image.pixelColor(x, y).value() - background) > 40
        ]
        drawn.append(set(places))
    assert len(drawn[0] & drawn[1]) >= 0.9 * len(drawn[0] | drawn[1])


def test_no_tracks(qtbot: QtBot) -> None:
    dock = LineageWidget(ViewerModel(), workflows)
    qtbot.addWidget(dock)
    assert "no tracks yet" in dock.status.text()
    assert not dock.save.isEnabled()
    dock.tree.clicked.emit(1, 1)


def test_without_the_library_it_says_so(
    viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_tree, "find_spec", lambda _name: None)
    dock = LineageWidget(viewer, workflows)
    qtbot.addWidget(dock)
    assert not dock.save.isEnabled()
    dock.followed.pick((1, 1))
    dock.save_picture(str(tmp_path / "tree.png"))
    assert "pyqtgraph" in dock.status.text()


def test_many_tracks_draw_what_is_visible(qtbot: QtBot) -> None:
    count = 10_000
    parent = np.zeros(count, np.int64)
    parent[1::3], parent[2::3] = (
        np.arange(1, count, 3)[: len(parent[1::3])],
        np.arange(1, count, 3)[: len(parent[2::3])],
    )
    first = np.where(parent > 0, 10, 0)
    table: dict[str, Any] = {
        "track": np.arange(1, count + 1), "lineage": np.arange(count) // 3 + 1, "parent": parent, "first": first,
        "last": first + 9, "place": np.arange(count, dtype=float),
    }  # fmt: skip
    tree = Tree()
    qtbot.addWidget(tree)
    tree.resize(600, 400)
    start = time.process_time()
    tree.fill(table)
    tree.grab()
    assert 0 < tree.drawn < 500
    tree.mark(9000, 12)
    tree.grab()
    assert 0 < tree.drawn < 500
    assert tree.plot.viewRange()[0][0] < 8999 < tree.plot.viewRange()[0][1]
    assert time.process_time() - start < 3


def test_bars_of_cell_cycles_hold_equally_many_frames() -> None:
    cycles = np.arange(10, 55) * 0.1
    assert np.histogram(cycles, _bins(cycles, 0.1))[0].tolist() == [3] * 15
    assert np.allclose(_bins(np.full(4, 21.0), 3.0), [19.5, 22.5])
