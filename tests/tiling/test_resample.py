"""Sampling and interpolation against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.tiling.grid import Span
from napari_unet.tiling.resample import apply_taps, interpolation_taps, mirror, resample, sampling_taps


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_mirror_is_numpys_reflect(n: int) -> None:
    far = 40
    expected = np.pad(np.arange(n), far, mode="reflect")
    np.testing.assert_array_equal(mirror(np.arange(-far, n + far), n), expected)


@pytest.mark.parametrize("factor", [0.04, 0.23, 0.5, 0.9, 1, 1.7, 3])
def test_a_constant_stays_and_weights_add_up(factor: float) -> None:
    taps = sampling_taps(Span(-30, 50), 11, factor)
    np.testing.assert_allclose(taps.weights.sum(axis=1), 1, rtol=1e-6)
    assert taps.box.start >= 0
    assert taps.box.stop <= 11


def test_a_ramp_is_enlarged_to_a_ramp() -> None:
    ramp = np.arange(20, dtype=np.float32)[None]
    large = resample(ramp, [2.0])
    assert large.shape == (1, 40)
    np.testing.assert_allclose(large[0, 4:-4], (np.arange(40)[4:-4] + 0.5) / 2 - 0.5, rtol=1e-6)


@pytest.mark.parametrize("factor", [1.3, 2.0, 6.8])
def test_enlarging_keeps_a_parabola(factor: float) -> None:
    """Cubic convolution errs by the third power of the sampling step only (Keys 1981, section III)."""
    parabola = (np.arange(20, dtype=np.float32) ** 2 / 10)[None]
    large = resample(parabola, [factor])
    edge = int(4 * factor)
    position = (np.arange(large.shape[1]) + 0.5) / factor - 0.5
    np.testing.assert_allclose(large[0, edge:-edge], position[edge:-edge] ** 2 / 10, rtol=1e-4)


def test_shrinking_removes_what_is_too_fine() -> None:
    stripes = np.tile(np.array([0, 1], np.float32), 50)[None]
    np.testing.assert_allclose(resample(stripes, [0.25]), 0.5, atol=1e-6)


def test_nothing_is_computed_without_resampling() -> None:
    block = np.random.default_rng(0).normal(size=(2, 9, 8)).astype(np.float32)
    same = resample(block, [1, 1])
    assert np.shares_memory(same, block)
    np.testing.assert_array_equal(same, block)


def test_interpolation_back_follows_the_ramp() -> None:
    taps = interpolation_taps(Span(3, 9), 0.5)
    net = np.arange(0, 8, dtype=np.float32)[None]
    np.testing.assert_allclose(apply_taps(net, [taps])[0], (np.arange(3, 9) + 0.5) * 0.5 - 0.5, rtol=1e-6)
