"""Matching of objects, against a slow and independent implementation."""

from __future__ import annotations

import time
import tracemalloc

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from napari_unet.core.errors import ImageError, SpecError
from napari_unet.metrics.matching import THRESHOLDS, Counts, count, scores


def slow(truth, predicted, threshold):
    """Match as the definition says: a dense IoU matrix and an assignment over all of it."""
    true_ids = [i for i in np.unique(truth) if i]
    guess_ids = [i for i in np.unique(predicted) if i]
    iou = np.zeros((len(true_ids), len(guess_ids)))
    for r, i in enumerate(true_ids):
        for c, j in enumerate(guess_ids):
            a, b = truth == i, predicted == j
            iou[r, c] = (a & b).sum() / (a | b).sum()
    tp, total = 0, 0.0
    if iou.size:
        # Pairs below the threshold are no match, and must not decide between those that are.
        enough = np.where(iou >= threshold, 1 + iou / (2 * min(iou.shape)), 0.0)
        rows, columns = linear_sum_assignment(-enough)
        good = iou[rows, columns] >= threshold
        tp, total = int(good.sum()), float(iou[rows, columns][good].sum())
    return tp, len(guess_ids) - tp, len(true_ids) - tp, total


labels = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(0, 5))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), truth=labels)
def test_same_as_slow(data, truth):
    predicted = data.draw(hnp.arrays(np.int32, truth.shape, elements=st.integers(0, 5)))
    levels = (0.1, 0.3, *THRESHOLDS)
    found = count(truth, predicted, levels)
    for i, level in enumerate(levels):
        tp, fp, fn, total = slow(truth, predicted, level)
        assert (found.tp[i], found.fp[i], found.fn[i]) == (tp, fp, fn)
        # Several matchings may tie in number; none has a higher sum.
        assert found.iou[i] == pytest.approx(total)


def test_same_as_slow_on_blocks():
    rng = np.random.default_rng(3)
    truth = np.kron(np.arange(64).reshape(8, 8), np.ones((6, 6), int))
    predicted = np.roll(truth, 2, 1)
    predicted[rng.random(truth.shape) < 0.2] = 0
    found = count(truth, predicted)
    for i, level in enumerate(THRESHOLDS):
        tp, fp, fn, total = slow(truth, predicted, level)
        assert (found.tp[i], found.fp[i], found.fn[i]) == (tp, fp, fn)
        assert found.iou[i] == pytest.approx(total)


def test_ties_at_one_half():
    # Each half of one object has an IoU of exactly 0.5: only one of them may match.
    found = count([[1, 1, 0, 2, 2]], [[1, 2, 0, 3, 3]])
    assert (found.tp[0], found.fp[0], found.fn[0]) == (2, 1, 0)
    assert found.iou[0] == 1.5


def test_threshold_is_reached_exactly():
    found = count([[1, 1, 1, 1]], [[1, 1, 1, 0]])
    assert found.tp[THRESHOLDS.index(0.75)] == 1
    assert found.tp[THRESHOLDS.index(0.8)] == 0


def test_scores_by_definition():
    truth = np.array([[1, 1, 1, 1, 0, 2, 2, 0, 3, 3]])
    predicted = np.array([[9, 9, 9, 0, 0, 5, 5, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 7]])
    truth = np.concatenate([truth, np.zeros_like(truth)])
    found = scores(count(truth, predicted))
    # tp = 2 (IoU 0.75 and 1), fp = 1, fn = 1 at 0.5 ... 0.75; then tp = 1.
    assert found["AP50"] == found["AP75"] == 2 / 4
    assert found["mAP"] == pytest.approx((6 * 2 / 4 + 4 * 1 / 5) / 10)
    assert found["F1_50"] == found["precision_50"] == found["recall_50"] == pytest.approx(2 / 3)
    assert found["SQ"] == found["mean_matched_iou"] == pytest.approx(1.75 / 2)
    assert found["PQ"] == pytest.approx(1.75 / (2 + 0.5 + 0.5))
    assert found["RQ"] == found["F1_50"]


