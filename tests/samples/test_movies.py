"""Simulated time-lapses: their truth is true, and they come frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.errors import RegistryError, SpecError
from napari_unet.samples._cells import live
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import simulate
from napari_unet.workflows import sample_movie

SMALL = MovieSpec(shape=(96, 96), frames=14, count=9, diameter=14.0, cycle=8.0, death=0.02)


@pytest.mark.parametrize(
    "spec", [SMALL, SMALL.model_copy(update={"kind": "bacteria"}), SMALL.model_copy(update={"shape": (12, 64, 64)})]
)
def test_masks_tracks_and_lineages_fit_together(spec):
    movie = simulate(spec)
    labels, tracks = np.asarray(movie.labels.data), movie.tracks()
    assert labels.shape == (spec.frames, *spec.shape) == movie.image.shape
    nodes = tracks.nodes
    for t, label, area in zip(*(nodes[key].tolist() for key in ("t", "label", "area")), strict=True):
        assert (labels[t] == label).sum() == area
    assert sum(len(np.unique(frame[frame > 0])) for frame in labels) == len(nodes["t"])
    above, below = tracks.edges.T
    assert (nodes["t"][below] - nodes["t"][above] == 1).all()
    same = nodes["label"][above] == nodes["label"][below]
    assert all(movie.mothers[int(nodes["label"][b])] == nodes["label"][a] for a, b in tracks.edges[~same])
    assert tracks.counts["divisions"] > 0
    assert np.bincount(above).max() == 2


def test_a_seed_is_a_movie_and_frames_do_not_depend_on_the_order_of_looking():
    one, two, other = simulate(SMALL), simulate(SMALL), simulate(SMALL.model_copy(update={"seed": 1}))
    backwards = [np.asarray(two.image.data[t]) for t in (9, 5, 0)][::-1]
    assert np.array_equal(np.asarray(one.image.data[[0, 5, 9]]), np.stack(backwards))
    assert not np.array_equal(np.asarray(one.labels.data[0]), np.asarray(other.labels.data[0]))


def test_what_can_be_set_is_seen():
    def light(**options):
        return np.asarray(simulate(SMALL.model_copy(update={"frames": 3, **options})).image.data, float)

    sharp = light(noise=0.0, bleaching=0.0)
    assert np.array_equal(sharp, light(noise=0.0, bleaching=0.0))
    assert np.abs(light(noise=2.0, bleaching=0.0) - sharp).mean() > 10
    assert light(noise=0.0, bleaching=0.6)[-1].mean() < 0.7 * sharp[-1].mean()
    assert np.abs(np.diff(light(noise=0.0, blur=4.0))).mean() < np.abs(np.diff(sharp)).mean()


def test_cells_drift_divide_die_enter_and_leave():
    still = SMALL.model_copy(update={"cycle": 0.0, "speed": 0.0, "count": 1, "death": 0.0, "shape": (300, 300)})
    assert simulate(still).tracks().counts["divisions"] == 0
    drifting = simulate(still.model_copy(update={"drift": 0.5, "count": 20})).tracks()
    steps = [drifting.nodes[a][drifting.edges[:, 1]] - drifting.nodes[a][drifting.edges[:, 0]] for a in "yx"]
    assert np.median(np.hypot(*steps)) == pytest.approx(7, abs=1)
    ends = np.setdiff1d(drifting.nodes["id"], drifting.edges[:, 0])
    assert (drifting.nodes["t"][ends] < 13).any(), "nobody left"
    starts = np.setdiff1d(drifting.nodes["id"], drifting.edges[:, 1])
    assert (drifting.nodes["t"][starts] > 0).any(), "nobody came"
    alive = [len(cells) for cells in live(still.model_copy(update={"count": 200, "death": 0.2}))]
    assert alive[-1] < 0.3 * alive[0]


def test_masks_can_be_missing_and_their_numbers_differ_from_frame_to_frame():
    movie = simulate(SMALL.model_copy(update={"dropped": 0.3, "frames": 6}))
    truth, given = np.asarray(movie.labels.data), np.asarray(movie.given.data)
    assert (truth[given > 0] > 0).all()
    lost = [1 - len(np.unique(g)) / len(np.unique(t)) for g, t in zip(given, truth, strict=True)]
    assert 0.1 < np.mean(lost) < 0.5
    assert not np.array_equal(given > 0, truth > 0)


def test_an_empty_movie():
    movie = simulate(SMALL.model_copy(update={"count": 0, "frames": 2}))
    assert not np.asarray(movie.given.data).any()
    assert movie.tracks().counts["objects"] == 0


def test_samples_by_name():
    image, labels, tracks = sample_movie("bacteria-movie", frames=3, shape=(64, 64))
    assert image.axes == labels.axes == tracks.axes == "tyx"
    assert image.shape == labels.shape == (3, 64, 64)
    with pytest.raises(RegistryError, match="bacteria-movie"):
        sample_movie("a-movie")
    with pytest.raises(SpecError, match="diameter"):
        sample_movie("nuclei-movie", diameter=1.0)
