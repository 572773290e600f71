"""The assignment: the least total of all, however it is split."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.tracking import _assign
from napari_unet.tracking._assign import assign


def cheapest(costs: dict[tuple[int, int], float], n: int, m: int, unlinked: float) -> float:
    """Try everything."""
    best = np.inf
    for choice in itertools.product([None, *range(m)], repeat=n):
        taken = [c for c in choice if c is not None]
        if len(set(taken)) < len(taken) or any((i, c) not in costs for i, c in enumerate(choice) if c is not None):
            continue
        links = sum(costs[i, c] for i, c in enumerate(choice) if c is not None)
        best = min(best, links + unlinked * (n + m - 2 * len(taken)))
    return best


@given(
    st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 3)), st.integers(0, 40), max_size=12),
    st.sampled_from([0.5, 3.5, 12.0]),
)
def test_no_other_choice_is_cheaper(costs, unlinked):
    pairs = np.array(list(costs), np.int64).reshape(-1, 2)
    values = np.array(list(costs.values()), float)
    parents, children = assign((pairs[:, 0] * 7, pairs[:, 1] * 5 + 3, values), unlinked)
    assert len(set(parents.tolist())) == len(parents)
    assert len(set(children.tolist())) == len(children)
    made = [costs[p // 7, (c - 3) // 5] for p, c in zip(parents.tolist(), children.tolist(), strict=True)]
    total = sum(made) + unlinked * (8 - 2 * len(made))
    assert total == pytest.approx(cheapest(costs, 4, 4, unlinked))


def test_splitting_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    places = np.unique(rng.integers(0, 400, (900, 2)), axis=0)
    candidates = (places[:, 0], places[:, 1], rng.random(len(places)))
    whole = assign(candidates, 0.4)
    monkeypatch.setattr(_assign, "_BATCH", 1)
    for a, b in zip(whole, assign(candidates, 0.4), strict=True):
        assert np.array_equal(a, b)
    order = rng.permutation(len(places))
    for a, b in zip(whole, assign(tuple(column[order] for column in candidates), 0.4), strict=True):
        assert np.array_equal(a, b)
