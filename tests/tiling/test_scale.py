"""The object size of an image, measured by a stand-in for the network that knows it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.axes import as_image
from napari_unet.core.sizes import decode_size, encode_size, equivalent_diameter
from napari_unet.core.specs import TilingSpec
from napari_unet.tiling.scale import _WINDOW, _samples, measure_diameter
from napari_unet.tiling.statistics import Statistics
from napari_unet.tiling.stream import Plan

CANONICAL = 24.0


def disks(shape, diameter):
    pitch = 1.6 * diameter
    grid = np.meshgrid(*map(np.arange, shape), indexing="ij")
    away = [(axis % pitch) - pitch / 2 for axis in grid]
    return (np.sqrt(sum(a**2 for a in away)) < diameter / 2).astype(np.float32)


def knowing(blind=lambda size: size):
    """Measure bright spots; `blind` says what is answered for a size."""

    def predict(batch):
        scores = np.zeros((len(batch), 3, *batch.shape[2:]), np.float32)
        for image, out in zip(batch, scores, strict=True):
            spots, count = ndimage.label(image[0] > 0.5)
            volume = np.bincount(spots.ravel(), minlength=count + 1)
            # Whole spots only: those cut by the edge of a tile show a part of their size.
            edge = [spots.take(i, axis).ravel() for axis in range(spots.ndim) for i in (0, -1)]
            sizes = blind(equivalent_diameter(volume, spots.ndim))
            sizes[0] = sizes[np.unique(np.concatenate(edge))] = 0
            out[0] = sizes[spots] > 0
            out[2] = encode_size(sizes)[spots]
        return scores

    return predict


def measure(image, predict=None, ndim=2, **tiling):
    tiling = TilingSpec(**({"workers": 1} | tiling))
    plan = Plan((1.0,) * ndim, Statistics((0.0,), (1.0,)), 16, 8, outputs=2, tiling=tiling)
    return measure_diameter(image.planes(ndim), plan, predict or knowing(), CANONICAL, decode_size)


@pytest.mark.parametrize("diameter", [9, 15, 24, 50, 110])
@pytest.mark.parametrize("shape", [(500, 620), (1400, 300)])
def test_the_diameter_is_found(diameter, shape):
    assert measure(as_image(disks(shape, diameter))) == pytest.approx(diameter, rel=0.07)


def test_a_network_that_knows_only_its_own_size_is_asked_near_it():
    # Far from 24 pixels it answers something between the truth and 24.
    def biased(size):
        return np.where(size > 0, CANONICAL * (np.maximum(size, 1) / CANONICAL) ** 0.7, 0)

    for diameter in (10, 24, 60):
        found = measure(as_image(disks((500, 500), diameter)), knowing(biased))
        assert found == pytest.approx(diameter, rel=0.12)


def test_every_object_counts_once():
    # As many small objects as fit beside a few large ones: the median is small although large ones have more pixels.
    image = np.zeros((480, 480), np.float32)
    image[:, :280] = disks((480, 280), 14)
    image[:, 300:] = disks((480, 180), 56)
    assert measure(as_image(image)) == pytest.approx(14, rel=0.15)


@pytest.mark.parametrize("axes", ["tyx", "zyx"])
def test_all_planes_have_a_say(axes):
    planes = np.stack([disks((200, 230), 20)] * 7)
    assert measure(as_image(planes, axes)) == pytest.approx(20, rel=0.07)
    planes[:3] = 0  # nothing on the first planes
    assert measure(as_image(planes, axes)) == pytest.approx(20, rel=0.07)


def test_volumes():
    assert measure(as_image(disks((48, 80, 80), 16), "zyx"), ndim=3) == pytest.approx(16, rel=0.1)


def test_samples_of_volumes_fit_into_memory():
    largest = 0

    def predict(batch):
        nonlocal largest
        largest = max(largest, batch[0].size)
        return np.zeros((1, 3, *batch.shape[2:]), np.float32)

    assert measure(as_image(np.zeros((200, 200, 200), np.uint8), "zyx"), predict, ndim=3) is None
    assert largest <= (96 + 2 * 16 + 2 * 8) ** 3


def test_nothing_has_no_size():
    assert measure(as_image(np.zeros((300, 300), np.float32))) is None
    single = np.zeros((300, 300), np.float32)
    single[100, 100] = 1
    assert measure(as_image(single), knowing(lambda size: size * 100)) is None
    assert measure(as_image(np.zeros((1, 1), np.float32))) is None


@pytest.mark.parametrize("tiling", [{"workers": 3}, {"workers": 2, "tile": 32}, {"batch": 4}, {"workers": 0}])
def test_the_size_does_not_depend_on_how_the_work_is_done(tiling):
    rng = np.random.default_rng(0)
    image = as_image(disks((700, 900), 33) + 0.2 * rng.standard_normal((700, 900)).astype(np.float32))
    assert measure(image, **tiling) == measure(image)


def test_an_error_of_the_network_passes():
    def broken(batch):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        measure(as_image(np.zeros((64, 64))), broken, workers=2)


@pytest.mark.parametrize("windows", [(2, 2), (4, 4), (8, 8), (1, 9), (9, 1), (3, 5), (1, 1)])
def test_samples_come_from_many_rows_and_columns(windows):
    plan = Plan((1.0, 1.0), Statistics((0.0,), (1.0,)), 0, 1)
    planes = as_image(np.zeros([n * _WINDOW[2] for n in windows], bool)).planes(2)
    places = [tuple(span.start // _WINDOW[2] for span in spans) for _, spans, _ in _samples(planes, plan)[0]]
    assert len(set(places)) == min(4, windows[0] * windows[1])
    for axis, count in enumerate(windows):
        assert len({place[axis] for place in places}) >= min(2, count)


def test_samples_come_from_many_planes():
    plan = Plan((1.0, 1.0), Statistics((0.0,), (1.0,)), 0, 1)
    planes = as_image(np.zeros((40, 64, 64), bool), "tyx").planes(2)
    chosen = [plane.at[0] for plane, *_ in _samples(planes, plan)[0]]
    assert len(chosen) == 4
    assert max(np.diff([0, *chosen, 39])) <= 20


@pytest.mark.parametrize("windows", [(1, 1), (2, 3), (4, 4), (9, 7)])
def test_no_place_is_looked_at_twice(windows):
    plan = Plan((1.0, 1.0), Statistics((0.0,), (1.0,)), 0, 1)
    planes = as_image(np.zeros([n * _WINDOW[2] for n in windows], bool)).planes(2)
    places = [tuple(span.start for span in spans) for turn in _samples(planes, plan) for _, spans, _ in turn]
    assert len(places) == len(set(places)) == min(16, windows[0] * windows[1])


def test_where_objects_are_few_more_places_are_looked_at():
    image = np.zeros((600, 1270), np.float32)
    # One corner in which the first four samples see nothing at the magnification that shows these objects best.
    image[: 96 * 2, : 96 * 2] = disks((192, 192), 12)
    assert measure(as_image(image)) == pytest.approx(12, rel=0.1)


def test_where_objects_are_many_four_places_are_enough():
    seen = 0

    def predict(batch):
        nonlocal seen
        seen += 1
        return knowing()(batch)

    measure(as_image(disks((1500, 1500), 24)), predict)
    assert seen <= 8
