"""What two frames say of motion, as scores."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.errors import SpecError
from napari_unet.targets import ZERO, count_frames, directions, target
from napari_unet.targets.motion import REACH, encode


def frames(*pairs):
    """Draw squares of 6 pixels in two frames: number and corner."""
    made = [np.zeros((60, 60), np.int32) for _ in range(2)]
    for frame, number, y, x in pairs:
        made[frame][y : y + 6, x : x + 6] = number
    return made


def back(scores, mask):
    return (scores[1:3, mask].mean(axis=1) - ZERO) / (1 - ZERO) * REACH


def test_every_pixel_of_an_object_says_where_its_parent_was():
    before, here = frames((0, 2, 20, 10), (1, 2, 24, 17), (0, 4, 40, 40), (1, 4, 40, 38))
    scores = encode(here, before)
    np.testing.assert_allclose(back(scores, here == 2), [-4, -7], atol=1e-4)
    np.testing.assert_allclose(back(scores, here == 4), [0, 2], atol=1e-4)
    assert (scores[4] == (here > 0)).all()
    assert not scores[3].any()


def test_daughters_point_to_their_mother_and_say_that_she_divided():
    before, here = frames((0, 2, 20, 20), (1, 2, 20, 14), (1, 3, 20, 26), (0, 4, 40, 40), (1, 5, 42, 40))
    scores = encode(here, before)
    np.testing.assert_allclose(back(scores, here == 2), [0, 6], atol=1e-4)
    np.testing.assert_allclose(back(scores, here == 3), [0, -6], atol=1e-4)
    assert (scores[3] == np.isin(here, (2, 3))).all()  # 5 came alone


def test_nothing_is_known_of_newcomers_and_of_what_the_edge_cuts():
    before, here = frames((0, 2, 0, 20), (1, 2, 6, 20), (0, 4, 30, 50), (1, 4, 30, 54), (1, 8, 20, 20))
    scores = encode(here, before)
    assert scores[0].any()
    assert not scores[4].any()


def test_farther_than_can_be_said_is_the_most_that_can():
    before, here = (np.zeros((9, 200), np.int32) for _ in range(2))
    before[3:6, 3:6], here[3:6, 190:193] = 2, 2
    scores = encode(here, before)
    assert scores[2, 4, 191] == 0
    assert scores[1, 4, 191] == pytest.approx(ZERO)


def test_the_contract_for_two_frames():
    assert count_frames("motion") == 2
    assert count_frames("heat") == 1
    assert directions("motion") == (None, 0, 1, None)
    with pytest.raises(SpecError, match="2D"):
        encode(np.zeros((3, 8, 8), np.int32))
    # Mirrored frames have mirrored vectors: what is learned from augmented patches is right.
    before, here = frames((0, 2, 20, 10), (1, 2, 24, 17))
    learn = target("motion")
    plain, turned = learn.encode(here, before), learn.encode(here[:, ::-1], before[:, ::-1])
    np.testing.assert_allclose(turned[2, :, ::-1] - ZERO, ZERO - plain[2], atol=1e-6)
    np.testing.assert_array_equal(turned[1, :, ::-1], plain[1])
