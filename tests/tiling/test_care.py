"""Short of memory: smaller bites, the same scores, and what happened is told and remembered."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.axes import as_image
from napari_unet.core.errors import MemoryShortError
from napari_unet.core.specs import TilingSpec
from napari_unet.core.steps import Progress, finish
from napari_unet.tiling.care import Care, told
from napari_unet.tiling.grid import Grid, halves
from napari_unet.tiling.statistics import Statistics
from napari_unet.tiling.stream import Plan, score_plane

quick = settings(deadline=None, max_examples=30)


def smooth(batch: np.ndarray) -> np.ndarray:
    """A network that looks two pixels far, and at which of two pixels of the global grid a pixel is."""
    out = batch.copy()
    for axis in range(2, batch.ndim):
        out = sum(np.roll(out, shift, axis) for shift in (-2, -1, 0, 1, 2)) / np.float32(5)
        even = np.arange(batch.shape[axis]).reshape([-1 if a == axis else 1 for a in range(batch.ndim)]) % 2 == 0
        out = np.where(even, out, out * np.float32(0.5))
    return np.concatenate([out, out], axis=1)


def above(size: int, error: type[Exception] = MemoryShortError) -> Any:
    """The same network on a device that takes no more than `size` pixels at once."""

    def predict(batch: np.ndarray) -> np.ndarray:
        if batch[:, 0].size > size:
            raise error("too much")
        return smooth(batch)

    return predict


def plan(ndim: int, care: Care | None = None, **more: Any) -> Plan:
    values: dict[str, Any] = {"factor": (1.0,) * ndim, "halo": 2, "multiple": 2, "outputs": 2, **more}
    return Plan(statistics=Statistics((0.0,), (1.0,)), care=care or Care(), **values)


def scored(image: Any, how: Plan, predict: Any) -> np.ndarray:
    plane = image.planes(how.ndim)[0]
    scores = np.zeros((how.outputs, *plane.shape), np.uint8)
    for _ in score_plane(plane, how, predict, scores):
        pass
    return scores


@quick
@given(
    st.sampled_from([2, 3]),
    st.lists(st.integers(1, 40), min_size=3, max_size=3),
    st.builds(TilingSpec, tile=st.integers(4, 32), batch=st.integers(1, 4), workers=st.integers(1, 2)),
    st.integers(50, 3000),
    st.sampled_from([0.6, 1.0, 1.7]),
    st.sampled_from([MemoryError, MemoryShortError]),
)
def test_scores_do_not_depend_on_what_fits(ndim, shape, tiling, size, factor, error):
    shape = [n if ndim == 2 else -(-n // 2) for n in shape[:ndim]]
    image = as_image(np.random.default_rng(0).random(shape).astype(np.float32), "zyx"[-ndim:])
    how = {"factor": (factor,) * ndim, "tiling": tiling}
    expected = scored(image, plan(ndim, **how), smooth)
    care = Care(lambda: smooth)
    np.testing.assert_array_equal(scored(image, plan(ndim, care, **how), above(size, error)), expected)
    assert care.pixels == math.prod(shape)


@quick
@given(
    st.lists(st.integers(1, 60), min_size=2, max_size=3),
    st.integers(2, 32),
    st.integers(0, 5),
    st.integers(1, 4),
    st.sampled_from([0.4, 1.0, 2.3]),
)
def test_halves_own_the_same_pixels_and_lie_on_the_grid(shape, edge, halo, multiple, factor):
    grid = Grid(tuple(shape), (factor,) * len(shape), (edge,) * len(shape), halo, multiple)
    for tile in grid:
        two = halves(tile, grid.factor, halo, multiple)
        if two is None:
            continue
        owned = np.zeros(shape, int)
        for part in two:
            owned[part.window] += 1
            assert all(s.start % multiple == s.stop % multiple == 0 for s in part.read)
            assert math.prod(part.read_shape) < math.prod(tile.read_shape)
            for read, crop in zip(part.read, part.crop, strict=True):
                assert crop.start >= halo
                assert read.size - crop.stop >= halo
        whole = np.zeros(shape, int)
        whole[tile.window] = 1
        np.testing.assert_array_equal(owned, whole)


def test_what_was_too_much_is_not_tried_again():
    asked, notes = [], []
    image = as_image(np.random.default_rng(0).random((64, 64)).astype(np.float32), "yx")

    def predict(batch: np.ndarray) -> np.ndarray:
        asked.append(batch[:, 0].size)
        return above(700)(batch)

    care = Care(note=lambda retried: notes.append(dict(retried)))
    scored(image, plan(2, care, tiling=TilingSpec(tile=32, batch=2, workers=1)), predict)
    assert sum(size > 700 for size in asked) == 3  # two tiles, one, half of one
    assert care.retried == notes[-1] == {"smaller_batch": 2, "smaller_tile": 12}
    assert care.record == {"retried": care.retried}
    assert Care().record == {}
    words = care.news()
    assert "fewer tiles" in words
    assert "in parts" in words
    assert care.news() == ""


def test_what_was_known_goes_on():
    care = Care(retried={"smaller_batch": 5})
    image = as_image(np.ones((32, 32), np.float32), "yx")
    scored(image, plan(2, care, tiling=TilingSpec(tile=16, batch=4, workers=1)), above(500))
    assert care.retried["smaller_batch"] > 5
    assert care.news() == ""  # it was said when it happened first


def test_the_processor_is_asked_last_and_only_when_needed():
    loaded = []

    def elsewhere() -> Any:
        loaded.append(1)
        return smooth

    image = as_image(np.random.default_rng(0).random((64, 64)).astype(np.float32), "yx")
    how = {"tiling": TilingSpec(tile=32, workers=2)}
    care = Care(elsewhere)
    scored(image, plan(2, care, **how), above(700))
    assert not loaded
    found = scored(image, plan(2, care, **how), above(10))
    np.testing.assert_array_equal(found, scored(image, plan(2, **how), smooth))
    assert loaded == [1]
    assert care.retried["elsewhere"] > 0
    assert "on the processor" in care.news()


def test_where_nothing_fits_it_is_said():
    image = as_image(np.ones((16, 16), np.float32), "yx")
    with pytest.raises(MemoryShortError, match="even for a small tile") as info:
        scored(image, plan(2), above(1, MemoryError))
    assert isinstance(info.value.__cause__, MemoryError | None)


def test_other_errors_are_not_tried_again():
    asked = []

    def predict(batch: np.ndarray) -> np.ndarray:
        asked.append(1)
        raise RuntimeError("the device is gone")

    with pytest.raises(RuntimeError, match="gone"):
        scored(as_image(np.ones((16, 16), np.float32), "yx"), plan(2), predict)
    assert asked == [1]


class Clock:
    """A clock that is moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


