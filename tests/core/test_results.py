"""Sizes and hashes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import as_image
from napari_unet.core.results import Segmentation, label_hash
from napari_unet.core.sizes import SIZE_RANGE, decode_size, encode_size, equivalent_diameter


def test_the_hash_knows_values_and_shape_but_no_type():
    labels = np.arange(12).reshape(3, 4)
    assert label_hash(labels.astype("u2")) == label_hash(labels.astype(">i4")) == label_hash(labels.T.copy().T)
    assert label_hash(labels) != label_hash(labels.reshape(4, 3))
    assert label_hash(labels) != label_hash(labels + 1)
    assert Segmentation(as_image(labels), 11, 3.0, 0.1).hash == label_hash(labels)


def test_sizes_survive_their_score():
    sizes = np.array([4.5, 10.0, 24.0, 255.0])
    np.testing.assert_allclose(decode_size(encode_size(sizes)), sizes, rtol=1e-5)
    assert encode_size(np.array([0.0])) == 0
    assert 0 < encode_size(np.array([0.5])) < 0.02
    np.testing.assert_allclose(decode_size(np.array([0.0, 1.0])), SIZE_RANGE)


@pytest.mark.parametrize(("ndim", "volume"), [(2, np.pi * 25), (3, 4 / 3 * np.pi * 125)])
def test_a_disk_has_its_own_diameter(ndim, volume):
    assert equivalent_diameter(np.array([volume]), ndim) == pytest.approx(10)
