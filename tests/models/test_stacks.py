"""Stacks and models of planes: objects in 3D, from one side or three, however the stack is cut."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import napari_unet
from napari_unet.core.axes import Image, as_image
from napari_unet.core.errors import AxesError, ModelError, UNetError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import SegmentSpec, TargetSpec
from napari_unet.core.stacks import choose_stack, step_between
from napari_unet.models.average import gather
from napari_unet.models.model import Model
from napari_unet.models.segment import draft_plan, plan_run, sized
from napari_unet.models.stacks import Stacked, stack_of

MICROMETERS = ("micrometer",) * 3


@pytest.fixture(scope="module")
def balls() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int32]]:
    """Sixteen balls, 11 pixels wide, in two layers that lie upon each other, and their labels."""
    z, y, x = np.mgrid[:26, :48, :52]
    truth = np.zeros(z.shape, np.int32)
    for i, (layer, row, column) in enumerate(np.ndindex(2, 2, 4)):
        place = (6.5 + 12.5 * layer, 12 + 22 * row, 7 + 12.5 * column)
        truth[sum((a - b) ** 2 for a, b in zip((z, y, x), place, strict=True)) < 5.6**2] = i + 1
    rng = np.random.default_rng(0)
    return (rng.normal(1000, 40, z.shape) + 3000 * (truth > 0)).astype(np.uint16), truth


def stack(data: npt.NDArray[Any], deep: float = 1.0) -> Image:
    return as_image(data, "zyx", scale=(deep, 1.0, 1.0), units=MICROMETERS)


@pytest.mark.parametrize("kind", ["sides", "auto"])
def test_as_many_as_there_are(bright: Path, balls: Any, kind: str) -> None:
    data, truth = balls
    found = napari_unet.segment(stack(data), model=str(bright), stack=kind)
    assert found.objects == truth.max() == 16
    labels = np.asarray(found.labels.data)
    for i in range(1, 17):
        inside = labels[truth == i]
        assert np.bincount(inside).argmax() > 0, "every ball has an object of its own"
    assert found.manifest["averaged"]["stack"] == "sides"
    assert found.manifest["pixels"]["scale"] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("kind", "deep"), [("volume", 3.0), ("sides", 1.0), ("sides", 2.3)])
def test_the_same_however_it_is_cut(bright: Path, balls: Any, tmp_path: Path, kind: str, deep: float) -> None:
    image = stack(balls[0][:: round(deep)], deep)
    whole = napari_unet.segment(image, model=str(bright), stack=kind)
    assert whole.objects > 4
    for tile, batch, workers in ((16, 1, 1), (24, 3, 2)):
        tiling = {"tile": tile, "batch": batch, "workers": workers}
        cut = napari_unet.segment(image, model=str(bright), stack=kind, tiling=tiling)
        assert cut.manifest["labels_hash"] == whole.manifest["labels_hash"]
    stored = napari_unet.segment(
        image, model=str(bright), stack=kind, tiling={"tile": 16}, output=tmp_path / "labels.ome.zarr"
    )
    np.testing.assert_array_equal(np.asarray(stored.labels.data), np.asarray(whole.labels.data))


def test_scores_are_the_mean_of_three_sides(bright: Path) -> None:
    flat = gather(SegmentSpec(model=str(bright)))
    model = Stacked(flat, "sides")
    rng = np.random.default_rng(1)
    block = rng.normal(size=(2, 3, 32, 40, 48)).astype(np.float32)
    found = model.predict(block)
    expected = np.zeros_like(found)
    for axis in (2, 3, 4):
        for k in range(block.shape[axis]):
            place: Any = [slice(None)] * 5
            place[axis] = k
            expected[tuple(place)] += flat.predict(np.ascontiguousarray(block[tuple(place)]))
    np.testing.assert_allclose(found, expected / 3, atol=1e-6)
    one_side = Stacked(flat, "volume").predict(block)
    alone = flat.predict(np.ascontiguousarray(block[1:, :, 7]))[0]
    np.testing.assert_array_equal(one_side[1, 0, 7], alone[0])
    assert (one_side[1, 1, 7] <= alone[1]).all(), "outlines that are narrower than usual have lower middles"
    np.testing.assert_allclose(one_side[1, 1, 7], alone[1], atol=0.02)


def test_the_middle_is_lower_where_outlines_are_narrow() -> None:
    data = np.zeros((3, 96, 96), np.float32)
    y, x = np.mgrid[:96, :96]
    for k, radius in enumerate((12, 5, 12)):
        data[k] = 1000 * (np.hypot(y - 48, x - 48) < radius) + 100
    spec = SegmentSpec(diameter=24.0, stack="volume")
    model: Any = gather(spec)
    block = np.broadcast_to(((data - 100) / 1000)[None, None], (1, 3, 3, 96, 96)).astype(np.float32)
    heat = model.predict(block)[0, 1, :, 48, 48]
    flat = model.flat.predict(np.ascontiguousarray(block[0].transpose(1, 0, 2, 3)))[:, 1, 48, 48]
    assert heat[1] < 0.75 * flat[1]
    np.testing.assert_allclose(heat[[0, 2]], flat[[0, 2]], rtol=0.15)


@pytest.mark.parametrize("kind", ["volume", "sides"])
def test_the_inside_has_the_same_scores(bright: Path, kind: Any) -> None:
    model = Stacked(gather(SegmentSpec(model=str(bright))), kind)
    rims = model.halo
    block = np.random.default_rng(2).normal(size=(1, 3, 48, 48, 64)).astype(np.float32)
    whole = model.predict(block)
    ends = ((True, False), (False, True), (False, False))
    inner = model.predict_inner(block, ends)
    inside = tuple(
        slice(0 if low else rim, n if high else n - rim)
        for n, rim, (low, high) in zip(block.shape[2:], rims, ends, strict=True)
    )
    np.testing.assert_array_equal(inner[(..., *inside)], whole[(..., *inside)])
    assert not inner[..., -1].any(), "the rest is not computed"
    small = block[..., :16, :16, :16]
    np.testing.assert_array_equal(model.predict_inner(small), model.predict(small))


@pytest.mark.parametrize("kind", ["volume", "sides"])
def test_of_slices_the_halo_is_not_brought_up_again(bright: Path, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Stacked(gather(SegmentSpec(model=str(bright))), kind)
    block = np.random.default_rng(2).normal(size=(1, 3, 48, 48, 64)).astype(np.float32)
    ends = ((True, False), (False, True), (False, False))
    expected = model.predict_inner(block, ends)

    def too_much(*_: Any) -> None:
        raise AssertionError("the halo of a slice was computed to the end")

    monkeypatch.setattr(Model, "predict", too_much)
    np.testing.assert_array_equal(model.predict_inner(block, ends), expected)
    assert expected.any()


def test_tiles_of_slices_read_little_twice() -> None:
    image = stack(np.broadcast_to(np.uint8(0), (256, 512, 512)))
    model = gather(SegmentSpec(stack="sides"))
    plan = sized(draft_plan(image, SegmentSpec(stack="sides"), model), model, model.card.diameter)
    tiles = list(plan.grid(image.shape))
    seen = sum(math.prod(t.read_shape) / t.read[a].size * t.write[a].size for t in tiles for a in range(3))
    assert seen < 3 * 3 * math.prod(image.shape)
    assert max(math.prod(tile.read_shape) for tile in tiles) <= 2**25


def test_what_is_taken_by_itself(bright: Path) -> None:
    card = gather(SegmentSpec(model=str(bright))).card
    near, far = (stack(np.zeros((8, 8, 8)), deep) for deep in (1.5, 4.0))
    unknown, flat, movie = (
        as_image(np.zeros((8, 8, 8)[3 - n :]), axes) for n, axes in ((3, "zyx"), (2, "yx"), (3, "tyx"))
    )
    single = stack(np.zeros((1, 8, 8)))
    wanted = {"sides": [near], "volume": [far, unknown], "planes": [flat, movie, single, None]}
    for kind, images in wanted.items():
        for image in images:
            assert choose_stack(SegmentSpec(), card, image) == kind
            assert choose_stack(SegmentSpec(stack="planes"), card, image) == "planes"
            assert choose_stack(SegmentSpec(link_z=0), card, image) == "planes", "who says how to join wants to join"
    assert stack_of(gather(SegmentSpec(model=str(bright)), near)) == "sides"
    assert stack_of(gather(SegmentSpec(model=str(bright)), flat)) == "planes"
    assert stack_of(gather(SegmentSpec(model=str(bright), average="flips"), far)) == "volume"


def test_planes_are_as_far_apart_as_is_told(bright: Path) -> None:
    data = np.random.default_rng(0).integers(0, 1000, (8, 40, 40))
    image = as_image(data, "zyx", scale=(2.0, 500.0, 500.0), units=("micrometer", "nanometer", "nanometer"))
    assert step_between(image) == pytest.approx(4)
    assert step_between(as_image(data, "zyx", scale=(1.0, 1.0, 1.0), units=("millimeter", "second", "second"))) == 1
    spec = SegmentSpec(model=str(bright), diameter=6.0, stack="sides")
    assert plan_run(image, spec, gather(spec, image))[0].factor == pytest.approx((8, 2, 2))
    spec = spec.model_copy(update={"stack": "volume"})
    assert plan_run(image, spec, gather(spec, image))[0].factor == (1.0, 2.0, 2.0)


def test_channels_and_time_points_are_seen_one_by_one(bright: Path, balls: Any) -> None:
    data = np.stack([balls[0], balls[0][::-1]])[:, ::2]
    image = as_image(data, "tzyx", scale=(1.0, 2.0, 1.0, 1.0), units=("second", *MICROMETERS))
    found = np.asarray(napari_unet.segment(image, model=str(bright)).labels.data)
    alone = np.asarray(napari_unet.segment(stack(data[1], 2.0), model=str(bright)).labels.data)
    assert ((found[1] > 0) == (alone > 0)).all()
    assert not np.intersect1d(found[0], found[1])[1:].size, "numbers are those of one time point"


def test_uncertainty_and_averages_are_told_in_3d(bright: Path, balls: Any) -> None:
    image = stack(balls[0][:, :24, :32])
    found = napari_unet.segment(image, model=str(bright), average="flips", uncertainty=True, confidence=True)
    assert found.manifest["averaged"]["answers"] == 4
    assert found.uncertainty is not None
    assert found.confidence is not None
    assert found.uncertainty.data.shape == image.shape
    assert float(np.asarray(found.confidence.data).max()) > 0.5


@pytest.mark.parametrize("kind", ["volume", "sides"])
def test_refused_in_words(bright: Path, kind: Any) -> None:
    spec = SegmentSpec(model=str(bright), stack=kind)
    with pytest.raises(AxesError, match="none of which is depth"):
        napari_unet.segment(as_image(np.eye(40)), spec)
    with pytest.raises(AxesError, match="none of which is depth"):
        step_between(as_image(np.eye(40)))
    flat = gather(SegmentSpec(model=str(bright)))
    card: ModelCard = flat.card
    unfit = {
        "sees volumes": {"net": card.net.model_copy(update={"ndim": 3})},
        "one width": {"grid": card.grid.model_copy(update={"kind": "pixels"})},
        "which direction": {"target": TargetSpec(name="offsets")},
    }
    for words, change in unfit.items():
        other: Any = type("Other", (), {"card": card.model_copy(update=change)})()
        with pytest.raises(ModelError, match=words):
            Stacked(other, kind)
        assert choose_stack(SegmentSpec(), other.card, stack(np.zeros((8, 8, 8)))) == "planes"
    with pytest.raises(UNetError, match="stack"):
        SegmentSpec.of(stack="cubes")
    assert replace(stack(np.zeros((4, 4, 4)))).axes == "zyx"


def test_a_smallest_size_may_be_a_volume_or_an_area(bright: Path, balls: Any) -> None:
    image = as_image(balls[0], "zyx", scale=(0.5,) * 3, units=MICROMETERS)
    volume = napari_unet.segment(image, model=str(bright), min_size="20 um3")
    assert (volume.manifest["smallest"], stack_told(volume)) == (160.0, "sides")
    plain = napari_unet.segment(image, model=str(bright), min_size=160)
    assert plain.manifest["labels_hash"] == volume.manifest["labels_hash"]
    area = napari_unet.segment(image, model=str(bright), min_size="3 um2")
    assert (area.manifest["smallest"], stack_told(area)) == (12.0, "planes")


def stack_told(found: Any) -> str:
    return str(found.manifest.get("averaged", {}).get("stack", "planes"))
