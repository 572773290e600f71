"""Doubts: errors come first."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from napari_unet import workflows
from napari_unet.core.graph import relink
from napari_unet.core.results import Tracks
from napari_unet.tracking.doubts import KINDS, doubts
from napari_unet.tracking.edits import Edits


def walk(cells=144, frames=20, seed=0, scale=(1.0, 1.0)):
    """Return true tracks of cells 20 pixels wide that wander about their places; labels stay."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(cells**0.5))
    homes = 30.0 * np.stack(np.unravel_index(np.arange(cells), (side, side)), axis=1)
    places = homes + np.cumsum(rng.normal(0, 1.2, (frames, cells, 2)), axis=0)
    areas = 314 * np.exp(rng.normal(0, 0.15, cells) + rng.normal(0, 0.03, (frames, cells)))
    nodes = {
        "t": np.repeat(np.arange(frames), cells),
        "label": np.tile(np.arange(1, cells + 1), frames),
        "y": places[..., 0].reshape(-1),
        "x": places[..., 1].reshape(-1),
        "area": np.rint(areas).astype(np.int64).reshape(-1),
    }
    rows = np.arange(cells * frames).reshape(frames, cells)
    edges = np.stack([rows[:-1].reshape(-1), rows[1:].reshape(-1)], axis=1)
    return relink(Tracks(nodes, edges, "tyx", (1.0, *scale)), edges)


@pytest.mark.parametrize("seed", range(3))
def test_errors_are_listed_first(seed):
    truth = walk(seed=seed)
    rng = np.random.default_rng(seed)
    edits = Edits(truth)
    wrong = set()
    for number, label in enumerate((1 + 2 * rng.permutation(60)[:24]).tolist()):
        t = int(rng.integers(4, 16))
        if label % 12 in (0, 1, 11) or not 12 < label < 132:
            continue  # who is at the border may come and go
        if number % 3 == 0:
            edits.do("swap", (t, label), (t, label + 1))
            wrong |= {(t, label), (t, label + 1)}
        elif number % 3 == 1:
            edits.do("split", (t, label))
            wrong |= {(t, label), (t - 1, label)}
        else:
            edits.do("divide", (t - 1, label), (t, label), (t, label + 1))
            wrong |= {(t, label), (t, label + 1), (t - 1, label + 1)}
    found = edits.tracks()
    listed = doubts(found)
    cells = list(zip(listed["t"].tolist(), listed["label"].tolist(), strict=True))
    first = cells[: len(wrong)]
    chance = len(wrong) / len(found.nodes["t"])
    assert chance < 0.02
    assert np.mean([cell in wrong for cell in first]) > 0.6
    assert np.mean([cell in wrong for cell in first[: len(first) // 2]]) > 0.9
    assert (np.diff(listed["doubt"]) <= 0).all()
    assert 0 < listed["doubt"].min() <= listed["doubt"].max() <= 1
    assert len(set(cells)) == len(cells)
    assert set(listed["kind"].tolist()) <= set(KINDS)


def test_true_tracks_are_hardly_doubted():
    listed = doubts(walk())
    assert (listed["doubt"] > 0.5).sum() < 0.01 * 144 * 20


def test_the_reason_is_named():
    truth = walk()
    edits = Edits(truth)
    edits.do("delete", (8, 64))
    edits.do("split", (12, 67))
    edits.do("divide", (9, 41), (10, 41), (10, 43))
    listed = doubts(edits.tracks())
    kinds = {(t, i): kind for kind, t, i in zip(listed["kind"], listed["t"], listed["label"], strict=True)}
    assert kinds[9, 64] == "gap"
    assert kinds[12, 67] == "start"
    assert kinds[11, 67] == "end"
    assert kinds[10, 41] == "division"
    at = list(kinds).index((9, 64))
    assert (listed["before"][at], listed["before_label"][at]) == (7, 64)
    assert listed["before"][list(kinds).index((12, 67))] == -1


def test_pixel_size_does_not_matter():
    plain, scaled = doubts(walk()), doubts(walk(scale=(0.2, 0.2)))
    assert np.array_equal(plain["label"], scaled["label"])
    assert np.allclose(plain["doubt"], scaled["doubt"])


def test_links_known_to_be_right_are_not_doubted():
    edits = Edits(walk())
    edits.do("swap", (5, 64), (5, 65))
    first = doubts(edits.tracks())
    assert set(zip(first["t"][:2].tolist(), first["label"][:2].tolist(), strict=True)) == {(5, 64), (5, 65)}
    left = workflows.list_doubts(edits.tracks(), edits)
    assert len(left["t"]) == len(first["t"]) - 2


def test_margins_are_used_where_they_are_known():
    truth = walk()
    margins = np.full(len(truth.edges), 9.0)
    margins[100] = 0.001
    listed = doubts(replace(truth, costs=np.ones(len(margins)), margins=margins))
    found = listed["kind"] == "ambiguous"
    child = truth.edges[100, 1]
    assert listed["label"][found].tolist() == [truth.nodes["label"][child]]


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_few_cells(frames):
    for cells in (1, 2):
        found = doubts(walk(cells, max(frames, 1))) if frames else doubts(_nothing())
        assert len(found["t"]) == 0 or frames == 2


def _nothing():
    nodes = {
        name: np.zeros(0, np.int64) for name in ("id", "t", "label", "y", "x", "area", "track", "parent", "lineage")
    }
    return Tracks(nodes, np.zeros((0, 2), np.int64), "tyx", (1.0, 1.0, 1.0))


def test_many_cells_are_fast():
    truth = walk(2500, 20)
    start = time.process_time()
    doubts(truth)
    assert time.process_time() - start < 3
