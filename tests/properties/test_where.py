"""The promise for a part of an image: its labels are those of the whole plane's scores, with 0 outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.core.axes import Plane, as_image
from napari_unet.core.rasterize import Polygons
from napari_unet.core.specs import SegmentSpec, TargetSpec, TilingSpec
from napari_unet.core.steps import finish
from napari_unet.targets import explorer, target
from napari_unet.tiling._background import Background
from napari_unet.tiling._brick_jobs import Finding, Jobs
from napari_unet.tiling.bricked import segment_bricks
from napari_unet.tiling.run import segment_planes
from napari_unet.tiling.statistics import Statistics, normalize
from napari_unet.tiling.stream import Plan, score_plane
from napari_unet.tiling.unreadable import mended
from napari_unet.tiling.where import Notes, Where

SEEDS = st.integers(0, 2**16)
TILINGS = st.builds(TilingSpec, tile=st.integers(8, 60), batch=st.integers(1, 5), workers=st.integers(1, 4))
quick = settings(deadline=None, max_examples=30)
FACTORS = st.sampled_from([0.37, 0.8, 1.0, 1.0, 1.7])
RULE = TargetSpec(name="heat", threshold=0.4, persistence=0.1)
UNIT = Statistics((0.0,), (1.0,))
SMALLEST = 3.0


REACH = 5


def network(batch: np.ndarray) -> np.ndarray:
    """A local operator with pooling by 2, in whole numbers so that its results are exact."""
    whole = np.rint(batch[:, :1].astype(np.float64) * 1024).astype(np.int64)
    cells = tuple(part for n in whole.shape[2:] for part in (n // 2, 2))
    pooled = whole.reshape(*whole.shape[:2], *cells).sum(axis=tuple(range(3, 3 + 2 * (whole.ndim - 2), 2)))
    pooled = ndimage.maximum_filter(pooled, (1, 1) + (3,) * (whole.ndim - 2))
    for axis in range(2, whole.ndim):
        pooled = pooled.repeat(2, axis=axis)
    near = ndimage.uniform_filter(whole, (1, 1) + (5,) * (whole.ndim - 2))
    return np.concatenate([(near * 7 + pooled * 3) % 1021 / 1020, (whole + near) % 509 / 508], axis=1).astype(
        np.float32
    )


class Memory:
    """A journal that lives as long as the test, and fails after so many entries."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], Mapping[str, np.ndarray]] = {}
        self.left = 10**9

    def has(self, kind: str, key: str) -> bool:
        return (kind, key) in self.entries

    def put(self, kind: str, key: str, **arrays: np.ndarray) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        self.entries[kind, key] = {name: np.array(values) for name, values in arrays.items()}

    def get(self, kind: str, key: str) -> Mapping[str, np.ndarray]:
        return self.entries[kind, key]

    def drop(self, kind: str, key: str) -> None:
        self.entries.pop((kind, key), None)


class Canvas:
    """Labels of all planes, one after the other."""

    def __init__(self, shape: tuple[int, ...], planes: int) -> None:
        self.labels = np.full((planes, *shape), -1, np.int32)

    def windows(self, plane: Plane) -> list[tuple[slice, ...]]:
        whole = tuple(slice(0, n) for n in plane.shape)
        return [whole] if len(whole) == 2 else [(slice(z, z + 1), *whole[1:]) for z in range(plane.shape[0])]

    def write(self, plane: Plane, window: tuple[slice, ...], labels: np.ndarray) -> None:
        self.labels[(*(plane.at or (0,)), *window)] = labels

    def read(self, plane: Plane, window: tuple[slice, ...]) -> np.ndarray:
        return self.labels[(*(plane.at or (0,)), *window)].copy()


class Damaged:
    """An array in chunks, some of which cannot be read."""

    def __init__(self, data: np.ndarray, chunks: tuple[Any, ...], seed: int) -> None:
        self.data, self.shape, self.dtype, self.chunks = data, data.shape, data.dtype, chunks
        starts = [
            list(range(0, n, c)) if isinstance(c, int) else [0, *np.cumsum(c)[:-1]]
            for n, c in zip(data.shape, chunks, strict=True)
        ]
        bad = np.random.default_rng(seed).random([len(s) for s in starts]) < 0.15
        self.number = np.arange(bad.size).reshape(bad.shape)
        for axis, (s, n) in enumerate(zip(starts, data.shape, strict=True)):
            sizes = np.diff([*s, n])
            bad, self.number = bad.repeat(sizes, axis=axis), self.number.repeat(sizes, axis=axis)
        self.lost = bad

    def __getitem__(self, index: Any) -> np.ndarray:
        if self.lost[index].any():
            raise OSError("checksum")
        return self.data[index]


