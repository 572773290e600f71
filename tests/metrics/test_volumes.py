"""Scores of classes against MONAI's, and against what the definitions say of empty masks."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError, SpecError
from napari_unet.metrics import lesions, overlap, surfaces

SPACINGS = {2: [(1.0, 1.0), (0.7, 1.9)], 3: [(1.0, 1.0, 1.0), (3.27, 0.98, 0.98)]}


@pytest.fixture(scope="module")
def monai():
    """MONAI's metrics, for whose own warnings nobody here can do anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import monai.metrics
    return monai.metrics


def blobs(rng, ndim, count=3):
    """Return a mask of a few boxes, some of which may be thin."""
    mask = np.zeros((9, 14, 12)[-ndim:], bool)
    for _ in range(count):
        low = [rng.integers(0, n - 1) for n in mask.shape]
        mask[tuple(slice(a, a + rng.integers(1, 7)) for a in low)] = True
    return mask


def theirs(monai, truth, guess, spacing, tolerance):
    """Return Dice, IoU, HD95 and NSD of MONAI; masks become tensors of one class."""
    import torch

    a, b = (torch.from_numpy(m[None, None].astype(np.float32)) for m in (guess, truth))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            float(found)
            for found in (
                monai.compute_dice(a, b, ignore_empty=False),
                monai.compute_iou(a, b, ignore_empty=False),
                monai.compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=spacing),
                monai.compute_surface_dice(
                    a, b, [tolerance], include_background=True, spacing=spacing, use_subvoxels=True
                ),
            )
        ]


@pytest.mark.parametrize("ndim", [2, 3])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), which=st.integers(0, 1), tolerance=st.sampled_from([0.0, 1.0, 2.5]))
def test_same_as_monai(monai, ndim, seed, which, tolerance):
    rng = np.random.default_rng(seed)
    truth, guess = blobs(rng, ndim), blobs(rng, ndim)
    spacing = SPACINGS[ndim][which]
    image = Image(truth, "zyx"[-ndim:], spacing, ("millimeter",) * ndim)
    dice, iou, hd95, nsd = theirs(monai, truth, guess, spacing, tolerance)
    found = overlap.scores(overlap.count(image, guess)) | surfaces.scores(surfaces.count(image, guess, tolerance))
    assert found["dice"] == pytest.approx(dice, abs=1e-6)
    assert found["iou"] == pytest.approx(iou, abs=1e-6)
    assert found["hd95"] == pytest.approx(hd95, rel=1e-5)
    assert found["nsd"] == pytest.approx(nsd, abs=1e-5)


