"""Annotated images and the patches cut from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet.core.errors import TrainingDataError
from napari_unet.core.sizes import decode_size
from napari_unet.core.specs import AugmentSpec, NetSpec, TargetSpec, TrainSpec
from napari_unet.targets import target
from napari_unet.tiling.grid import Span
from napari_unet.tiling.resample import sampling_taps
from napari_unet.training.pairs import Truth
from napari_unet.training.patches import Sampler, make_pair

CLASSES = TargetSpec(name="classes", classes=("dent", "rust", "crack"))
STILL = AugmentSpec(
    elastic=0, scale_jitter=0, wide_fraction=0, rotate=False, gamma=0, noise=0, blur=0, contrast=0, invert=0, gray=0,
    shuffle=0,
)  # fmt: skip


def disks(shape=(96, 96), diameter=16.0, channels=1):
    """A lattice of equal disks or balls, brighter than the ground."""
    labels = np.zeros(shape, np.int32)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    pitch = int(1.5 * diameter)
    for number, middle in enumerate(np.ndindex(*(n // pitch for n in shape)), 1):
        away = np.linalg.norm(grid - (np.array(middle) + 0.5) * pitch, axis=-1)
        labels[away < diameter / 2] = number
    return np.repeat((labels > 0).astype(np.float32)[None], channels, 0), labels


def spec(ndim=2, **more):
    net = more.pop("net", NetSpec(ndim=ndim, inputs=more.pop("inputs", 1), widths=(4, 8)))
    values = {"augment": AugmentSpec(), "diameter": 16.0, "batch": 3, "patch": 32, **more}
    return TrainSpec(net=net, target=TargetSpec(name="distance"), **values)


def sampler(how, *pairs):
    return Sampler(pairs or [make_pair(*disks(), "disks")], how, target("distance"))


def test_a_pair_knows_its_sizes():
    image, labels = disks()
    labels = labels * 7  # with holes
    pair = make_pair(image, labels, "disks", 2.0)
    assert pair.diameter == pytest.approx(16, rel=0.03)
    assert pair.sizes[0] == 0
    assert len(pair.sizes) == len(np.unique(labels))
    assert int(pair.labels.max()) == len(pair.sizes) - 1
    assert [tuple(level.shape) for level in pair.levels] == [(1, 96, 96), (1, 48, 48), (1, 24, 24), (1, 12, 12)]
    torch.testing.assert_close(pair.levels[1][0, 0, 0], pair.levels[0][0, :2, :2].mean())


def test_labels_without_background_are_kept_apart():
    labels = np.repeat([[1, 2]], 8, 0).repeat(8, 1)
    pair = make_pair(np.zeros((1, 8, 16), np.float32), labels, "full")
    assert (pair.labels.unique().tolist(), pair.sizes[0]) == ([1, 2], 0)
    assert make_pair(np.zeros((1, 8, 8), np.float32), np.zeros((8, 8), bool), "empty").diameter == 0


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.zeros((8, 9), int), r"shape \(8, 8\) but its labels \(8, 9\)"),
        (np.zeros((8, 8)), "whole numbers"),
        (np.full((8, 8), -1), "whole numbers"),
    ],
)
def test_what_does_not_fit_is_refused(labels, text):
    with pytest.raises(TrainingDataError, match=f"'field': .*{text}"):
        make_pair(np.zeros((1, 8, 8), np.float32), labels, "field")


@pytest.mark.parametrize(("ndim", "shape", "inputs"), [(2, (96, 96), 3), (3, (32, 48, 48), 1)])
def test_a_step_always_sees_the_same_patches(ndim, shape, inputs):
    how = spec(ndim, inputs=inputs, patch=16)
    pair = make_pair(*disks(shape, channels=inputs), "disks")
    one, two = sampler(how, pair), sampler(how, pair)
    two.batch(3)
    first, again, other = one.batch(7), two.batch(7), one.batch(8)
    for name, channels in (("image", (inputs,)), ("target", (3,)), ("size", ())):
        a, b, c = (getattr(batch, name) for batch in (first, again, other))
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
        assert a.shape == (3, *channels, *(16,) * ndim)
        assert a.dtype == torch.float32
        assert torch.isfinite(a).all()
    assert not torch.equal(first.image, sampler(how.model_copy(update={"seed": 1}), pair).batch(7).image)
    # The patches of a batch differ.
    assert not torch.equal(first.image[0], first.image[1])


def test_objects_come_in_the_canonical_size():
    for diameter, canonical in ((16.0, 16.0), (16.0, 8.0), (10.0, 20.0), (30.0, 7.0)):
        pair = make_pair(*disks((160, 160), diameter), "disks")
        batch = sampler(spec(augment=STILL, diameter=canonical, patch=64), pair).batch(0)
        sizes = decode_size(batch.size[batch.size > 0].numpy())
        np.testing.assert_allclose(sizes, canonical, rtol=0.05)


def test_images_targets_and_sizes_lie_on_each_other():
    batch = sampler(spec(augment=STILL)).batch(0)
    solid = batch.target[:, 0] > 0
    assert ((batch.image[:, 0] > 0.5) == solid).float().mean() > 0.97
    assert ((batch.size > 0) == solid).all()
    assert float(batch.target[:, 1][~solid].abs().max()) == 0


def test_targets_of_cut_objects_are_those_of_whole_ones():
    # One disk of 40 pixels: a patch of 16 in it sees no border, but the target knows how far it is.
    image, labels = disks((64, 64), 40.0)
    how = spec(augment=STILL, diameter=40.0, patch=16, batch=32, foreground=1.0)
    batch = sampler(how, make_pair(image, labels, "one")).batch(0)
    inside = [t for t in batch.target if (t[0] > 0).all()]
    assert inside
    assert min(float(t[1].min()) for t in inside) < 0.9


def test_weights_say_how_often_an_image_is_drawn():
    image, labels = disks()
    dark, bright = make_pair(0 * image, labels, "dark", 3.0), make_pair(0 * image + 1, labels, "bright", 1.0)
    draw = sampler(spec(augment=STILL, batch=16, patch=16), dark, bright)
    share = np.mean([float(draw.batch(step).image.mean()) for step in range(8)])
    assert share == pytest.approx(0.25, abs=0.1)
    never = make_pair(0 * image + 1, labels, "never", 0.0)
    assert float(sampler(spec(augment=STILL, patch=16), dark, never).batch(0).image.max()) == 0


@pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 2.0), (float("nan"), 1.0), (float("inf"), 1.0)])
def test_impossible_weights(weights):
    with pytest.raises(TrainingDataError, match="weights"):
        sampler(spec(), *(make_pair(*disks(), "disks", weight) for weight in weights))


def test_images_without_objects_are_background():
    empty = make_pair(np.zeros((1, 96, 96), np.float32), np.zeros((96, 96), int), "empty")
    with pytest.raises(TrainingDataError, match="Draw some labels"):
        sampler(spec(), empty)
    draw = sampler(spec(augment=STILL, patch=16), empty, make_pair(*disks(), "disks", 0.0))
    assert float(draw.batch(0).target.max()) == 0


def test_settings_must_be_complete():
    with pytest.raises(TrainingDataError, match="incomplete"):
        sampler(spec(augment=None)).batch(0)


def test_small_images_are_not_shown_many_times_over():
    pair = make_pair(*disks((24, 24), 12.0), "small")
    batch = sampler(spec(augment=STILL, diameter=4.0, patch=64), pair).batch(0)
    assert decode_size(batch.size[batch.size > 0].numpy()).min() > 10


@pytest.mark.parametrize(("shape", "patch", "depth"), [((200, 200), 64, 0), ((40, 64, 64), 32, 16)])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_patches_show_the_borders_of_images(shape, patch, depth, share):
    labels = np.zeros(shape, np.int32)
    labels[:2] = 1  # the only object lies at the border
    where = np.broadcast_to(np.arange(shape[0], dtype=np.float32).reshape(-1, *[1] * (len(shape) - 1)), shape)
    pair = make_pair(where[None].copy(), labels, "field")
    how = spec(len(shape), patch=patch, depth=depth, augment=STILL, foreground=share, diameter=pair.diameter)
    draw = sampler(how, pair)
    seen = [image for step in range(14) for image in draw.batch(step).image]
    first, last = min(float(each.min()) for each in seen), max(float(each.max()) for each in seen)
    assert first < 1
    if share:
        assert sum(float(each.min()) < 1 for each in seen) > 32
    else:
        assert last > shape[0] - 4


@pytest.mark.parametrize("zoom", [1.0, 0.85, 0.71, 0.5, 0.35])
def test_patches_are_shrunk_as_images_are_that_are_segmented(zoom):
    noise = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    labels = disks((300, 300), 16.0)[1]
    pair = make_pair(noise[None], labels, "noise")
    draw = sampler(spec(patch=64, augment=STILL, diameter=pair.diameter * zoom), pair)
    learned = np.mean([float(draw.draw(pair, np.random.default_rng(i)).image.std()) for i in range(20)])
    length = int(300 * zoom)
    taps = sampling_taps(Span(0, length), 300, zoom)
    lines = np.zeros((length, 300))
    np.add.at(lines, (np.arange(length)[:, None], taps.indices), taps.weights)
    used = (lines @ noise @ lines.T).std()
    # Whole patches lie between pixels, which smooths what is not shrunk at all.
    assert learned == pytest.approx(used, rel=0.2 if zoom < 0.9 else 0.5)


def test_a_class_of_one_image_is_seen_as_often_as_others():
    def of(number, name):
        labels = np.zeros((64, 64), np.int32)
        labels[20:30, 20:30] = number
        return make_pair(np.zeros((1, 64, 64), np.float32), labels, name, truth=Truth(classes=3))

    images = [of(1, f"common {i}") for i in range(8)] + [of(3, "rare"), of(0, "none")]
    how = spec(foreground=1.0, batch=8, augment=STILL)
    draw = Sampler(images, how.model_copy(update={"target": CLASSES}), target(CLASSES))
    shown = torch.cat([draw.batch(step).target for step in range(8)]).flatten(2).any(-1)
    assert shown.float().mean(0).tolist() == [1, pytest.approx(0.5, abs=0.15), 0, pytest.approx(0.5, abs=0.15)]
    # An image of weight 0 is never drawn, whatever it shows.
    hidden = [replace(pair, weight=float(pair.name == "none")) for pair in images]
    assert not Sampler(hidden, how, target(CLASSES)).batch(0).target[:, 1:].any()
