"""Classes of pixels: encode, loss and decode; brick by brick as in one go."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.errors import SpecError
from napari_unet.core.specs import TargetSpec
from napari_unet.targets import anomaly, classifier, count_classes, explorer, target
from napari_unet.tiling._rims import pack, unpack
from napari_unet.tiling.bricks import Bricks
from napari_unet.tiling.stitch import Stitch, relabel

NAMES = ("liver", "spleen", "kidney")
PLAIN = TargetSpec(name="classes", classes=NAMES)
ALL = TargetSpec(name="classes", classes=NAMES, background=False)
NESTED = TargetSpec(name="classes", classes=NAMES, nested=True)


def numbers(shape=(20, 30), seed=0):
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.int32)


def test_channels_are_the_classes():
    assert ("background", *NAMES) == target(PLAIN).CHANNELS
    assert target(ALL).CHANNELS == target(NESTED).CHANNELS == NAMES
    assert count_classes(PLAIN) == 3
    assert count_classes("heat") == 0
    assert count_classes("classes") == 1  # nobody named them


@pytest.mark.parametrize("rule", [PLAIN, ALL, NESTED])
@pytest.mark.parametrize("shape", [(20, 30), (4, 20, 30)])
def test_what_is_encoded_is_found_again(rule, shape):
    truth = numbers(shape)
    truth = np.maximum(truth, 1) if rule is ALL else truth
    scores = np.rint(255 * target(rule).encode(truth)).astype(np.uint8)
    np.testing.assert_array_equal(target(rule).decode(scores, rule, 0), truth)


def test_equal_scores_go_to_the_lower_number_and_nothing_stays_nothing():
    scores = np.zeros((3, 1, 3), np.uint8)
    scores[1:, 0, 1] = 7
    scores[0, 0, 2] = 1
    np.testing.assert_array_equal(target(ALL).decode(scores, ALL, 0), [[0, 2, 1]])


def test_classes_within_each_other_end_at_the_first_that_is_not_sure():
    scores = np.array([[200, 200, 100], [200, 100, 200], [10, 200, 200]], np.uint8)[:, None]
    np.testing.assert_array_equal(target(NESTED).decode(scores, NESTED, 0), [[2, 1, 0]])


@pytest.mark.parametrize("rule", [PLAIN, ALL, NESTED])
@pytest.mark.parametrize("loss", ["own", "own balanced", "cross-entropy", "dice", "focal", "tversky"])
def test_right_scores_lose_less_and_gradients_are_finite(rule, loss):
    learn, truth = target(rule), numbers()
    truth = np.maximum(truth, 1) if rule is ALL else truth
    wanted = torch.from_numpy(learn.encode(truth))[None]
    right = (20 * (wanted * 2 - 1)).requires_grad_()
    wrong = (-5 * (wanted * 2 - 1)).requires_grad_()
    compare = classifier(loss.split()[0], "balanced" in loss)
    good, bad = (learn.loss(scores, wanted, None, compare) for scores in (right, wrong))
    assert -1e-6 <= good.item() < 0.1 * bad.item()
    (good + bad).backward()
    assert bool(torch.isfinite(right.grad).all())
    assert bool(torch.isfinite(wrong.grad).all())
    assert float(wrong.grad.abs().sum()) > 0


@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize("rule", [PLAIN, ALL, NESTED])
def test_what_is_not_known_is_not_learned(rule, balance):
    learn, truth = target(rule), np.maximum(numbers(), 1)
    wanted, known = torch.from_numpy(learn.encode(truth))[None], torch.ones(1, 2, 20, 30)
    known[..., :10, :] = 0
    scores = torch.randn(1, len(learn.CHANNELS), 20, 30, requires_grad=True)
    learn.loss(scores, wanted, known, classifier("own", balance)).backward()
    assert float(scores.grad[..., :10, :].abs().sum()) == 0
    assert float(scores.grad[..., 10:, :].abs().min()) > 0


@settings(deadline=None)
@given(st.data())
def test_bricks_have_the_classes_of_the_whole(data):
    rule = data.draw(st.sampled_from([PLAIN, ALL, NESTED]))
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=3)))
    seed = data.draw(st.integers(0, 99))
    scores = np.random.default_rng(seed).integers(0, 256, (len(target(rule).CHANNELS), *shape)).astype(np.uint8)
    cuts = [sorted({0, n, *data.draw(st.sets(st.integers(0, n), max_size=3))}) for n in shape]
    bricks = Bricks(shape, tuple(map(tuple, cuts)))
    stitch, trees = Stitch(bricks), {}
    for position in data.draw(st.permutations(list(bricks))):
        window = bricks.window(position)
        seen = tuple(slice(max(0, w.start - 1), min(n, w.stop + 1)) for w, n in zip(window, shape, strict=True))
        trees[position], forest = explorer(rule)(scores[(slice(None), *seen)], rule, window, shape)
        stitch.add(position, forest)
    objects, found = stitch.finish(3, 10), np.zeros(shape, np.int32)
    for position, own in trees.items():
        found[bricks.window(position)] = relabel(own, objects.numbers[position])
    whole = target(rule).decode(scores, rule, 0)
    np.testing.assert_array_equal(found, whole)
    for row, number in enumerate(objects.table["index"].tolist()):
        mask = whole == number
        assert objects.table["area_px" if len(shape) == 2 else "volume_px"][row] == mask.sum()
        if not mask.any():
            continue
        assert objects.table["first_pixel"][row] == np.flatnonzero(mask)[0]
        for axis, name in enumerate("zyx"[-len(shape) :]):
            at = np.nonzero(mask)[axis]
            assert objects.table[f"bbox_{name}0"][row] == at.min()
            assert objects.table[f"bbox_{name}1"][row] == at.max() + 1


LEAST = (0.0, 1.5, 2.0, 3.0, 5.0, 30.0, math.inf)


def slow_pieces(found, smallest, nested):
    """Drop pieces pixel by pixel."""
    found = found.copy()
    for kind, least in enumerate(smallest, 1):
        left, pieces = {tuple(at) for at in np.argwhere(found >= kind if nested else found == kind).tolist()}, []
        while left:
            piece, border = set(), [left.pop()]
            while border:
                at = border.pop()
                piece.add(at)
                near = {tuple(np.add(at, step).tolist()) for step in itertools.product((-1, 0, 1), repeat=found.ndim)}
                border += near & left
                left -= near
            pieces.append(piece)
        largest = min(pieces, key=lambda piece: (-len(piece), min(piece)), default=set())
        for piece in pieces:
            if len(piece) < least and not (math.isinf(least) and piece is largest):
                for at in piece:
                    found[at] = kind - 1 if nested else 0
    return found


@settings(deadline=None)
@given(st.data())
def test_small_pieces_are_those_of_the_whole_however_it_is_cut(data):
    rule = data.draw(st.sampled_from([PLAIN, NESTED])).model_copy(update={"min_size": "given"})
    shape = tuple(data.draw(st.lists(st.integers(1, 8), min_size=2, max_size=3)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    scores = rng.integers(0, 256, (len(target(rule).CHANNELS), *shape)).astype(np.uint8)
    if not rule.nested:
        scores[0] = np.where(rng.random(shape) < data.draw(st.sampled_from([0.2, 0.6])), 255, 0)
    smallest = tuple(data.draw(st.sampled_from(LEAST)) for _ in rule.classes)
    cuts = [sorted({0, n, *data.draw(st.sets(st.integers(0, n), max_size=3))}) for n in shape]
    bricks = Bricks(shape, tuple(map(tuple, cuts)))
    stitch, trees = Stitch(bricks), {}
    for position in data.draw(st.permutations(list(bricks))):
        window = bricks.window(position)
        seen = tuple(slice(max(0, w.start - 1), min(n, w.stop + 1)) for w, n in zip(window, shape, strict=True))
        trees[position], forest = explorer(rule)(scores[(slice(None), *seen)], rule, window, shape)
        stitch.add(position, unpack(pack(forest)))
    objects, found = stitch.finish(3, smallest), np.zeros(shape, np.int32)
    for position, own in trees.items():
        found[bricks.window(position)] = relabel(own, objects.numbers[position])
    whole = target(rule).decode(scores, rule, smallest)
    np.testing.assert_array_equal(whole, slow_pieces(target(rule).decode(scores, rule, 0.0), smallest, rule.nested))
    np.testing.assert_array_equal(found, whole)
    counts = np.bincount(whole.ravel(), minlength=len(objects) + 1)[1:]
    assert objects.table["area_px" if len(shape) == 2 else "volume_px"].tolist() == counts.tolist()


def test_bricks_of_classes_and_of_objects_do_not_mix():
    bricks = Bricks((4, 8), ((0, 4), (0, 4, 8)))
    stitch, scores = Stitch(bricks), np.full((4, 4, 5), 200, np.uint8)
    stitch.add((0, 0), explorer(PLAIN)(scores, PLAIN, bricks.window((0, 0)), (4, 8))[1])
    rule = TargetSpec(name="foreground")
    with pytest.raises(SpecError):
        stitch.add((0, 1), explorer(rule)(scores[:1], rule, bricks.window((0, 1)), (4, 8))[1])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"classes": ("a", "a")}, "name of its own"), ({"classes": ("a", "")}, "name of its own"),
        ({"classes": ("a",), "colors": ("#ffffff", "#000000")}, "1 classes but 2 colors"),
        ({"classes": ("a",), "colors": ("red",)}, "#rrggbb"),
        ({"classes": ("a",), "nested": True, "background": False}, "leaves a background"),
    ],
)  # fmt: skip
def test_tables_of_classes_are_checked(wrong, says):
    with pytest.raises(SpecError, match=says):
        TargetSpec.of(name="classes", **wrong)


def test_every_class_can_be_told_from_every_other():
    for one, other in itertools.combinations(range(4), 2):
        assert (target(PLAIN).encode(np.array([[one]])) != target(PLAIN).encode(np.array([[other]]))).any()


def test_an_anomaly_is_what_is_not_background():
    scores = np.array([[200, 0, 90], [40, 0, 100], [15, 0, 65]], np.uint8)
    known = TargetSpec(name="classes", classes=("dent", "crack"))
    assert anomaly(known, scores).tolist() == [55, 0, 165]  # where nobody looked there is none
    assert anomaly(known.model_copy(update={"background": False, "classes": ("a", "b", "c")}), scores).tolist() == [
        55, 0, 155,
    ]  # fmt: skip
    assert anomaly(known.model_copy(update={"nested": True}), scores[:2]).tolist() == [200, 0, 90]
    assert anomaly("heat", scores).tolist() == [200, 0, 90]


@pytest.mark.parametrize("pixels", [0, 20])
def test_what_is_small_or_not_there_is_not_pushed_away(pixels):
    labels = torch.zeros(2, 64, 64, dtype=torch.long)
    labels[0].view(-1)[:pixels] = 1
    wanted = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()
    scores = torch.zeros(2, 4, 64, 64)
    scores[:, 0] = 7  # nearly all is background, as at first
    scores.requires_grad_()
    entropy = -(scores.log_softmax(1) * wanted).sum(1).mean()
    pull = torch.autograd.grad(target(PLAIN).loss(scores, wanted) - entropy, scores)[0][:, 1].sum()
    if pixels:
        assert pull < 0  # Dice asks for more of it, few as they are
    else:
        assert abs(pull) < 1e-4


def lost(counts, scores, balance=False, known=None):
    """Return the loss of a row of pixels, so many of each class, of which all are given the same scores."""
    truth = np.repeat(np.arange(4, dtype=np.int32), counts)[None]
    learn = target(PLAIN)
    given = torch.tensor(scores, dtype=torch.float32)[None, :, None, None].expand(1, 4, 1, truth.size)
    wanted = torch.from_numpy(learn.encode(truth))[None]
    return float(learn.loss(given, wanted, known, classifier("own", balance)))


def test_rare_classes_weigh_by_the_root_of_their_rarity():
    # 100 pixels of background, 4 of a class: the root of 25 times as rare is 5.
    alike = [0.0, 0.0, 0.0, 0.0]
    assert lost((100, 4, 0, 0), alike, True) == pytest.approx(lost((100, 4, 0, 0), alike))
    sure = np.log([0.7, 0.1, 0.1, 0.1])
    dice = 1 - 2 * 0.4 / (10.4 + 4)
    plain = (-100 * sure[0] - 4 * sure[1]) / 104
    assert lost((100, 4, 0, 0), sure) == pytest.approx(plain + dice, rel=1e-4)
    weighted = (-100 * sure[0] - 5 * 4 * sure[1]) / (100 + 5 * 4)
    assert lost((100, 4, 0, 0), sure, True) == pytest.approx(weighted + dice, rel=1e-4)
    # One pixel among 2500 would weigh fifty times: ten is the most.
    weighted = (-2500 * sure[0] - 10 * sure[1]) / 2510
    assert lost((2500, 1, 0, 0), sure, True) == pytest.approx(weighted + 1 - 0.2 / (250.1 + 1), rel=1e-4)


def test_classes_that_do_not_occur_have_no_say_in_dice():
    sure = np.log([0.7, 0.1, 0.1, 0.1])
    one, two = lost((100, 4, 0, 0), sure), lost((100, 4, 4, 0), sure)
    entropy = [(-100 * sure[0] - n * sure[1]) / (100 + n) for n in (4, 8)]
    assert one - entropy[0] == pytest.approx(1 - 0.8 / 14.4, rel=1e-4)
    assert two - entropy[1] == pytest.approx(1 - 0.8 / 14.8, rel=1e-4)
    # Nor has one that occurs only where the truth is not known.
    known = torch.ones(1, 2, 1, 108)
    known[..., 104:] = 0
    assert lost((100, 4, 4, 0), sure, known=known) == pytest.approx(one, rel=1e-4)
