"""A map of classes becomes lesions with numbers of their own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError
from napari_unet.measures._components import split_classes


@settings(max_examples=60, deadline=None)
@given(values=arrays(np.uint8, (3, 5, 6), elements=st.integers(0, 2)))
def test_pieces_of_a_class_are_connected_and_apart_from_each_other(values):
    lesions, classes = split_classes(Image(values, "zyx"))
    found = np.asarray(lesions.data)
    np.testing.assert_array_equal(np.append(0, classes)[found], values)
    assert np.array_equal(np.unique(found[found > 0]), np.arange(1, len(classes) + 1))
    # Neighbors, also across a corner, have one id if and only if they are of one class.
    for step in np.ndindex(3, 3, 3):
        shifts = [(slice(max(-d, 0), n - max(d, 0)), slice(max(d, 0), n - max(-d, 0)))
                  for d, n in zip(np.subtract(step, 1), values.shape, strict=True)]  # fmt: skip
        here, there = (found[tuple(part)] for part in zip(*shifts, strict=True))
        one, other = (values[tuple(part)] for part in zip(*shifts, strict=True))
        touching = (one > 0) & (one == other)
        assert np.array_equal(here[touching], there[touching])


def test_ids_follow_time_class_and_first_pixel():
    movie = np.zeros((2, 6, 6), np.uint8)
    movie[0, 0, 0], movie[0, 3:, 3:], movie[0, 5, 0] = 2, 1, 2
    movie[1, 2, 2] = 1
    lesions, classes = split_classes(Image(movie, "tyx", (1.0, 0.5, 0.5)))
    assert classes.tolist() == [1, 2, 2, 1]
    found = np.asarray(lesions.data)
    assert [found[0, 4, 4], found[0, 0, 0], found[0, 5, 0], found[1, 2, 2]] == [1, 2, 3, 4]
    assert (lesions.axes, lesions.scale) == ("tyx", (1.0, 0.5, 0.5))
    turned, _ = split_classes(Image(movie.transpose(2, 0, 1), "xty"))
    np.testing.assert_array_equal(np.asarray(turned.data).transpose(1, 2, 0), found)


def test_a_mask_of_booleans_is_one_class():
    lesions, classes = split_classes(Image(np.eye(4, dtype=bool)[::2], "yx"))
    assert classes.tolist() == [1, 1]
    assert np.asarray(lesions.data).max() == 2


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        (np.full((4, 4), 300), ImageError, "0 to 300; classes|300 to 300; classes"),
        (np.full((4, 4), -1), ImageError, "-1"),
        (np.full((4, 4), 0.5), ImageError, "fraction"),
    ],
)
def test_what_is_no_map_of_classes_is_refused(values, error, words):
    with pytest.raises(error, match=words):
        split_classes(Image(values, "yx"))


def test_channels_are_refused():
    with pytest.raises(AxesError, match="2 channels"):
        split_classes(Image(np.zeros((2, 4, 4), int), "cyx"))
