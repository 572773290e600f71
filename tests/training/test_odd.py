"""Images that do not fit the others are named before a training."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.examples import Example
from napari_unet.core.specs import NormalizeSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.training.odd import find_flat, find_other_units
from napari_unet.training.plan import prepare


def scan(number, planes=12, offset=0.0):
    """Return a phantom in Hounsfield units: air, a body, a lesion."""
    rng = np.random.default_rng(number)
    values = rng.normal(0, 8, (planes, 48, 48)) - 1000
    values[:, 12:36, 12:36] += 1040
    labels = np.zeros(values.shape, np.int32)
    labels[2 : planes - 2, 20:26, 20:26] = 1
    values[labels > 0] += 40
    place = {"scale": (2.0, 1.0, 1.0), "units": ("mm",) * 3, "name": f"case {number}"}
    return Example(Image((values + offset).astype(np.float32), "zyx", **place), Image(labels, "zyx", **place))


def said(examples, **more):
    return " ".join(finish(prepare(examples, TrainSpec(task="tumor", **more))).plan.warnings)


def test_a_scan_of_stored_values_is_named():
    scans = [scan(number) for number in range(4)]
    assert "same units" not in said(scans)
    text = said([*scans, scan(4, offset=-1024.0)])
    assert "'case 4' has values about -94" in text
    assert text.count("same units") == 1


@pytest.mark.parametrize("rule", [None, NormalizeSpec(), NormalizeSpec(kind="fixed", offset=(0,), divisor=(1,))])
def test_units_are_those_of_ct_alone(rule):
    assert list(find_other_units([], rule)) == []


def test_the_stack_that_makes_planes_of_all_is_named():
    scans = [scan(0), scan(1), scan(2, planes=5)]
    text = said(scans)
    assert "'case 2' has 5 planes only" in text
    assert "--dimensions 3" in text
    assert "planes only" not in said(scans, ndim=3)
    assert "planes only" not in said(scans, ndim=2)
    assert "planes only" not in said(scans[:2])


def test_flat_images_among_themselves_are_no_wonder():
    flat = [Image(np.zeros((64, 64)), "yx"), Image(np.zeros((4, 64, 64)), "zyx")]
    assert list(find_flat(flat)) == []
    assert list(find_flat([])) == []
