"""Brick by brick, with a journal: the same labels as the plane at once, however often it was stopped."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.core.axes import Image, Plane, as_image
from napari_unet.core.errors import ImageError, OutputError
from napari_unet.core.hashes import BLOCK
from napari_unet.core.results import Piece, hash_labels
from napari_unet.core.specs import TargetSpec, TilingSpec
from napari_unet.core.steps import Progress, finish
from napari_unet.targets import explorer, target
from napari_unet.tiling._brick_jobs import Finding, Jobs
from napari_unet.tiling.bricked import segment_bricks
from napari_unet.tiling.run import segment_planes
from napari_unet.tiling.statistics import Statistics
from napari_unet.tiling.stream import Plan

SPEC = TargetSpec(
    name="heat", threshold=0.5, persistence=0.1, min_score=0.7, min_fraction=0.05, small_fraction=0.5, small_score=0.9
)
SMALLEST = 3.0
quick = settings(deadline=None, max_examples=40)


class Memory(dict[tuple[str, str], dict[str, np.ndarray]]):
    """A journal; entries are copied in and out, as a disk would do."""

    def has(self, kind: str, key: str) -> bool:
        return (kind, key) in self

    def put(self, kind: str, key: str, **arrays: np.ndarray) -> None:
        self[kind, key] = {name: values.copy() for name, values in arrays.items()}

    def get(self, kind: str, key: str) -> dict[str, np.ndarray]:
        return {name: values.copy() for name, values in self[kind, key].items()}

    def drop(self, kind: str, key: str) -> None:
        self.pop((kind, key), None)


class Paper:
    """Labels in memory, in the order ``tzyx``, written in windows of a few planes."""

    def __init__(self, image: Image, deep: int = 2) -> None:
        self.axes = "".join(a for a in "tzyx" if a in image.label_axes)
        self.labels = np.full(image.along(self.axes)[0], -1, np.int32)
        self.deep = deep

    def windows(self, plane: Plane) -> Sequence[tuple[slice, ...]]:
        edges = {"z": self.deep, "y": BLOCK, "x": BLOCK}
        axes = zip(plane.axes, plane.shape, strict=True)
        return list(
            itertools.product(*([slice(s, min(s + edges[a], n)) for s in range(0, n, edges[a])] for a, n in axes))
        )

    def _at(self, plane: Plane, window: tuple[slice, ...]) -> tuple[Any, ...]:
        held = {plane.image.axes[dimension]: position for dimension, position in plane.fixed}
        return tuple((held | dict(zip(plane.axes, window, strict=True)))[a] for a in self.axes)

    def write(self, plane: Plane, window: tuple[slice, ...], labels: np.ndarray) -> None:
        self.labels[self._at(plane, window)] = labels

    def read(self, plane: Plane, window: tuple[slice, ...]) -> np.ndarray:
        return self.labels[self._at(plane, window)].copy()


def plan(ndim: int, **more: Any) -> Plan:
    values: dict[str, Any] = {"factor": (1.0,) * ndim, "halo": 2, "multiple": 2, "outputs": 2, **more}
    return Plan(statistics=Statistics((0.0,), (1.0,)), **values)


def twice(batch: np.ndarray) -> np.ndarray:
    return np.concatenate([batch, batch], axis=1)


def jobs(how: Plan, journal: Memory, paper: Paper, predict: Any = twice, preview: Any = None) -> Jobs:
    explore = explorer("heat")
    finding = Finding(
        lambda scores, *place: explore(scores, SPEC, *place), SPEC.level, SMALLEST, SPEC.least(SMALLEST), preview
    )
    return Jobs(how, predict, finding, journal, paper)


def expected(image: Image, how: Plan) -> tuple[np.ndarray, int]:
    return finish(segment_planes(image, how, twice, partial(target("heat").decode, spec=SPEC, smallest=SMALLEST)))


def pixels(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32) ** 0.5


def go_on(image: Image, how: Plan, journal: Memory, paper: Paper, steps: int) -> tuple[int, str] | None:
    """Run so many steps, then stop as a user would; return the result if it was the end."""
    run = segment_bricks(image, jobs(how, journal, paper))
    try:
        for _ in range(steps):
            next(run)
    except StopIteration as end:
        return end.value
    finally:
        run.close()
    return None


@quick
@given(
    st.sampled_from([("yx", 2), ("tyx", 2), ("xty", 2), ("zyx", 3), ("zyx", 2), ("tzyx", 3), ("tzyx", 2), ("zytx", 2)]),
    st.lists(st.integers(1, 24), min_size=4, max_size=4),
    st.builds(TilingSpec, tile=st.integers(2, 16), batch=st.integers(1, 4), workers=st.integers(1, 3)),
    st.lists(st.integers(1, 30), max_size=6),
    st.sampled_from([0.6, 1.0, 1.0, 1.7]),
    st.sampled_from([0.0, 0.3, 0.7]),
)
def test_no_pixel_differs_however_often_it_is_stopped(axes, lengths, tiling, stops, factor, link_z):
    names, ndim = axes
    limits = {"t": 3, "z": 6 if ndim == 3 else 3, "y": 24, "x": 24}
    image = as_image(pixels(tuple(min(n, limits[a]) for n, a in zip(lengths[: len(names)], names, strict=True))), names)
    how = plan(ndim, factor=(factor,) * ndim, tiling=tiling, link_z=link_z)
    labels, objects = expected(image, how)
    journal, paper, found = Memory(), Paper(image), None
    for steps in stops:
        found = found or go_on(image, how, journal, paper, steps)
    found = found or go_on(image, how, journal, paper, 10**6)
    order = [image.label_axes.index(a) for a in paper.axes]
    np.testing.assert_array_equal(paper.labels, labels.transpose(order))
    assert found == (objects, hash_labels(Image(labels, image.label_axes)))


@pytest.mark.parametrize("link_z", [0.0, 0.5])
def test_what_was_scored_is_not_scored_again_although_its_plane_is_finished_first(link_z):
    class Keeping(Memory):
        def drop(self, kind: str, key: str) -> None:
            pass

    image = as_image(pixels((8, 20, 22)), "zyx")
    how = plan(2, tiling=TilingSpec(tile=12, workers=1), link_z=link_z)
    journal, paper = Keeping(), Paper(image)
    done = finish(segment_bricks(image, jobs(how, journal, paper)))
    # As if it had been stopped when all outlines were known and nothing was written.
    again = Memory({entry: arrays for entry, arrays in journal.items() if entry[0] in ("begun", "trees", "forest")})
    seen: list[Progress] = []

    def never(_: np.ndarray) -> np.ndarray:
        raise AssertionError("scored again")

    assert finish(segment_bricks(image, jobs(how, again, Paper(image), never)), seen.append) == done
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert seen[-1].done == seen[-1].total


class Worn(Memory):
    """A journal of which some entries cannot be read any more."""

    def __init__(self, entries: Memory, damaged: set[tuple[str, str]]) -> None:
        super().__init__(entries)
        self.damaged = damaged

    def put(self, kind: str, key: str, **arrays: np.ndarray) -> None:
        self.damaged.discard((kind, key))
        super().put(kind, key, **arrays)

    def get(self, kind: str, key: str) -> dict[str, np.ndarray]:
        if (kind, key) in self.damaged:
            raise OutputError("It is damaged.")
        return super().get(kind, key)


@settings(quick, max_examples=60)
@given(st.sampled_from([("tyx", 0.0), ("zyx", 0.5), ("ztyx", 0.5)]), st.integers(0, 2**16), st.integers(0, 60))
def test_what_was_done_and_lost_is_done_again(kind, seed, steps):
    (axes, link_z), rng = kind, np.random.default_rng(seed)
    image = as_image(pixels({"t": (3,), "z": (4,), "zt": (3, 2)}[axes[:-2]] + (20, 22), seed), axes)
    how = plan(2, tiling=TilingSpec(tile=12, workers=1), link_z=link_z)
    labels, objects = expected(image, how)
    journal, paper = Memory(), Paper(image)
    found = go_on(image, how, journal, paper, steps)
    if found is None and journal:
        entries, rows = sorted(journal), paper.labels.reshape(-1, 22)
        damaged, gone = ([entries[i] for i in rng.integers(0, len(entries), rng.integers(4))] for _ in "12")
        worn = Worn(journal, set(damaged))
        for entry in gone:
            worn.pop(entry, None)
        rows[rng.integers(0, len(rows), rng.integers(3))] = 0
        try:
            found = finish(segment_bricks(image, jobs(how, worn, paper)))
        except OutputError:
            found = finish(segment_bricks(image, jobs(how, worn, paper)))
    found = found or finish(segment_bricks(image, jobs(how, journal, paper)))
    np.testing.assert_array_equal(paper.labels, labels.transpose([image.label_axes.index(a) for a in paper.axes]))
    assert found == (objects, hash_labels(Image(labels, image.label_axes)))


def test_nothing_is_scored_twice_and_no_finished_brick_again():
    image = as_image(pixels((40, 40)), "yx")
    how, seen = plan(2, tiling=TilingSpec(tile=8, workers=1)), []
    journal, paper = Memory(), Paper(image)

    def predict(batch: np.ndarray) -> np.ndarray:
        seen.extend(bytes(tile) for tile in batch)
        return twice(batch)

    while True:
        run = segment_bricks(image, jobs(how, journal, paper, predict))
        try:
            for _ in range(31):  # a step for each of the 25 bricks that are read again
                next(run)
        except StopIteration:
            break
        finally:
            run.close()
    assert len(seen) == len(set(seen)) == 25


@pytest.mark.parametrize(("axes", "link_z"), [("tyx", 0.0), ("zyx", 0.0), ("zyx", 0.7)])
def test_the_journal_is_emptied_of_what_is_needed_no_more(axes, link_z):
    image = as_image(pixels((3, 20, 20)), axes)
    journal = Memory()
    finish(segment_bricks(image, jobs(plan(2, tiling=TilingSpec(tile=8), link_z=link_z), journal, Paper(image))))
    assert {kind for kind, _ in journal} == {"begun", "plane", "written"}


class Failing(Memory):
    """A journal whose disk fails at one of its changes, before or after that is made, and at all later ones."""

    def __init__(self, at: int, after: bool) -> None:
        super().__init__()
        self.left, self.after = at, after

    def _change(self, change: Any) -> None:
        self.left -= 1
        if self.left == 0 and self.after:
            change()
        if self.left <= 0:
            raise ImageError("The disk is gone.")
        change()

    def put(self, kind: str, key: str, **arrays: np.ndarray) -> None:
        self._change(lambda: Memory.put(self, kind, key, **arrays))

    def drop(self, kind: str, key: str) -> None:
        self._change(lambda: Memory.drop(self, kind, key))


def deep(axes: str) -> Image:
    """Objects that go through several planes, along z; axes in the given order."""
    data = ndimage.gaussian_filter(np.random.default_rng(2).random((2, 3, 20, 22)), (0, 0.7, 1.3, 1.3))
    data = (np.argsort(np.argsort(data, axis=None)).reshape(data.shape) / data.size).astype(np.float32) ** 0.7
    return as_image(np.einsum(f"tzyx->{axes}", data) if "t" in axes else data[0], axes)


@pytest.mark.parametrize(("axes", "every"), [("zyx", 1), ("ztyx", 10)])
def test_a_stack_is_whole_whenever_the_disk_fails(axes, every):
    image, how = deep(axes), plan(2, tiling=TilingSpec(tile=22 if every == 1 else 12, workers=1), link_z=0.5)
    labels, objects = expected(image, how)
    apart = expected(image, plan(2, tiling=TilingSpec(workers=1)))[1]
    assert 10 < objects < apart - 5
    truth = labels.transpose([image.label_axes.index(a) for a in "tzyx" if a in axes])
    at, found = 1 - every, None
    while found is None:
        at += every
        journal, paper = Failing(at, after=at // every % 2 == 0), Paper(image)
        try:
            found = finish(segment_bricks(image, jobs(how, journal, paper)))
        except ImageError:
            finish(segment_bricks(image, jobs(how, Memory(journal), paper)))
        np.testing.assert_array_equal(paper.labels, truth)
    assert found == (objects, hash_labels(Image(labels, image.label_axes)))
    assert at > 30


@pytest.mark.parametrize("axes", ["tzyx", "ztyx", "xzty"])
def test_a_stack_is_the_same_for_all_cuttings_and_orders(axes):
    image, rng = deep(axes), np.random.default_rng(0)
    labels, _ = expected(image, plan(2, link_z=0.5))
    for tile, batch, workers in [(4, 3, 2), (8, 1, 3), (64, 2, 2)]:
        paper, order = Paper(image), iter(rng.integers(-2, 24, (10**4, 4)).tolist())

        def looking(order: Any = order) -> dict[str, slice]:
            return {a: slice(n, n + 4) for a, n in zip("tzyx", next(order), strict=True)}

        how = plan(2, tiling=TilingSpec(tile=tile, batch=batch, workers=workers), link_z=0.5)
        finish(segment_bricks(image, jobs(how, Memory(), paper), looking))
        np.testing.assert_array_equal(paper.labels, labels.transpose([image.label_axes.index(a) for a in "tzyx"]))


def test_what_is_looked_at_comes_first():
    image = as_image(pixels((3, 64, 64)), "tyx")
    how, pieces = plan(2, tiling=TilingSpec(tile=8, workers=1)), []
    view = {"t": slice(1, 2), "y": slice(40, 41), "x": slice(24, 25)}
    preview = partial(target("heat").decode, spec=SPEC, smallest=SMALLEST)
    run = segment_bricks(image, jobs(how, Memory(), Paper(image), preview=preview), lambda: view)
    pieces = [p.payload for p in run if isinstance(p.payload, Piece)]
    assert pieces[0].index == (1, slice(40, 48), slice(24, 32))
    assert len(pieces) == 3 * 64 + 3
    ids = [set(np.unique(piece.labels)) - {0} for piece in pieces[: 3 * 64] if piece.labels.shape == (8, 8)]
    assert sum(map(len, ids)) == len(set.union(*ids))


def test_a_small_part_in_the_middle_is_shown_before_whole_tiles():
    image = as_image(pixels((2, 700, 700)), "tyx")
    how, journal, paper = plan(2, tiling=TilingSpec(tile=1024, workers=1)), Memory(), Paper(image)
    view = {"t": slice(1, 2), "y": slice(300, 420), "x": slice(600, 700)}
    preview = partial(target("heat").decode, spec=SPEC, smallest=SMALLEST)
    steps = list(segment_bricks(image, jobs(how, journal, paper, preview=preview), lambda: view))
    first, second = [step for step in steps if step.payload is not None][:2]
    t, *window = first.payload.index
    assert t == 1
    assert all(s.start <= n < s.stop and s.stop - s.start <= 256 for s, n in zip(window, (360, 650), strict=True))
    whole = np.asarray(image.data[1])
    assert first.payload.labels.any()
    assert ((first.payload.labels > 0) <= (whole[tuple(window)] >= SPEC.threshold - 1 / 255)).all()
    # It is not counted, and nothing of it is kept.
    assert (first.done, second.done) == (0, 1)
    assert sum(step.payload is not None and step.payload.index == first.payload.index for step in steps) == 1
    np.testing.assert_array_equal(paper.labels, expected(image, how)[0])


def test_looking_elsewhere_changes_no_label():
    image = as_image(pixels((2, 40, 40)), "tyx")
    how = plan(2, tiling=TilingSpec(tile=8, batch=2, workers=2))
    rng = np.random.default_rng(0)

    def looking() -> dict[str, slice] | None:
        y, x, t = rng.integers(-10, 60), rng.integers(-10, 60), rng.integers(-1, 4)
        return {"t": slice(t, t + 1), "y": slice(y, y + 9), "x": slice(x, x + 9)} if rng.random() < 0.8 else None

    paper = Paper(image)
    finish(segment_bricks(image, jobs(how, Memory(), paper), looking))
    np.testing.assert_array_equal(paper.labels, expected(image, how)[0])


def test_the_first_error_ends_it_and_the_next_run_goes_on():
    image = as_image(pixels((40, 40)), "yx")
    how, journal, paper, count = plan(2, tiling=TilingSpec(tile=8, workers=2)), Memory(), Paper(image), [0]

    def predict(batch: np.ndarray) -> np.ndarray:
        count[0] += 1
        if count[0] == 9:
            raise ImageError("The cable was pulled.")
        return twice(batch)

    with pytest.raises(ImageError, match="cable"):
        finish(segment_bricks(image, jobs(how, journal, paper, predict)))
    finish(segment_bricks(image, jobs(how, journal, paper, predict)))
    assert 25 < count[0] <= 29  # those in flight at the error were scored again
    np.testing.assert_array_equal(paper.labels, expected(image, how)[0])
