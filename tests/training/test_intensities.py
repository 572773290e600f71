"""Intensities that mean the same in all images, found in those to learn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unet.core.anatomy import Anatomy
from napari_unet.core.axes import Image
from napari_unet.core.errors import SpecError
from napari_unet.core.examples import Example
from napari_unet.core.specs import NormalizeSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.training.intensities import is_ct
from napari_unet.training.plan import prepare

UNITS = {"scale": (2.0, 1.0, 1.0), "units": ("millimeter",) * 3}


def body(seed, air=-1000, organ=60):
    """Return a body in air with an organ in it, in Hounsfield units."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((10, 48, 48), np.uint8)
    labels[2:8, 16:30, 16:30] = 1
    image = np.full(labels.shape, air, np.int16)
    image[:, 12:36, 12:36] = 0
    image[labels > 0] = rng.normal(organ, 20, np.count_nonzero(labels)).round()
    return Example(Image(image, "zyx", **UNITS, name=f"{seed}"), Image(labels, "zyx", **UNITS))


def test_ct_is_told_by_its_air():
    assert is_ct(body(0).image)
    assert not is_ct(body(0, air=0).image)
    assert not is_ct(Image(np.zeros((9, 9), np.uint8), "yx"))
    assert not is_ct(Image(np.full((9, 9), np.nan, np.float32), "yx"))


def test_what_the_file_says_comes_first():
    for modality, told in (("CT", True), ("MR", False)):
        for air in (-1000, 0):
            image = body(0, air=air).image
            said = replace(image, anatomy=Anatomy(tuple(map(tuple, np.eye(4))), image.shape, modality=modality))
            assert said.anatomy is not None
            assert is_ct(said) is told


def test_ct_is_clipped_and_scaled_by_what_is_inside_of_the_labels():
    examples = [body(seed) for seed in range(3)]
    spec = TrainSpec.of(task="organ", patch=32, depth=8, batch=1)
    made = finish(prepare(examples, spec))
    rule = made.plan.spec.normalize
    inside = np.concatenate([e.image.data[e.labels.data > 0] for e in examples]).astype(float)
    low, high = np.percentile(inside, (0.5, 99.5))
    clipped = np.clip(inside, low, high)
    assert (rule.kind, rule.limits) == ("fixed", None)
    assert (rule.floor, rule.ceiling) == pytest.approx((low, high))
    assert rule.offset == pytest.approx((clipped.mean(),), rel=1e-5)
    assert rule.divisor == pytest.approx((clipped.std(),), rel=1e-5)
    seen = made.pairs[0].levels[0].numpy()
    assert seen.min() == pytest.approx((low - clipped.mean()) / clipped.std(), rel=1e-4)
    assert any("Intensities mean the same in all images" in line for line in made.plan.words)


def test_other_volumes_are_scaled_one_by_one():
    made = finish(prepare([body(seed, air=0) for seed in range(2)], TrainSpec.of(task="organ", batch=1)))
    assert made.plan.spec.normalize.kind == "mean_std"
    given = NormalizeSpec(kind="mean_std")
    made = finish(prepare([body(0)], TrainSpec.of(task="organ", normalize=given, batch=1)))
    assert made.plan.spec.normalize == given


def test_percentiles_of_all_images_are_found_for_each_band():
    rng = np.random.default_rng(0)
    labels = Image(np.ones((64, 64), np.uint8), "yx")
    data = [rng.normal((300, 2000), 50, (64, 64, 2)).astype(np.uint16) for _ in range(2)]
    examples = [Example(Image(one, "yxc", name=str(n)), labels) for n, one in enumerate(data)]
    rule = NormalizeSpec(kind="fixed", low=2, high=98, joint=False)
    made = finish(prepare(examples, TrainSpec.of(task="satellite", normalize=rule)))
    spec = made.plan.spec
    assert spec.net.inputs == 2
    pooled = np.concatenate([one.reshape(-1, 2) for one in data])
    low, high = np.percentile(pooled, (2, 98), axis=0)
    assert spec.normalize.offset == pytest.approx(tuple(low))
    assert spec.normalize.divisor == pytest.approx(tuple(high - low))


def test_what_is_given_wins_and_must_be_whole():
    rule = NormalizeSpec(kind="fixed", offset=(0,), divisor=(10000,))
    made = finish(prepare([body(0)], TrainSpec.of(task="organ", normalize=rule, batch=1)))
    assert made.plan.spec.normalize == rule
    for wrong, says in (
        ({"offset": (0,)}, "as many offsets as divisors"),
        ({"offset": (0,), "divisor": (0,)}, "divisors above 0"),
        ({"kind": "none", "offset": (0,), "divisor": (1,)}, "no meaning"),
    ):
        with pytest.raises(SpecError, match=says):
            NormalizeSpec.of(**{"kind": "fixed"} | wrong)
