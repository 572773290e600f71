"""Losses by their formulas, and what is not known has no say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet.core.registry import names
from napari_unet.core.specs import TrainSpec
from napari_unet.targets import border_weights, classifier, count_classes, target
from napari_unet.targets._losses import LOSSES, class_weights, cross_entropy, dice, focal, inside, tversky
from napari_unet.targets._weights import parted

TARGETS = names("targets")
OBJECTS = [name for name in TARGETS if not count_classes(name)]
SCORES, TRUTH = torch.linspace(-6, 6, 40), (torch.arange(40) % 3 == 0).float()


def squares(shape=(48, 48)):
    labels = np.zeros(shape, np.int32)
    labels[..., 4:14, 4:14], labels[..., 16:30, 4:14], labels[..., 20:40, 30:44] = 1, 2, 3
    return labels


def test_focal_is_the_formula():
    p = torch.where(TRUTH > 0, SCORES.sigmoid(), 1 - SCORES.sigmoid())
    alpha = torch.where(TRUTH > 0, 0.25, 0.75)
    torch.testing.assert_close(focal(SCORES, TRUTH), (-alpha * (1 - p) ** 2 * p.log()).mean())


def test_tversky_is_the_formula():
    p = SCORES.sigmoid()
    right, wrong, missed = (p * TRUTH).sum(), (p * (1 - TRUTH)).sum(), ((1 - p) * TRUTH).sum()
    torch.testing.assert_close(tversky(SCORES, TRUTH), 1 - (right + 1) / (right + 0.3 * wrong + 0.7 * missed + 1))
    sure = torch.where(TRUTH > 0, 50.0, -50.0)
    assert float(tversky(sure, TRUTH)) == pytest.approx(0, abs=1e-6)
    # A missed pixel costs more than an invented one.
    less, more = sure.clone(), sure.clone()
    less[0], more[1] = -50, 50
    assert float(tversky(less, TRUTH)) > float(tversky(more, TRUTH)) > 0


def test_class_weights_let_both_classes_count_alike():
    weight = class_weights(TRUTH)
    assert float((weight * TRUTH).sum()) == pytest.approx(float((weight * (1 - TRUTH)).sum()))
    assert float(weight.mean()) == pytest.approx(1)
    rare = torch.zeros(1000)
    rare[0] = 1
    assert float(class_weights(rare)[0]) == 10
    assert torch.isfinite(class_weights(torch.zeros(9))).all()
    # Where nothing is known nothing is counted.
    known = torch.zeros(1000)
    known[:2] = 1
    torch.testing.assert_close(class_weights(rare, known)[:2], torch.ones(2))


@pytest.mark.parametrize("shape", [(48, 48), (4, 48, 48)])
def test_border_weights_are_equation_two(shape):
    labels = squares(shape)
    grid = np.stack(np.indices(shape), -1).reshape(-1, 1, len(shape))
    away = np.stack(
        [np.sqrt(((grid - np.argwhere(labels == n)) ** 2).sum(-1)).min(1).reshape(shape) for n in (1, 2, 3)]
    )
    nearest = np.sort(away, 0)
    expected = np.where(labels > 0, 0, 10 * np.exp(-((nearest[0] + nearest[1]) ** 2) / 50))
    np.testing.assert_allclose(border_weights(labels), expected, atol=1e-3)
    assert float(border_weights(labels).max()) > 5
    assert not border_weights(np.minimum(labels, 1)[..., :14]).any()  # one object: there is no second one


def test_touching_objects_are_parted_by_background():
    labels = np.repeat(np.repeat([[1, 2], [3, 3]], 4, 0), 4, 1)
    solid = parted(labels)
    from scipy import ndimage

    assert ndimage.label(solid)[1] == 3
    assert solid[labels == 1].all()
    assert solid.mean() > 0.6
    # Objects that do not touch keep every pixel.
    assert (parted(squares()) == (squares() > 0)).all()


@pytest.mark.parametrize("name", sorted(set(LOSSES)))
@pytest.mark.parametrize("balance", [False, True])
def test_every_loss_prefers_the_truth(name, balance):
    TrainSpec(loss=name)
    scores, truth = torch.full((2, 8, 8), 0.01), torch.zeros(2, 8, 8)
    truth[:, :3] = 1
    loss = classifier(name, balance, torch.ones(2, 8, 8) if name == "border" else None)
    good = float(loss(truth * 8 - 4, truth, 1.0, None))
    assert good < 0.5 * float(loss(scores, truth, 1.0, None))
    scores.requires_grad_()
    loss(scores, truth, 1.0, torch.ones(2, 8, 8)).backward()
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[truth > 0] < 0).all()


def test_borders_weigh_more():
    scores, truth = torch.zeros(1, 8, 8, requires_grad=True), torch.zeros(1, 8, 8)
    truth[:, :4] = 1
    borders = torch.zeros(1, 8, 8)
    borders[:, 6] = 10
    classifier("border", borders=borders)(scores, truth, 1.0, None).backward()
    torch.testing.assert_close(scores.grad[0, 6] / scores.grad[0, 7], torch.full((8,), 11.0))


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("loss", sorted(set(LOSSES)))
def test_what_is_unknown_has_no_gradient(name, loss):
    learn = target(name)
    wanted = torch.from_numpy(np.stack([learn.encode(squares())] * 2))
    known = torch.ones(2, 2, 48, 48)
    known[:, :, 24:], known[1, 1] = 0, 0  # nothing below the middle, and no shapes in the second image
    scores = torch.zeros(2, len(learn.CHANNELS), 48, 48, requires_grad=True)
    learn.loss(scores, wanted, known, classifier(loss)).backward()
    assert not scores.grad[:, :, 24:].any()
    assert (scores.grad[0, :, :24].abs().amax((1, 2)) > 0).all()
    assert scores.grad[1, 0, :24].abs().max() > 0
    assert not scores.grad[1, 1:].any()


@pytest.mark.parametrize("name", TARGETS)
def test_all_known_is_as_nothing_said(name):
    learn = target(name)
    wanted = torch.from_numpy(learn.encode(squares()))[None]
    scores = torch.randn(1, len(learn.CHANNELS), 48, 48, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(learn.loss(scores, wanted, torch.ones(1, 2, 48, 48)), learn.loss(scores, wanted))
    assert torch.isfinite(learn.loss(scores, wanted, torch.zeros(1, 2, 48, 48)))


def test_means_are_over_what_is_known():
    known = (torch.arange(40) < 20).float()
    half, truth = SCORES[:20], TRUTH[:20]
    torch.testing.assert_close(cross_entropy(SCORES, TRUTH, known=known), cross_entropy(half, truth))
    torch.testing.assert_close(focal(SCORES, TRUTH, known=known), focal(half, truth))
    torch.testing.assert_close(dice(SCORES, TRUTH, known), dice(half, truth))
    torch.testing.assert_close(tversky(SCORES, TRUTH, known=known), tversky(half, truth))
    torch.testing.assert_close(inside(SCORES, TRUTH, TRUTH, known=known), inside(half, truth, truth))
