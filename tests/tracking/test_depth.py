"""Planes of a stack that are taken for frames of a movie are noticed; movies are not."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import simulate
from napari_unet.samples.simulated import nuclei
from napari_unet.workflows import track, track_steps


def news(labels):
    steps = track_steps(Image(np.asarray(labels), "tyx"))
    said = [progress.news for progress in steps if progress.news]
    return " ".join(said)


@pytest.mark.parametrize("seed", range(3))
def test_a_stack_is_noticed(seed):
    _, labels = nuclei((60, 160, 160), 25, 18.0, seed)
    assert "depth" in news(labels)


@pytest.mark.parametrize("kind", ["nuclei", "bacteria"])
def test_a_movie_is_not(kind):
    for seed, speed, death in ((0, 0.0, 0.0), (1, 0.2, 0.0), (2, 0.05, 0.1)):
        size = {"nuclei": 20.0, "bacteria": 9.0}[kind]
        spec = MovieSpec(
            kind=kind, shape=(180, 180), frames=12, count=12, diameter=size, speed=speed, death=death, seed=seed
        )
        assert not news(simulate(spec).given.data)


def test_of_little_nothing_is_said():
    assert not news(np.zeros((3, 9, 9), np.int32))
    assert not news(np.pad(np.ones((3, 5, 5), np.int32), ((2, 2), (2, 2), (2, 2))))
    _, labels = nuclei((60, 160, 160), 25, 18.0, 0)
    assert not track(labels[None]).axes.startswith("tyx")
