"""Movies with tracks become examples of two frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.errors import TrainingDataError
from napari_unet.core.examples import Example
from napari_unet.core.specs import AugmentSpec, NetSpec, NormalizeSpec, TargetSpec, TrainSpec
from napari_unet.io.images import read_image
from napari_unet.io.labels import read_labels
from napari_unet.io.pairs import find_examples
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import simulate
from napari_unet.targets import ZERO, target
from napari_unet.targets.motion import REACH
from napari_unet.training.data import Loader
from napari_unet.training.frames import pair_frames
from napari_unet.training.patches import Sampler
from napari_unet.training.runs import Order, read_order, write_order


@pytest.fixture(scope="module")
def movie():
    return simulate(MovieSpec(shape=(96, 100), frames=5, count=14, diameter=13.0, cycle=5.0, speed=0.3, seed=4))


@pytest.fixture
def example(movie):
    image, labels = (Image(np.asarray(each.data), "tyx", name="cells") for each in (movie.image, movie.labels))
    return Example(image, labels, tracks=movie.tracks(), group="dish")


def test_numbers_say_who_comes_from_whom(movie, example):
    made, labels, tracks = pair_frames(example), np.asarray(movie.labels.data), movie.tracks()
    here, before = np.asarray(made.labels.data), np.asarray(made.before.data)
    assert here.shape == before.shape == (4, 96, 100)
    assert np.array_equal(here > 0, labels[1:] > 0)
    assert np.array_equal(before > 0, labels[:-1] > 0)
    assert not (before % 2).any()
    said = set()
    for t in range(4):
        for number in np.unique(here[t][here[t] > 0]):
            parent = before[t] == number - number % 2
            if parent.any():
                said.add((t + 1, labels[t + 1][here[t] == number][0], labels[t][parent][0]))
    nodes = tracks.nodes
    assert said == {(nodes["t"][b], nodes["label"][b], nodes["label"][a]) for a, b in tracks.edges.tolist()}
    assert tracks.counts["divisions"] > 2
    assert pair_frames(made) is made


def test_the_image_shows_this_frame_then_the_one_before(movie, example):
    made = pair_frames(example).image
    assert made.axes == "tcyx"
    data = np.asarray(movie.image.data)
    assert np.array_equal(np.asarray(made.data), np.stack([data[1:], data[:-1]], axis=1))
    colors = replace(example, image=Image(np.stack([data, data + 1], axis=-1), "tyxc"))
    assert np.array_equal(np.asarray(pair_frames(colors).image.data)[:, [0, 2]], np.asarray(made.data))


def test_without_tracks_numbers_are_tracks(movie, example):
    made = pair_frames(replace(example, tracks=None))
    here, before, labels = np.asarray(made.labels.data), np.asarray(made.before.data), np.asarray(movie.labels.data)
    kept = np.setdiff1d(np.intersect1d(labels[0], labels[1]), [0])
    assert kept.size
    for name in kept:
        assert here[0][labels[1] == name][0] == before[0][labels[0] == name][0]


@pytest.mark.parametrize("large", [False, True])
def test_patches_know_motion_however_they_were_turned(example, monkeypatch, large):
    if large:
        monkeypatch.setattr("napari_unet.training.data._HELD", 0)
    spec = TrainSpec(
        net=NetSpec(inputs=2, widths=(4,)), normalize=NormalizeSpec(joint=False), target=TargetSpec(name="motion"),
        diameter=13.0, augment=AugmentSpec(elastic=0.0, gray=0.0, shuffle=0.0), batch=4, patch=64,
    )  # fmt: skip
    pairs = Loader(spec).load(pair_frames(example))
    assert len(pairs) == 4
    sampler = Sampler(pairs, spec, target("motion"))
    seen = 0
    for seed in range(6):
        drawn = sampler.draw(pairs[seed % 4], np.random.default_rng(seed))
        scores = target("motion").encode(drawn.objects, drawn.before)
        for name in np.unique(drawn.objects[scores[4] > 0]):
            own, parent = drawn.objects == name, drawn.before == name - name % 2
            wanted = np.argwhere(parent).mean(axis=0) - np.argwhere(own).mean(axis=0)
            got = (scores[1:3, own].mean(axis=1) - ZERO) / (1 - ZERO) * REACH
            np.testing.assert_allclose(got, wanted, atol=1e-3)
            seen += 1
    assert seen > 10
    batch = sampler.batch(0)
    assert batch.image.shape == (4, 2, 64, 64)
    assert batch.target.shape == (4, 5, 64, 64)


def test_what_is_no_movie_is_refused(example):
    flat = Image(np.zeros((20, 20), np.int32), "yx")
    with pytest.raises(TrainingDataError, match="time axis"):
        pair_frames(Example(flat, flat))
    scattered = Image(np.arange(3)[:, None, None] * 5 + np.ones((3, 20, 20), np.int32), "tyx")
    with pytest.raises(TrainingDataError, match="link nothing"):
        pair_frames(Example(scattered, scattered))


@pytest.mark.parametrize("paired", [False, True])
def test_a_run_keeps_tracks_and_pairs_of_frames_for_when_it_goes_on(example, tmp_path, paired):
    spec, given = TrainSpec(name="m", task="motion"), pair_frames(example) if paired else example
    read = read_order(write_order(Order([given], spec, tmp_path / "m"))).data
    (again,) = find_examples(read)
    again = pair_frames(again)
    for name in ("image", "labels", "before"):
        one, other = getattr(pair_frames(example), name), getattr(again, name)
        other = read_labels(other) if isinstance(other, Path) and name != "image" else other
        other = read_image(other) if isinstance(other, Path) else other
        assert one.axes == other.axes
        assert np.array_equal(np.asarray(one.data), np.asarray(other.data))
