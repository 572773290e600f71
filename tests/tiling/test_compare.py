"""Labels compared window by window: the same answer as by looking at every object."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_unet.core.axes import Image
from napari_unet.tiling.compare import Comparing, Pairs, windows

quick = settings(deadline=None, max_examples=40)
shapes = st.lists(st.integers(1, 9), min_size=2, max_size=3).map(tuple)


def compared(one: np.ndarray, other: np.ndarray, edge: int = 4):
    axes = "tzyx"[-one.ndim :]
    pairs = Pairs(axes, one.shape)
    for start in np.ndindex(*(-(-n // edge) for n in one.shape)):
        at = tuple(slice(edge * i, edge * (i + 1)) for i in start)
        pairs.add(one[at], other[at], [s.start for s in at])
    return pairs.finish()


@quick
@given(st.data(), shapes, st.integers(1, 10))
def test_every_object_that_differs_is_listed(data, shape, edge):
    values = st.integers(0, 5)
    one = data.draw(arrays.arrays(np.int32, shape, elements=values))
    other = data.draw(st.one_of(st.just(one), arrays.arrays(np.uint32, shape, elements=values)))
    facts, table = compared(one, other, edge)
    ids, again = set(np.unique(one)) - {0}, set(np.unique(other)) - {0}
    assert (facts["objects"], facts["found"]) == (len(ids), len(again))
    masks = {b: other == b for b in again}
    partner = {a: [b for b in again if np.array_equal(one == a, masks[b])] for a in ids}
    differing = {a for a in ids if not partner[a]}
    assert set(table["label"].tolist()) - {0} == differing
    assert len(table["label"]) == len(set(table["label"].tolist()) - {0}) + (table["label"] == 0).sum()
    for label, pixels, *place in zip(*(table[n] for n in ("label", "pixels", *"tzyx"[-one.ndim :])), strict=True):
        if label:
            assert pixels == (one == label).sum()
            assert tuple(place) == tuple(np.argwhere(one == label)[0])
    missing = again - {b for found in partner.values() for b in found}
    assert bool(differing or missing) == bool(len(table["label"]))
    assert (facts["pixels_differing"] == 0) == (not len(table["label"]))
    assert facts["renumbered"] == any(b and b[0] != a for a, b in partner.items())


def test_counts_by_hand():
    one = np.zeros((4, 20), np.int32)
    one[1:3, 1:5], one[1:3, 8:12], one[0, 15:19] = 1, 2, 3
    other = one.copy()
    other[2, 4], other[1:3, 10:12], other[0, 15:19] = 0, 9, 0
    other[3, 19] = 4
    facts, table = compared(one, other)
    assert facts == {"objects": 3, "found": 4, "pixels_differing": 1 + 4 + 4 + 1, "renumbered": False}
    rows = list(zip(*(table[n].tolist() for n in ("label", "pixels", "pixels_again", "y", "x")), strict=True))
    assert rows == [(3, 4, 0, 0, 15), (1, 8, 7, 1, 1), (2, 8, 4, 1, 8), (0, 0, 4, 1, 10), (0, 0, 1, 3, 19)]
    np.testing.assert_allclose(table["overlap"], [0, 7 / 8, 0.5, 0, 0])


def test_other_numbers_are_no_other_objects():
    one = np.array([[1, 0, 2], [1, 0, 2]])
    facts, table = compared(one, np.where(one, 3 - one, 0))
    assert facts["renumbered"]
    assert facts["pixels_differing"] == len(table["label"]) == 0


def test_memory_is_for_pairs():
    pairs = Pairs("yx", (4096, 4096))
    window = np.arange(128 * 128).reshape(128, 128)
    for start in np.ndindex(14, 14):
        pairs.add(window, window, [128 * i for i in start])
    assert sum(part.shape[1] for part in pairs._parts) <= 2**21 + 128 * 128


@pytest.mark.parametrize("axes", ["yx", "xy", "tyx", "xzty"])
def test_planes_are_compared_where_they_lie(axes):
    shape = {"t": 2, "z": 3, "y": 1030, "x": 20}
    values = np.random.default_rng(0).integers(0, 9, [shape[a] for a in axes]).astype(np.int32)
    labels = Image(values, axes)
    comparing = Comparing(labels, lambda window: values[window])
    for plane in Image(values, axes).planes(2):
        held = dict(plane.fixed)
        inner = values[tuple(held.get(d, slice(None)) for d in range(values.ndim))]
        inner = inner if "".join(a for a in axes if a in "yx") == "yx" else inner.T
        for window in comparing.windows(plane):
            comparing.write(plane, window, inner[window])
    facts, table = comparing.pairs.finish()
    assert facts == {"objects": 8, "found": 8, "pixels_differing": 0, "renumbered": False}
    assert len(table["label"]) == 0


def test_windows_lie_side_by_side():
    seen = np.zeros((2, 70, 1500, 30), int)
    for window in windows("tzyx", seen.shape):
        seen[window] += 1
        assert all(s.start % 512 == 0 for s in window[-2:])
    assert (seen == 1).all()
