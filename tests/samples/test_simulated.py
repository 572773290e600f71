"""Simulated nuclei: reproducible, plausible, and true to their labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.errors import SpecError
from napari_unet.samples.simulated import nuclei


def test_same_seed_same_picture():
    first, again, other = nuclei((96, 80), 12), nuclei((96, 80), 12), nuclei((96, 80), 12, seed=1)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[1] != other[1]).any()


@pytest.mark.parametrize("shape", [(200, 220), (24, 96, 90)])
def test_labels(shape):
    image, labels = nuclei(shape, 30, diameter=16)
    assert image.shape == labels.shape == shape
    assert (image.dtype, labels.dtype) == (np.uint16, np.int32)
    ids = np.unique(labels)
    assert ids.tolist() == list(range(len(ids)))
    assert len(ids) > 20
    for i in ids[1:]:
        assert ndimage.label(labels == i)[1] == 1
    diameters = np.bincount(labels.ravel())[1:]
    size = 2 * np.sqrt(diameters / np.pi) if len(shape) == 2 else np.cbrt(6 * diameters / np.pi)
    assert 12 < np.median(size) < 18


def test_nuclei_are_brighter_and_some_touch():
    image, labels = nuclei((256, 256), 60)
    background = image[labels == 0]
    means = ndimage.mean(image, labels, np.arange(1, labels.max() + 1))
    assert (means > np.median(background) + 3 * background.std() / 2).mean() > 0.8
    right = (labels[:, 1:] != labels[:, :-1]) & (labels[:, 1:] > 0) & (labels[:, :-1] > 0)
    assert right.sum() > 20


def test_noise_changes_the_picture_only():
    clean, labels = nuclei((96, 96), 10, noise=0)
    noisy, same = nuclei((96, 96), 10, noise=4)
    np.testing.assert_array_equal(labels, same)
    flat = labels[:, 1:] == 0
    # The median leaves the glow around nuclei out.
    rough = [np.median(np.abs(np.diff(image.astype(float))[flat])) for image in (clean, noisy)]
    assert rough[1] > 5 * rough[0]


def test_full_and_empty():
    _, crowded = nuclei((64, 64), 500, diameter=20)
    assert 0 < crowded.max() < 60
    image, none = nuclei((64, 64), 0)
    assert not none.any()
    assert image.std() > 0
    assert nuclei((1, 40, 40), 3)[1].any()


@pytest.mark.parametrize(
    "bad",
    [
        {"shape": (8,)},
        {"shape": (0, 8)},
        {"shape": (2, 2, 2, 2)},
        {"count": -1},
        {"diameter": 1},
        {"diameter": float("nan")},
        {"noise": -1},
        {"spread": 2},
    ],
)
def test_bad_settings(bad):
    with pytest.raises(SpecError):
        nuclei(**bad)
