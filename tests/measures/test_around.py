"""What lies around objects: like scikit-image where nothing is tied, and the same however it is cut."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.segmentation import expand_labels

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, SpecError
from napari_unet.measures._around import grow

Labels = npt.NDArray[np.int32]


def nearest(labels: Labels, distance: float, scale: tuple[float, ...]) -> Labels:
    """Ask every pixel of the background for the nearest pixel of an object, one by one."""
    where = np.argwhere(labels > 0)
    found = labels.copy()
    for at in np.argwhere(labels == 0):
        if not len(where):
            break
        far = np.sqrt((((where - at) * np.array(scale)) ** 2).sum(1))
        least = far.min()
        if least <= distance * (1 + 1e-9):
            found[tuple(at)] = labels[tuple(where[far <= least * (1 + 1e-12)].T)].min()
    return found


def blobs(seed: int, shape: tuple[int, ...], count: int = 6) -> Labels:
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for k in range(1, count + 1):
        middle = [int(rng.integers(0, n)) for n in shape]
        labels[tuple(slice(max(0, m - 1), m + int(rng.integers(1, 4))) for m in middle)] = k
    return labels


@pytest.mark.parametrize(("shape", "scale"), [((23, 31), (1.0, 1.0)), ((17, 20), (0.5, 0.8)), ((7, 12, 9), (2, 1, 1))])
@pytest.mark.parametrize("distance", [1.0, 2.5, 4.0])
def test_every_pixel_goes_to_the_nearest(shape: Any, scale: Any, distance: float) -> None:
    labels = blobs(len(shape), shape)
    grown = grow(Image(labels, "zyx"[-len(shape) :], scale=scale), distance)
    np.testing.assert_array_equal(np.asarray(grown.data), nearest(labels, distance, scale))


def test_it_covers_what_scikit_image_covers() -> None:
    labels = blobs(3, (60, 80), 12)
    own, theirs = np.asarray(grow(Image(labels, "yx"), 6.0).data), expand_labels(labels, 6.0)
    np.testing.assert_array_equal(own > 0, theirs > 0)
    assert (own != theirs).mean() < 0.02  # where two are as near


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6), distance=st.floats(0.5, 7), ring=st.booleans(),
    at=st.tuples(st.integers(0, 29), st.integers(0, 39)), size=st.tuples(st.integers(1, 30), st.integers(1, 40)),
    axes=st.sampled_from(["yx", "xy"]), scale=st.sampled_from([(1.0, 1.0), (0.3, 0.7)]),
)  # fmt: skip
def test_windows_and_the_order_of_axes_change_nothing(
    seed: int, distance: float, ring: bool, at: Any, size: Any, axes: str, scale: Any
) -> None:
    labels = blobs(seed, (30, 40), 9)
    whole = np.asarray(grow(Image(labels, "yx", scale=scale), distance, ring).data)
    turned = axes == "xy"
    other = grow(Image(labels.T if turned else labels, axes, scale=scale[::-1] if turned else scale), distance, ring)
    window = tuple(slice(a, a + n) for a, n in zip(at, size, strict=True))
    found = other.data[window[::-1] if turned else window]
    np.testing.assert_array_equal(found.T if turned else found, whole[window])


def test_time_points_and_indices() -> None:
    labels = np.stack([blobs(1, (9, 11), 2), blobs(2, (9, 11), 2)])
    grown = grow(Image(labels, "tyx"), 2.0)
    for t in range(2):
        np.testing.assert_array_equal(grown.data[t], np.asarray(grow(Image(labels[t], "yx"), 2.0).data))
    assert grown.data[-1, ..., 3].shape == (9,)
    assert grown.data[0, 4, 5].shape == ()
    assert grown.data[0, 4:2].shape == (0, 11)
    with pytest.raises(IndexError):
        grown.data[::2]


def test_the_table_has_rings_and_cells() -> None:
    labels = blobs(5, (2, 40, 50), 7)
    labels[1][labels[1] == 3] = 0
    image = np.random.default_rng(0).normal(100, 20, (2, 2, 40, 50)).astype(np.float32)
    scale = (1.0, 0.5, 0.5)
    source = Image(
        image, "tcyx", scale=(1.0, 1.0, 0.5, 0.5), units=("second", "pixel", "micrometer", "micrometer"),
        channel_names=("DAPI", "GFP"),
    )  # fmt: skip
    given_labels = Image(labels, "tyx", scale=scale, units=("second", "micrometer", "micrometer"))
    table = workflows.measure(given_labels, source, around="2 um")
    plain = workflows.measure(given_labels, source)
    for name, column in plain.items():
        np.testing.assert_array_equal(table[name], column)
    for row in range(len(table["index"])):
        t, label = int(table["t"][row]), int(table["index"][row])
        cells = nearest(labels[t], 4.0, (1.0, 1.0)) == label
        ring = cells & (labels[t] == 0)
        assert table["ring_area"][row] == pytest.approx(ring.sum() * 0.25)
        assert table["cell_area"][row] == pytest.approx(cells.sum() * 0.25)
        for channel, name in enumerate(("DAPI", "GFP")):
            for what, mask in (("ring", ring), ("cell", cells)):
                values = image[t, channel][mask].astype(float)
                for how, compute in (("mean", np.mean), ("std", np.std), ("min", np.min), ("max", np.max)):
                    assert table[f"{what}_intensity_{how}_{name}"][row] == pytest.approx(compute(values), rel=1e-6)
                assert table[f"{what}_intensity_sum_{name}"][row] == pytest.approx(values.sum())
            inside = image[t, channel][labels[t] == label].mean()
            assert table[f"intensity_ratio_{name}"][row] == pytest.approx(inside / image[t, channel][ring].mean())


def test_who_has_no_room_has_no_ring() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[:, :] = 2
    labels[4, 4] = 1
    labels[0, 0] = 0
    image = np.arange(81, dtype=np.float32).reshape(9, 9)
    table = workflows.measure(labels, image, around=3)
    assert table["ring_area"].tolist() == [0, 1]
    assert math.isnan(table["ring_intensity_mean"][0])
    assert math.isnan(table["intensity_ratio"][0])
    assert table["cell_intensity_mean"][0] == table["intensity_mean"][0] == 40
    assert table["cell_area"].tolist() == [1, 80]
    empty = workflows.measure(np.zeros((5, 5), np.int32), np.ones((5, 5)), around=3)
    assert len(empty["ring_area"]) == len(empty["intensity_ratio"]) == 0


@pytest.mark.parametrize("around", ["much", "-3", "0", "5 um", "5 apples"])
def test_what_is_no_distance_is_said(around: str) -> None:
    with pytest.raises(SpecError, match="pixel"):
        workflows.measure(blobs(1, (9, 9)), around=around)


def test_too_far_and_no_labels_are_said() -> None:
    with pytest.raises(ImageError, match="at most 4096"):
        grow(Image(blobs(1, (9, 9)), "yx"), 1e6)
    with pytest.raises(ImageError, match="does not hold labels"):
        np.asarray(grow(Image(np.full((5, 5), 0.5), "yx"), 2.0).data)
    with pytest.raises(SpecError, match="how far"):
        workflows.grow(blobs(1, (9, 9)), "")
    with pytest.raises(SpecError, match="'objects'"):
        workflows.measure(blobs(1, (9, 9)), None, ("classes",), around=2)
