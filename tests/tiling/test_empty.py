"""Empty tiles: the network is asked once, and no score changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.axes import as_image
from napari_unet.core.errors import ModelError
from napari_unet.core.specs import SegmentSpec, TilingSpec
from napari_unet.core.steps import finish
from napari_unet.tiling.empty import Sparing
from napari_unet.tiling.grid import Span
from napari_unet.tiling.resample import apply_taps, interpolation_taps, sampling_taps
from napari_unet.tiling.run import Plan, segment_planes
from napari_unet.tiling.statistics import Statistics
from napari_unet.tiling.stream import score_plane


class Counted:
    """A network that notes which batches it sees."""

    def __init__(self, predict: Callable[[np.ndarray], np.ndarray]) -> None:
        self.predict, self.seen = predict, []

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.seen.append(batch.copy())
        return self.predict(batch)


def wave(batch: np.ndarray) -> np.ndarray:
    """Scores that depend on where on the grid a pixel lies, as behind pooling and upsampling."""
    near = ndimage.uniform_filter(batch, (1, 1) + (3,) * (batch.ndim - 2))
    pattern = np.indices(batch.shape[2:]).sum(axis=0) % 4 / 8
    return np.concatenate([near * 0.5 + pattern, near * 0.3 + pattern / 2], axis=1).astype(np.float32)


def islands(shape: tuple[int, ...], value: float) -> np.ndarray:
    """A plane of one value with a few specks, at a border too."""
    data = np.full(shape, value)
    data[(slice(0, 3),) * len(shape)] = np.linspace(0, 1, 3)
    data[tuple(n // 2 for n in shape)] = 1.3
    return data


@pytest.mark.parametrize("factor", [0.04, 0.23, 0.5, 0.9, 1, 1.7, 3])
@pytest.mark.parametrize("value", [0.1, -0.7, 3.3, 1e-3])
def test_what_is_constant_stays_so_bit_by_bit(factor: float, value: float) -> None:
    block = np.full((2, 40, 30), value, np.float32)
    taps = [sampling_taps(Span(-9, 14), n, factor) for n in (40, 30)]
    assert (apply_taps(block, taps) == np.float32(value)).all()
    back = [interpolation_taps(Span(0, 8), factor).since(0) for _ in range(2)]
    assert (apply_taps(block, back) == np.float32(value)).all()


@pytest.mark.parametrize("shape", [(150, 130), (10, 70, 80)])
@pytest.mark.parametrize("factor", [0.37, 1.0, 1.9])
@pytest.mark.parametrize("batch", [1, 3])
def test_scores_are_exactly_those_of_a_network_that_sees_all(shape: tuple[int, ...], factor: float, batch: int) -> None:
    image = as_image(islands(shape, 0.123))
    (plane,) = image.planes(len(shape))
    tiling = TilingSpec(tile=12, batch=batch, workers=2)
    how = Plan((factor,) * len(shape), Statistics((0.0,), (1.0,)), 2, 4, outputs=2, tiling=tiling)
    all_seen, some_seen = Counted(wave), Counted(wave)
    expected, found = (np.full((2, *shape), 9, np.uint8) for _ in range(2))
    list(score_plane(plane, how, all_seen, expected))
    list(score_plane(plane, how, Sparing(some_seen), found))
    np.testing.assert_array_equal(found, expected)
    assert sum(map(len, some_seen.seen)) < sum(map(len, all_seen.seen))


def test_each_value_and_shape_is_asked_about_once_even_at_the_same_time() -> None:
    network = Counted(wave)
    spared = Sparing(network)
    dark, bright, small = (np.full((1, 1, n, n), v, np.float32) for n, v in ((8, 0.25), (8, 0.5), (4, 0.25)))
    asked = [dark, bright, small] * 5
    answers: list[Any] = [None] * len(asked)

    def ask(i: int) -> None:
        answers[i] = spared(asked[i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(network.seen) == 3
    for batch, answer in zip(asked, answers, strict=True):
        np.testing.assert_array_equal(answer, wave(batch))


def test_rows_of_a_batch_keep_their_places() -> None:
    rng = np.random.default_rng(0)
    batch = rng.random((5, 2, 8, 8)).astype(np.float32)
    batch[1], batch[3] = 0.5, np.array([0.1, 0.2], np.float32)[:, None, None]
    network = Counted(lambda b: b[:, :1] * 2)
    np.testing.assert_array_equal(Sparing(network)(batch), batch[:, :1] * 2)
    assert [len(seen) for seen in network.seen] == [3, 1, 1]


def test_few_answers_are_kept() -> None:
    network = Counted(wave)
    spared = Sparing(network)
    for value in (*range(10), *range(6, 10)):
        spared(np.full((1, 1, 8, 8), value, np.float32))
    assert len(network.seen) == 10


@pytest.mark.parametrize("bad", [lambda b: b[:0], lambda b: b[0], lambda b: b[..., :-1]])
def test_a_network_that_answers_something_else_is_refused(bad: Callable[[np.ndarray], np.ndarray]) -> None:
    how = Plan((1.0, 1.0), Statistics((0.0,), (1.0,)), 2, 4)
    for data in (np.zeros((9, 9)), islands((9, 9), 0.0)):
        with pytest.raises(ModelError, match="returned the shape"):
            finish(segment_planes(as_image(data), how, bad, lambda scores: scores[0].astype(np.int32)))


@pytest.mark.parametrize("settings", [{}, {"average": "flips", "uncertainty": True}])
@pytest.mark.parametrize("diameter", [12.0, 9.0])
def test_labels_of_a_model_with_empty_tiles(bright, disks, monkeypatch, settings, diameter) -> None:  # type: ignore[no-untyped-def]
    from napari_unet import workflows
    from napari_unet.tiling import run

    data = np.full((260, 300), 1000, np.uint16)
    data[40:136, 100:212] = disks[0]
    spec = SegmentSpec.of(
        model=str(bright), diameter=diameter, tiling={"tile": 32, "batch": 3, "workers": 2}, device="cpu", **settings
    )
    found = workflows.segment(data, spec)
    monkeypatch.setattr(run, "Sparing", lambda predict: predict)
    expected = workflows.segment(data, spec)
    whole = workflows.segment(data, spec, tiling={"tile": 1024})
    assert found.objects > 30
    assert found.hash == expected.hash == whole.hash
    if settings:
        np.testing.assert_array_equal(found.uncertainty.data, expected.uncertainty.data)
