"""Links of cells that keep their way."""

from __future__ import annotations

import numpy as np

from napari_unet.core.axes import Image
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import simulate
from napari_unet.tracking._candidates import Scale, Side
from napari_unet.tracking._steady import foresee
from napari_unet.workflows import score_tracks, track


def side(places, areas=None):
    """Return objects at some places."""
    places = np.asarray(places, np.float64).reshape(-1, 2)
    n = len(places)
    size = np.full(n, 100.0) if areas is None else np.asarray(areas, np.float64)
    nothing = np.full(n, np.nan)
    return Side(places, size, nothing, np.zeros(n, np.bool_), np.zeros((n, 2)), nothing)


def test_two_that_cross_go_on_straight():
    # In every frame the nearest object of the frame before is the other one.
    frames = [side([[0.0, 2.0 * t], [0.3, 9.0 - 2.0 * t]]) for t in range(5)]
    for back in foresee(frames, Scale(3.0, 3.0)):
        assert np.allclose(back, [[0, -2], [0, 2]])


def test_where_nothing_is_near_nothing_is_foretold():
    assert not np.concatenate(foresee([side([[0, 0]]), side([[0, 9]]), side([])], Scale(3.0, 3.0))).any()
    assert [len(back) for back in foresee([side([]), side([[1, 1]])], Scale(3.0, 3.0))] == [0, 1]


def test_cells_that_each_keep_a_way_of_their_own_are_followed():
    movie = simulate(
        MovieSpec(shape=(180, 180), frames=7, count=16, diameter=18.0, cycle=0, death=0.0, speed=0.1, roam=1.2, seed=5)
    )
    given = Image(np.asarray(movie.given.data), "tyx")
    truth = movie.tracks()
    plain, steady = (
        score_tracks(track(given, max_distance=2.5, steady=on), given, truth, movie.labels).scores["LNK"]
        for on in (False, True)
    )
    assert plain < 0.5
    assert steady > 0.9


def test_steps_are_in_pixels_whatever_their_size():
    labels = np.zeros((5, 40, 200), np.int32)
    for t in range(5):
        labels[t, 10:18, 10 + 30 * t : 18 + 30 * t] = 1
        labels[t, 22:30, 182 - 30 * t : 190 - 30 * t] = 2
    for scale in ((1.0, 1.0, 1.0), (1.0, 0.5, 0.5)):
        found = track(Image(labels, "tyx", scale=scale), max_distance=4.0, steady=True)
        assert found.counts["tracks"] == 2
        assert (found.nodes["label"][found.edges[:, 0]] == found.nodes["label"][found.edges[:, 1]]).all()