@pytest.mark.parametrize("spacing", SPACINGS[3])
def test_the_areas_are_those_of_nikolov(monai, spacing):
    from monai.metrics.utils import create_table_neighbour_code_to_surface_area

    from napari_unet.metrics._distances import _areas

    theirs = np.asarray(create_table_neighbour_code_to_surface_area(spacing)[0])
    # Their codes count the corners from the other end.
    mirrored = [int(f"{code:08b}"[::-1], 2) for code in range(256)]
    np.testing.assert_allclose(_areas(spacing)[mirrored], theirs, rtol=1e-5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_one_mask_is_empty(monai, ndim):
    some = blobs(np.random.default_rng(0), ndim)
    spacing = SPACINGS[ndim][1]
    for truth, guess in ((some, some & False), (some & False, some)):
        dice, iou, hd95, nsd = theirs(monai, truth, guess, spacing, 1.0)
        image = Image(truth, "zyx"[-ndim:], spacing, ("millimeter",) * ndim)
        found = overlap.scores(overlap.count(image, guess)) | surfaces.scores(surfaces.count(image, guess))
        assert (found["dice"], found["iou"], found["nsd"]) == (dice, iou, nsd) == (0, 0, 0)
        assert not math.isfinite(hd95)
        # A number that can be averaged: the diagonal of the image.
        assert found["hd95"] == pytest.approx(np.linalg.norm(np.multiply(some.shape, spacing)))


def test_both_are_empty(monai):
    empty = np.zeros((4, 5, 6), bool)
    assert theirs(monai, empty, empty, (1.0, 1.0, 1.0), 1.0)[0] == 1
    assert overlap.scores(overlap.count(empty, empty)) == {"dice": 1.0, "iou": 1.0}
    assert surfaces.scores(surfaces.count(empty, empty)) == {"hd95": 0.0, "nsd": 1.0}


def test_classes_have_their_own_scores_and_cases_the_same_weight():
    one = np.zeros((2, 8, 8), np.uint8)
    one[:, :4, :4], one[:, 5:, 5:] = 1, 2
    worse = one.copy()
    worse[:, :4, 2:4] = 0
    without = np.where(one == 2, 0, one)
    pool = overlap.count(one, worse) + overlap.count(without, without)
    found = overlap.scores(pool)
    assert found["dice_1"] == pytest.approx((2 / 3 + 1) / 2)
    # The second case has no class 2, so it says nothing about it.
    assert found["dice_2"] == 1
    assert found["dice"] == pytest.approx((found["dice_1"] + 1) / 2)
    assert pool.cases == 2


def test_volumes_are_in_millilitres_where_the_units_are_lengths():
    truth, guess = np.zeros((10, 20, 20), bool), np.zeros((10, 20, 20), bool)
    truth[2:7, 4:14, 4:14], guess[2:7, 4:14, 4:12] = True, True
    found = overlap.scores(overlap.count(Image(truth, "zyx", (5.0, 2.0, 2.0), ("millimeter",) * 3), guess))
    assert found["volume_error"] == pytest.approx(100 * 20 / 1000)
    assert found["volume_bias"] == pytest.approx(-2)
    assert found["volume_error_percent"] == pytest.approx(20)
    micrometers = Image(truth, "zyx", (5000.0, 2000.0, 2000.0), ("micrometer",) * 3)
    assert overlap.scores(overlap.count(micrometers, guess)) == pytest.approx(found)
    assert overlap.scores(overlap.count(truth, guess))["volume_error"] == 100
    assert math.isnan(overlap.scores(overlap.count(truth & False, guess))["volume_error_percent"])


def test_the_unit_of_length_does_not_matter():
    rng = np.random.default_rng(1)
    truth, guess = blobs(rng, 3), blobs(rng, 3)
    scores = [
        surfaces.scores(surfaces.count(Image(truth, "zyx", scale, (unit,) * 3), guess, tolerance=2.0))
        for scale, unit in (((3.0, 1.0, 1.0), "millimeter"), ((3000.0, 1000.0, 1000.0), "micrometer"))
    ]
    assert scores[0] == pytest.approx(scores[1])


def test_axes_in_another_order_are_the_same():
    rng = np.random.default_rng(2)
    truth, guess = blobs(rng, 3), blobs(rng, 3)
    units = ("millimeter",) * 3
    expected = surfaces.scores(surfaces.count(Image(truth, "zyx", (3.0, 1.0, 2.0), units), guess))
    turned = Image(truth.transpose(2, 1, 0), "xyz", (2.0, 1.0, 3.0), units)
    other = Image(guess, "zyx", (3.0, 1.0, 2.0), units)
    assert surfaces.scores(surfaces.count(turned, other)) == pytest.approx(expected)


def test_time_points_are_cases():
    movie = np.zeros((3, 8, 8), np.uint8)
    movie[0, 2:5, 2:5], movie[1, 3:6, 3:6] = 1, 1
    guess = movie.copy()
    guess[1] = 0
    pool = overlap.count(Image(movie, "tyx"), Image(guess, "tyx"))
    assert pool.cases == 3
    assert overlap.scores(pool)["dice"] == 0.5


@pytest.mark.parametrize(
    ("truth", "guess", "error", "words"),
    [
        (np.zeros((3, 4)), np.zeros((4, 3)), ImageError, "shape"),
        (np.full((3, 4), 999), np.zeros((3, 4)), ImageError, "--binary"),
        (np.full((3, 4), 0.5), np.zeros((3, 4)), ImageError, "fraction"),
        (Image(np.zeros((3, 4)), "yx"), Image(np.zeros((3, 4, 2)), "yxc"), AxesError, "same axes"),
        (
            Image(np.zeros((3, 4)), "yx", (1, 1), ("mm", "mm")),
            Image(np.zeros((3, 4)), "yx", (1, 2), ("mm", "mm")),
            ImageError,
            "same grid",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(truth, guess, error, words):
    with pytest.raises(error, match=words):
        overlap.count(truth, guess)


def test_a_negative_tolerance_is_refused():
    with pytest.raises(SpecError, match="0 or more"):
        surfaces.count(np.ones((3, 4), bool), np.ones((3, 4), bool), tolerance=-1)


def test_classes_within_each_other_are_compared_as_regions():
    rng = np.random.default_rng(3)
    truth, guess = (rng.integers(0, 4, (6, 12, 12)) for _ in range(2))
    for metric, more in ((overlap, {}), (surfaces, {"tolerance": 2.0}), (lesions, {"grow": 1.0, "smallest": 0.0})):
        found = metric.scores(metric.count(truth, guess, nested=True, **more))
        for kind in (1, 2, 3):
            alone = metric.scores(metric.count(truth >= kind, guess >= kind, **more))
            assert {name: found[f"{name}_{kind}"] for name in alone} == pytest.approx(alone)
    # A region is there if what lies within it is.
    found = overlap.scores(overlap.count(np.array([[0, 2, 2]]), np.array([[0, 2, 1]]), nested=True))
    assert (found["dice_1"], found["dice_2"]) == (1, pytest.approx(2 / 3))
