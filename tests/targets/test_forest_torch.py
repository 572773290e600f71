"""Trees grown in operations of a graphics card are those of the processor's machine code; here on the processor."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.targets import grower
from napari_unet.targets._forest import explore
from napari_unet.targets._forest_torch import grow_on

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def same(potential, mask, window, shape, device="cpu"):
    """Grow both ways, and compare everything that is known of the trees."""
    trees, forest = explore(potential, mask, window, shape)
    others, grown = explore(potential, mask, window, shape, grow=partial(grow_on, device))
    np.testing.assert_array_equal(trees, others)
    for name in ("peaks", "heights", "areas", "firsts", "lows", "highs", "exits"):
        mine, other = getattr(forest, name), getattr(grown, name)
        np.testing.assert_array_equal(mine, other, name)
        assert mine.dtype == other.dtype, name
    pairs = [{(*p, s) for p, s in zip(f.pairs.tolist(), f.saddles.tolist(), strict=True)} for f in (forest, grown)]
    assert pairs[0] == pairs[1]
    assert len(grown.pairs) == len(pairs[0])
    for side, rim in forest.rims.items():
        np.testing.assert_array_equal(rim.trees, grown.rims[side].trees)
        np.testing.assert_array_equal(rim.potential, grown.rims[side].potential)
    return forest


@st.composite
def bricks(draw):
    """A brick somewhere in a plane or a volume: few heights, so that there are ties, on a random foreground."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=2, max_size=3)))
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    window = tuple(slice(a, draw(st.integers(a + 1, n))) for a, n in zip(starts, shape, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    size = [s.stop - s.start + (s.start > 0) + (s.stop < n) for s, n in zip(window, shape, strict=True)]
    potential = rng.integers(0, draw(st.sampled_from([1, 3, 256])), size).astype(np.uint8)
    return potential, rng.random(size) < draw(st.sampled_from([0.0, 0.4, 0.9, 1.0])), window, shape


@given(bricks())
@settings(max_examples=200, deadline=None)
def test_the_same_trees(brick):
    same(*brick)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(96, 130), (9, 40, 50)])
def test_trees_of_a_smooth_landscape(shape, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no graphics card")
    rng = np.random.default_rng(0)
    field = rng.normal(size=[n + 2 for n in shape])
    for axis in range(len(shape)):
        for _ in range(6):
            field = (np.roll(field, 1, axis) + 2 * field + np.roll(field, -1, axis)) / 4
    potential = np.clip(field / field.std() * 10 + 30, 0, 255).astype(np.uint8)
    window = tuple(slice(5, 5 + n) for n in shape)
    forest = same(potential, potential > 25, window, [n + 10 for n in shape], device)
    assert len(forest.pairs) > 20
    assert len(forest.exits) > 5


def test_a_card_without_memory_leaves_it_to_the_processor(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(torch, "from_numpy", full)
    potential = np.arange(12, dtype=np.uint8).reshape(3, 4)
    forest = same(potential, potential > 2, (slice(0, 3), slice(0, 4)), (3, 4))
    assert len(forest) == 1


def test_who_grows(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert grower("cpu") is None
    assert grower("mps") is None
    potential = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert grower("cuda:0").args == ("cuda:0",)
    assert len(grow_on("cpu", np.pad(potential.astype(np.uint16) << 5, 1)[None], 0).ends) == 1
