"""Measurements against shapes whose values are known."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from fractions import Fraction

import dask.array as da
import numpy as np
import pytest
import zarr
from scipy.spatial import ConvexHull
from skimage.measure import regionprops_table

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError
from napari_unet.measures._moments import Moments
from napari_unet.measures._runs import Runs
from napari_unet.measures.objects import measure, measure_steps, units

BASICS = ["index", "area", "area_px", "centroid_y", "centroid_x"]


def disk(radius, shape=(101, 101), scale=(1.0, 1.0), radii=(1.0, 1.0)):
    y, x = np.ogrid[: shape[0], : shape[1]]
    cy, cx = (n // 2 for n in shape)
    r = ((y - cy) * scale[0] / radii[0]) ** 2 + ((x - cx) * scale[1] / radii[1]) ** 2
    return (r <= radius**2).astype(np.int32)


def one(table):
    assert len(table["index"]) == 1
    return {name: values[0] for name, values in table.items()}


def test_disk():
    found = one(measure(Image(disk(30) * 7, "yx")))
    assert found["index"] == 7
    assert found["area"] == pytest.approx(math.pi * 30**2, rel=0.01)
    assert (found["centroid_y"], found["centroid_x"]) == (50, 50)
    assert found["equivalent_diameter"] == pytest.approx(60, rel=0.01)
    assert found["major_axis"] == pytest.approx(60, rel=0.01)
    assert found["minor_axis"] == pytest.approx(60, rel=0.01)
    assert found["eccentricity"] == pytest.approx(0, abs=1e-6)
    assert found["perimeter"] == pytest.approx(2 * math.pi * 30, rel=0.02)
    assert found["circularity"] == pytest.approx(1, rel=0.04)
    assert found["solidity"] == pytest.approx(1, abs=0.005)
    assert not found["touches_border"]


def test_ellipse():
    found = one(measure(Image(disk(1, radii=(20, 40)), "yx")))
    assert found["major_axis"] == pytest.approx(80, rel=0.01)
    assert found["minor_axis"] == pytest.approx(40, rel=0.01)
    assert found["eccentricity"] == pytest.approx(math.sqrt(1 - 0.25), rel=0.01)


@pytest.mark.parametrize("scale", [(0.5, 0.5), (1.0, 2.5), (3.0, 1.0)])
def test_anisotropic_disk(scale):
    labels = disk(60, shape=(301, 301), scale=scale)
    found = one(measure(Image(labels, "yx", scale, ("micrometer",) * 2)))
    assert found["area"] == pytest.approx(math.pi * 60**2, rel=0.01)
    assert found["area_px"] == labels.sum()
    assert found["centroid_y"] == 150 * scale[0]
    assert found["major_axis"] == pytest.approx(120, rel=0.01)
    assert found["minor_axis"] == pytest.approx(120, rel=0.01)
    # Where pixels are not square the four directions are uneven: the estimate loses a few percent.
    assert found["perimeter"] == pytest.approx(2 * math.pi * 60, rel=0.06)


def test_rectangle():
    labels = np.zeros((20, 30), np.int64)
    labels[4:8, 10:25] = 3
    found = one(measure(Image(labels, "yx")))
    assert found["area"] == 60
    assert [found[f"bbox_{k}"] for k in ("y0", "y1", "x0", "x1")] == [4, 8, 10, 25]
    assert found["solidity"] == 1
    # A full rectangle has the moments of side²/12, so the ellipse's axes are 2/sqrt(3) times the sides.
    assert found["major_axis"] == pytest.approx(15 * 2 / math.sqrt(3))
    assert found["minor_axis"] == pytest.approx(4 * 2 / math.sqrt(3))


def test_single_pixel():
    found = one(measure(Image(np.pad([[1]], 2), "yx")))
    assert found["area"] == found["solidity"] == found["circularity"] == 1
    assert all(np.isfinite(v) for v in found.values())


def test_solidity_by_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = (rng.random((9, 11)) < 0.3).astype(int)
        points = np.argwhere(labels)
        hull = ConvexHull(points)
        grid = np.argwhere(np.ones_like(labels))
        inside = (grid @ hull.equations[:, :2].T + hull.equations[:, 2] <= 1e-9).all(axis=1)
        assert one(measure(Image(labels, "yx")))["solidity"] == pytest.approx(len(points) / inside.sum())


def test_same_as_scikit_image():
    rng = np.random.default_rng(1)
    seeds = rng.integers(5, 95, (40, 2))
    grid = np.indices((100, 100)).reshape(2, -1).T
    nearest = ((grid[:, None] - seeds) ** 2).sum(-1)
    labels = np.where(nearest.min(1) < 60, nearest.argmin(1) + 1, 0).reshape(100, 100)
    image = rng.normal(100, 10, labels.shape)
    found = measure(Image(labels, "yx"), Image(image, "yx"))
    other = regionprops_table(
        labels,
        image,
        properties=("label", "area", "centroid", "perimeter_crofton", "intensity_mean", "intensity_std", "bbox"),
    )
    for own, theirs in {
        "index": "label",
        "area": "area",
        "centroid_y": "centroid-0",
        "centroid_x": "centroid-1",
        "perimeter": "perimeter_crofton",
        "intensity_mean": "intensity_mean",
        "intensity_std": "intensity_std",
        "bbox_x1": "bbox-3",
    }.items():
        np.testing.assert_allclose(found[own], other[theirs], err_msg=own)


def test_ellipsoid_with_anisotropic_voxels():
    scale, radii = (2.0, 0.5, 1.0), (30, 12, 20)
    z, y, x = np.ogrid[-16:17, -30:31, -24:25]
    labels = ((z * 2 / 30) ** 2 + (y * 0.5 / 12) ** 2 + (x / 20) ** 2 <= 1).astype(np.uint16)
    found = one(measure(Image(labels, "zyx", scale, ("micrometer",) * 3)))
    assert found["volume"] == pytest.approx(4 / 3 * math.pi * math.prod(radii), rel=0.01)
    assert found["volume_px"] == labels.sum()
    assert [found[f"{k}_axis"] for k in ("major", "middle", "minor")] == pytest.approx([60, 40, 24], rel=0.01)
    assert found["centroid_z"] == 32
    assert "perimeter" not in found
    assert "area" not in found


def test_time_channels_and_order_of_axes():
    labels = np.zeros((3, 8, 9), np.int32)
    labels[0, 1:3, 1:3] = 5
    labels[2, 4:6, 4:7] = 5
    labels[2, 0, 0] = 2
    image = np.random.default_rng(0).random((2, 8, 9, 3)).astype(np.float32)  # c y x t
    found = measure(Image(labels, "tyx"), Image(image, "cyxt"))
    assert found["t"].tolist() == [0, 2, 2]
    assert found["index"].tolist() == [5, 2, 5]
    assert found["touches_border"].tolist() == [False, True, False]
    np.testing.assert_allclose(found["intensity_mean_c1"][2], image[1, 4:6, 4:7, 2].mean(), rtol=1e-6)
    np.testing.assert_allclose(found["intensity_sum_c0"][0], image[0, 1:3, 1:3, 0].sum(), rtol=1e-6)
    np.testing.assert_allclose(found["intensity_max_c0"][2], image[0, 4:6, 4:7, 2].max())
    np.testing.assert_allclose(found["intensity_min_c0"][2], image[0, 4:6, 4:7, 2].min())
    turned = measure(Image(labels.transpose(2, 0, 1), "xty"), Image(image, "cyxt"))
    for name, column in found.items():
        np.testing.assert_array_equal(turned[name], column, err_msg=name)


def test_lazy_images_are_read_by_time():
    labels = np.zeros((4, 16, 16), np.int32)
    labels[:, 3:6, 3:6] = 1
    seen = []

    def load(block_info=None):
        seen.append(block_info[None]["chunk-location"])
        return labels[:1]

    lazy = da.map_blocks(load, chunks=((1,) * 4, 16, 16), dtype=np.int32, meta=np.empty((0, 0, 0), np.int32))
    with_dask = measure(Image(lazy, "tyx"))
    assert sorted(seen) == [(t, 0, 0) for t in range(4)]
    assert with_dask["area"].tolist() == [9] * 4


@pytest.mark.parametrize("axes", ["yx", "zyx", "tyx", "tzyx"])
def test_nothing_to_measure(axes):
    empty = np.zeros((2,) * len(axes), np.int32)
    found = measure(Image(empty, axes), Image(empty, axes))
    assert all(len(values) == 0 for values in found.values())
    assert found["index"].dtype == np.int64
    full = measure(Image(empty + 1, axes), Image(empty, axes))
    assert list(found) == list(full)
    assert [v.dtype for v in found.values()] == [v.dtype for v in full.values()]


def test_masks_floats_and_large_ids():
    assert measure(Image(disk(5) > 0, "yx"))["index"].tolist() == [1]
    assert measure(Image(disk(5) * 3.0, "yx"))["index"].tolist() == [3]
    assert measure(Image(disk(5).astype(np.int64) * 2**40, "yx"))["index"].tolist() == [2**40]


@pytest.mark.parametrize(("value", "message"), [(0.5, "whole numbers"), (np.nan, "whole numbers"), (-1, "negative")])
def test_bad_labels(value, message):
    with pytest.raises(ImageError, match=message):
        measure(Image(np.full((4, 4), value), "yx"))


def test_image_that_does_not_fit():
    labels = Image(np.ones((4, 5), int), "yx")
    with pytest.raises(AxesError, match="do not cover the same pixels"):
        measure(labels, Image(np.ones((5, 4)), "yx"))
    with pytest.raises(AxesError, match="do not cover the same pixels"):
        measure(labels, Image(np.ones((2, 4, 5)), "tyx"))
    with pytest.raises(AxesError, match="channels"):
        measure(Image(np.ones((2, 4, 5), int), "cyx"))


def test_nan_stays_in_its_object():
    labels = np.array([[1, 1, 0, 2, 2]])
    image = np.array([[1, np.nan, 5, 3, 5]])
    found = measure(Image(labels, "yx"), Image(image, "yx"))
    assert np.isnan(found["intensity_mean"][0])
    assert found["intensity_mean"][1] == 4
    assert found["intensity_std"][1] == 1


def test_one_plane_is_no_border_in_depth():
    labels = disk(5)[None]
    assert not measure(Image(labels, "zyx"))["touches_border"][0]


def test_units():
    flat = Image(np.ones((2, 2), int), "yx", units=("micrometer",) * 2)
    assert units(flat)["area"] == "micrometer²"
    assert units(flat)["perimeter"] == units(flat)["centroid_x"] == "micrometer"
    deep = Image(np.ones((2, 2, 2), int), "zyx", units=("nanometer", "micrometer", "micrometer"))
    assert units(deep)["volume"] == "nanometer·micrometer·micrometer"
    assert units(deep)["centroid_z"] == "nanometer"
    assert units(deep)["middle_axis"] == "mixed"
    for image in (flat, deep):
        assert set(units(image)) <= set(measure(image))


def test_ten_thousand_objects():
    labels = np.kron(np.arange(1, 10001).reshape(100, 100), np.pad(np.ones((8, 8), int), 2)).astype(np.int32)
    measure(Image(disk(5), "yx"))  # compiles
    start = time.perf_counter()
    found = measure(Image(labels, "yx"), Image(labels, "yx"))
    assert time.perf_counter() - start < 5
    assert len(found["index"]) == 10000
    assert set(found["area_px"]) == {64}
    np.testing.assert_array_equal(found["intensity_mean"], found["index"])


@pytest.fixture
def small_windows(monkeypatch):
    """Cut everything into many windows, and keep few ends of rows."""
    monkeypatch.setattr("napari_unet.core.windows._STEPS", ((), (5,), (7, 9), (3, 4, 5)))
    monkeypatch.setattr("napari_unet.measures._outline._MOST_ENDS", 50)
    monkeypatch.setattr("napari_unet.measures._runs._FIRST_SIZE", 2)


@pytest.mark.parametrize(
    ("axes", "shape"), [("yx", (41, 37)), ("yx", (3, 60)), ("zyx", (8, 9, 13)), ("tyx", (2, 30, 9))]
)
@pytest.mark.parametrize("grain", [1, 4])
def test_windows_leave_the_table_as_it_is(axes, shape, grain, request):
    rng = np.random.default_rng(grain)
    labels = rng.integers(0, 12, shape) * (rng.random(shape) < 0.7)
    labels = np.kron(labels, np.ones((grain, grain), int))
    values = rng.normal(1e4, 1, (2, *labels.shape))
    values[:, rng.random(labels.shape) < 0.001] = np.nan
    objects, image = Image(labels, axes, (0.5, 1.5, 2.5)[: len(axes)]), Image(values, "c" + axes)
    whole = measure(objects, image)
    request.getfixturevalue("small_windows")
    parts = measure(objects, image)
    assert list(parts) == list(whole)
    for name, column in whole.items():
        assert parts[name].dtype == column.dtype
        if "intensity" in name:
            np.testing.assert_allclose(parts[name], column, rtol=1e-12, atol=1e-9, err_msg=name)
        else:  # whole numbers are summed up: not even the last digit may differ
            np.testing.assert_array_equal(parts[name], column, err_msg=name)


@pytest.mark.parametrize("chunks", [(64, 64), (7, 1000), (1000, 1000)])
def test_storage_leaves_every_digit_as_it_is(chunks, small_windows):
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 9, (10, 12)), np.ones((9, 9), np.uint32)).astype(np.uint32)
    values = rng.random(labels.shape, np.float32)
    whole = measure(Image(labels, "yx"), Image(values, "yx"))
    stored = zarr.array(labels, chunks=tuple(map(min, chunks, labels.shape)))
    lazy = measure(Image(stored, "yx"), Image(da.from_array(values, chunks=chunks), "yx"))
    for name, column in whole.items():
        np.testing.assert_array_equal(lazy[name], column, err_msg=name)


class Far:
    """Labels of a large image, empty but for one part."""

    def __init__(self, shape, part, at):
        self.shape, self.part, self.at, self.dtype = shape, part, at, part.dtype

    def __getitem__(self, window):
        found = np.zeros([w.stop - w.start for w in window], self.dtype)
        inner = [
            slice(max(0, a - w.start), max(0, a + n - w.start))
            for a, n, w in zip(self.at, self.part.shape, window, strict=True)
        ]
        outer = [slice(max(0, w.start - a), max(0, w.stop - a)) for a, w in zip(self.at, window, strict=True)]
        found[tuple(inner)] = self.part[tuple(outer)]
        return found


def test_objects_far_out_lose_no_digits():
    part = np.pad(disk(12, (31, 31)), 1)
    near = measure(Image(part, "yx"))
    far = measure(Image(Far((33, 1_000_000), part, (0, 987_654)), "yx"))
    for name, column in near.items():
        moved = 987_654 if name in ("centroid_x", "bbox_x0", "bbox_x1") else 0
        np.testing.assert_array_equal(far[name], column + moved, err_msg=name)


def test_moments_of_objects_as_large_as_a_slide_are_exact():
    rng = np.random.default_rng(0)
    row = np.sort(rng.integers(0, 1000, 3000)).astype(np.int32)
    start = rng.integers(0, 2000, 3000).astype(np.int32)
    runs = Runs(np.zeros(3000, np.int32), row, start, (start + 2000).astype(np.int32))
    moments, places = Moments(), [(0, 0), (90_000, 90_000), (5, 4_000_000), (8_000_000, 8_000_000)]
    for y, x in places:
        moments.add(runs, 1, (0, y, x), 1000)
    n = 3000 * 2000 * len(places)
    assert moments.pixels.tolist() == [n]
    x = [(int(a) + o, int(b) + o) for _, o in places for a, b in zip(start, runs.stop, strict=True)]
    total = sum((b - a) * (a + b - 1) // 2 for a, b in x)
    below = [k * (k - 1) * (2 * k - 1) // 6 for _, k in x], [k * (k - 1) * (2 * k - 1) // 6 for k, _ in x]
    variance = Fraction(sum(below[0]) - sum(below[1]), n) - Fraction(total, n) ** 2
    assert moments.covariance(2, 2)[0] == pytest.approx(float(variance), rel=1e-15)
    assert moments.center(2)[0] == pytest.approx(float(Fraction(total, n)), rel=1e-15)
    rows = [int(a) + o for o, _ in places for a in row]
    steep = Fraction(sum(a * a for a in rows), len(rows)) - Fraction(sum(rows), len(rows)) ** 2
    assert moments.covariance(1, 1)[0] == pytest.approx(float(steep), rel=1e-15)
    assert moments.covariance(1, 2)[0] ** 2 <= moments.covariance(1, 1)[0] * moments.covariance(2, 2)[0]


def test_a_small_spread_on_a_high_level_survives():
    labels = np.ones((300, 300), np.int32)
    values = 1e9 + np.indices(labels.shape).sum(0) % 2
    assert measure(Image(labels, "yx"), Image(values, "yx"))["intensity_std"][0] == pytest.approx(0.5)


MEMORY = """
import json, resource
import numpy as np
from napari_unet.core.axes import Image
from napari_unet.measures.objects import measure