def test_a_device_that_sags_is_noticed_once(monkeypatch):
    clock, seconds, care = Clock(monkeypatch), [1.0], Care()

    def predict(batch: np.ndarray) -> np.ndarray:
        clock.now += seconds[0]
        return batch

    slow = care.timed(predict)

    def call(times: int, each: float) -> str:
        seconds[0] = each
        for _ in range(times):
            slow(np.ones((1, 1, 4, 4), np.float32))
        return care.news()

    assert call(20, 1.0) == ""
    assert call(3, 9.0) == ""  # it may pass
    assert call(5, 1.0) == ""
    assert "9 times slower" in call(6, 9.0)
    assert call(40, 9.0) == ""


def test_a_slow_start_is_nothing_to_speak_of(monkeypatch):
    clock, care = Clock(monkeypatch), Care()
    seconds = iter([50.0, 50.0, *[1.0] * 30])

    def predict(batch: np.ndarray) -> np.ndarray:
        clock.now += next(seconds)
        return batch

    for _ in range(32):
        care.timed(predict)(np.ones((1, 1, 4, 4), np.float32))
    assert care.news() == ""


def test_speed_and_news_are_told_with_the_progress(monkeypatch):
    clock, care = Clock(monkeypatch), Care()
    image = as_image(np.ones((1000, 1000), np.float32), "yx")

    def predict(batch: np.ndarray) -> np.ndarray:
        clock.now += 1.0
        return np.concatenate([batch, batch], axis=1)

    def run() -> Any:
        yield Progress(0, 4, "Starting")
        clock.now = 5.0
        tiles = score_plane(
            image.planes(2)[0],
            plan(2, care, tiling=TilingSpec(tile=500, workers=1)),
            predict,
            np.zeros((2, 1000, 1000), np.uint8),
        )
        for number, _ in enumerate(tiles):
            if number == 3:
                clock.now += 0.0
                yield Progress(4, 4, "Finding objects")
        care._news.append("Something odd.")
        yield Progress(4, 4, "Writing")
        return "labels"

    shown: list[Progress] = []
    assert finish(told(run(), care), shown.append) == "labels"
    assert [step.note for step in shown] == ["Starting", "Finding objects (0.25 Mpx/s)", "Writing"]
    assert [step.news for step in shown] == ["", "", "Something odd."]


def test_a_run_that_is_told_of_can_be_stopped():
    closed = []

    def run() -> Any:
        try:
            while True:
                yield Progress(0, 0)
        finally:
            closed.append(1)

    steps = told(run(), Care())
    next(steps)
    steps.close()
    assert closed == [1]
