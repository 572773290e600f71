"""Defects of a map of classes, however it is cut into strips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError
from napari_unet.core.steps import finish
from napari_unet.measures import _defects
from napari_unet.measures._defects import find_defects


def found(labels, names=("crack", "hole"), axes="yx", doubt=None, **more):
    image = Image(labels, axes, **more)
    beside = None if doubt is None else Image(doubt, axes)
    return finish(find_defects(image, names, beside))


def test_a_defect_has_class_size_and_place():
    labels = np.zeros((60, 40), np.uint8)
    labels[10:13, 5:25] = 1
    labels[30:34, 30:34] = 2
    first, second = found(labels, scale=(0.5, 0.25), units=("millimeter",) * 2)
    assert (first.kind, first.area, first.y, first.x) == ("crack", 60, 11, 14.5)
    assert first.box == (10, 5, 13, 25)
    assert first.length == pytest.approx(np.hypot(3, 20))
    assert first.length_mm == pytest.approx(np.hypot(1.5, 5))
    assert first.area_mm2 == pytest.approx(60 * 0.125)
    assert (second.kind, second.area, second.confidence, second.plane) == ("hole", 16, None, ())
    assert found(labels)[0].area_mm2 is None
    assert finish(find_defects(Image(labels, "yx", (2.0, 2.0), ("um", "um")), ("a", "b")))[0].area_mm2 == pytest.approx(
        60 * 4e-6
    )


def test_touching_classes_are_apart_and_corners_join():
    labels = np.zeros((9, 9), np.uint8)
    labels[0, 0] = labels[1, 1] = labels[2, 0] = 1
    labels[3, 0] = 2
    assert [(one.kind, one.area) for one in found(labels)] == [("crack", 3), ("hole", 1)]


def test_labels_of_objects_are_defects_one_by_one():
    labels = np.zeros((50, 20), np.int32)
    labels[2:4, 2:4], labels[40:44, 2:4], labels[2:4, 4:9] = 7, 7, 9
    parts = found(labels, names=())
    assert [(one.kind, one.area) for one in parts] == [("object", 12), ("object", 10)]
    assert [one.area for one in found(np.full((5, 4), 3), names=())] == [20]


def test_planes_are_looked_at_one_by_one():
    labels = np.zeros((2, 3, 20, 20), np.uint8)
    labels[1, 2, 4:6, 4:6] = labels[0, 0, 4:6, 4:6] = 1
    assert [one.plane for one in found(labels, axes="tzyx")] == [(0, 0), (1, 2)]
    with pytest.raises(AxesError, match="channels"):
        found(labels, axes="tcyx")


def test_confidence_is_what_is_left_of_the_uncertainty():
    labels = np.zeros((8, 8), np.uint8)
    labels[:, :2] = 1
    doubt = np.zeros((8, 8), np.float32)
    doubt[:, 0] = 0.25
    assert found(labels, doubt=doubt)[0].confidence == pytest.approx(0.75)


def test_defects_that_begin_at_one_corner_keep_their_order(monkeypatch):
    labels = np.zeros((20, 8), np.uint8)
    # The crack is begun in two pieces, of which the second is kept when they meet.
    labels[:2, 0] = labels[1, 3] = labels[2, :4] = 1
    labels[:5, 5] = labels[4, :6] = 2
    whole = found(labels)
    for strip in (1, 8, 16, 24):
        monkeypatch.setattr(_defects, "_STRIP", strip)
        assert found(labels) == whole


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_strips_change_nothing(data):
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    seed, strip = data.draw(st.integers(0, 999)), data.draw(st.integers(1, 300))
    rng = np.random.default_rng(seed)
    labels = (ndimage.gaussian_filter(rng.standard_normal(shape), 1) > 0.1).astype(np.uint8)
    labels *= rng.integers(1, 3, shape, np.uint8) if seed % 2 else 1
    whole = found(labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_defects, "_STRIP", strip)
        cut, turned = found(labels), found(labels.T, axes="xy")
        pieces = found(ndimage.label(labels == 1, np.ones((3, 3)))[0], names=())
    for other in (cut, turned):
        assert [(d.kind, d.area, d.box) for d in other] == [(d.kind, d.area, d.box) for d in whole]
        np.testing.assert_allclose([d.length for d in other], [d.length for d in whole], rtol=1e-12)
    assert sorted(d.area for d in pieces) == sorted(d.area for d in whole if d.kind == "crack")
    for defect in whole:
        number, count = ndimage.label(labels == (1 if defect.kind == "crack" else 2), np.ones((3, 3)))
        assert count == sum(d.kind == defect.kind for d in whole)
        ys, xs = np.nonzero(number == number[tuple(np.argwhere(_inside(number, defect))[0])])
        corners = np.array([(y + a, x + b) for y, x in zip(ys, xs, strict=True) for a in (0, 1) for b in (0, 1)])
        apart = np.sqrt(((corners[:, None] - corners[None]) ** 2).sum(2)).max()
        assert defect.length == pytest.approx(apart)


def _inside(number, defect):
    """Return where the piece lies that a defect tells of."""
    for one in range(1, number.max() + 1):
        rows, columns = np.nonzero(number == one)
        box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        if box == defect.box and (rows.mean(), columns.mean()) == pytest.approx((defect.y, defect.x)):
            return number == one
    raise AssertionError(f"no piece like {defect}")