def mend(data: Any) -> Any:
    image = mended(as_image(data, "cyx"), SegmentSpec(unreadable="skip"))
    assert image.data is not data
    return image


def areas(seed: int, shape: tuple[int, ...]) -> list[list[tuple[float, float]]]:
    rng = np.random.default_rng(seed)
    height, width = shape[-2:]
    return [
        [(float(y), float(x)) for y, x in rng.uniform(-0.2, 1.2, (int(rng.integers(3, 6)), 2)) * (height, width)]
        for _ in range(int(rng.integers(1, 4)))
    ]


def picture(seed: int, shape: tuple[int, ...], holes: bool) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = rng.random(shape)
    data[..., : shape[-1] // 2] *= 0.3
    if holes:
        data[rng.random(shape) < 0.05] = np.nan
        data[rng.random(shape) < 0.02] = -np.inf
        data[..., 0, : shape[-1] // 3] = np.nan
    return data


@settings(quick, max_examples=12)
@given(
    SEEDS,
    st.tuples(st.integers(1, 3), st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from([(1, 16, 16), (2, 7, 30), ((1, 2), 40, 13)]),
    TILINGS,
    st.booleans(),
    st.lists(st.integers(0, 40), max_size=3),
)
def test_what_cannot_be_read_is_masked_and_named(seed, shape, chunks, tiling, dark, stops):
    channels, height, width = shape
    if isinstance(chunks[0], tuple):
        shape, channels = (3, height, width), 3
    whole = Damaged((picture(seed, shape, False) * 200).astype(np.uint16), chunks, seed)
    holes = np.where(whole.lost, np.nan, whole.data)
    statistics = Statistics((0.0,) * channels, (200.0,) * channels)
    background = Background(0.95, statistics) if dark else None
    where = Where(Polygons(areas(seed, shape)) if seed % 4 else None, background)
    plan = Plan((1.0, 0.8), statistics, REACH, 2, inputs=channels, outputs=2, tiling=tiling, where=where)
    labels, odd = in_memory(mend(whole), plan)
    assert odd == 0
    mask = np.ones((height, width), bool)
    if where.region is not None:
        mask &= where.region.mask(slice(0, height), slice(0, width))
    if dark:
        # What nobody could read may be bright.
        sure = Background(0.95, statistics)
        (plane,) = as_image(np.where(whole.lost, 200.0, whole.data), "cyx").planes(2)
        mask &= sure.mask(plane, (slice(0, height), slice(0, width)))
    seen = mask & whole.lost.any(axis=0)
    assert len(plan.where.notes.unreadable) == len(np.unique(whole.number[:, mask][whole.lost[:, mask]]))
    assert not labels[seen].any()
    same = replace(plan, where=Where(where.region, sure if dark else None))
    expected, odd = in_memory(as_image(holes, "cyx"), same)
    assert odd == seen.sum()
    np.testing.assert_array_equal(labels, expected)
    named = plan.where.record(mend(whole))["unreadable"]
    bricked, odd, notes = brick_by_brick(mend(whole), plan, stops)
    np.testing.assert_array_equal(bricked[0], labels)
    assert (odd, notes) == (0, plan.where.notes)
    assert all(whole.lost[tuple(slice(place[a][0], place[a][1] + 1) for a in "cyx")].all() for place in named)
    assert len(named) == len(notes.unreadable)


def looked_at(data: np.ndarray, where: Where, plane: Plane) -> np.ndarray:
    """The mask of a plane, told at once and by other means."""
    mask = np.ones(data.shape, bool)
    if where.region is not None:
        mask &= where.region.mask(slice(0, data.shape[-2]), slice(0, data.shape[-1]))
    if where.background is not None:
        mask &= where.background.mask(plane, tuple(slice(0, n) for n in data.shape))
    return mask


def expected_labels(data: np.ndarray, where: Where, plan: Plan) -> tuple[np.ndarray, int]:
    """Score the whole plane in one tile, set what is outside to 0 and decode it once."""
    finite = np.isfinite(data)
    (plane,) = as_image(np.where(finite, data, 0.0)).planes(data.ndim)
    scores = np.zeros((2, *data.shape), np.uint8)
    whole = replace(plan, tiling=TilingSpec(tile=10**6, workers=1), where=Where())
    list(score_plane(plane, whole, network, scores))
    mask = looked_at(data, where, as_image(data).planes(data.ndim)[0])
    scores[:, ~(mask & finite)] = 0
    return target("heat").decode(scores, RULE, SMALLEST), int((mask & ~finite).sum())


def in_memory(image: Any, plan: Plan) -> tuple[np.ndarray, int]:
    decode = partial(target("heat").decode, spec=RULE, smallest=SMALLEST)
    labels, objects = finish(segment_planes(image, plan, network, decode))
    assert objects == labels.max()
    return labels, plan.where.notes.not_a_number


def brick_by_brick(image: Any, plan: Plan, stops: list[int]) -> tuple[np.ndarray, int, Notes]:
    """Segment with a journal, stopped again and again."""

    def explore(scores, window, shape):
        return explorer("heat")(scores, RULE, window, shape)

    finding = Finding(explore, round(255 * RULE.persistence), SMALLEST)
    planes = image.planes(plan.ndim)
    plan = replace(plan, edges=(plan.tiling.tile or 64,) * plan.ndim)
    journal, canvas = Memory(), Canvas(planes[0].shape, len(planes))
    for stop in [*stops, 10**9]:
        journal.left = stop
        again = replace(plan, where=Where(plan.where.region, plan.where.background))
        try:
            finish(segment_bricks(image, Jobs(again, network, finding, journal, canvas)))
        except KeyboardInterrupt:
            continue
        break
    return canvas.labels, again.where.notes.not_a_number, again.where.notes


@quick
@given(
    SEEDS,
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(FACTORS, FACTORS),
    TILINGS,
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(0, 40), max_size=3),
)
def test_labels_of_a_part_in_2d(seed, shape, factor, tiling, dark, holes, stops):
    check(seed, shape, factor, tiling, dark, holes, stops)


@settings(quick, max_examples=12)
@given(
    SEEDS,
    st.tuples(st.integers(1, 9), st.integers(1, 30), st.integers(1, 30)),
    st.tuples(FACTORS, FACTORS, FACTORS),
    st.builds(TilingSpec, tile=st.integers(6, 24), batch=st.integers(1, 3), workers=st.integers(1, 3)),
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(0, 40), max_size=3),
)
def test_labels_of_a_part_in_3d(seed, shape, factor, tiling, dark, holes, stops):
    check(seed, shape, factor, tiling, dark, holes, stops)


def check(seed, shape, factor, tiling, dark, holes, stops):
    data = picture(seed, shape, holes)
    background = Background(0.95 if len(shape) == 2 else 0.9, UNIT) if dark else None
    where = Where(Polygons(areas(seed, shape)) if seed % 4 else None, background)
    plan = Plan(factor, UNIT, REACH, 2, outputs=2, tiling=tiling, where=where)
    expected = expected_labels(data, where, plan)
    image = as_image(data)
    labels, odd = in_memory(image, plan)
    assert odd == expected[1]
    np.testing.assert_array_equal(labels, expected[0])
    labels, odd, _ = brick_by_brick(image, plan, stops)
    assert odd == expected[1]
    np.testing.assert_array_equal(labels[0], expected[0])


@pytest.mark.parametrize("stops", [[], [1, 2, 3, 5, 8, 13, 21, 34], [1] * 200])
def test_what_is_no_number_is_counted_once_however_often_a_run_is_stopped(stops):
    data = np.stack([picture(seed, (40, 50), True) for seed in range(4)])
    image = as_image(np.stack([data, np.abs(data[:, ::-1])], axis=1), "tcyx")
    where = Where(Polygons(areas(1, (40, 50))))
    plan = Plan(
        (1.0, 1.0), Statistics((0.0, 0.0), (1.0, 1.0)), REACH, 2, inputs=2, outputs=2,
        tiling=TilingSpec(tile=16, workers=2, batch=2), where=where,
    )  # fmt: skip
    odd = ~np.isfinite(image.data).all(axis=1) & where.region.mask(slice(0, 40), slice(0, 50))
    assert 0 < odd.sum() < (~np.isfinite(data)).sum() * 2
    labels, found = in_memory(image, plan)
    assert found == odd.sum()
    assert not labels[odd].any()
    bricked, found, _ = brick_by_brick(image, plan, stops)
    assert found == odd.sum()
    np.testing.assert_array_equal(bricked, labels)


def test_the_darkness_of_a_plane_is_not_that_of_another():
    data = np.zeros((3, 200, 200))
    data[1] = 1
    dark = Background(0.5, UNIT)
    masks = [dark.mask(plane, (slice(0, 9), slice(0, 9))) for plane in as_image(data).planes(2)]
    assert [bool(mask.all()) for mask in masks] == [False, True, False]
    assert normalize(data, Statistics((0.0,) * 3, (1.0,) * 3)).max() == 1
