"""Whole images: axes, numbering, progress, memory."""

from __future__ import annotations

import threading
import time
from operator import itemgetter
from typing import Any

import numpy as np
import pytest
import zarr
from scipy import ndimage

from napari_unet.core.axes import as_image
from napari_unet.core.errors import ImageError
from napari_unet.core.specs import TilingSpec
from napari_unet.core.steps import Progress, finish
from napari_unet.tiling import run
from napari_unet.tiling.run import Plan, segment_planes
from napari_unet.tiling.statistics import Statistics


def plan(ndim: int = 2, **more: Any) -> Plan:
    values = {"statistics": Statistics((0.0,), (1.0,)), "halo": 2, "multiple": 4, **more}
    return Plan(factor=(1.0,) * ndim, **values)


def decode(scores: np.ndarray) -> np.ndarray:
    return ndimage.label(scores[0] > 127)[0].astype(np.int32)


def same(batch: np.ndarray) -> np.ndarray:
    return batch


def scene() -> np.ndarray:
    """Shape (t, z, y, x): objects that touch none of their plane's borders, none in one plane."""
    data = np.random.default_rng(3).random((3, 2, 30, 26)) > 0.8
    data[1, 1] = False
    return data


@pytest.mark.parametrize("axes", ["tzyx", "tczyx", "yxtz", "zytx", "yxctz"])
@pytest.mark.parametrize("tiling", [TilingSpec(), TilingSpec(tile=8, batch=3, workers=3), TilingSpec(batch=4)])
def test_any_order_of_axes(axes: str, tiling: TilingSpec) -> None:
    data = scene()[:, None]
    image = as_image(np.einsum(f"tczyx->{axes.replace('c', '')}c", data), f"{axes.replace('c', '')}c")
    image = as_image(np.moveaxis(image.data, -1, axes.index("c")) if "c" in axes else image.data[..., 0], axes)
    labels, objects = finish(segment_planes(image, plan(tiling=tiling), same, decode))
    assert labels.dtype == np.int32
    assert labels.shape == image.along(image.label_axes)[0]
    inner = "yx"  # whatever the order on disk, the network sees y before x
    turned = image.axes.index("x") < image.axes.index("y")
    outer = [a for a in image.label_axes if a not in inner]
    offset = 0
    for at in np.ndindex(*(image.shape[image.axes.index(a)] for a in outer)):
        where = tuple(at[outer.index(a)] if a in outer else slice(None) for a in image.label_axes)
        picked = tuple(0 if a == "c" else at[outer.index(a)] if a in outer else slice(None) for a in image.axes)
        seen = image.data[picked].T if turned else image.data[picked]
        expected = ndimage.label(seen)[0]
        expected[expected > 0] += offset
        np.testing.assert_array_equal(labels[where], expected.T if turned else expected)
        offset = max(offset, expected.max())
    assert objects == offset == len(np.unique(labels)) - 1


@pytest.mark.parametrize("axes", ["tzyx", "yxtz", "xtyz"])
@pytest.mark.parametrize("tiling", [TilingSpec(), TilingSpec(tile=8, batch=3, workers=3)])
def test_what_is_stored_beside_the_labels_lies_where_they_lie(axes: str, tiling: TilingSpec) -> None:
    data = np.random.default_rng(1).random((3, 2, 30, 26)).astype(np.float32)
    image = as_image(np.einsum(f"tzyx->{axes}", data), axes)

    def twice(batch: np.ndarray) -> np.ndarray:
        return np.concatenate([batch, batch / 2, batch / 5], axis=1)

    beside = np.zeros(image.shape, np.uint8)
    how = plan(outputs=2, tiling=tiling)
    labels, _ = finish(segment_planes(image, how, twice, decode, beside=[(beside, itemgetter(-1))]))
    plain, _ = finish(segment_planes(image, how, twice, decode))
    np.testing.assert_array_equal(labels, plain)
    np.testing.assert_array_equal(beside, np.rint(np.asarray(image.data) / 2 * 255).astype(np.uint8))


def test_time_series_of_volumes() -> None:
    data = scene()
    labels, objects = finish(segment_planes(as_image(data, "tzyx"), plan(3), same, decode))
    one = [ndimage.label(volume)[0] for volume in data]
    assert objects == sum(v.max() for v in one)
    np.testing.assert_array_equal(labels[0], one[0])
    np.testing.assert_array_equal(labels[1] > 0, one[1] > 0)


