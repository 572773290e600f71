"""Images are seen smaller where a patch would show little of them, and never so small that what is sought is lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.axes import Image
from napari_unet.core.errors import TrainingDataError
from napari_unet.core.examples import Example
from napari_unet.core.specs import TargetSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.training.pairs import Truth, make_pair
from napari_unet.training.plan import prepare
from napari_unet.training.resolution import class_widths, coarser, zoom_for


def sizes(*values):
    return np.array(values, np.float32)


def test_small_images_are_seen_as_they_are():
    assert zoom_for((300, 300), (), sizes(40, 48), 30.0, 256) == 1
    assert zoom_for((40, 50, 50), (1, 1, 1), sizes(20, 30), 10.0, 64) == 1


def test_a_patch_covers_a_quarter_of_an_image():
    # 256 of 512 pixels are a quarter; of 1024 they are once images are halved.
    assert zoom_for((512, 512), (), sizes(), 50.0, 256) == 1
    assert zoom_for((1024, 1024), (), sizes(), 50.0, 256) == 0.5
    assert zoom_for((9000, 9000), (), sizes(), 50.0, 256) == 0.25


def test_a_large_object_and_its_surroundings_fit_into_a_patch():
    assert zoom_for((400, 400), (), sizes(*[100] * 9), 100.0, 256) == 0.5
    assert zoom_for((400, 400), (), sizes(*[50] * 9), 50.0, 256) == 1


def test_where_objects_are_large_and_small_the_whole_is_seen():
    # As in ultrasound of the breast: a tumor may fill half of an image.
    assert zoom_for((319, 384), (), sizes(*[42] * 9, *[90] * 50, *[178] * 9), 60.0, 256) == 0.25


def test_what_is_sought_stays_visible():
    assert zoom_for((4000, 4000), (), sizes(*[9] * 9), 9.0, 256) == 1
    assert zoom_for((4000, 4000), (), sizes(*[400] * 9), 8.5, 256) == 0.71  # long and thin
    assert zoom_for((4000, 4000), (), sizes(), 0.0, 256) == 1  # nobody knows


def test_a_processor_is_to_see_large_objects_first():
    # As on magnetic tiles: blowholes of 8 pixels, cracks of 4.5, and uneven parts that fill half of an image.
    found = sizes(*[8.1] * 40, *[20] * 20, *[180] * 20)
    assert zoom_for((313, 258), (), found, 4.5, 256) == 1
    assert zoom_for((313, 258), (), found, 4.5, 256, hurried=True) == 0.35
    # Where nothing is large, nothing is given up for it, however large the images are.
    assert zoom_for((4000, 4000), (), sizes(*[9] * 9), 9.0, 256, hurried=True) == 1
    assert zoom_for((4000, 4000), (), sizes(*[50] * 9), 8.5, 256, hurried=True) == 0.71


@pytest.mark.parametrize(("device", "zoom"), [("cpu", 0.35), ("cuda", 1)])
def test_a_wide_class_beside_a_narrow_one_is_planned_by_what_learns(monkeypatch, device, zoom):
    monkeypatch.setattr("napari_unet.training.plan.choose_device", lambda wanted, ndim: device)
    labels = np.zeros((300, 260), np.int32)
    labels[:90, :190], labels[200:290, 100:105] = 1, 2
    image = (labels * 80 + np.random.default_rng(0).normal(50, 9, labels.shape)).astype(np.float32)
    example = Example(Image(image, "yx", name="a"), Image(labels, "yx", name="a"))
    wanted = TrainSpec(task="inspection", target=TargetSpec(name="classes", classes=("uneven", "crack")))
    assert finish(prepare([example], wanted)).plan.spec.grid.zoom == zoom
    land = wanted.model_copy(update={"target": wanted.target.model_copy(update={"background": False})})
    assert finish(prepare([example], land)).plan.spec.grid.zoom == 1


def test_a_processor_is_to_see_whole_volumes():
    # As in scans of a thigh: planes 3.3 mm apart, pixels of 1 mm, a tumor of 5 to 8 cm.
    shape, spacing, found = (55, 130, 134), (3.3, 1.0, 1.0), sizes(*[50] * 8, *[80] * 8)
    assert zoom_for(shape, spacing, found, 30.0, 64) == 0.5
    assert zoom_for(shape, spacing, found, 30.0, 48, hurried=True) == 0.25
    assert zoom_for(shape, spacing, sizes(*[15] * 8), 10.0, 48, hurried=True) == 0.71  # what is narrow stays visible


def thigh():
    labels = np.zeros((52, 130, 130), np.int32)
    labels[18:34, 40:90, 30:80] = 1
    rng = np.random.default_rng(0)
    image = (labels * 80 + rng.normal(50, 9, labels.shape)).astype(np.float32)
    where = ((3.3, 1.0, 1.0), ("millimeter",) * 3)
    return Example(Image(image, "zyx", *where, "a"), Image(labels, "zyx", *where, "a"))


@pytest.mark.parametrize(
    ("device", "spacing", "patch"), [("cpu", (3.3, 2.857, 2.857), 48), ("cuda", (3.3, 1.0, 1.0), 96)]
)
def test_volumes_are_planned_by_what_learns(monkeypatch, device, spacing, patch):
    monkeypatch.setattr("napari_unet.training.plan.choose_device", lambda wanted, ndim: device)
    spec = planned([thigh()], ndim=3).spec
    assert spec.grid.spacing == pytest.approx(spacing, rel=0.01)
    assert spec.patch == patch


@given(st.floats(100, 20000), st.floats(1, 2000), st.floats(0, 500))
def test_no_image_is_magnified_and_no_class_vanishes(edge, size, width):
    zoom = zoom_for((edge, edge), (), sizes(size), width, 256)
    assert 0 < zoom <= 1
    assert zoom == 1 or (zoom * size >= 8 and zoom * width >= 6)
    sooner = zoom_for((edge, edge), (), sizes(size), width, 256, hurried=True)
    assert sooner <= zoom
    assert sooner == 1 or (sooner * size >= 2.5 and sooner * width >= 1.5)


def test_the_finest_axes_are_made_coarser_first():
    assert coarser((3.0, 1.0, 1.0), 0.5) == (3.0, 2.0, 2.0)
    assert coarser((3.0, 1.0, 1.0), 0.25) == (4.0, 4.0, 4.0)
    assert coarser((1.0, 1.0), 1.0) == (1.0, 1.0)


def test_width_is_that_of_the_narrowest_class():
    labels = np.zeros((50, 60), np.int32)
    labels[:, 5:25] = 1
    labels[:, 40:44] = 2
    image = np.zeros((1, 50, 60), np.float32)
    assert class_widths([make_pair(image, labels, "a", truth=Truth(classes=2))]) == (4, 20)
    # Of objects all together count, and those that touch as one run each.
    assert class_widths([make_pair(image, labels, "a")]) == (12, 12)
    assert class_widths([make_pair(image, labels * 0, "a")]) == (0, 0)


def test_without_labels_in_memory_nothing_is_made_smaller(monkeypatch):
    from dataclasses import replace

    pair = make_pair(np.zeros((1, 50, 60), np.float32), np.ones((50, 60), np.int32), "a")

    class Stored:
        shape = (50, 60)

        def __getitem__(self, window):
            return torch.ones(1)

    assert class_widths([pair]) == (60, 60)
    assert class_widths([replace(pair, labels=Stored())]) == (0, 0)
    assert class_widths([replace(pair, scribbles=True)]) == (0, 0)


def large(scale=(), units=()):
    labels = np.zeros((900, 900), np.int32)
    labels[200:500, 300:640] = 1
    rng = np.random.default_rng(0)
    image = (labels * 80 + rng.normal(50, 9, labels.shape)).astype(np.float32)
    return Example(Image(image, "yx", scale, units, "a"), Image(labels, "yx", name="a"))


def planned(examples, **more):
    return finish(prepare(examples, TrainSpec(task="tumor", **more))).plan


def test_plans_say_how_large_images_are_seen():
    plan = planned([large()])
    assert (plan.spec.grid.kind, plan.spec.grid.zoom) == ("pixels", 0.25)
    assert "Images are seen 0.25 times as large." in plan.words
    assert finish(prepare([large()], plan.spec)).plan.spec == plan.spec
    assert planned([large()], zoom=1.0).spec.grid.zoom == 1
    assert planned([large()], zoom=0.5).spec.grid.zoom == 0.5


def test_grids_of_a_spacing_become_coarser_alike():
    plan = planned([large((0.2, 0.2), ("millimeter", "millimeter"))])
    assert plan.spec.grid.spacing == pytest.approx((0.2 / 0.25,) * 2, abs=1e-3)
    assert finish(prepare([large((0.2, 0.2), ("millimeter",) * 2)], plan.spec)).plan.spec == plan.spec


def test_images_of_which_nothing_is_known_say_why():
    empty = Example(large().image, Image(np.zeros((900, 900), np.int32), "yx", name="a"))
    open_classes = TargetSpec(name="classes", classes=("a", "b"), background=False)
    with pytest.raises(TrainingDataError, match="--background"):
        finish(prepare([large(), empty], TrainSpec(task="satellite", target=open_classes)))