def test_empty():
    nothing, one = np.zeros((4, 4), int), np.eye(4, dtype=int)
    assert set(scores(count(nothing, nothing)).values()) == {1.0}
    assert set(scores(count(one, nothing)).values()) == {0.0}
    assert set(scores(count(nothing, one)).values()) == {0.0}
    assert set(scores(Counts()).values()) == {1.0}


def test_pooling():
    a = count([[1, 2]], [[1, 0]])
    b = count([[1, 1]], [[1, 1]])
    both = sum([a, b], Counts())
    assert both == a + b
    assert (both.tp[0], both.fp[0], both.fn[0], both.images) == (2, 0, 1, 2)
    with pytest.raises(SpecError, match="same thresholds"):
        a + count([[1]], [[1]], (0.5,))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64, np.uint64, float])
def test_types_and_large_ids(dtype):
    truth = np.array([[0, 1, 1], [0, 0, 100]]).astype(dtype)
    assert count(truth, truth).tp == (2,) * 10
    assert scores(count(truth > 0, truth > 0))["AP50"] == 1


def test_huge_ids_and_dimensions():
    truth = np.array([[[5, 2**31 - 1, 0]]])
    assert count(truth, truth).tp == (2,) * 10
    assert count(truth + 2**40, truth).fp == (0,) * 10


@pytest.mark.parametrize("shape", [(60,), (33, 40), (5, 9, 21), (2, 3, 8, 9)])
@pytest.mark.parametrize("kind", ["numpy", "zarr", "dask"])
def test_storage_and_windows_leave_the_counts_as_they_are(shape, kind, monkeypatch):
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 9, (2, *shape)).astype(np.uint32)
    before = count(truth, predicted, (0.05, 0.2))
    monkeypatch.setattr("napari_unet.core.windows._STEPS", ((), (7,), (5, 8), (2, 3, 5)))
    monkeypatch.setattr("napari_unet.core.overlaps._MOST_PARTS", 20)
    chunks = tuple(max(1, n // 3) for n in shape)
    store = {"zarr": lambda data: zarr.array(data, chunks=chunks), "dask": da.from_array}.get(kind, lambda data: data)
    assert count(store(truth), store(predicted.astype(float)), (0.05, 0.2)) == before


def test_memory_is_for_objects_and_not_for_pixels():
    class Tiled:
        shape, dtype = (8192, 8192), np.dtype(np.uint32)

        def __getitem__(self, window):
            y, x = (np.arange(part.start, part.stop, dtype=np.uint32) // 512 for part in window)
            return y[:, None] * 16 + x

    tracemalloc.start()
    try:
        found = count(Tiled(), Tiled())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.tp == (255,) * 10
    assert peak < 128 << 20  # each of the two takes 256 MB


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), "shape"),
        (np.full((2, 2), 0.5), np.zeros((2, 2), int), "whole numbers"),
        (np.full((2, 2), np.nan), np.zeros((2, 2), int), "whole numbers"),
        (np.full((2, 2), -1), np.zeros((2, 2), int), "negative"),
        (np.zeros((0, 2), int), np.zeros((0, 2), int), "non-empty"),
    ],
)
def test_bad_labels(truth, predicted, message):
    with pytest.raises(ImageError, match=message):
        count(truth, predicted)


@pytest.mark.parametrize("levels", [(), (0,), (1.5,), (float("nan"),)])
def test_bad_thresholds(levels):
    with pytest.raises(SpecError):
        count([[1]], [[1]], levels)
    with pytest.raises(SpecError, match=r"0\.5"):
        scores(count([[1]], [[1]], (0.6,)))


def test_time_for_many_objects():
    blocks = np.kron(np.arange(1, 2026).reshape(45, 45), np.ones((45, 45), np.int32)).astype(np.int32)
    truth = np.pad(blocks, ((0, 23), (0, 23)))
    start = time.perf_counter()
    found = count(truth, np.roll(truth, 3, 0))
    # A tenth of this is typical; the bound catches a return to quadratic work.
    assert time.perf_counter() - start < 2
    assert found.tp[0] == 2025
