"""The threads: order, errors, stopping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from napari_unet.core.axes import as_image
from napari_unet.core.errors import ImageError, ModelError, SpecError
from napari_unet.core.specs import TilingSpec
from napari_unet.core.steps import check_stopped
from napari_unet.tiling.grid import Span
from napari_unet.tiling.statistics import Statistics
from napari_unet.tiling.stream import Plan, count_workers, read_net, score_plane, stream

UNIT = Statistics((0.0,), (1.0,))


def plan(**more: object) -> Plan:
    values: dict = {"factor": (1.0, 1.0), "statistics": UNIT, "halo": 2, "multiple": 4, **more}
    return Plan(**values)


def counting(n: int, work: Callable[[int], int]) -> Callable[[], Callable[[], int] | None]:
    numbers = iter(range(n))

    def next_job() -> Callable[[], int] | None:
        number = next(numbers, None)
        return None if number is None else lambda: work(number)

    return next_job


def test_all_results_come_and_few_are_in_flight() -> None:
    started: list[int] = []

    def work(i: int) -> int:
        started.append(i)
        return i

    results = stream(counting(50, work), 3)
    seen = [next(results)]
    time.sleep(0.05)
    assert len(started) <= 6 + len(seen)
    seen.extend(results)
    assert sorted(seen) == list(range(50))


def test_the_first_error_comes_as_it_is_and_ends_the_work() -> None:
    error = RuntimeError("out of memory")
    started: list[int] = []

    def work(i: int) -> int:
        started.append(i)
        if i == 5:
            raise error
        return i

    with pytest.raises(RuntimeError) as caught:
        list(stream(counting(1000, work), 2))
    assert caught.value is error
    assert len(started) < 20
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-unet")]


def test_closing_waits_for_what_runs_and_drops_the_rest() -> None:
    ended: list[int] = []

    def work(i: int) -> int:
        time.sleep(0.02)
        ended.append(i)
        return i

    results = stream(counting(1000, work), 2)
    next(results)
    results.close()
    count = len(ended)
    assert count <= 6
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-unet")]
    time.sleep(0.05)
    assert len(ended) == count


def test_an_error_makes_the_others_give_up_and_comes_as_it_is() -> None:
    error, begun = RuntimeError("out of memory"), threading.Barrier(2)

    def work(i: int) -> int:
        begun.wait(10)
        if i == 0:
            raise error
        for _ in range(1000):
            check_stopped()
            time.sleep(0.01)
        return i

    start = time.monotonic()
    with pytest.raises(RuntimeError) as caught:
        list(stream(counting(2, work), 2))
    assert caught.value is error
    assert time.monotonic() - start < 5


def test_scores_are_quantised() -> None:
    values = np.array([[0, 1, 0.5, np.nan], [2, -1, np.inf, -np.inf]], np.float32)
    scores = np.full((1, 2, 4), 7, np.uint8)
    image = as_image(np.zeros((2, 4)))

    def predict(batch: np.ndarray) -> np.ndarray:
        out = np.zeros_like(batch)
        out[0, 0, 4:6, 4:8] = values
        return out

    tiles = list(score_plane(image.planes(2)[0], plan(), predict, scores))
    assert len(tiles) == 1
    np.testing.assert_array_equal(scores[0], [[0, 255, 128, 0], [255, 0, 255, 0]])


def test_channels_are_chosen_and_repeated() -> None:
    image = as_image(np.stack([np.full((8, 8), c / 10) for c in range(4)]), "cyx")
    seen: list[np.ndarray] = []

    def predict(batch: np.ndarray) -> np.ndarray:
        seen.append(batch[0, :, 0, 0])
        return batch

    scores = np.zeros((1, 8, 8), np.uint8)
    (plane,) = image.planes(2)
    list(score_plane(plane, plan(channels=(2,), inputs=3), predict, scores))
    three = Statistics((0.0,) * 3, (1.0,) * 3)
    list(score_plane(plane, plan(channels=(3, 0, 1), inputs=3, statistics=three), predict, scores))
    np.testing.assert_allclose(seen, [[0.2, 0.2, 0.2], [0.3, 0, 0.1]], rtol=1e-6)


def test_what_cannot_be_done_is_said() -> None:
    image = as_image(np.zeros((4, 8, 8)), "cyx")
    (plane,) = image.planes(2)
    with pytest.raises(ImageError, match="takes 2 channel"):
        plan(inputs=2).select(plane)
    with pytest.raises(ImageError, match="channels 0 to 3"):
        plan(channels=(4,)).select(plane)
    with pytest.raises(ImageError, match="Measure them again"):
        plan(inputs=4).select(plane)
    with pytest.raises(SpecError, match="diameter"):
        plan(factor=(0.0, 1.0))
    scores = np.zeros((2, 8, 8), np.uint8)
    for bad in (lambda b: b, lambda b: b[0], lambda b: b[..., :-1]):
        with pytest.raises(ModelError, match="returned the shape"):
            list(score_plane(plane, plan(channels=(0,), outputs=2), bad, scores))


def test_large_reads_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(0).normal(size=(90, 80))
    (plane,) = as_image(data).planes(2)
    spans, shrunk = (Span(-8, 16), Span(0, 24)), plan(factor=(0.1, 0.23))
    whole = read_net(plane, spans, shrunk)
    monkeypatch.setattr("napari_unet.tiling.scoring._LARGEST_READ", 500)
    np.testing.assert_array_equal(read_net(plane, spans, shrunk), whole)


def test_workers_are_counted() -> None:
    assert count_workers(TilingSpec(workers=5)) == 5
    assert count_workers(TilingSpec()) >= 1


def test_what_runs_ends_when_it_is_not_wanted_any_more() -> None:
    begun, ended = threading.Event(), []

    def work(i: int) -> int:
        if i == 0:
            return i
        begun.set()
        for _ in range(3000):
            time.sleep(0.01)
            check_stopped()
        ended.append(i)
        return i

    results = stream(counting(5, work), 2)
    assert next(results) == 0
    assert begun.wait(5)
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 5
    assert not ended
    check_stopped()  # nothing is stopped here
