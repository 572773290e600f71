"""A table of tracks, a table of frames, and a tree."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_unet.core.graph import relink
from napari_unet.core.results import Tracks
from napari_unet.tracking.summary import frame_table, summarize, tree


def divided():
    """Return a cell that divides after frame 2, whose first daughter divides after frame 4, and one that stays."""
    cells = [
        (0, 1, 10, 10, 100), (1, 1, 10, 13, 110), (2, 1, 10, 16, 120),
        (3, 2, 6, 16, 60), (4, 2, 6, 16, 66), (3, 3, 14, 16, 60), (4, 3, 14, 20, 60), (5, 3, 14, 24, 90),
        (5, 4, 4, 16, 30), (5, 5, 8, 16, 30),
        *((t, 9, 90, 90, 50) for t in (0, 1, 3, 5)),
    ]  # fmt: skip
    cells.sort()
    rows = {cell[:2]: i for i, cell in enumerate(cells)}
    nodes = dict(zip(("t", "label", "y", "x", "area"), np.array(cells).T, strict=True))
    links = [
        ((0, 1), (1, 1)), ((1, 1), (2, 1)), ((2, 1), (3, 2)), ((2, 1), (3, 3)), ((3, 2), (4, 2)), ((3, 3), (4, 3)),
        ((4, 3), (5, 3)), ((4, 2), (5, 4)), ((4, 2), (5, 5)), ((0, 9), (1, 9)), ((1, 9), (3, 9)), ((3, 9), (5, 9)),
    ]  # fmt: skip
    edges = np.array([(rows[a], rows[b]) for a, b in links])
    return relink(Tracks(nodes, edges, "tyx", (10.0, 0.5, 0.5), ("s", "um", "um")), edges)


def test_tracks_are_measured_in_physical_units():
    table = summarize(divided())
    assert table["track"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["lineage"].tolist() == [1, 2, 1, 1, 1, 1]
    assert table["parent"].tolist() == [0, 0, 1, 1, 3, 3]
    assert table["children"].tolist() == [2, 0, 2, 0, 0, 0]
    assert table["generation"].tolist() == [1, 1, 2, 2, 3, 3]
    assert table["frames"].tolist() == [3, 4, 2, 3, 1, 1]
    assert table["lifetime"].tolist() == [30, 60, 20, 30, 10, 10]
    assert table["start"].tolist() == [0, 0, 30, 30, 50, 50]
    assert table["path"].tolist() == [3, 0, 0, 4, 0, 0]
    assert table["displacement"].tolist() == [3, 0, 0, 4, 0, 0]
    assert np.allclose(table["speed"], [0.15, 0, 0, 0.2, np.nan, np.nan], equal_nan=True)
    assert table["area"].tolist() == [27.5, 12.5, 15.75, 15, 7.5, 7.5]
    assert np.allclose(table["growth"], [1.2, 1, 1.1, 1.5, 1, 1])
    assert table["complete"].tolist() == [False, False, True, False, False, False]


def test_what_two_cells_became_has_no_cycle_of_its_own():
    cells = [(0, 1), (0, 2), (1, 1), (2, 1), (2, 2)]
    nodes = dict(zip(("t", "label"), np.array(cells).T, strict=True)) | dict.fromkeys(("y", "x", "area"), np.ones(5))
    edges = np.array([(0, 2), (1, 2), (2, 3), (2, 4)])
    table = summarize(relink(Tracks(nodes, edges, "tyx", (1.0, 1.0, 1.0)), edges))
    assert table["parent"].tolist() == [0, 0, 1, 3, 3]
    assert not table["complete"].any()


def test_frames_are_counted():
    table = frame_table(divided())
    assert table["time"].tolist() == [0, 10, 20, 30, 40, 50]
    assert table["cells"].tolist() == [2, 2, 1, 3, 2, 4]
    assert table["divisions"].tolist() == [0, 0, 1, 0, 1, 0]
    assert np.isnan(table["speed"][0])
    assert table["speed"][1] == pytest.approx(0.15 / 2)
    assert table["speed"][3] == 0  # only the cell that stays: daughters begin where they are


def test_mothers_stand_between_their_daughters():
    table = tree(divided())
    place = dict(zip(table["track"].tolist(), table["place"].tolist(), strict=True))
    assert place == {5: 0, 6: 1, 3: 0.5, 4: 2, 1: 1.25, 2: 3}
    assert table["first"].tolist() == [0, 0, 3, 3, 5, 5]
    assert table["last"].tolist() == [2, 5, 4, 5, 5, 5]


def test_nothing():
    nodes = {name: np.zeros(0, np.int64) for name in ("t", "label", "y", "x", "area", "track", "parent", "lineage")}
    nothing = Tracks(nodes, np.zeros((0, 2), np.int64), "tyx", (1.0, 1.0, 1.0))
    for make in (summarize, frame_table, tree):
        assert all(len(column) == 0 for column in make(nothing).values())


def test_many_tracks_are_fast():
    count = 10_000
    nodes = {
        "t": np.repeat(np.arange(3), count), "label": np.tile(np.arange(count), 3), "y": np.zeros(3 * count),
        "x": np.zeros(3 * count), "area": np.ones(3 * count),
    }  # fmt: skip
    edges = np.stack([np.arange(2 * count), np.arange(count, 3 * count)], axis=1)
    found = relink(Tracks(nodes, edges, "tyx", (1.0, 1.0, 1.0)), edges)
    start = time.process_time()
    assert len(tree(found)["track"]) == count
    assert time.process_time() - start < 2
