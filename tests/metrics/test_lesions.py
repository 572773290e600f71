"""Scores of lesions by the rules of BraTS 2023, against a slow program that follows the challenge's step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.ndimage import distance_transform_edt

from napari_unet.core.axes import Image
from napari_unet.core.errors import SpecError
from napari_unet.metrics import lesions

FULL = np.ones((3, 3, 3), bool)
GROWING = ndimage.generate_binary_structure(3, 2)


def robust_distance(one, other):
    """Return the 95 % Hausdorff distance by distance transforms; infinite if a mask is empty."""
    if not (one.any() and other.any()):
        return math.inf
    rims = [mask & ~ndimage.binary_erosion(mask) for mask in (np.pad(one, 1), np.pad(other, 1))]
    return max(np.percentile(distance_transform_edt(~b)[a], 95) for a, b in (rims, rims[::-1]))


def slow(truth, guess, grow, smallest, penalty):
    """Score one class on voxels of 1 mm: whole arrays, one lesion after the other."""
    pieces, number = ndimage.label(guess, FULL)
    whole = ndimage.binary_dilation(truth, GROWING, iterations=grow) if grow else truth
    together = ndimage.label(whole, FULL)[0] * truth
    matched, rows = set(), []
    for own in np.unique(together[together > 0]):
        lesion = together == own
        around = ndimage.binary_dilation(lesion, GROWING, iterations=grow) if grow else lesion
        hits = set(np.unique(pieces[around]).tolist()) - {0}
        matched |= hits
        part = np.isin(pieces, list(hits))
        dice = 2 * (part & lesion).sum() / (part.sum() + lesion.sum())
        rows.append((lesion.sum(), len(hits), dice, robust_distance(lesion, part)))
    invented = number - len(matched)
    rows = [row for row in rows if row[0] > smallest]
    count = len(rows) + invented
    found = sum(row[1] > 0 for row in rows)
    distances = [row[3] if math.isfinite(row[3]) else penalty for row in rows] + [penalty] * invented
    return {
        "lesion_dice": sum(row[2] for row in rows) / count if count else 1.0,
        "lesion_hd95": sum(distances) / count if count else 0.0,
        "lesions_found": found,
        "lesions_missed": len(rows) - found,
        "lesions_invented": invented,
    }


def scattered(rng, count):
    mask = np.zeros((18, 22, 20), bool)
    for _ in range(count):
        low = [rng.integers(0, n - 1) for n in mask.shape]
        mask[tuple(slice(a, a + rng.integers(1, 6)) for a in low)] = True
    return mask


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), counts=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    grow=st.sampled_from([0, 1, 3]), smallest=st.sampled_from([0, 12, 50]),
)  # fmt: skip
def test_same_as_slow(seed, counts, grow, smallest):
    rng = np.random.default_rng(seed)
    truth, guess = (scattered(rng, n) for n in counts)
    expected = slow(truth, guess, grow, smallest, 374)
    found = lesions.scores(lesions.count(truth, guess, grow, smallest, 374))
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def cube(*places, edge=4, shape=(20, 40, 40)):
    mask = np.zeros(shape, np.uint8)
    for place in places:
        mask[tuple(slice(p, p + edge) for p in place)] = 1
    return mask


def test_near_lesions_are_one_and_far_ones_are_not():
    # Between them are 6 and 9 planes; each grows by 3, and what touches is one.
    near, far = cube((2, 2, 2), (2, 2, 12)), cube((2, 2, 2), (2, 2, 15))
    half = cube((2, 2, 2))
    found = lesions.scores(lesions.count(near, half))
    assert (found["lesions_found"], found["lesions_missed"]) == (1, 0)
    assert found["lesion_dice"] == pytest.approx(2 * 64 / (64 + 128))
    found = lesions.scores(lesions.count(far, half))
    assert (found["lesions_found"], found["lesions_missed"]) == (1, 1)
    assert found["lesion_dice"] == pytest.approx(0.5)


def test_growing_is_in_millimeters():
    truth, guess = cube((2, 2, 2)), cube((2, 2, 8))
    # Two pixels of background lie between: 3 mm reach over them if they are small enough.
    for size, found in ((0.9, 1), (1.0, 1), (1.6, 0)):
        image = Image(truth, "zyx", (1.0, 1.0, size), ("millimeter",) * 3)
        scores = lesions.scores(lesions.count(image, guess))
        assert (scores["lesions_found"], scores["lesions_invented"]) == (found, 1 - found)


def test_small_lesions_are_not_asked_for_and_not_held_against_anybody():
    truth = cube((2, 2, 2)) | cube((10, 30, 30), edge=3)
    assert lesions.scores(lesions.count(truth, cube((2, 2, 2))))["lesion_dice"] == 1
    assert lesions.scores(lesions.count(truth, truth))["lesions_found"] == 1
    assert lesions.scores(lesions.count(truth, truth, smallest=2))["lesions_found"] == 2


def test_cases_are_averaged_and_lesions_counted():
    good, miss = cube((2, 2, 2)), cube((2, 2, 2), (12, 30, 30))
    empty = np.zeros_like(good)
    pool = lesions.count(good, good) + lesions.count(miss, good) + lesions.count(empty, empty)
    found = lesions.scores(pool)
    # 1, a half, and 1 for the case in which there was nothing to be found.
    assert found["lesion_dice"] == pytest.approx(2.5 / 3)
    assert found["lesion_sensitivity"] == pytest.approx(2 / 3)
    assert found["lesion_precision"] == 1
    assert found["lesion_f1"] == pytest.approx(0.8)


def test_nothing_is_right_where_nothing_is():
    empty, some = np.zeros((9, 20, 20), bool), cube((2, 2, 2), shape=(9, 20, 20)) > 0
    found = lesions.scores(lesions.count(empty, empty))
    assert (found["lesion_dice"], found["lesion_hd95"], found["lesion_f1"]) == (1, 0, 1)
    worst = math.hypot(9, 20, 20)
    for truth, guess in ((some, empty), (empty, some)):
        found = lesions.scores(lesions.count(truth, guess))
        assert found["lesion_dice"] == 0
        assert found["lesion_hd95"] == pytest.approx(worst)


def test_two_dimensions_and_classes():
    truth = np.zeros((30, 30), np.uint8)
    truth[2:5, 2:5], truth[20:24, 20:24] = 1, 2
    guess = np.where(truth == 2, 0, truth)
    found = lesions.scores(lesions.count(truth, guess))
    assert (found["lesion_dice_1"], found["lesion_dice_2"], found["lesion_dice"]) == (1, 0, 0.5)
    assert (found["lesions_missed_1"], found["lesions_missed_2"]) == (0, 1)


def test_negative_numbers_are_refused():
    with pytest.raises(SpecError, match="0 or more"):
        lesions.count(np.ones((3, 4), bool), np.ones((3, 4), bool), grow=-1)
