"""The dock that corrects tracks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet import workflows
from napari_unet.widgets.correct import CorrectWidget
from napari_unet.widgets.track import TrackWidget

Docks = Callable[..., tuple[TrackWidget, CorrectWidget]]


def movie(frames: int = 5) -> np.ndarray:
    """Return labels of three cells in a row, 1 to 3 from the left, which stay."""
    labels = np.zeros((frames, 60, 90), np.int32)
    y, x = np.mgrid[:60, :90]
    for frame in labels:
        for i in range(3):
            frame[np.hypot(y - 30, x - 15 - 30 * i) < 8] = i + 1
    return labels


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that corrections of labels without a file go to."""
    monkeypatch.setattr("napari_unet.io.choosing.data_folder", lambda: tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def docks(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Docks:
    """Return a function that tracks the labels of a viewer and opens both docks."""
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", lambda _text: None)

    def build(viewer: Any) -> tuple[TrackWidget, CorrectWidget]:
        track = TrackWidget(viewer, workflows)
        qtbot.addWidget(track)
        track.run()
        finish(qtbot, track)
        correct = CorrectWidget(viewer, workflows)
        qtbot.addWidget(correct)
        return track, correct

    return build


def finish(qtbot: QtBot, widget: Any) -> None:
    assert widget.job is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.job is None)


def shown() -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_labels(movie(), name="cells", scale=(60, 0.5, 0.5), translate=(0, 7, 8))
    return viewer


def ours(callback: Any) -> bool:
    return getattr(callback, "__module__", "").startswith("napari_unet")


def click(viewer: ViewerModel, *place: float, drag: float = 0.0, direction: Any = None) -> None:
    """Press and let go of the left button at a place of the labels, as napari tells it."""
    position = viewer.layers["cells"].data_to_world(place)
    for callback in filter(ours, viewer.mouse_drag_callbacks):
        event = SimpleNamespace(
            button=1, type="mouse_press", pos=(100.0, 100.0), position=position, view_direction=direction
        )
        steps = callback(viewer, event)
        next(steps)
        if drag:
            event.type, event.pos = "mouse_move", (100.0, 100.0 + drag)
            next(steps)
        event.type = "mouse_release"
        assert next(steps, None) is None


def press(viewer: ViewerModel, key: str) -> None:
    from app_model.types import KeyBinding

    keymap = {str(k): action for k, action in viewer.keymap.items()}
    keymap[str(KeyBinding.from_str(key))](viewer)


def numbers(viewer: ViewerModel, label: int) -> list[int]:
    """Return the track of a label in every frame, as the colored labels show it."""
    colored = np.asarray(viewer.layers["cells by track"].data)
    labels = viewer.layers["cells"].data
    return [int(colored[t][labels[t] == label][0]) for t in range(len(labels))]


def test_clicks_and_keys_correct(docks: Docks, home: Path) -> None:
    viewer = shown()
    before = viewer.layers["cells"].data.copy()
    _, dock = docks(viewer)
    assert numbers(viewer, 1) == [1] * 5
    click(viewer, 2, 30, 15)
    assert "cell 1 of frame 2" in dock.picked.text()
    assert viewer.layers.selection.active is viewer.layers["cells tracks"]
    click(viewer, 2, 30, 45)
    assert len(viewer.layers["picked cells"].data) == 2
    press(viewer, "x")
    assert numbers(viewer, 1) == [1, 1, 2, 2, 2]
    assert numbers(viewer, 2) == [2, 2, 1, 1, 1]
    assert "picked cells" not in viewer.layers
    assert "Done: swap" in dock.status.text()
    assert dock.saved.text().startswith("1 corrections, saved at once in ")
    assert len(list((home / "corrections").iterdir())) == 1
    press(viewer, "Ctrl+Z")
    assert numbers(viewer, 1) == [1] * 5
    press(viewer, "Ctrl+Shift+Z")
    assert numbers(viewer, 1) == [1, 1, 2, 2, 2]
    assert np.array_equal(viewer.layers["cells"].data, before)


def stack() -> ViewerModel:
    """Return a viewer with a movie of a stack: cell 1 lies before cell 2 along z, cell 3 beside them."""
    labels = np.zeros((4, 20, 40, 60), np.int32)
    z, y, x = np.mgrid[:20, :40, :60]
    for frame in labels:
        for i, middle in enumerate(((4, 20, 20), (15, 20, 20), (10, 20, 45))):
            far = np.array([z, y, x]) - np.reshape(middle, (3, 1, 1, 1))
            frame[np.sqrt((far**2).sum(axis=0)) < 4.5] = i + 1
    viewer = ViewerModel()
    viewer.add_labels(labels, name="cells", scale=(60, 2, 0.5, 0.5), translate=(0, 3, 7, 8))
    return viewer


def test_cells_of_a_stack_are_picked_in_the_plane_that_is_shown(docks: Docks) -> None:
    viewer = stack()
    _, dock = docks(viewer)
    for plane, label in ((4, 1), (15, 2)):
        click(viewer, 1, plane, 20, 20)
        assert f"cell {label} of frame 1" in dock.picked.text()
    said = dock.picked.text()
    click(viewer, 1, 10, 20, 20)  # between the two
    assert dock.picked.text() == said


def test_in_the_3d_view_the_first_cell_on_the_line_of_sight_is_picked(docks: Docks) -> None:
    viewer = stack()
    _, dock = docks(viewer)
    viewer.dims.ndisplay = 3
    viewer.dims.set_current_step(0, 2)
    camera, layer, hidden = getattr(viewer, "scene", viewer).camera, viewer.layers["cells"], 0
    directions = [np.array([0, 1.0, 0, 0]), np.array([0, -1.0, 0, 0])]  # along z, from both sides
    for angles in ((0, 90, 0), (20, 35, 60), (-70, 10, 200)):
        camera.angles = angles
        directions.append(np.array(camera.calculate_nd_view_direction(4, viewer.dims.displayed)))
    for direction in directions:
        for label, middle in ((1, (4, 20, 20)), (2, (15, 20, 20)), (3, (10, 20, 45))):
            # napari says where the click is on a plane through the center of the camera, before or behind the cell.
            for away in (-300, 0, 500):
                world = np.array(layer.data_to_world((2, *middle))) + away * direction
                seen = layer.get_value(world, view_direction=direction, dims_displayed=[1, 2, 3], world=True)
                click(viewer, *layer.world_to_data(world), direction=direction)
                assert f"cell {seen} of frame 2" in dock.picked.text().split(", ")[-1]
                hidden += seen != label
    assert hidden == 6, "one of two that lie behind each other, from both sides"
    said = dock.picked.text()
    for beside in ((2, 10, 39, 1), (2, 500, 500, 1)):
        click(viewer, *beside, direction=np.array([0, 1.0, 0, 0]))
    assert dock.picked.text() == said


def test_time_may_be_the_depth_of_the_3d_view(docks: Docks) -> None:
    viewer = shown()
    _, dock = docks(viewer)
    viewer.dims.ndisplay = 3
    click(viewer, 2, 30, 45, direction=np.array([1.0, 0, 0]))
    assert "cell 2 of frame 0" in dock.picked.text()
    click(viewer, 2, 30, 45, direction=np.array([-1.0, 0, 0]))
    assert "cell 2 of frame 4" in dock.picked.text()


def test_every_verb_has_a_key(docks: Docks) -> None:
    viewer = shown()
    _, dock = docks(viewer)
    layer = viewer.layers["cells tracks"]
    for key, cells, tracks in [
        ("s", [(2, 15)], 4),
        ("m", [(0, 15), (4, 15)], 3),
        ("u", [(1, 45), (2, 45)], 4),
        ("l", [(2, 45), (1, 45)], 3),
        ("d", [(2, 75), (3, 75), (1, 75)], 5),
        ("Delete", [(4, 15)], 5),
        ("o", [(0, 15), (1, 15)], 5),
    ]:
        for t, x in cells:
            click(viewer, t, 30, x)
        press(viewer, key)
        assert "Done" in dock.status.text(), (key, dock.status.text())
        assert len(np.unique(layer.data[:, 0])) == tracks, key


def test_a_division_by_hand(docks: Docks) -> None:
    viewer = shown()
    _, dock = docks(viewer)
    for t, x in [(3, 15), (2, 15), (3, 45)]:
        click(viewer, t, 30, x)
    press(viewer, "d")
    assert viewer.layers["cells tracks"].graph
    assert dock.followed.tracks.counts["divisions"] == 1
    assert numbers(viewer, 1)[3] != numbers(viewer, 1)[2]


def test_dragging_and_background_pick_nothing(docks: Docks) -> None:
    viewer = shown()
    _, dock = docks(viewer)
    click(viewer, 1, 30, 15, drag=40)
    click(viewer, 1, 2, 2)
    assert dock.picks.cells == []
    click(viewer, 1, 30, 15)
    press(viewer, "Escape")
    assert dock.picks.cells == []
    assert dock.picked.text() == "No cell is picked."


def test_what_is_refused_is_said(docks: Docks) -> None:
    viewer = shown()
    _, dock = docks(viewer)
    press(viewer, "l")
    assert "Pick 2 cells first" in dock.status.text()
    for t in (1, 2):
        click(viewer, t, 30, 15)
    press(viewer, "l")
    assert "linked already" in dock.status.text()
    assert len(dock.picks.cells) == 2
    assert not dock.tools["undo"].isEnabled()
    press(viewer, "Ctrl+Z")
    assert "nothing to undo" in dock.status.text()


def test_corrections_are_there_again(docks: Docks) -> None:
    viewer = shown()
    docks(viewer)
    click(viewer, 2, 30, 15)
    press(viewer, "s")
    again = shown()
    track, dock = docks(again)
    assert "1 corrections of before are there again" in track.status.text()
    assert numbers(again, 1) != [1] * 5
    dock.tools["undo"].click()
    assert numbers(again, 1) == [1] * 5


def test_the_queue_leads_to_doubts(docks: Docks, qtbot: QtBot) -> None:
    viewer = shown()
    labels = viewer.layers["cells"].data
    labels[3:][labels[3:] == 2] = 0
    _, dock = docks(viewer)
    press(viewer, "n")
    finish(qtbot, dock)
    assert "1 doubts" in dock.status.text()
    assert dock.queue.item(0).text() == "70 %  frame 2, cell 2: disappears"
    press(viewer, "n")
    assert viewer.dims.current_step[0] == 2
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[1:] == pytest.approx((7 + 15, 8 + 22.5))
    assert dock.picks.cells == [(1, 2), (2, 2)]
    press(viewer, "b")
    assert dock.queue.currentRow() == 0
    press(viewer, "o")
    assert dock.queue.count() == 0
    dock.run()
    finish(qtbot, dock)
    assert "0 doubts" in dock.status.text()


def test_solving_again_keeps_corrections(docks: Docks, qtbot: QtBot) -> None:
    viewer = shown()
    _, dock = docks(viewer)
    for x in (15, 45):
        click(viewer, 2, 30, x)
    press(viewer, "x")
    click(viewer, 4, 30, 75)
    press(viewer, "s")
    changed = numbers(viewer, 1), numbers(viewer, 3)
    dock.again.click()
    finish(qtbot, dock)
    assert (numbers(viewer, 1), numbers(viewer, 3)) == changed
    assert changed[1][4] != changed[1][3]


def test_keys_are_given_back(docks: Docks) -> None:
    viewer = shown()
    viewer.bind_key("l", lambda _viewer: None)
    mine = dict(viewer.keymap)
    _, dock = docks(viewer)
    assert dict(viewer.keymap) != mine
    dock.keys.give_back()
    assert dict(viewer.keymap) == mine


def test_tracks_from_elsewhere(docks: Docks, qtbot: QtBot) -> None:
    viewer = ViewerModel()
    dock = CorrectWidget(viewer, workflows)
    qtbot.addWidget(dock)
    assert "no tracks yet" in dock.status.text()
    viewer.add_tracks(np.array([[1, 0, 5, 5], [1, 1, 6, 6]], float))
    assert "from elsewhere" in dock.status.text()
    press(viewer, "l")
    dock.run()
    dock.solve()
    assert dock.job is None


def test_layers_that_are_removed(docks: Docks) -> None:
    viewer = shown()
    _, dock = docks(viewer)
    click(viewer, 2, 30, 15)
    viewer.layers.remove("cells tracks")
    assert dock.followed is None
    assert not any(map(ours, viewer.mouse_drag_callbacks))
    assert not any(made.isEnabled() for made in dock.tools.values())


def test_a_disk_that_is_full_is_told_and_nothing_is_lost(docks: Docks, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = shown()
    _, dock = docks(viewer)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    click(viewer, 2, 30, 15)
    with monkeypatch.context() as patch:
        patch.setattr("napari_unet.io.lines.os.fsync", full)
        press(viewer, "s")
    assert "No space" in dock.status.text()
    assert numbers(viewer, 1) != [1] * 5
    click(viewer, 2, 30, 45)
    press(viewer, "s")
    assert len(workflows.correct(dock.followed.edits.base, dock.followed.edits.place)[0].done) == 2


def test_masks_that_were_changed_are_told_and_the_dock_goes_on(docks: Docks, qtbot: QtBot) -> None:
    viewer = shown()
    _, dock = docks(viewer)
    viewer.layers["cells"].data[2, 50:55, 5:10] = 9
    dock.solve()
    finish(qtbot, dock)
    assert "Masks were changed since they were tracked: cell 9 of frame 2 was not there" in dock.status.text()
    viewer.layers["cells"].data[2, 50:55, 5:10] = 0
    dock.solve()
    finish(qtbot, dock)
    assert dock.status.text() == "Nothing else changes."
