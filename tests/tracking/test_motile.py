"""Links of many frames that are chosen together."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.errors import MissingExtraError, SpecError
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import simulate
from napari_unet.tracking import _motile
from napari_unet.workflows import score_tracks, track

from .conftest import simulate as disks


def edges(found):
    time, label = (found.nodes[name].astype(int) for name in ("t", "label"))
    return {((time[a], label[a]), (time[b], label[b])) for a, b in found.edges}


@pytest.mark.parametrize("ndim", [2, 3])
def test_what_is_beyond_doubt_is_found(ndim):
    movie = disks(ndim=ndim)
    assert edges(track(movie.labels, method="motile")) == movie.links


@pytest.mark.parametrize("window", [2, 5, 40])
def test_windows_of_any_length_find_it(monkeypatch, window):
    movie = disks()
    monkeypatch.setattr(_motile, "_WINDOW", window)
    assert edges(track(movie.labels, method="motile", max_gap=3)) == movie.links


def test_two_frames_have_one_best_choice():
    for seed in range(4):
        movie = simulate(
            MovieSpec(shape=(120, 120), frames=2, count=24, diameter=16.0, cycle=3.0, speed=0.5, seed=seed)
        )
        given = np.asarray(movie.given.data)
        one, other = track(given), track(given, method="motile")
        assert edges(one) == edges(other)
        assert np.nansum(one.costs) == pytest.approx(np.nansum(other.costs))


def test_mergings_decisions_and_margins():
    movie = simulate(MovieSpec(shape=(120, 120), frames=4, count=16, diameter=16.0, cycle=3.0, seed=1))
    backwards = np.asarray(movie.given.data)[::-1].copy()
    merged = track(backwards, method="motile", merging=True, division=False)
    assert np.bincount(merged.edges[:, 1]).max() == 2
    assert np.isfinite(merged.margins).all()
    free = edges(track(backwards, method="motile"))
    link = min(free)
    held = edges(track(backwards, method="motile", forbidden=(link,)))
    assert link not in held
    assert link in edges(track(backwards, method="motile", fixed=(link,)))


def test_it_is_as_good_on_crowded_cells_with_missing_masks():
    movie = simulate(
        MovieSpec(kind="bacteria", shape=(140, 140), frames=9, count=10, diameter=9.0, cycle=6.0, dropped=0.05, seed=3)
    )
    given, truth, labels = np.asarray(movie.given.data), movie.tracks(), np.asarray(movie.labels.data)
    scores = [score_tracks(track(given, method=method), given, truth, labels).scores for method in ("lap", "motile")]
    assert scores[1]["LNK"] > scores[0]["LNK"] - 0.02


def test_it_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(_motile, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"napari-unet-suite\[motile\]"):
        track(disks().labels, method="motile")
    with pytest.raises(SpecError, match="method"):
        track(disks().labels, method="guess")


def test_nothing_and_one_frame():
    assert not len(track(np.zeros((3, 9, 9), np.int32), method="motile").edges)
    assert not len(track(np.ones((1, 9, 9), np.int32), method="motile").edges)
