"""Percentiles of whole images, and what becomes of odd values."""

from __future__ import annotations

import json

import dask.array as da
import numpy as np
import pytest

from napari_unet.core.axes import Plane, as_image
from napari_unet.core.errors import SpecError
from napari_unet.core.specs import NormalizeSpec
from napari_unet.tiling.statistics import Statistics, measure_statistics, normalize

DTYPES = ["bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]


def test_small_images_are_exact() -> None:
    data = np.random.default_rng(0).integers(0, 1000, (3, 2, 40, 50))
    planes = as_image(data, "tcyx").planes(2)
    one = measure_statistics(planes, NormalizeSpec(low=5, high=95, joint=False))
    for c in range(2):
        assert (one.low[c], one.high[c]) == tuple(np.percentile(data[:, c], [5, 95]))
    joint = measure_statistics(planes, NormalizeSpec(low=5, high=95))
    assert joint.low == (np.percentile(data, 5),) * 2
    assert Statistics.from_dict(joint.to_dict()) == joint


@pytest.mark.parametrize("chunks", [None, (1, 700, 900), (1, 5000, 5000)])
def test_large_images_are_sampled(chunks: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.linspace(0, 1, 5000, dtype=np.float32)
    data = np.broadcast_to(y[:, None] + y[None], (4, 5000, 5000))
    image = as_image(data if chunks is None else da.from_array(data, chunks=chunks), "tyx")
    read: list[int] = []
    plain = Plane.read

    def counted(plane: Plane, window: tuple[slice, ...]) -> np.ndarray:
        block = plain(plane, window)
        read.append(block.size)
        return block

    monkeypatch.setattr(Plane, "read", counted)
    found = measure_statistics(image.planes(2), NormalizeSpec(low=10, high=90))
    assert 2**22 < sum(read) <= 2**24
    assert len(read) >= 12
    assert found.low[0] == pytest.approx(0.447, abs=0.15)
    assert found.high[0] == pytest.approx(1.553, abs=0.15)
    assert measure_statistics(image.planes(2), NormalizeSpec(low=10, high=90)) == found
    whole = as_image(data, "tyx")
    assert measure_statistics(whole.planes(2), NormalizeSpec(low=10, high=90)) == found, "storage must not matter"


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(dtype: str) -> None:
    data = (np.arange(64).reshape(8, 8) % (2 if dtype == "bool" else 64)).astype(dtype)
    image = as_image(data)
    found = measure_statistics(image.planes(2), NormalizeSpec(low=0, high=100))
    out = normalize(data[None], found)
    assert out.dtype == np.float32
    assert (out.min(), out.max()) == (0, 1)


def test_odd_values_count_as_low() -> None:
    data = np.array([[1, 2, np.nan, np.inf, -np.inf, 3]])
    found = measure_statistics(as_image(data).planes(2), NormalizeSpec(low=0, high=100))
    assert (found.low, found.high) == ((1.0,), (3.0,))
    np.testing.assert_array_equal(normalize(data[None], found)[0, 0], [0, 0.5, 0, 0, 0, 1])


@pytest.mark.parametrize("value", [0, 7, np.nan, -1e300])
def test_a_constant_image_becomes_zero(value: float) -> None:
    data = np.full((5, 6), value)
    found = measure_statistics(as_image(data).planes(2), NormalizeSpec())
    assert not normalize(data[None], found).any()


def test_few_bright_pixels_are_kept() -> None:
    data = np.zeros((100, 100))
    data[3, 4] = 9
    found = measure_statistics(as_image(data).planes(2), NormalizeSpec())
    assert (found.low, found.high) == ((0.0,), (9.0,))


def _dim_field(speck: int, dtype: str = "uint16") -> np.ndarray:
    """Return nuclei of 600 to 900 on a noisy ground of 100, with a saturated square of so many pixels along an edge."""
    rng = np.random.default_rng(5)
    field = rng.normal(100, 5, (200, 200))
    for y, x in np.ndindex(4, 4):
        field[40 * y : 40 * y + 12, 40 * x : 40 * x + 12] = 750 + rng.normal(0, 50, (12, 12))
    field[60 : 60 + speck, 60 : 60 + speck] = 65535
    return field.clip(0, 65535).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_a_saturated_speck_does_not_set_the_scale(dtype: str) -> None:
    plain, specked = (
        measure_statistics(as_image(_dim_field(n, dtype), "yx").planes(2), NormalizeSpec()) for n in (0, 12)
    )
    assert specked.high[0] == pytest.approx(plain.high[0], rel=0.05)
    assert specked.low == pytest.approx(plain.low, rel=0.01)


def test_types_agree_on_specks() -> None:
    found = {
        measure_statistics(as_image(_dim_field(12).astype(dtype), "yx").planes(2), NormalizeSpec())
        for dtype in ("uint16", "int32", "float64")
    }
    assert len(found) == 1


@pytest.mark.parametrize("ground", [np.zeros, lambda shape: np.random.default_rng(0).poisson(1.6, shape)])
def test_saturated_objects_on_an_empty_ground_set_the_scale(ground) -> None:
    field = np.asarray(ground((200, 200))).astype(np.uint8)
    field[20:40, 30:50] = 255
    assert measure_statistics(as_image(field, "yx").planes(2), NormalizeSpec()).high == (255.0,)


def test_saturated_nuclei_among_others_set_the_scale() -> None:
    field = _dim_field(0)
    field[40:52][field[40:52] > 400] = 3000  # a row of nuclei is four times brighter, all as bright as can be
    assert measure_statistics(as_image(field, "yx").planes(2), NormalizeSpec()).high == (3000.0,)


def test_where_nothing_is_clipped_percentiles_are_percentiles() -> None:
    spec = NormalizeSpec(limits=None)
    assert measure_statistics(as_image(_dim_field(12), "yx").planes(2), spec).high == (65535.0,)


@pytest.mark.parametrize("scale", [1.7e308, 1e300, 1e-310, 5e-324])
def test_extreme_ranges_stay_finite(scale: float) -> None:
    data = np.linspace(-1, 1, 101).reshape(1, 101) * scale
    found = measure_statistics(as_image(data).planes(2), NormalizeSpec(low=0, high=100))
    out = normalize(data[None], found)
    assert (out.min(), out.max()) == (0, 1)
    spread = normalize(np.array([[[1.7e308, -1.7e308, 0.25]]]), Statistics((0.0,), (1.0,)))
    np.testing.assert_array_equal(spread, [[[4, -1, 0.25]]])


def test_mean_and_spread_and_what_is_clipped():
    data = np.array([[[0.0, 10, 20, np.nan], [30, 40, 1000, -1000]]], np.float32)
    image = as_image(data[0], "yx")
    found = measure_statistics(
        image.planes(2), NormalizeSpec(kind="mean_std", floor=0, ceiling=40, limits=None, eps=0.5)
    )
    clipped = np.array([0, 10, 20, 30, 40, 40, 0.0])
    assert found.low == (pytest.approx(clipped.mean()),)
    assert found.high == (pytest.approx(clipped.mean() + clipped.std() + 0.5),)
    values = normalize(data, found)
    least, most = ((v - clipped.mean()) / (clipped.std() + 0.5) for v in (0, 40))
    assert (values.min(), values.max()) == (pytest.approx(least), pytest.approx(most))
    assert Statistics.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_intensities_can_stay_as_they_are():
    data = np.array([[[-7.0, 0.25], [3, 70000]]], np.float32)
    found = measure_statistics(as_image(data[0], "yx").planes(2), NormalizeSpec(kind="none", limits=None))
    np.testing.assert_array_equal(normalize(data, found), data)
    assert "limits" not in measure_statistics(as_image(data[0], "yx").planes(2), NormalizeSpec()).to_dict()
    limited = measure_statistics(as_image(data[0], "yx").planes(2), NormalizeSpec(kind="none", limits=(0, 1)))
    assert normalize(data, limited).ravel().tolist() == [0, 0.25, 1, 1]


def test_fixed_intensities_are_the_same_in_all_images() -> None:
    data = np.array([[[0, 5000, 10000]], [[100, 300, 900]]], np.uint16)
    planes = as_image(data, "cyx").planes(2)
    one = measure_statistics(planes, NormalizeSpec(kind="fixed", offset=(0,), divisor=(10000,)))
    np.testing.assert_allclose(normalize(data, one)[:, 0], [[0, 0.5, 1], [0.01, 0.03, 0.09]], rtol=1e-6)
    each = NormalizeSpec(kind="fixed", offset=(0, 100), divisor=(10000, 200), floor=0, ceiling=5000)
    found = normalize(data, measure_statistics(planes, each))[:, 0]
    np.testing.assert_allclose(found, [[0, 0.5, 0.5], [0, 1, 4]], rtol=1e-6)
    with pytest.raises(SpecError, match="of 3 channels are known, but there are 2"):
        measure_statistics(planes, NormalizeSpec(kind="fixed", offset=(0,) * 3, divisor=(1,) * 3))
    with pytest.raises(SpecError, match="give an offset and a divisor"):
        measure_statistics(planes, NormalizeSpec(kind="fixed"))


@pytest.mark.parametrize("kind", ["percentile", "mean_std", "none", "fixed"])
@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_a_band_that_is_not_there_is_seen_as_zeros(kind: str, joint: bool, dtype: str) -> None:
    data = np.random.default_rng(0).integers(50, 200, (2, 300, 300)).astype(dtype)
    numbers = {"offset": (20,), "divisor": (9,)} if kind == "fixed" else {}
    spec = NormalizeSpec(kind=kind, joint=joint, **numbers)
    plane = as_image(data, "cyx").planes(2)[0]
    lacking, both = plane.pick((1, -1, 0)), plane.pick((1, 0))
    whole = (slice(0, 300), slice(0, 300))
    found, known = measure_statistics([lacking], spec), measure_statistics([both], spec)
    seen = normalize(lacking.read(whole), found)
    assert not seen[1].any()
    np.testing.assert_array_equal(seen[[0, 2]], normalize(both.read(whole), known))
