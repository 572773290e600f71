"""What is a coarser version of an image, and which of them is fine enough."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.axes import Image, as_image
from napari_unet.core.resolutions import choose_level, coarseness


@pytest.mark.parametrize(
    ("shape", "coarser", "axes", "steps"),
    [
        ((100, 80), (50, 40), "yx", (2, 2)),
        ((101, 81), (50, 40), "yx", (2, 2)),
        ((101, 81), (51, 41), "yx", (2, 2)),
        ((1000, 1001), (250, 250), "yx", (4, 4)),
        ((46920, 33600), (2932, 2100), "yx", (16, 16)),
        ((3, 100, 80), (3, 50, 40), "cyx", (1, 2, 2)),
        ((100, 80, 3), (50, 40, 3), "yxc", (2, 2, 1)),
        ((30, 100, 80), (30, 50, 40), "zyx", (1, 2, 2)),
        ((30, 100, 80), (15, 50, 40), "zyx", (2, 2, 2)),
        ((1, 80), (1, 40), "yx", (1, 2)),
        ((90, 90), (30, 30), "yx", (3, 3)),
        ((100, 80), (100, 80), "yx", ()),
        ((100, 80), (100, 40), "yx", ()),
        ((100, 80), (47, 40), "yx", ()),
        ((46920, 33600), (1024, 768), "yx", ()),
        ((4, 100, 80), (2, 50, 40), "tyx", ()),
        ((4, 100, 80), (2, 50, 40), "cyx", ()),
        ((100, 80), (40,), "yx", ()),
        ((100, 80), (0, 0), "yx", ()),
        ((10, 10), (20, 20), "yx", ()),
    ],
)
def test_steps(shape, coarser, axes, steps):
    assert coarseness(shape, coarser, axes) == steps


@given(st.integers(2, 10**6), st.integers(0, 8), st.booleans())
def test_halving_again_and_again_makes_levels(n, times, up):
    m = n
    for _ in range(times):
        m = -(-m // 2) if up else m // 2
    if times and m >= 2**times:
        assert coarseness((n, n), (m, m), "yx") == (2**times,) * 2


def test_an_image_keeps_what_is_a_level_finest_first():
    data = np.zeros((64, 48), np.uint16)
    good = [np.zeros((16, 12), np.uint16), np.zeros((32, 24), np.dtype(">u2"))]
    bad = [np.zeros((32, 24), np.uint8), np.zeros((20, 24), np.uint16), data, np.zeros((3, 32, 24), np.uint16)]
    image = Image(data, "yx", levels=(*bad, *good))
    assert image.levels == (good[1], good[0])
    assert as_image(data).levels == ()


def test_the_coarsest_level_that_is_fine_enough_is_chosen():
    image = Image(np.zeros((64, 64)), "yx", levels=tuple(np.zeros((64 // n,) * 2) for n in (2, 4, 16)))
    (plane,) = image.planes(2)
    for factor, expected in [
        (1, 0),
        (0.51, 0),
        (0.5, 1),
        (0.3, 1),
        (0.25, 2),
        (0.07, 2),
        (1 / 16, 3),
        (0.01, 3),
        (3, 0),
    ]:
        level, steps = choose_level(plane, (factor, factor))
        assert level == expected
        assert steps == ((1, 1), (2, 2), (4, 4), (16, 16))[level]
        assert plane.shape_of(level) == (64 // steps[0],) * 2
    assert choose_level(plane, (0.25, 0.5)) == (1, (2, 2))
    assert choose_level(plane, (0.1, 1)) == (0, (1, 1))


def test_a_level_with_fewer_planes_is_not_for_planes():
    volume = Image(np.zeros((8, 64, 64)), "zyx", levels=(np.zeros((8, 32, 32)), np.zeros((4, 16, 16))))
    assert choose_level(volume.planes(2)[3], (0.1, 0.1)) == (1, (2, 2))
    assert choose_level(volume.planes(3)[0], (0.5, 0.1, 0.1)) == (2, (2, 4, 4))
    assert choose_level(volume.planes(3)[0], (1.0, 0.1, 0.1)) == (1, (1, 2, 2))


def test_windows_of_levels():
    rng = np.random.default_rng(0)
    data, half = rng.random((3, 2, 20, 30)), rng.random((3, 2, 10, 15))
    image = Image(data, "tcyx", levels=(half,))
    plane = image.planes(2)[1].pick((1,))
    np.testing.assert_array_equal(plane.read((slice(2, 5), slice(0, 15)), 1), half[1, 1:, 2:5])
    np.testing.assert_array_equal(plane.read((slice(2, 5), slice(0, 15))), data[1, 1:, 2:5, :15])
    assert math.prod(plane.shape_of(1)) == 150
    assert plane.steps_of(0) == (1, 1)
    assert plane.steps_of(1) == (2, 2)
