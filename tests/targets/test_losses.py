"""What is learned: a loss has a gradient, and the truth has the lowest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet.core.errors import SpecError
from napari_unet.core.registry import names
from napari_unet.targets import count_classes, target
from napari_unet.targets._losses import cross_entropy, dice, inside

TARGETS = names("targets")
OBJECTS = [name for name in TARGETS if not count_classes(name)]


def truth(name, seed=0, ndim=2):
    rng = np.random.default_rng(seed)
    labels = np.zeros((2, 2, 32, 32)[-ndim - 1 :] if ndim == 2 else (2, 12, 24, 24), np.int32)
    for image in labels:
        for label in range(1, 5):
            at = [slice(a, a + 9) for a in rng.integers(0, np.array(image.shape) - 9)]
            image[tuple(at)] = label
    return torch.from_numpy(np.stack([target(name).encode(image) for image in labels]))


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("ndim", [2, 3])
def test_the_truth_has_the_lowest_loss(name, ndim):
    if name in ("offsets", "motion") and ndim == 3:
        with pytest.raises(SpecError, match="2D"):
            truth(name, ndim=3)
        return
    learn, wanted = target(name), truth(name, ndim=ndim)
    perfect = torch.logit(wanted[:, : len(learn.CHANNELS)], eps=1e-4)
    other = torch.logit(truth(name, 1, ndim)[:, : len(learn.CHANNELS)], eps=1e-4)
    best = float(learn.loss(perfect, wanted))
    assert best < 0.4 * float(learn.loss(torch.zeros_like(perfect), wanted))
    assert best < 0.4 * float(learn.loss(other, wanted))
    assert best < 0.4 * float(learn.loss(perfect.flip(-1), wanted))


@pytest.mark.parametrize("name", TARGETS)
def test_every_channel_learns(name):
    learn, wanted = target(name), truth(name)
    scores = torch.zeros(2, len(learn.CHANNELS), 32, 32, requires_grad=True)
    learn.loss(scores, wanted).backward()
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad.abs().amax((0, 2, 3)) > 0).all()
    optimizer = torch.optim.Adam([scores], lr=0.2)
    for _ in range(100):
        optimizer.zero_grad()
        learn.loss(scores, wanted).backward()
        optimizer.step()
    with torch.no_grad():
        assert float(learn.loss(scores, wanted)) < 0.3 * float(learn.loss(torch.zeros_like(scores), wanted))


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_extreme_scores_stay_finite(name, value):
    learn, wanted = target(name), truth(name)
    scores = torch.full((2, len(learn.CHANNELS), 32, 32), value, requires_grad=True)
    loss = learn.loss(scores, wanted)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()
    activated = learn.activate(scores.detach())
    assert 0 <= float(activated.min()) <= float(activated.max()) <= 1


def test_cross_entropy_is_torchs():
    scores, wanted = torch.randn(50), torch.rand(50)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(scores, wanted)
    torch.testing.assert_close(cross_entropy(scores, wanted), expected)


def test_dice_and_inside_by_hand():
    sure = torch.tensor([100.0, -100.0])
    assert float(dice(sure, torch.tensor([1.0, 0.0]))) == pytest.approx(0)
    assert float(dice(sure, torch.tensor([0.0, 1.0]))) == pytest.approx(1 - 1 / 3)
    # Half off in the mask, fully off outside with a tenth of the weight.
    error = inside(torch.tensor([0.0, 100.0]), torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0]))
    assert float(error) == pytest.approx((0.5 + 0.1) / 1.1)
