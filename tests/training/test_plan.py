"""What the user has left open follows from the data."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_unet.core.axes import Image
from napari_unet.core.errors import TrainingDataError
from napari_unet.core.examples import Example
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import NetSpec, NormalizeSpec, TargetSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.models.store import write_model
from napari_unet.nets import build, multiple
from napari_unet.training.fingerprint import fingerprint
from napari_unet.training.pairs import make_pair
from napari_unet.training.plan import prepare


def example(shape, diameter, seed=0, axes=None, scale=(), **more):
    """Return blocks of a width, brighter than the noise around them."""
    rng, labels = np.random.default_rng(seed), np.zeros(shape, np.int32)
    inner = [range(0, n - diameter, 2 * diameter) for n in shape[-2:]]
    for number, (y, x) in enumerate(((y, x) for y in inner[0] for x in inner[1]), 1):
        labels[..., y : y + diameter, x : x + diameter] = number
    if len(shape) == 3 and shape[0] >= 8:
        labels[::4] = 0
    image = (50 + 5 * rng.standard_normal(shape) + 100 * (labels > 0)).astype(np.float32)
    axes, units = axes or "zyx"[-len(shape) :], ("micrometer",) * len(shape) if scale else ()
    name = f"field {seed}"
    return Example(Image(image, axes, scale, units, name), Image(labels, axes, name=name), **more)


def planned(examples, **more):
    return finish(prepare(examples, TrainSpec(**more)))


def test_patches_hold_images_that_are_larger_than_most():
    # A tumor is to be seen with all that is around it.
    spec = planned([example((100, 120), 24, seed) for seed in range(2)], task="tumor", zoom=1.0).plan.spec
    assert spec.grid.zoom == 1
    assert spec.patch == 160


def test_images_are_planned_in_two_dimensions():
    made = planned([example((300, 400), 48, seed) for seed in range(3)], validation=0.34)
    plan, spec = made.plan, made.plan.spec
    assert (spec.net.ndim, spec.net.inputs, spec.diameter, spec.target.name) == (2, 3, 24.0, "heat")
    # Half as large, images have 200 pixels: no patch needs to be larger.
    assert spec.patch == 184 or spec.patch % multiple(spec.net) == 0
    assert 160 <= spec.patch <= 208
    assert (len(made.pairs), len(made.learned), len(made.held_out)) == (2, 2, 1)
    assert plan.counts["examples"] == 3
    assert plan.counts["objects"] == sum(int((pair.sizes > 0).sum()) for pair in made.pairs)
    text = " ".join(plan.words)
    assert "0.44 times as large" in text
    assert "2 images are learned from, 1 held out" in text
    assert f"{spec.patch} x {spec.patch} pixels, {spec.batch} a step" in text


def test_what_is_set_by_name_stays():
    spec = planned([example((300, 400), 48)], patch=64, batch=3, diameter=12.0).plan.spec
    assert (spec.patch, spec.batch, spec.diameter) == (64, 3, 12.0)
    net = NetSpec(widths=(4, 8), inputs=1)
    assert planned([example((300, 400), 48)], net=net).plan.spec.net == net
    assert planned([example((300, 400), 48)], network="attention-unet").plan.spec.net.skip == "attention"


def test_a_plan_is_its_own_plan():
    examples = [example((300, 400), 48)]
    spec = planned(examples).plan.spec
    assert finish(prepare(examples, spec)).plan.spec == spec


def test_volumes_are_planned_in_three_dimensions():
    spec = planned([example((40, 96, 96), 12)]).plan.spec
    assert spec.net.ndim == 3
    assert spec.net.strides == ()
    assert spec.diameter == pytest.approx(spec.diameter)
    assert 8 <= spec.diameter <= 24
    assert planned([example((40, 96, 96), 12)], ndim=2).plan.spec.net.ndim == 2
    assert planned([example((4, 96, 96), 12)]).plan.spec.net.ndim == 2


def test_planes_that_are_far_apart_are_pooled_later():
    made = planned([example((24, 128, 128), 12, scale=(2.0, 0.25, 0.25))])
    spec = made.plan.spec
    assert spec.net.strides == ((1, 2, 2), (1, 2, 2), (1, 2, 2))[: spec.net.depth]
    assert spec.net.kernels[0] == (1, 3, 3)
    assert spec.depth < spec.patch / 4
    assert "8.0 times as far apart" in " ".join(made.plan.words)
    build(spec.net)
    mild = planned([example((24, 128, 128), 12, scale=(0.5, 0.25, 0.25))]).plan.spec
    assert mild.net.strides == ()


def test_strides_follow_nnu_net():
    image, labels = np.zeros((1, 8, 8, 8), np.float32), np.ones((8, 8, 8), int)
    facts = fingerprint([make_pair(image, labels, "a")])
    net = replace(facts, ratio=5.0).strides_for(NetSpec(ndim=3, widths=(4, 8, 16, 32, 64)))
    # 5:1, then 5:2, then 5:4, which is alike.
    assert net.strides == ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert net.kernels == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))


def test_scribbles_teach_the_foreground():
    made = planned([example((100, 100), 12, scribbles=True)])
    assert made.plan.spec.target.name == "foreground"
    assert any("not be able to measure" in text for text in made.plan.warnings)
    assert planned([example((100, 100), 12)], truth="scribbles").plan.spec.target.name == "foreground"


def test_many_channels_are_normalized_apart():
    one = example((64, 64), 12)
    many = Example(Image(np.stack([one.image.data] * 5), "cyx", name="many"), one.labels)
    spec = planned([many]).plan.spec
    assert (spec.net.inputs, spec.normalize.joint) == (5, False)
    assert "Some images have 1 channel, others 5" in " ".join(planned([many, one]).plan.warnings)
    colors = Example(Image(np.stack([one.image.data] * 3), "cyx", name="colors"), one.labels)
    assert "1 channel" not in " ".join(planned([colors, one]).plan.warnings)
    with pytest.raises(TrainingDataError, match="as many channels as the others"):
        planned([many, Example(Image(np.stack([one.image.data] * 2), "cyx", name="two"), one.labels)])


@pytest.mark.parametrize(
    ("names", "apart"), [((), False), (("Red", "green", "b"), False), (("DAPI", "actin", "tubulin"), True)]
)
def test_channels_that_are_no_colors_are_neither_mixed_nor_exchanged(names, apart):
    one = example((64, 64), 12)
    stacked = Image(np.stack([one.image.data] * 3), "cyx", name="three", channel_names=names)
    spec = planned([Example(stacked, one.labels)]).plan.spec
    assert spec.normalize.joint is not apart
    assert (spec.augment.gray == 0, spec.augment.shuffle == 0) == (apart, apart)


def test_what_a_user_says_of_channels_counts():
    one = example((64, 64), 12)
    two = Example(Image(np.stack([one.image.data] * 2), "cyx", name="two"), one.labels)
    assert planned([two]).plan.spec.augment.shuffle == 0
    assert planned([two], augment={"shuffle": 0.4}).plan.spec.augment.shuffle == 0.4
    other = planned([two], augment={"elastic": 2.0}).plan.spec.augment  # which says nothing of channels
    assert (other.elastic, other.shuffle, other.gray) == (2.0, 0.0, 0.0)


def test_a_model_of_other_channels_than_colors_goes_on_without_exchanging_them(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path))
    net = NetSpec(inputs=2, outputs=3, widths=(4, 8))
    rule = NormalizeSpec(joint=False)
    card = ModelCard(name="pairs", net=net, target=TargetSpec(name="heat"), channels=(2,), normalize=rule)
    write_model(tmp_path / "pairs", card, build(net))
    one = example((64, 64), 12)
    two = Example(Image(np.stack([one.image.data] * 2), "cyx", name="two"), one.labels)
    assert planned([two], start="pairs").plan.spec.augment.shuffle == 0


@pytest.mark.parametrize(
    ("labels", "learned"),
    [({"liver": 1, "cancer": 2}, "classes"), ({"tumor": 1}, "foreground"), ({"0": "background"}, "foreground")],
)
def test_several_kinds_that_a_data_set_names_are_not_learned_as_one(tmp_path, labels, learned):
    for number in range(2):
        labeled = np.zeros((64, 64), np.uint8)
        labeled[8:40, 8:40], labeled[16:24, 16:24] = 1, max(1, len(labels))
        noise = np.random.default_rng(number).normal(0, 5, labeled.shape)
        for folder, data in (("imagesTr", (labeled * 50 + 50 + noise).astype(np.float32)), ("labelsTr", labeled)):
            (tmp_path / folder).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / folder / f"case_{number}.tif", data)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    made = finish(prepare(tmp_path, TrainSpec(task="tumor")))
    assert made.plan.spec.target.name == learned
    assert ("(liver, cancer)" in " ".join(made.plan.words)) == (learned == "classes")
    assert (
        finish(prepare(tmp_path, TrainSpec(task="tumor", target={"name": "foreground"}))).plan.spec.target.name
        != "classes"
    )


def test_memory_decides_how_many_patches(monkeypatch):
    monkeypatch.setattr("napari_unet.training.fingerprint.total_memory", lambda: 2**28)
    small = planned([example((300, 400), 24)]).plan.spec.batch
    monkeypatch.setattr("napari_unet.training.fingerprint.total_memory", lambda: 2**40)
    assert 1 <= small < planned([example((300, 400), 24)]).plan.spec.batch == 8
    monkeypatch.setattr("napari_unet.training.fingerprint.total_memory", lambda: None)
    assert planned([example((300, 400), 24)]).plan.spec.batch == 8


def test_steps_are_small_where_time_is_short_on_a_processor():
    images = [example((300, 400), 24)]
    limited = {"minutes": 5.0, "device": "cpu"}
    assert planned(images, patch=256, **limited).plan.spec.batch == 2
    assert planned(images, patch=192, **limited).plan.spec.batch == 3
    assert planned(images, patch=128, **limited).plan.spec.batch == planned(images, patch=128).plan.spec.batch == 8
    assert planned(images, patch=256, device="cpu").plan.spec.batch == 8
    assert planned(images, patch=256, batch=8, **limited).plan.spec.batch == 8


def test_a_step_can_be_shared():
    assert planned([example((300, 400), 24)], devices=3).plan.spec.batch == 6
    assert planned([example((300, 400), 24)], accumulate=16).plan.spec.batch == 16


def test_doubts_are_said_before_the_first_step():
    said = " ".join(planned([example((64, 64), 20)]).plan.warnings)
    assert "objects only" in said
    lone = example((64, 64), 20)
    lone.labels.data[lone.labels.data != lone.labels.data.max()] = 0
    assert "There is 1 object only." in " ".join(planned([lone]).plan.warnings)
    speck = example((300, 300), 40)
    speck.labels.data[0, :60:2] = np.arange(1000, 1030)
    assert "leftovers" in " ".join(planned([speck]).plan.warnings)
    with pytest.raises(TrainingDataError, match="nothing to learn from"):
        planned([])
    empty = example((64, 64), 20)
    empty.labels.data[:] = 0
    with pytest.raises(TrainingDataError, match="Draw some labels"):
        planned([empty])


def test_the_same_image_on_both_sides_is_refused():
    one = example((64, 64), 12)
    again = Example(Image(one.image.data.copy(), "yx", name="copy"), one.labels, held_out=True)
    with pytest.raises(TrainingDataError, match="the same image is learned from"):
        planned([one, again])


def test_a_corner_may_be_held_out():
    made = planned([example((200, 200), 12)], validation=0.2, corner=True)
    assert len(made.held_out) == 1
    assert made.pairs[0].known is not None
    assert any("lower right corner" in text for text in made.plan.warnings)


def test_held_out_images_without_objects_cannot_judge():
    learned, other = (example((100, 100), 12, seed, held_out=bool(seed)) for seed in range(2))
    given = [learned, replace(other, labels=Image(np.zeros((100, 100), np.int32), "yx", name="empty"))]
    assert "cannot be judged by them" in " ".join(planned(given).plan.warnings)
    assert "cannot be judged" not in " ".join(planned([learned, other]).plan.warnings)
    # Without any nobody knows when to stop early.
    assert "patience" in " ".join(planned([learned], patience=2).plan.warnings)
    assert "patience" not in " ".join(planned([learned, other], patience=2).plan.warnings)
