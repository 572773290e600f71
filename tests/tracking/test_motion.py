"""Links with what a network foretells."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.linking import LinkSpec
from napari_unet.core.motion import Motion
from napari_unet.core.steps import finish
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import simulate
from napari_unet.tracking.lap import link
from napari_unet.workflows import score_tracks


def foretold(movie, wrong=0.0):
    """Return the true motion of a movie's labels, with an error."""
    truth, labels, given = movie.tracks(), np.asarray(movie.labels.data), np.asarray(movie.given.data)
    nodes, rng = truth.nodes, np.random.default_rng(0)
    parents = {b: a for a, b in truth.edges.tolist()}
    twins = np.bincount(truth.edges[:, 0], minlength=len(nodes["t"]))
    rows = {key: i for i, key in enumerate(zip(nodes["t"].tolist(), nodes["label"].tolist(), strict=True))}
    columns = [], [], []
    for t, frame in enumerate(given):
        ids = np.unique(frame[frame > 0]).astype(np.int64)
        back, chances = rng.normal(0, wrong + 1e-9, (len(ids), 2)), np.zeros(len(ids))
        for i, name in enumerate(ids.tolist()):
            row = rows[t, int(labels[t][frame == name][0])]
            if row in parents:
                above = parents[row]
                back[i] += [nodes[axis][above] - nodes[axis][row] for axis in "yx"]
                chances[i] = float(twins[above] > 1)
        for column, values in zip(columns, (ids, back, chances), strict=True):
            column.append(values)
    return Motion(*map(tuple, columns))


def lnk(movie, motion):
    given = Image(np.asarray(movie.given.data), "tyx")
    found = finish(link(given, LinkSpec(), None, motion))
    return score_tracks(found, given, movie.tracks(), movie.labels).scores["LNK"]


def test_cells_that_move_farther_than_they_are_wide_are_followed_where_motion_is_foretold():
    movie = simulate(MovieSpec(shape=(200, 200), frames=7, count=22, diameter=20.0, speed=0.1, roam=1.6, seed=3))
    assert lnk(movie, None) < 0.3
    assert lnk(movie, foretold(movie)) > 0.92
    assert lnk(movie, foretold(movie, wrong=4.0)) > 0.85


def test_a_division_that_is_not_foretold_costs_more():
    labels = np.zeros((2, 40, 60), np.int32)
    labels[0, 10:20, 10:40], labels[1, 10:20, 10:24], labels[1, 10:20, 26:40] = 1, 1, 2
    costs = []
    for chance in (1.0, 0.0):
        ids = (np.array([1]), np.array([1, 2]))
        motion = Motion(ids, (np.zeros((1, 2)), np.zeros((2, 2))), (np.full(1, np.nan), np.full(2, chance)))
        found = finish(link(Image(labels, "tyx"), LinkSpec(), None, motion))
        assert found.counts["divisions"] == 1
        costs.append(found.costs[0])
    assert costs[1] > costs[0] + 0.4


def test_nothing_foretold_changes_nothing():
    movie = simulate(MovieSpec(shape=(120, 120), frames=4, count=12, diameter=16.0, cycle=4.0, seed=1))
    given = Image(np.asarray(movie.given.data), "tyx")
    ids = [np.unique(f[f > 0]).astype(np.int64) for f in np.asarray(movie.given.data)]
    still = Motion(tuple(ids), tuple(np.zeros((len(i), 2)) for i in ids), tuple(np.full(len(i), np.nan) for i in ids))
    plain, same = (finish(link(given, LinkSpec(), None, motion)) for motion in (None, still))
    assert np.array_equal(plain.edges, same.edges)
    assert np.array_equal(plain.costs, same.costs)


def test_motion_of_other_labels_is_refused():
    labels = np.ones((2, 9, 9), np.int32)
    other = Motion((np.array([2]),) * 2, (np.zeros((1, 2)),) * 2, (np.zeros(1),) * 2)
    with pytest.raises(ImageError, match="other labels in frame 0"):
        finish(link(Image(labels, "tyx"), LinkSpec(), None, other))
