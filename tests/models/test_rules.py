"""What a model says of the smallest objects, and what the settings say otherwise."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_unet.core.axes import as_image
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import NetSpec, SegmentSpec, TargetSpec
from napari_unet.models.rules import object_rule

RULE = TargetSpec(min_fraction=0.05, small_fraction=0.5, small_score=0.8)
MODEL = SimpleNamespace(card=ModelCard(name="small", net=NetSpec(), target=RULE))
IMAGE = as_image(np.zeros((8, 8), np.uint8), "yx")


def test_the_smallest_object_is_a_share_of_a_disk():
    rule, smallest = object_rule(SegmentSpec(), MODEL, 20.0, IMAGE)
    assert smallest == pytest.approx(0.05 * np.pi / 4 * 20**2)
    assert rule == RULE


def test_who_names_a_size_gets_everything_from_there_on():
    rule, smallest = object_rule(SegmentSpec(min_size=12), MODEL, 20.0, IMAGE)
    assert smallest == 12
    assert set(rule.least(smallest)) == {12}
