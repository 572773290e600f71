"""The promise: what is scored does not depend on how it was cut."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.core.axes import as_image
from napari_unet.core.specs import TilingSpec
from napari_unet.core.steps import finish
from napari_unet.tiling.grid import Grid, Span, cut_axis
from napari_unet.tiling.resample import apply_taps, sampling_taps
from napari_unet.tiling.run import segment_planes
from napari_unet.tiling.statistics import Statistics
from napari_unet.tiling.stream import Plan, score_plane

FACTORS = st.sampled_from([0.23, 0.5, 0.8, 1.0, 1.0, 1.7, 3.0])
SEEDS = st.integers(0, 2**16)
TILINGS = st.builds(TilingSpec, tile=st.integers(8, 60), batch=st.integers(1, 5), workers=st.integers(1, 4))
quick = settings(deadline=None, max_examples=40)


def reach(multiple: int) -> int:
    """One more than a multiple, so that aligning the reads does not hide a halo that is one pixel short."""
    return 2 * multiple + 1


def stand_in(multiple: int) -> Callable[[np.ndarray], np.ndarray]:
    """A local operator with pooling, computed in whole numbers so that its results are exact.

    A score depends on net pixels up to :func:`reach` away, and on which of them are pooled together.
    """

    def predict(batch: np.ndarray) -> np.ndarray:
        whole = np.rint(batch.astype(np.float64) * 1024).astype(np.int64)
        spatial = whole.shape[2:]
        cells = tuple(part for n in spatial for part in (n // multiple, multiple))
        pooled = whole.reshape(*whole.shape[:2], *cells).sum(axis=tuple(range(3, 3 + 2 * len(spatial), 2)))
        pooled = ndimage.maximum_filter(pooled, (1, 1) + (3,) * len(spatial))
        for axis in range(2, whole.ndim):
            pooled = pooled.repeat(multiple, axis=axis)
        near = ndimage.maximum_filter(whole, (1, 1) + (2 * reach(multiple) + 1,) * len(spatial))
        first = (near * 7 + pooled * 3) % 1021 / 1020
        second = (whole + pooled) % 509 / 508
        return np.concatenate([first, second], axis=1).astype(np.float32)

    return predict


@lru_cache(maxsize=32)
def pixels(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.5, 0.5, shape)


def plan(factor: tuple[float, ...], halo: int, multiple: int, tiling: TilingSpec) -> Plan:
    return Plan(factor, Statistics((0.0,), (1.0,)), halo, multiple, outputs=2, tiling=tiling)


def scored(data: np.ndarray, how: Plan) -> np.ndarray:
    scores = np.full((2, *data.shape), 99, np.uint8)
    (plane,) = as_image(data).planes(data.ndim)
    written = np.zeros(data.shape, int)
    for tile in score_plane(plane, how, stand_in(how.multiple), scores):
        written[tile.window] += 1
    assert (written == 1).all()
    return scores


@quick
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.lists(st.floats(0.05, 6), min_size=3, max_size=3),
    st.integers(1, 50),
    st.integers(0, 30),
    st.sampled_from([1, 2, 8, 16]),
)
def test_each_pixel_is_written_once(shape: list[int], factor: list[float], tile: int, halo: int, multiple: int) -> None:
    rank = len(shape)
    grid = Grid(tuple(shape), tuple(factor[:rank]), (tile,) * rank, halo, multiple)
    counts = np.zeros(shape, int)
    for each in grid:
        counts[each.window] += 1
        assert all(s.start % multiple == s.stop % multiple == 0 for s in each.read)
    assert (counts == 1).all()


@quick
@given(st.integers(1, 300), st.floats(0.1, 6), st.integers(1, 90), st.integers(0, 70), st.sampled_from([1, 2, 8, 16]))
def test_a_closed_image_is_read_to_its_end_and_no_further(
    n: int, factor: float, tile: int, halo: int, multiple: int
) -> None:
    (whole,) = cut_axis(n, factor, 10**6, 0, multiple, closed=True)
    cuts = cut_axis(n, factor, tile, halo, multiple, closed=True)
    assert [cut.write for cut in cuts] == [cut.write for cut in cut_axis(n, factor, tile, halo, multiple)]
    for cut in cuts:
        assert whole.read.start <= cut.read.start <= cut.read.start + cut.crop.start
        assert cut.read.start + cut.crop.stop <= cut.read.stop <= whole.read.stop
        # Where there is no end, there is the whole halo.
        assert cut.ends[0] or cut.crop.start >= halo
        assert cut.ends[1] or cut.read.size - cut.crop.stop >= halo
        assert not cut.ends[0] or cut.read.start == whole.read.start
        assert not cut.ends[1] or cut.read.stop == whole.read.stop


@quick
@given(st.integers(1, 2000), st.floats(0.01, 8), st.integers(1, 300), st.integers(0, 100), st.sampled_from([1, 16]))
def test_no_read_is_much_larger_than_a_tile(n: int, factor: float, tile: int, halo: int, multiple: int) -> None:
    bound = -(-tile // multiple) * multiple + 2 * halo + 3 * multiple + 2 + math.ceil(factor)
    assert max(cut.read.size for cut in cut_axis(n, factor, tile, halo, multiple)) <= bound


@quick
@given(SEEDS, st.integers(1, 30), st.integers(1, 30), FACTORS, FACTORS, st.integers(-40, 40))
def test_pieces_are_resampled_like_the_whole(
    seed: int, height: int, width: int, down: float, across: float, start: int
) -> None:
    block, size = pixels(seed % 8, (2, height, width)).astype(np.float32), 1 + seed % 60
    whole = Span(-60, 120)
    piece = Span(start, start + size)
    full = apply_taps(block, [sampling_taps(whole, height, down), sampling_taps(whole, width, across)])
    taps = [sampling_taps(piece, height, down), sampling_taps(piece, width, across)]
    boxes = [t.box for t in taps]
    part = block[:, boxes[0].slice, boxes[1].slice]
    part = apply_taps(part, [t.since(b.start) for t, b in zip(taps, boxes, strict=True)])
    inside = slice(start + 60, start + size + 60)
    assert part.tobytes() == full[:, inside, inside].tobytes()


@quick
@given(
    SEEDS,
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(FACTORS, FACTORS),
    TILINGS,
    st.sampled_from([1, 2, 4, 8]),
    st.integers(0, 40),
)
def test_tiled_is_untiled_in_2d(
    seed: int, shape: tuple[int, int], factor: tuple[float, float], tiling: TilingSpec, multiple: int, more: int
) -> None:
    data = pixels(seed % 8, shape)
    halo = reach(multiple)
    whole = scored(data, plan(factor, halo, multiple, TilingSpec(tile=10**6, workers=1)))
    cut = scored(data, plan(factor, halo + more, multiple, tiling))
    assert np.count_nonzero(cut != whole) == 0


@settings(quick, max_examples=20)
@given(
    SEEDS,
    st.tuples(st.integers(1, 12), st.integers(1, 30), st.integers(1, 30)),
    st.tuples(FACTORS, FACTORS, FACTORS),
    st.integers(6, 30),
    st.integers(1, 3),
    st.sampled_from([1, 2, 4]),
)
def test_tiled_is_untiled_in_3d(
    seed: int, shape: tuple[int, ...], factor: tuple[float, ...], tile: int, batch: int, multiple: int
) -> None:
    data = pixels(seed % 8, shape)
    halo = reach(multiple)
    factor = tuple(min(f, 1.7) for f in factor)
    whole = scored(data, plan(factor, halo, multiple, TilingSpec(tile=10**6, workers=1)))
    cut = plan(factor, halo, multiple, TilingSpec(tile=tile, batch=batch, workers=2))
    assert np.count_nonzero(scored(data, cut) != whole) == 0


@quick
@given(SEEDS, st.integers(1, 50), st.integers(1, 50), st.integers(4, 40), st.sampled_from([2, 4]))
def test_untiled_is_the_mirrored_image(seed: int, height: int, width: int, tile: int, multiple: int) -> None:
    data = pixels(seed % 8, (height, width))
    far = 4 * multiple
    size = [(far, far + -n % multiple) for n in (height, width)]
    padded = np.pad(np.clip(data, -1, 4), size, mode="reflect" if min(height, width) > 1 else "edge")
    if min(height, width) == 1 < max(height, width):
        padded = np.pad(
            np.clip(data, -1, 4),
            [s if n > 1 else (0, 0) for s, n in zip(size, data.shape, strict=True)],
            mode="reflect",
        )
        padded = np.pad(padded, [s if n == 1 else (0, 0) for s, n in zip(size, data.shape, strict=True)], mode="edge")
    expected = stand_in(multiple)(padded.astype(np.float32)[None, None])[0, :, far : far + height, far : far + width]
    found = scored(data, plan((1.0, 1.0), reach(multiple), multiple, TilingSpec(tile=tile)))
    np.testing.assert_array_equal(found, np.rint(expected * 255).astype(np.uint8))


@settings(quick, max_examples=15)
@given(SEEDS, st.integers(1, 40), st.integers(1, 40), FACTORS, st.integers(8, 40))
def test_a_2d_image_is_a_3d_image_of_one_plane(seed: int, height: int, width: int, factor: float, tile: int) -> None:
    data = pixels(seed % 8, (height, width))
    statistics, tiling = Statistics((0.0,), (1.0,)), TilingSpec(tile=tile)

    def decode(scores: np.ndarray) -> np.ndarray:
        return ndimage.label(scores[0] > 127)[0].astype(np.int32)

    def near(batch: np.ndarray) -> np.ndarray:
        return ndimage.maximum_filter(batch, (1, 1) + (3,) * (batch.ndim - 2)) % 1

    flat = Plan((factor, factor), statistics, 4, 2, tiling=tiling)
    deep = Plan((1.0, factor, factor), statistics, 4, 2, tiling=tiling)
    two, count = finish(segment_planes(as_image(data), flat, near, decode))
    for image, how in ((as_image(data[None], "zyx"), flat), (as_image(data[None], "zyx"), deep)):
        three, same = finish(segment_planes(image, how, near, decode))
        assert same == count
        np.testing.assert_array_equal(three[0], two)


@settings(quick, max_examples=25)
@given(SEEDS, st.integers(1, 9), st.integers(1, 40), st.integers(1, 40), TILINGS)
def test_labels_of_a_series_depend_on_nothing_but_the_image(
    seed: int, count: int, height: int, width: int, tiling: TilingSpec
) -> None:
    image = as_image(pixels(seed % 8, (count, height, width)), "tyx")

    def decode(scores: np.ndarray) -> np.ndarray:
        return ndimage.label(scores[0] > 127)[0].astype(np.int32)

    plain = plan((0.8, 1.0), reach(4), 4, TilingSpec(workers=1))
    cut = plan((0.8, 1.0), reach(4), 4, tiling)
    one, two = (finish(segment_planes(image, how, stand_in(4), decode)) for how in (plain, cut))
    assert one[1] == two[1]
    np.testing.assert_array_equal(one[0], two[0])
