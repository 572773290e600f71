"""Sizes of objects and their scores."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.sizes import SIZE_RANGE, decode_size, encode_size, equivalent_diameter


def test_sizes_survive_their_score():
    sizes = np.array([4.5, 10.0, 24.0, 255.0])
    np.testing.assert_allclose(decode_size(encode_size(sizes)), sizes, rtol=1e-5)
    assert encode_size(np.array([0.0])) == 0
    assert 0 < encode_size(np.array([0.5])) < 0.02
    np.testing.assert_allclose(decode_size(np.array([0.0, 1.0])), SIZE_RANGE)


@pytest.mark.parametrize(("ndim", "volume"), [(2, np.pi * 25), (3, 4 / 3 * np.pi * 125)])
def test_a_disk_has_its_own_diameter(ndim, volume):
    assert equivalent_diameter(np.array([volume]), ndim) == pytest.approx(10)