class Tiled:
    def __init__(self, edge, dtype):
        self.shape, self.dtype, self.chunks = (edge, edge), np.dtype(dtype), (512, 512)

    def __getitem__(self, window):
        y, x = (np.arange(part.start, part.stop, dtype=self.dtype) for part in window)
        inside = (y % 32 < 25)[:, None] & (x % 32 < 25)
        return (y // 32 * (self.shape[1] // 32))[:, None] * inside + (x // 32 + 1) * inside

def peak(edge):
    table = measure(Image(Tiled(edge, "u4"), "yx"), Image(Tiled(edge, "f4"), "yx"))
    assert len(table["index"]) == (edge // 32) ** 2 and set(table["area_px"]) == {625}
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

first = peak(2048)
print(json.dumps([first, peak(8192)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_memory_is_for_the_table_and_not_for_the_image():
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    small, large = json.loads(run.stdout)
    # The larger image alone takes 256 MB, its labels as much, and its table 14 MB.
    assert large - small < 150


def test_it_tells_how_far_it_is() -> None:
    labels = np.zeros((2, 2100, 4200), np.int32)
    labels[:, 1020:1030, 4090:4100] = 7
    steps, reports = measure_steps(Image(labels, "tyx")), []
    while True:
        try:
            reports.append(next(steps))
        except StopIteration as end:
            table = end.value
            break
    assert [(report.done, report.total) for report in reports] == [(n, 12) for n in range(1, 13)]
    assert table["area_px"].tolist() == [100, 100]
    assert table["t"].tolist() == [0, 1]
