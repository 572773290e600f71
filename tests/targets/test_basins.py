"""Basins: small cases by hand. The reference implementation is in ``tests/properties/test_decode.py``."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.targets._basins import basins, climb, descend_offsets


def row(*values):
    return np.array([values], np.uint8)


def test_two_hills_and_the_saddle_between():
    hills = row(10, 50, 90, 40, 70, 20)
    solid = hills > 0
    np.testing.assert_array_equal(
        basins(hills, solid, 29, 0), row(1, 1, 1, 2, 2, 2) * [[1, 1, 1, 0, 0, 0]] + row(0, 0, 0, 1, 2, 2)
    )
    # The lower peak rises 70 - 40 = 30 above the saddle: at a persistence of 30 it is part of the higher.
    np.testing.assert_array_equal(basins(hills, solid, 30, 0), row(1, 1, 1, 1, 1, 1))


def test_the_elder_rule_compares_with_the_highest_peak_of_what_is_merged():
    # 90 and 80 merge first (saddle 75); then 60 rises 30 above its saddle 30.
    hills = row(90, 75, 80, 30, 60)
    assert basins(hills, hills > 0, 20, 0).max() == 2
    assert basins(hills, hills > 0, 30, 0).max() == 1


def test_background_separates_what_no_persistence_would():
    hills = row(9, 9, 0, 9, 9)
    np.testing.assert_array_equal(basins(hills, hills > 0, 255, 0), row(1, 1, 0, 2, 2))


def test_corners_touch():
    corner = np.eye(2, dtype=np.uint8) * 9
    np.testing.assert_array_equal(basins(corner, corner > 0, 0, 0), [[1, 0], [0, 1]])


def test_ids_follow_the_first_pixel():
    hills = np.array([[0, 0, 5, 5], [0, 0, 0, 0], [7, 7, 0, 0], [0, 0, 0, 9]], np.uint8)
    found = basins(hills, hills > 0, 0, 0)
    assert [found[0, 2], found[2, 0], found[3, 3]] == [1, 2, 3]
    first = [int(np.flatnonzero(found == i)[0]) for i in (1, 2, 3)]
    assert first == sorted(first)


@pytest.mark.parametrize(("smallest", "left"), [(0, 3), (1, 3), (2, 2), (2.5, 1), (3, 1), (4, 0)])
def test_smallest_keeps_objects_of_that_size(smallest, left):
    hills = row(9, 0, 9, 9, 0, 9, 9, 9)
    found = basins(hills, hills > 0, 0, smallest)
    assert found.max() == left
    assert len(np.unique(found[found > 0])) == left


def test_how_many_pixels_an_object_needs_may_depend_on_its_peak():
    hills = row(9, 9, 0, 5, 5, 0, 5, 5, 5)
    np.testing.assert_array_equal(basins(hills, hills > 0, 0, [3.0] * 9 + [2.0] * 247), row(1, 1, 0, 0, 0, 0, 2, 2, 2))


@pytest.mark.parametrize("shape", [(6, 7), (3, 4, 5), (1, 1), (1, 1, 1)])
def test_nothing_and_everything(shape):
    potential = np.zeros(shape, np.uint8)
    empty = basins(potential, np.zeros(shape, bool), 10, 0)
    assert empty.dtype == np.int32
    assert empty.shape == shape
    assert not empty.any()
    for value in (0, 128, 255):
        np.testing.assert_array_equal(basins(potential + np.uint8(value), np.ones(shape, bool), 0, 0), np.ones(shape))


def test_a_flat_ring_is_one_object():
    ring = np.ones((7, 7), np.uint8)
    ring[2:5, 2:5] = 0
    np.testing.assert_array_equal(basins(ring * 200, ring > 0, 0, 0), ring)


def test_the_arguments_are_left_alone():
    potential = np.random.default_rng(0).integers(0, 255, (20, 30), np.uint8)
    mask, copies = potential > 60, potential.copy()
    basins(potential, mask, 5, 0)
    basins(np.asfortranarray(potential), np.asfortranarray(mask), 5, 0)
    np.testing.assert_array_equal(potential, copies)
    np.testing.assert_array_equal(mask, copies > 60)


def test_memory_order_does_not_matter():
    potential = np.random.default_rng(0).integers(0, 255, (2, 20, 30), np.uint8)
    mask = potential > 60
    expected = basins(potential, mask, 5, 0)
    np.testing.assert_array_equal(basins(np.asfortranarray(potential), np.asfortranarray(mask), 5, 0), expected)
    np.testing.assert_array_equal(basins(potential[::-1][::-1], mask[:, ::-1][:, ::-1], 5, 0), expected)


def test_pointers_never_go_down():
    potential = np.random.default_rng(0).integers(0, 5, (3, 8, 9), np.uint8)
    pointers = climb(potential, np.ones(potential.shape, bool))
    flat = potential.ravel()
    assert (flat[pointers] >= flat).all()
    assert (pointers[flat[pointers] == flat] >= np.arange(flat.size)[flat[pointers] == flat]).all()


def test_offsets_lead_one_step_at_a_time_and_only_inwards():
    offsets = np.zeros((3, 1, 1, 6), np.int16)
    offsets[2, 0, 0] = [90, 60, 30, 0, -30, 30]  # the last one points out of the image
    pointers, potential = descend_offsets(offsets, np.ones((1, 1, 6), bool))
    assert pointers.tolist() == [1, 2, 3, 3, 3, 5]
    assert potential[0, 0, 3] == 255
    assert (np.diff(potential[0, 0, :4].astype(int)) > 0).all()


def test_faint_objects_are_dropped_by_their_peak():
    hills = row(9, 200, 9, 0, 9, 120, 9)

    def found(lowest):
        return basins(hills, hills > 0, 0, [np.inf] * lowest + [0.0] * (256 - lowest))

    np.testing.assert_array_equal(found(120), row(1, 1, 1, 0, 2, 2, 2))
    np.testing.assert_array_equal(found(121), row(1, 1, 1, 0, 0, 0, 0))
    np.testing.assert_array_equal(found(201), row(0, 0, 0, 0, 0, 0, 0))
