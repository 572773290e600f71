"""Volumes end where they end: a network sees nothing beyond, and scores are the same however they are cut."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet.core.axes import Image
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import NetSpec, SegmentSpec, TargetSpec, TilingSpec
from napari_unet.core.steps import finish
from napari_unet.models._scorer import inner
from napari_unet.models._turns import Turn
from napari_unet.models.average import Averaged
from napari_unet.models.model import Model
from napari_unet.models.segment import plan_run, segment_image
from napari_unet.nets import build, patch
from napari_unet.tiling.care import Care
from napari_unet.tiling.empty import Sparing
from napari_unet.tiling.grid import Grid
from napari_unet.tiling.statistics import Statistics
from napari_unet.tiling.stream import Plan, score_plane

NETS = {
    "plain": NetSpec(ndim=3, outputs=4, widths=(8, 16), convolutions=1),
    "deep": NetSpec(ndim=3, outputs=4, widths=(4, 4, 8), convolutions=1),
    "flat": NetSpec(ndim=3, outputs=4, widths=(8, 16), strides=((1, 2, 2),), kernels=((1, 3, 3), (3, 3, 3))),
    "attention": NetSpec(ndim=3, outputs=4, widths=(8, 16), convolutions=1, skip="attention"),
}
CLASSES = TargetSpec(name="classes", classes=("one", "two"))
SHAPE = (13, 21, 30)


def made(spec, runtime="auto"):
    torch.manual_seed(0)
    network = build(spec)
    network.train()(torch.randn(2, spec.inputs, *(patch(spec, 16),) * 3))
    card = ModelCard(name="tiny", net=spec, target=CLASSES, grid={"kind": "pixels"})
    return Model(card, network.eval(), "cpu", runtime)


def volume(shape=SHAPE, dtype=np.float32):
    rng = np.random.default_rng(1)
    return Image((200 * rng.random(shape)).astype(dtype), "zyx", name="volume")


def scored(model, image, factor=(1.0, 1.0, 1.0), **tiling):
    plan, _ = plan_run(image, SegmentSpec(model="tiny"), model)
    plan = replace(plan, factor=factor, tiling=TilingSpec(**tiling), care=Care())
    assert plan.closed
    (plane,) = image.planes(3)
    scores = np.full((model.outputs, *plane.shape), 99, np.uint8)
    tiles = list(score_plane(plane, plan, Sparing(plan.care.timed(inner(model))), scores))
    return scores, tiles


@pytest.mark.parametrize("factor", [(1.0, 1.0, 1.0), (1.7, 0.8, 1.0)], ids=["as it is", "resampled"])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("spec", NETS.values(), ids=NETS)
def test_scores_are_the_same_however_a_volume_is_cut(spec, precision, factor):
    model = made(spec)
    if precision == torch.bfloat16 != model.precision:
        pytest.skip("this machine has no fast bfloat16")
    model._engine.precision = precision
    model._engine._inner.to(precision)
    image = volume()
    whole, tiles = scored(model, image, factor, tile=10**6, workers=1)
    assert len(tiles) == 1
    assert np.unique(whole).size > 20
    for tiling in ({"tile": 12, "batch": 3}, {"tile": 16, "workers": 2}, {}):
        cut, _ = scored(model, image, factor, **tiling)
        assert cut.tobytes() == whole.tobytes(), tiling


@pytest.mark.parametrize("spec", NETS.values(), ids=NETS)
def test_a_network_sees_the_volume_and_nothing_else(spec):
    model, image = made(spec), volume()
    steps = (model.multiple,) * 3 if isinstance(model.multiple, int) else model.multiple
    plan, _ = plan_run(image, SegmentSpec(model="tiny"), model)
    low, high = plan.statistics.low[0], plan.statistics.high[0]
    # Only what the grid wants is filled up.
    filled = np.pad(image.data, [(0, -n % step) for n, step in zip(SHAPE, steps, strict=True)], mode="reflect")
    wanted = model.predict(np.clip((filled - low) / (high - low), -1, 4)[None, None].astype(np.float32))
    found, (tile,) = scored(model, image, tile=10**6)
    assert tile.read_shape == filled.shape
    place = (0, slice(0, model.outputs), *(slice(0, n) for n in SHAPE))
    assert np.abs(found / 255 - wanted[place]).max() < 0.01


def test_mirrored_and_turned_views_end_there_too():
    model, image = made(NETS["flat"]), volume()
    views = [Turn((0, 1, 2)), Turn((0, 1, 2), (0, 2)), Turn((0, 2, 1), (1,))]
    averaged = Averaged([(model, view) for view in views])
    whole, _ = scored(averaged, image, tile=10**6)
    cut, tiles = scored(averaged, image, tile=8)
    assert len(tiles) > 10
    assert cut.tobytes() == whole.tobytes()


# Importing it here would tell its makers.
@pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="OpenVINO is not installed")
def test_openvino_sees_the_same():
    one, _ = scored(made(NETS["deep"]), volume(), tile=12)
    two, _ = scored(made(NETS["deep"], "openvino"), volume(), tile=12)
    assert np.abs(one.astype(int) - two).mean() < 2
    assert np.abs(one.astype(int) - two).max() < 40


def test_a_small_volume_costs_one_patch():
    model = made(NETS["deep"])
    _, (tile,) = scored(model, volume())
    assert tile.read_shape == (16, 24, 32)
    assert tile.ends == ((True, True),) * 3


def test_what_was_trained_without_padding_sees_a_mirrored_volume():
    model = made(NetSpec(ndim=3, outputs=4, widths=(4, 8), convolutions=1, padding="valid"))
    plan, _ = plan_run(volume(), SegmentSpec(model="tiny"), model)
    assert not plan.closed
    assert min(span.start for tile in plan.grid(SHAPE) for span in tile.read) < 0


def test_labels_of_a_volume_are_the_same_where_memory_is_short(monkeypatch):
    model, image = made(NETS["plain"]), volume((13, 29, 38))
    whole = finish(segment_image(image, SegmentSpec(model="tiny"), model))
    stored = model.predict_stored

    def short(batch, outputs, tables=None, ends=()):
        if batch[0, 0].size > 14 * 20 * 30:
            raise MemoryError
        return stored(batch, outputs, tables, ends)

    monkeypatch.setattr(model, "predict_stored", short)
    found = finish(segment_image(image, SegmentSpec(model="tiny"), model))
    assert found.manifest["retried"]["smaller_tile"] > 1
    assert found.hash == whole.hash


def test_tiles_of_a_large_flat_volume_are_flat_and_read_no_more():
    plan = Plan((1.0,) * 3, Statistics((0.0,), (1.0,)), 53, 8, closed=True)
    grid, cube = plan.grid((60, 512, 512), planes=4), Grid((60, 512, 512), (1.0,) * 3, (96,) * 3, 53, 8, True)
    largest = max(np.prod(tile.read_shape) for tile in grid)
    assert largest <= (96 + 2 * 53 + 2 * 8) ** 3
    assert grid.reads < 0.6 * cube.reads
    many = replace(plan, tiling=TilingSpec(workers=16)).grid((60, 512, 512))
    assert len(many) >= 8  # no worker is left without work
