"""What of an image is known: regions, scribbles, and objects that are cut by the edge of what is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet.core.errors import TrainingDataError
from napari_unet.core.sizes import decode_size
from napari_unet.core.specs import AugmentSpec, GridSpec, NetSpec, TargetSpec, TrainSpec
from napari_unet.targets import target
from napari_unet.training.loss import compare
from napari_unet.training.pairs import Truth, make_pair, number_objects, positions
from napari_unet.training.patches import Batch, Sampler

STILL = AugmentSpec(
    elastic=0, scale_jitter=0, wide_fraction=0, rotate=False, gamma=0, noise=0, blur=0, contrast=0, invert=0, gray=0,
    shuffle=0,
)  # fmt: skip
LEFT = (((-0.5, -0.5), (-0.5, 49.5), (99.5, 49.5), (99.5, -0.5)),)


def field():
    """Return an image of three squares of 16 pixels: one left, one right, one on the border between."""
    labels = np.zeros((100, 100), np.int32)
    labels[10:26, 10:26], labels[40:56, 42:58], labels[70:86, 80:96] = 1, 2, 3
    return (labels > 0).astype(np.float32)[None], labels


def spec(**more):
    values = {
        "net": NetSpec(widths=(4,)), "target": TargetSpec(name="heat"), "augment": STILL, "diameter": 18.05, "batch": 4,
        "patch": 48,
    }  # fmt: skip
    return TrainSpec(**values | more)


def sampler(pair, **more):
    how = spec(**more)
    return Sampler([pair], how, target(how.target.name))


def test_a_region_says_where_labels_are_true():
    pair = make_pair(*field(), "field", truth=Truth(LEFT))
    assert pair.known[:, :50].all()
    assert not pair.known[:, 50:].any()
    # Only the object that lies inside as a whole has a size.
    assert (pair.sizes > 0).tolist() == [False, True, False, False]
    assert pair.spots[:, 1].max() < 50
    assert pair.places[:, 1].max() < 50


def test_values_that_are_to_be_ignored_are_unknown():
    image, labels = field()
    pair = make_pair(image, labels, "field", truth=Truth(ignored=(3,)))
    assert not pair.known[70:86, 80:96].any()
    assert pair.known[:70].all()
    assert (pair.sizes > 0).tolist() == [False, True, True]
    # Together with a region, and in front of the values of classes, of which an ignored one is none.
    truth = Truth(LEFT, classes=1, values=(1,), ignored=(2, 3))
    found, known = truth.read(labels, (slice(0, 100), slice(0, 100)))
    assert set(np.unique(found)) == {0, 1}
    assert known[10:26, 10:26].all()
    assert not known[40:56, 42:58].any()
    assert not known[:, 50:].any()


def test_what_lies_outside_of_a_region_teaches_nothing():
    draw = sampler(make_pair(*field(), "field", truth=Truth(LEFT)))
    seen = [draw.batch(step) for step in range(6)]
    known = torch.cat([batch.known for batch in seen])
    assert 0.2 < float(known[:, 0].mean()) < 1
    assert (known[:, 1] <= known[:, 0]).all()
    # The middle of every patch lies near something that is known.
    assert (known[:, 0].amax((1, 2)) > 0).all()
    # Of the object on the edge the class is known where it lies inside, its shape nowhere.
    cut = (known[:, 0] > 0) & (known[:, 1] == 0)
    solid = torch.cat([batch.target[:, 0] for batch in seen])
    assert cut.any()
    assert (solid[cut] > 0).all()
    assert not torch.cat([batch.size for batch in seen])[cut].any()
    loss = compare(target("heat"), spec())
    scores = torch.zeros(4, 3, 48, 48, requires_grad=True)
    loss(scores, seen[0]).backward()
    assert not scores.grad[:, 0][seen[0].known[:, 0] == 0].any()


@pytest.mark.parametrize("kind", ["objects", "spacing", "pixels"])
def test_sizes_are_learned_where_they_decide_how_images_are_seen(kind):
    learned = spec().model_copy(update={"grid": GridSpec(kind=kind)})
    truth = torch.full((2, 1, 8, 8), 1.0)
    batch = Batch(torch.zeros(2, 1, 8, 8), truth, torch.full((2, 8, 8), 0.4))
    scores = torch.zeros(2, 2, 8, 8, requires_grad=True)
    compare(target("foreground"), learned)(scores, batch).backward()
    assert scores.grad[:, 0].any()
    assert scores.grad[:, 1].any() == (kind == "objects")


def test_scribbles_tell_classes_and_no_shapes():
    image, labels = field()
    scribbles = np.zeros_like(labels)
    scribbles[18, 12:24], scribbles[30, 5:90], scribbles[48, 44:56] = 2, 1, 3
    pair = make_pair(image, scribbles, "field", truth=Truth(background=1))
    assert (pair.scribbles, pair.diameter) == (True, 0)
    assert int(pair.known.sum()) == 12 + 85 + 12
    assert pair.labels.unique().tolist() == [0, 1, 2]
    batch = sampler(pair).batch(0)
    known = batch.known
    assert (known[:, 0].amax((1, 2)) > 0).all()
    assert not known[:, 1].any()
    assert set(batch.target[:, 0][known[:, 0] > 0].tolist()) == {0.0, 1.0}
    # No size is known, so the image is learned from as large as it is, and its objects count as of the usual size.
    np.testing.assert_allclose(decode_size(batch.size[batch.size > 0].numpy()), 18.05, rtol=0.01)


def test_partly_and_wholly_known_images_share_a_batch():
    pairs = [make_pair(*field(), "whole"), make_pair(*field(), "left", truth=Truth(LEFT))]
    batch = Sampler(pairs, spec(batch=8), target("heat")).batch(1)
    whole = [bool(known.all()) for known in batch.known]
    assert any(whole)
    assert not all(whole)
    assert Sampler(pairs[:1], spec(), target("heat")).batch(0).known is None


def test_regions_of_volumes_hold_in_every_plane():
    image, labels = field()
    volume = make_pair(np.repeat(image[:, None], 6, 1), np.repeat(labels[None], 6, 0), "stack", truth=Truth(LEFT))
    assert volume.known.shape == (6, 100, 100)
    assert volume.known[:, :, :50].all()
    assert not volume.known[:, :, 50:].any()
    batch = sampler(volume, net=NetSpec(ndim=3, widths=(4,)), patch=32, depth=16, batch=1).batch(0)
    assert batch.image.shape == (1, 1, 16, 32, 32)
    assert batch.known.shape == (1, 2, 16, 32, 32)


def test_a_mask_is_parted_into_what_hangs_together():
    image, labels = field()
    mask = np.where(labels > 0, 255, 0).astype(np.uint8)
    pair = make_pair(image, mask, "mask")
    assert pair.labels.unique().tolist() == [0, 1, 2, 3]
    assert pair.diameter == pytest.approx(18.05, rel=0.01)


def test_nothing_known_of_objects_is_refused():
    image, labels = field()
    empty = make_pair(image, np.minimum(labels, 0), "field", truth=Truth(LEFT))
    with pytest.raises(TrainingDataError, match="Draw some labels"):
        sampler(empty)


def test_patches_are_laid_on_rare_objects():
    labels = np.zeros((600, 600), np.int32)
    labels[300:310, 300:310] = 1
    pair = make_pair((labels > 0).astype(np.float32)[None], labels, "lesion")
    share = {}
    for foreground in (0.0, 0.33, 1.0):
        draw = sampler(pair, foreground=foreground, diameter=11.3, batch=16)
        share[foreground] = np.mean([float((t[0] > 0).any()) for s in range(6) for t in draw.batch(s).target])
    assert share[0.0] < 0.15
    assert share[0.33] == pytest.approx(0.33, abs=0.15)
    assert share[1.0] > 0.95


def test_positions_are_spread_over_a_mask():
    mask = np.zeros((200, 200), bool)
    mask[50:150] = True
    found = positions(mask)
    assert found.shape == (10_000, 2)
    assert mask[tuple(found.T)].all()
    assert len(np.unique(found[:, 0])) == 100
    assert positions(mask & False).shape == (0, 2)


def test_border_weights_come_with_the_patches_of_that_loss():
    assert sampler(make_pair(*field(), "field")).batch(0).borders is None
    pair = make_pair(*field(), "field")
    labels = pair.labels.clone()
    labels[10:26, 29:40] = 4
    near = make_pair(field()[0], labels.numpy(), "field")
    batch = sampler(near, loss="border", foreground=1.0).batch(0)
    assert batch.borders.shape == (4, 48, 48)
    assert float(batch.borders.max()) > 4
    assert not batch.borders[batch.target[:, 0] > 0].any()


def test_pieces_of_one_number_are_objects_where_they_are_alike():
    image, labels = field()
    kinds = np.array([0, 5, 5, 9])[labels]  # two squares have one number
    pair = make_pair(image, kinds, "field")
    assert sorted(np.bincount(pair.labels.ravel())[1:]) == [256, 256, 256]
    assert pair.diameter == pytest.approx((4 * 256 / np.pi) ** 0.5, rel=1e-3)
    assert len(pair.sizes) == 4
    crumbs = labels * 3
    crumbs[10:26, 18] = 0  # a line cuts a square in two
    crumbs[60:64, 60:64] = 9  # a slip of the brush far from its square
    crumbs[0, 0] = 6
    objects = number_objects(crumbs)
    assert sorted(np.bincount(objects.ravel())[1:]) == [7 * 16, 8 * 16, 257, 272]
    assert objects[0, 0] == objects[45, 45]
    assert objects[12, 12] != objects[12, 22]
    np.testing.assert_array_equal(objects > 0, crumbs > 0)
    assert list(np.unique(number_objects(kinds, apart=False))) == [0, 1, 2]
    np.testing.assert_array_equal(number_objects(labels), labels)
    assert list(np.unique(number_objects(np.array([[2, 2, 3], [2, 2, 3], [4, 2, 2]])))) == [1, 2, 3]
