"""Scores as they are stored: by whom they are rounded, and where values are normalized, changes none of them."""

from __future__ import annotations

import itertools
import threading
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.axes import as_image
from napari_unet.core.specs import TargetSpec, TilingSpec
from napari_unet.core.steps import finish
from napari_unet.targets import target
from napari_unet.tiling._quantised import quantised
from napari_unet.tiling.empty import Sparing
from napari_unet.tiling.run import segment_planes
from napari_unet.tiling.scoring import Storing
from napari_unet.tiling.statistics import Statistics, lookup, normalize
from napari_unet.tiling.stream import Plan, count_workers, score_plane

HALO = 5
STATISTICS = Statistics((3.0, 10.0), (200.0, 90.0))
quick = settings(deadline=None, max_examples=40)


def plain(batch: np.ndarray) -> np.ndarray:
    """Scores of two channels that depend on the neighborhood."""
    near = sum(np.roll(batch, shift, axis) for axis in range(2, batch.ndim) for shift in (-HALO, HALO))
    return np.concatenate([np.abs(near) % 1, np.abs(batch - near) % 1], axis=1)[:, :2].astype(np.float32)


class Device:
    """A graphics card for the tests: it rounds by itself, and perhaps normalizes; all of it in one thread."""

    def __init__(self, inputs: int, looks_up: bool) -> None:
        self.inputs, self.looks_up = inputs, looks_up
        self.kinds: set[str] = set()
        self.plainly = 0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.plainly += 1
        return plain(batch)

    def stored(self, batch: np.ndarray, outputs: int, tables: np.ndarray | None = None) -> np.ndarray:
        self.kinds.add(str(batch.dtype))
        if tables is not None:
            batch = np.stack([[table[part] for table, part in zip(tables, row, strict=True)] for row in batch])
            batch = np.repeat(batch, self.inputs // batch.shape[1], 1)
        scores = plain(batch)[:, :outputs]
        if min(scores.shape[2:]) > 2 * HALO:
            scores = scores[(..., *(slice(HALO, -HALO),) * (scores.ndim - 2))]
        return quantised(scores)


def rounded(scores: np.ndarray) -> np.ndarray:
    """What stored scores are, in as many passes as it takes to say it."""
    return np.rint(np.clip(np.nan_to_num(scores, nan=0.0, posinf=1.0, neginf=0.0), 0, 1) * 255).astype(np.uint8)


def test_scores_are_rounded_halves_to_even() -> None:
    values = np.linspace(-0.2, 1.2, 2**18, dtype=np.float32)
    halves = (np.arange(-4, 520, dtype=np.float32) / 2 / 255).astype(np.float32)
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1, 1e30, -1e30, 1e-42], np.float32)
    for scores in (values, halves, odd, np.zeros((2, 0, 3), np.float32)):
        np.testing.assert_array_equal(quantised(scores), rounded(scores))
    volumes = np.random.default_rng(0).normal(0.5, 0.5, (2, 3, 8, 9, 10)).astype(np.float32)
    for view in (volumes, volumes[:, 1:, 2:-1, 3:, 4:-2], np.moveaxis(volumes, 1, -1), volumes[0, 0, :, ::-1]):
        np.testing.assert_array_equal(quantised(view), rounded(view))


@quick
@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=3),
    st.integers(4, 30),
    st.integers(1, 4),
    st.sampled_from(["uint8", "uint16", "float32", "int16", "uint32"]),
    st.sampled_from([(1, 1), (1, 3), (2, 2)]),
    st.sampled_from([1.0, 1.0, 1.0, 0.7]),
    st.booleans(),
)
def test_no_score_differs(shape, tile, batch, dtype, channels, factor, looks_up) -> None:
    used, inputs = channels
    data = np.random.default_rng(0).integers(0, 256, (used, *shape)).astype(dtype)
    image = as_image(data, "c" + "zyx"[-len(shape) :])
    statistics = Statistics(STATISTICS.low[:used], STATISTICS.high[:used])
    how = Plan(
        (factor,) * len(shape), statistics, HALO, 2, inputs, 2, tiling=TilingSpec(tile=tile, batch=batch, workers=2)
    )
    (plane,) = image.planes(len(shape))
    expected, found = np.zeros((2, *shape), np.uint8), np.zeros((2, *shape), np.uint8)
    list(score_plane(plane, how, plain, expected))
    device = Device(inputs, looks_up)
    list(score_plane(plane, how, Sparing(device), found))
    np.testing.assert_array_equal(found, expected)
    if factor == 1:
        own = looks_up and dtype in ("uint8", "uint16")
        assert (device.kinds, device.plainly) == ({dtype if own else "float32"}, 0)
    else:
        assert not device.kinds


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_table_says_what_each_value_becomes(dtype) -> None:
    table = lookup(dtype, STATISTICS)
    whole = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    assert (table.dtype, table.shape) == (np.float32, (2, whole.size))
    for few in (whole[:100], whole[-100:], whole[50:250:3]):
        np.testing.assert_array_equal(table[:, few], normalize(np.stack([few, few]), STATISTICS))


def test_what_is_empty_is_asked_once_of_a_device_too() -> None:
    data = np.zeros((1, 60, 200), np.uint8)
    data[0, :20, :20] = np.arange(20)
    (plane,) = as_image(data, "cyx").planes(2)
    how = Plan((1.0, 1.0), Statistics((0.0,), (9.0,)), HALO, 2, 1, 2, tiling=TilingSpec(tile=20, workers=3))
    asked: list[Any] = []

    class Counted(Device):
        def stored(self, batch: np.ndarray, outputs: int, tables: np.ndarray | None = None) -> np.ndarray:
            asked.append(batch.shape)
            return super().stored(batch, outputs, tables)

    expected, found = np.zeros((2, 60, 200), np.uint8), np.zeros((2, 60, 200), np.uint8)
    list(score_plane(plane, how, plain, expected))
    sparing = Sparing(Counted(1, True))
    assert isinstance(sparing, Storing)
    assert not isinstance(Sparing(plain), Storing)
    list(score_plane(plane, how, sparing, found))
    np.testing.assert_array_equal(found, expected)
    assert len(asked) < len(how.grid((60, 200))) / 2


def test_more_threads_than_workers_wait_for_a_device() -> None:
    """Two batches are at the device while as many threads as there are workers read and store."""
    how = Plan((1.0, 1.0), STATISTICS, HALO, 2, 2, 2, tiling=TilingSpec(tile=8, workers=1), ahead=2)
    assert (count_workers(how.tiling), how.threads) == (1, 3)
    image = as_image(np.random.default_rng(0).integers(0, 256, (2, 64, 64)).astype(np.uint8), "cyx")
    calls, together = itertools.count(), threading.Barrier(3)

    def predict(batch: np.ndarray) -> np.ndarray:
        if next(calls) < 3:
            together.wait(10)  # which goes wrong unless three threads come here
        return plain(batch)

    decode = partial(target("heat").decode, spec=TargetSpec(name="heat", threshold=0.5, persistence=0.1), smallest=1)
    labels, _ = finish(segment_planes(image, how, predict, decode))
    alone = Plan((1.0, 1.0), STATISTICS, HALO, 2, 2, 2, tiling=TilingSpec(workers=1))
    expected, _ = finish(segment_planes(image, alone, plain, decode))
    np.testing.assert_array_equal(labels, expected)
    assert next(calls) == len(how.grid((64, 64)))
