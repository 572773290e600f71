"""An image in other units than those that a model knows is noticed before it is segmented."""

from __future__ import annotations

from copy import copy

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.specs import NormalizeSpec, SegmentSpec
from napari_unet.models._bricks import begin
from napari_unet.models.average import gather
from napari_unet.models.segment import segment_image


@pytest.fixture
def plain(bright):
    """A model that measures intensities in each image."""
    return gather(SegmentSpec(model=str(bright), device="cpu"))


@pytest.fixture
def model(plain):
    """A model of reflectance from 0 to 200."""
    rule = NormalizeSpec(kind="fixed", offset=(0.0,), divisor=(200.0,))
    fixed = copy(plain)  # loaded models are shared
    fixed.card = plain.card.model_copy(update={"normalize": rule})
    return fixed


def image(factor):
    rng = np.random.default_rng(0)
    return Image((rng.uniform(20, 180, (96, 96)) * factor).astype(np.float32), "yx", name="scene")


def news(found, model):
    return [step.news for step in segment_image(found, SegmentSpec(diameter=12.0), model) if step.news]


def test_other_units_are_said_first(model):
    (said,) = news(image(50), model)
    assert "0 to 200" in said
    assert "'scene' lie from" in said
    assert begin(image(50), SegmentSpec(diameter=12.0), model)["doubt"] == said


def test_what_fits_is_not_spoken_of(model):
    assert news(image(1), model) == []
    assert "doubt" not in begin(image(1), SegmentSpec(diameter=12.0), model)
    holes = image(1)
    holes.data[:, :90] = np.nan
    assert news(holes, model) == []


def test_a_scan_is_not_doubted_because_most_of_it_is_not_like_a_lesion(model):
    # As of a CT: clipped to what lesions are, mean and deviation of which become 0 and 1.
    rule = NormalizeSpec(kind="fixed", offset=(60.0,), divisor=(16.0,), floor=17.0, ceiling=120.0, limits=None)
    model.card = model.card.model_copy(update={"normalize": rule})
    rng = np.random.default_rng(0)
    body = rng.normal(40, 20, (96, 96))
    body[:, :60] = -1000
    scan = Image(body.astype(np.float32), "yx", name="scan")
    assert news(scan, model) == []
    (said,) = news(Image((scan.data + 5000).astype(np.float32), "yx", name="raw"), model)
    assert "17 to 120" in said


def test_what_is_measured_in_each_image_has_no_units(plain):
    assert news(image(50), plain) == []