def test_a_lazy_image_gives_the_same() -> None:
    data = scene().astype("u2")
    store = zarr.create_array({}, shape=data.shape, chunks=(1, 1, 16, 16), dtype="u2")
    store[:] = data
    eager = finish(segment_planes(as_image(data, "tzyx"), plan(), same, decode))
    lazy = finish(segment_planes(as_image(store, "tzyx"), plan(), same, decode))
    np.testing.assert_array_equal(eager[0], lazy[0])


def test_progress_adds_up_and_shows_pieces() -> None:
    data = scene()[0]
    steps: list[Progress] = []
    small = plan(tiling=TilingSpec(tile=16, workers=2))
    labels, _ = finish(segment_planes(as_image(data), small, same, decode, preview=decode), steps.append)
    total = 2 * (4 + 1)
    assert [s.done for s in steps] == list(range(1, total + 1))
    assert {s.total for s in steps} == {total}
    shown = np.zeros_like(labels)
    for step in steps:
        shown[step.payload.index] = step.payload.labels
    np.testing.assert_array_equal(shown, labels)
    tiles = [s.payload.labels for s in steps if s.note.startswith("Finding")]
    ids = [set(np.unique(t)) - {0} for t in tiles]
    assert sum(map(len, ids)) == len(set.union(*ids))
    silent: list[Progress] = []
    finish(segment_planes(as_image(data), small, same, decode), silent.append)
    assert [s.payload is None for s in silent if s.note.startswith("Finding")] == [True] * 8


def test_planes_in_memory_are_few_and_decoded_beside_each_other() -> None:
    alive: list[int] = []
    now = threading.Semaphore(0)

    def slow(scores: np.ndarray) -> np.ndarray:
        now.release()
        alive.append(now._value)
        time.sleep(0.002)
        found = decode(scores)
        now.acquire()
        return found

    data = np.random.default_rng(0).random((40, 16, 16)) > 0.7
    few = plan(tiling=TilingSpec(workers=2, batch=2))
    labels, objects = finish(segment_planes(as_image(data), few, same, slow))
    assert len(alive) == 40
    assert max(alive) <= 2
    assert objects == sum(ndimage.label(p)[1] for p in data) == labels.max()


@pytest.mark.parametrize("where", ["predict", "decode", "read"])
def test_errors_come_as_they_are(where: str) -> None:
    error = ImageError("broken file") if where == "read" else RuntimeError("CUDA out of memory")

    def fail(_: np.ndarray) -> np.ndarray:
        raise error

    class Broken:
        shape, dtype = (3, 20, 20), np.dtype("u1")

        def __getitem__(self, _: object) -> np.ndarray:
            raise error

    image = as_image(Broken() if where == "read" else np.zeros((3, 20, 20)))
    steps = segment_planes(image, plan(), fail if where == "predict" else same, fail if where == "decode" else decode)
    with pytest.raises(type(error)) as caught:
        finish(steps)
    assert caught.value is error
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-unet")]


def test_closing_stops() -> None:
    calls: list[int] = []

    def slow(batch: np.ndarray) -> np.ndarray:
        calls.append(1)
        time.sleep(0.01)
        return batch

    steps = segment_planes(as_image(np.zeros((500, 20, 20))), plan(tiling=TilingSpec(workers=2)), slow, decode)
    next(steps)
    steps.close()
    assert len(calls) <= 6
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-unet")]


def test_memory_is_refused_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    image = as_image(np.broadcast_to(np.uint8(0), (50, 1000, 1000)))
    monkeypatch.setattr(run, "free_memory", lambda: 200_000_000)
    with pytest.raises(ImageError, match="Close other programs"):
        finish(segment_planes(image, plan(), same, decode))
    monkeypatch.setattr(run, "free_memory", lambda: 206_000_000)
    planes = [plan().select(p) for p in image.planes(2)]
    tight = plan(tiling=TilingSpec(batch=8, workers=4))
    assert run._planes_at_once(planes, tight, tight.grid((1000, 1000))) == (1, 1)
    with pytest.raises(ImageError, match="Close other programs"):
        finish(segment_planes(image, plan(), same, decode, beside=[(np.zeros(image.shape, np.uint8), itemgetter(-1))]))
    monkeypatch.setattr(run, "free_memory", lambda: None)
    assert run._planes_at_once(planes, tight, tight.grid((1000, 1000))) > (1, 1)
