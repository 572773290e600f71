"""Read from a coarser level, scores do not depend on how the image was cut either."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.core.axes import Image
from napari_unet.core.resolutions import choose_level
from napari_unet.core.specs import SegmentSpec, TilingSpec
from napari_unet.core.steps import finish
from napari_unet.tiling.chunks import cached
from napari_unet.tiling.grid import Span
from napari_unet.tiling.run import segment_planes
from napari_unet.tiling.statistics import Statistics
from napari_unet.tiling.stream import Plan, read_net, score_plane
from napari_unet.tiling.unreadable import mended

UNIT = Statistics((0.0,), (1.0,))


def halved(data: np.ndarray, up: bool) -> np.ndarray:
    """Average two by two; what is left over at the end is part of a pixel, or dropped."""
    for axis in range(data.ndim):
        if data.shape[axis] % 2:
            data = (
                np.concatenate([data, data.take([-1], axis)], axis)
                if up
                else data.take(range(data.shape[axis] - 1), axis)
            )
        data = data.reshape(*data.shape[:axis], -1, 2, *data.shape[axis + 1 :]).mean(axis + 1)
    return data


def pyramid(shape: tuple[int, ...], seed: int, up: bool = True) -> Image:
    rng = np.random.default_rng(seed)
    data = ndimage.gaussian_filter(rng.normal(0.5, 1, shape), 1.5).astype(np.float32) * 3
    levels = [halved(data, up)]
    while min(levels[-1].shape) > 3:
        levels.append(halved(levels[-1], up))
    return Image(data, "zyx"[-len(shape) :], levels=tuple(levels))


class Chunks:
    """An array that is stored in chunks."""

    def __init__(self, data: np.ndarray, size: int) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.chunks = (size,) * data.ndim

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        return self.data[index]


def near(batch: np.ndarray) -> np.ndarray:
    return ndimage.maximum_filter(batch, (1, 1) + (3,) * (batch.ndim - 2)) % 1


def scored(image: Image, plan: Plan) -> np.ndarray:
    (plane,) = image.planes(len(image.axes))
    scores = np.full((1, *image.shape), 99, np.uint8)
    for _ in score_plane(plane, plan, near, scores):
        pass
    return scores


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 50),
    st.tuples(st.integers(4, 150), st.integers(4, 150)),
    st.sampled_from([0.5, 0.4, 0.25, 0.21, 0.1]),
    st.booleans(),
    st.integers(4, 40),
    st.integers(3, 20),
    st.integers(1, 3),
)
def test_tiled_is_untiled(
    seed: int, shape: tuple[int, int], factor: float, up: bool, tile: int, chunk: int, workers: int
) -> None:
    image = pyramid(shape, seed, up)
    whole = scored(image, Plan((factor,) * 2, UNIT, 3, 2, tiling=TilingSpec(tile=10**6, workers=1)))
    plan = Plan((factor,) * 2, UNIT, 5, 2, tiling=TilingSpec(tile=tile, batch=2, workers=workers))
    chunked = Image(Chunks(image.data, chunk), image.axes, levels=tuple(Chunks(level, chunk) for level in image.levels))
    for same in (image, cached(chunked, 2000)):
        assert np.count_nonzero(scored(same, plan) != whole) == 0


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 50), st.tuples(*[st.integers(4, 40)] * 3), st.integers(4, 20))
def test_tiled_is_untiled_in_3d(seed: int, shape: tuple[int, int, int], tile: int) -> None:
    image = pyramid(shape, seed)
    whole = scored(image, Plan((0.5, 0.4, 0.3), UNIT, 3, 2, tiling=TilingSpec(tile=10**6, workers=1)))
    cut = scored(image, Plan((0.5, 0.4, 0.3), UNIT, 5, 2, tiling=TilingSpec(tile=tile, batch=2)))
    assert np.count_nonzero(cut != whole) == 0


@pytest.mark.parametrize("factor", [0.5, 0.25, 0.2, 0.3])
def test_what_is_read_is_that_of_the_full_image_but_for_the_kernel(factor: float) -> None:
    image = pyramid((160, 192), 1)
    (plane,) = image.planes(2)
    assert choose_level(plane, (factor,) * 2)[0] > 0
    plan = Plan((factor,) * 2, UNIT, 3, 2)
    spans = [Span(2, 25), Span(-4, 30)]
    coarse = read_net(plane, spans, plan)
    (flat,) = Image(image.data, "yx").planes(2)
    fine = read_net(flat, spans, plan)
    # Averages of two by two are a wider kernel at the same places: shifted by half a pixel they would fit far worse.
    assert np.corrcoef(coarse.ravel(), fine.ravel())[0, 1] > 0.9
    here = np.abs(coarse[:, 1:-1, 1:-1] - fine[:, 1:-1, 1:-1]).mean()
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        shifted = (fine + np.roll(fine, (dy, dx), (1, 2)))[:, 1:-1, 1:-1] / 2
        assert here < np.abs(coarse[:, 1:-1, 1:-1] - shifted).mean()


def test_a_level_on_the_net_grid_is_read_as_it_is() -> None:
    image = pyramid((64, 80), 2)
    (plane,) = image.planes(2)
    found = read_net(plane, [Span(3, 10), Span(0, 20)], Plan((0.25, 0.25), UNIT, 3, 2))
    np.testing.assert_array_equal(found[0], np.clip(image.levels[1], -1, 4)[3:10, :20].astype(np.float32))


def test_only_the_level_is_decoded() -> None:
    image = pyramid((256, 256), 3)
    chunked = cached(Image(Chunks(image.data, 32), "yx", levels=tuple(Chunks(level, 16) for level in image.levels)))
    scored(chunked, Plan((0.25, 0.25), UNIT, 3, 2, tiling=TilingSpec(tile=16, workers=1)))
    assert [array.decoded for array in (chunked.data, *chunked.levels[:3])] == [0, 0, 16, 0]


def test_labels_are_on_the_grid_of_the_image() -> None:
    image = pyramid((90, 70), 4)

    def decode(scores: np.ndarray) -> np.ndarray:
        return ndimage.label(scores[0] > 127)[0].astype(np.int32)

    labels, count = finish(segment_planes(image, Plan((0.3, 0.3), UNIT, 3, 2), near, decode))
    assert labels.shape == (90, 70)
    assert count > 0


def test_what_is_no_number_in_a_level_counts_for_all_that_it_covers() -> None:
    image = pyramid((64, 64), 5)
    image.levels[1][3, 5] = np.nan
    image.data[13, 21] = np.nan
    found = {}
    for tile in (8, 64):
        plan = Plan((0.25, 0.25), UNIT, 3, 2, tiling=TilingSpec(tile=tile, workers=1))
        labels, _ = finish(segment_planes(image, plan, lambda b: b * 0 + 1, lambda s: (s[0] > 0).astype(np.int32)))
        found[tile] = labels
        assert plan.where.notes.not_a_number == 16
    np.testing.assert_array_equal(found[8], found[64])
    assert (found[8][12:16, 20:24] == 0).all()
    assert np.count_nonzero(found[8] == 0) == 16


@pytest.mark.parametrize("tile", [8, 64])
def test_a_part_of_a_level_that_cannot_be_read_is_skipped_and_named(tile: int) -> None:
    class Damaged(Chunks):
        def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
            if index[0].start <= 5 < index[0].stop and index[1].start <= 9 < index[1].stop:
                raise OSError("gone")
            return self.data[index]

    image = pyramid((64, 64), 6)
    image = Image(Chunks(image.data, 16), "yx", levels=(image.levels[0], Damaged(image.levels[1], 4)))
    image = mended(cached(image), SegmentSpec(unreadable="skip"))
    plan = Plan((0.25, 0.25), UNIT, 3, 2, tiling=TilingSpec(tile=tile, workers=1))
    labels, _ = finish(segment_planes(image, plan, lambda b: b * 0 + 1, lambda s: (s[0] > 0).astype(np.int32)))
    expected = np.ones((64, 64))
    expected[16:32, 32:48] = 0
    np.testing.assert_array_equal(labels > 0, expected)
    assert plan.where.record(image) == {"not_a_number": 0, "unreadable": [{"y": [16, 31], "x": [32, 47]}]}
