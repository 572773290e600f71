"""Fields inside objects, against slow definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from napari_unet.targets._fields import distances, heat, medoid_offsets, relative_distances, touching

LABELS = st.sampled_from([2, 3]).flatmap(
    lambda rank: arrays(np.int32, array_shapes(min_dims=rank, max_dims=rank, max_side=9), elements=st.integers(0, 3))
)


@settings(deadline=None, max_examples=40)
@given(LABELS)
def test_distances_are_those_of_each_object_alone(labels):
    expected = np.zeros(labels.shape, np.float32)
    for label in range(1, 4):
        mask = labels == label
        far = ndimage.distance_transform_edt(mask) if not mask.all() else np.full(mask.shape, max(mask.shape))
        expected[mask] = far[mask]
    np.testing.assert_allclose(distances(labels), expected, rtol=1e-5)


def test_the_border_of_the_image_is_no_border_of_an_object():
    labels = np.ones((5, 9), np.int32)
    labels[:, 0] = 0
    np.testing.assert_array_equal(distances(labels)[2], np.arange(9))


@settings(deadline=None, max_examples=25)
@given(LABELS)
def test_relative_distances_reach_1_in_every_object(labels):
    field = relative_distances(labels)
    assert field.dtype == np.float32
    assert not field[labels == 0].any()
    for label in np.unique(labels[labels > 0]):
        assert field[labels == label].max() == 1
        assert field[labels == label].min() > 0


@settings(deadline=None, max_examples=25)
@given(LABELS, st.integers(1, 3))
def test_touching_is_having_another_object_near_along_an_axis(labels, reach):
    expected = np.zeros(labels.shape, np.float32)
    for at in zip(*np.nonzero(labels), strict=True):
        for axis in range(labels.ndim):
            for step in range(-reach, reach + 1):
                there = list(at)
                there[axis] += step
                if 0 <= there[axis] < labels.shape[axis]:
                    other = labels[tuple(there)]
                    expected[at] = max(expected[at], other not in (0, labels[at]))
    np.testing.assert_array_equal(touching(labels, reach), expected)


@settings(deadline=None, max_examples=25)
@given(LABELS)
def test_offsets_lead_to_one_pixel_of_the_object(labels):
    offsets = medoid_offsets(labels)
    assert not offsets[:, labels == 0].any()
    for label in np.unique(labels[labels > 0]):
        where = np.stack(np.nonzero(labels == label))
        inside = offsets[:, labels == label]
        middle = where[:, np.abs(inside).sum(0) == 0]
        assert middle.shape[1] == 1
        reach = max(1.0, np.linalg.norm(where - middle, axis=0).max())
        np.testing.assert_allclose(inside * reach, middle - where, atol=1e-4)
        nearest = np.linalg.norm(where - where.mean(1, keepdims=True), axis=0).min()
        assert np.linalg.norm(middle[:, 0] - where.mean(1)) == pytest.approx(nearest)


@settings(deadline=None, max_examples=25)
@given(LABELS)
def test_heat_reaches_1_in_every_object_and_ends_there(labels):
    field = heat(labels)
    assert not field[labels == 0].any()
    for label in np.unique(labels[labels > 0]):
        assert field[labels == label].max() == 1


@settings(deadline=None, max_examples=25)
@given(array_shapes(min_dims=2, max_dims=3, max_side=12))
def test_heat_is_highest_at_the_medoid(shape):
    box = np.pad(np.ones(shape, np.int32), 1)
    middle = (box > 0) & (np.abs(medoid_offsets(box)).sum(0) == 0)
    assert heat(box)[middle] == 1


def test_heat_does_not_flow_between_objects():
    two = np.zeros((12, 20), np.int32)
    two[2:10, 2:10], two[2:10, 10:18] = 1, 2
    np.testing.assert_array_equal(heat(two)[:, 2:10], heat(np.where(two == 1, 1, 0))[:, 2:10])


@pytest.mark.parametrize("field", [distances, relative_distances, touching, heat])
@pytest.mark.parametrize("shape", [(5, 6), (3, 5, 6), (1, 1)])
def test_nothing_has_no_field(field, shape):
    found = field(np.zeros(shape, np.int32))
    assert found.dtype == np.float32
    assert found.shape == shape
    assert not found.any()
    assert not medoid_offsets(np.zeros(shape, np.int32)).any()


def test_values_of_labels_may_have_holes():
    labels = np.zeros((8, 8), np.uint16)
    labels[1:4, 1:4], labels[5:8, 4:8] = 7, 4000
    for field in (distances, relative_distances, heat, touching, medoid_offsets):
        np.testing.assert_array_equal(field(labels), field(np.where(labels == 4000, 1, labels // 7 * 2)))
