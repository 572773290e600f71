"""Steps that all objects take together."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import simulate
from napari_unet.workflows import score_tracks, track

CELLS = MovieSpec(shape=(220, 220), frames=6, count=26, diameter=24.0, cycle=0.0, speed=0.1, death=0.0, heading=25.0)


def score(movie, labels=None, **options):
    given = np.asarray(movie.given.data) if labels is None else labels
    return score_tracks(track(given, **options), given, movie.tracks(), movie.labels).scores


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("options", [{}, {"steady": True, "max_distance": 3.0}], ids=["plain", "steady"])
def test_a_flow_of_more_than_a_width_is_followed(seed, options):
    movie = simulate(CELLS.model_copy(update={"seed": seed, "drift": 1.5}))
    scores = score(movie, **options)
    assert scores["LNK"] > 0.95
    assert scores["CHOTA"] > 0.97


def test_a_stage_that_was_moved_once_does_not_break_tracks():
    movie = simulate(CELLS.model_copy(update={"seed": 1, "shape": (300, 300), "count": 40}))
    labels, shift = np.array(movie.labels.data), (37, -29)
    labels[3:] = np.roll(labels[3:], shift, axis=(1, 2))
    labels[3:, : shift[0]] = labels[3:, :, shift[1] :] = 0
    found = track(labels)
    t, label = found.nodes["t"], found.nodes["label"]
    over = {(int(label[a]), int(label[b])) for a, b in found.edges if t[a] == 2 and t[b] == 3}
    nodes, edges = movie.tracks().nodes, movie.tracks().edges
    true = {(int(nodes["label"][a]), int(nodes["label"][b])) for a, b in edges if nodes["t"][a] == 2}
    seen = {pair for pair in true if pair[1] in set(label[t == 3].tolist()) and pair[0] in set(label[t == 2].tolist())}
    assert len(over & true) >= 0.9 * len(seen) > 15
    assert len(over - true) <= 1


@pytest.mark.parametrize("options", [{"speed": 0.8, "memory": 0.0}, {"roam": 1.0}], ids=["random", "own ways"])
def test_where_all_go_different_ways_nothing_is_taken_for_a_jump(monkeypatch, options):
    movie = simulate(CELLS.model_copy(update={"seed": 0, **options}))
    with_it = track(np.asarray(movie.given.data))
    monkeypatch.setattr("napari_unet.tracking.lap.find_jumps", lambda *_: None)
    assert np.array_equal(track(np.asarray(movie.given.data)).edges, with_it.edges)


@pytest.mark.parametrize("shape", [(24, 90, 90), (90, 90)])
def test_few_objects_and_none(shape):
    labels = np.zeros((3, *shape), np.int32)
    labels[0, ..., 10:20, 10:20] = labels[2, ..., 60:70, 60:70] = 1
    axes = "tzyx"[4 - labels.ndim :] if labels.ndim == 4 else "tyx"
    assert len(track(Image(labels, axes)).edges) == 0
