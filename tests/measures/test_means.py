"""The mean inside of every object, whatever the order of the axes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.measures._means import means


@pytest.mark.parametrize("axes", ["yx", "tyx", "zyx", "tzyx", "yxt", "ytx"])
def test_means(axes):
    rng = np.random.default_rng(0)
    shape = (2, 3, 6, 5)[-len(axes) :]
    labels = rng.integers(0, 6, shape).astype(np.int32)
    labels[labels == 3] = 0
    values = rng.random(shape, np.float32)
    ids = np.array([1, 2, 4, 5])
    found = means(Image(labels, axes), Image(values, axes), ids)
    np.testing.assert_allclose(found, [values[labels == i].mean(dtype=float) for i in ids])
    assert found.dtype == np.float64


def test_no_objects():
    empty = Image(np.zeros((4, 4), np.int32), "yx")
    assert means(empty, empty, np.zeros(0, np.int64)).shape == (0,)
