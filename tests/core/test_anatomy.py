"""Where voxels lie: turning and mirroring stored arrays, and the way back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.anatomy import check_grid, same_grid, stand_up
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError

SHAPE = (4, 5, 6)


def rotation(angles):
    a, b, c = angles
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z


@st.composite
def affines(draw):
    """Any orientation, mirrored or not, with any voxel sizes and place."""
    turn = rotation(draw(st.tuples(*[st.floats(-3.2, 3.2)] * 3)))
    sizes = np.array(draw(st.tuples(*[st.floats(0.1, 9)] * 3)))
    signs = np.array(draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)))
    made = np.eye(4)
    made[:3, :3] = turn * sizes * signs
    made[:3, 3] = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    return made


def upright(values, anatomy):
    flips = tuple(slice(None, None, -1 if m else 1) for m in anatomy.mirrored)
    return values.transpose(anatomy.order)[flips]


@given(affines())
def test_every_voxel_keeps_its_place_and_the_stored_affine_comes_back(affine):
    anatomy = stand_up(affine, SHAPE)
    index = np.stack(np.meshgrid(*map(range, SHAPE), indexing="ij"), -1)
    places = index @ affine[:3, :3].T + affine[:3, 3]
    there = np.stack([upright(places[..., i], anatomy) for i in (2, 1, 0)], -1)
    standing = np.stack(np.meshgrid(*map(range, there.shape[:3]), indexing="ij"), -1)
    np.testing.assert_allclose(anatomy.to_world(standing), there, atol=1e-9)
    np.testing.assert_allclose(anatomy.to_index(there), standing, atol=1e-8)
    np.testing.assert_allclose(anatomy.stored, affine, atol=1e-9)


@given(affines())
def test_axes_run_to_the_head_the_back_and_the_left_and_voxels_keep_their_volume(affine):
    anatomy = stand_up(affine, SHAPE)
    assert np.prod(anatomy.scale) == pytest.approx(abs(np.linalg.det(affine[:3, :3])))
    # No other turning would be nearer: the diagonal is positive, and the largest sum of all choices.
    unit = anatomy.matrix[:3, :3] / np.linalg.norm(anatomy.matrix[:3, :3], axis=0)
    assert (np.diag(unit) >= 0).all()
    best = max(sum(abs(unit[r, c]) for r, c in enumerate(p)) for p in itertools.permutations(range(3)))
    assert np.trace(unit) == pytest.approx(best)


def test_a_tilted_gantry_counts_the_distance_between_planes():
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[1, 2] = 1.0  # each plane is shifted by a millimeter
    anatomy = stand_up(affine, SHAPE)
    assert anatomy.scale == pytest.approx((3.0, 1.0, 1.0))
    assert anatomy.skew == pytest.approx(1 / np.sqrt(10))


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, np.nan, 1), (1, 1, np.inf)])
def test_voxels_without_a_size_are_refused(sizes):
    with pytest.raises(ImageError, match="more than zero"):
        stand_up(np.diag([*sizes, 1.0]), SHAPE)
    flat = np.eye(4)
    flat[:3, 1] = flat[:3, 0]
    with pytest.raises(ImageError, match="same direction"):
        stand_up(flat, SHAPE)


def test_grids_are_told_apart():
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    data = np.zeros((6, 5, 4), np.uint8)
    one = Image(data, "zyx", anatomy=stand_up(affine, (4, 5, 6)))
    moved = affine.copy()
    moved[0, 3] = 0.5
    other = Image(data, "zyx", name="mask", anatomy=stand_up(moved, SHAPE))
    assert same_grid(one, one)
    assert same_grid(one, Image(data, "zyx"))
    assert not same_grid(one, Image(data[1:], "zyx"))
    assert not same_grid(one, other)
    check_grid(one, Image(data[1:], "zyx"))  # of no known place: who compares shapes refuses it
    with pytest.raises(ImageError, match=r"6 x 5 x 4 voxels of 3 x 2 x 2 mm.*regrid"):
        check_grid(other, one)
    # As a header of 32 bits rounds it.
    assert same_grid(one, Image(data, "zyx", anatomy=stand_up(affine.astype(np.float32) * (1 + 1e-7), SHAPE)))
