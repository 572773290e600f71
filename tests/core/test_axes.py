"""Images with named axes, and the pieces a network sees."""

from __future__ import annotations

import itertools

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_unet.core.axes import Image, as_image, guess_axes, parse_axes
from napari_unet.core.errors import AxesError, ImageError


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("tyx", "tyx"),
        ("TZYX", "tzyx"),
        (("time", "y", "x"), "tyx"),
        (["Depth", "channel", "y", "x"], "zcyx"),
        (("plane", " y ", "x"), "zyx"),
        (("y", "x", "rgb"), "yxc"),
        ("yxs", "yxc"),
    ],
)
def test_axes_are_parsed(text, axes):
    assert parse_axes(text) == axes


@pytest.mark.parametrize("text", ["tzx", "yyx", "yx?", "qyx", "yxcs", ("y", "x", ""), "y x", ("yx",)])
def test_axes_that_make_no_sense_are_refused(text):
    with pytest.raises(AxesError):
        parse_axes(text)


@pytest.mark.parametrize(
    ("shape", "dtype", "axes"),
    [
        ((20, 30), "uint16", "yx"),
        ((5, 20, 30), "uint16", "zyx"),
        ((20, 30, 3), "uint8", "yxc"),
        ((20, 30, 4), "uint8", "yxc"),
        ((20, 30, 3), "float32", "zyx"),
        ((20, 30, 2), "uint8", "zyx"),
        ((256, 64, 2), "uint16", "yxc"),
        ((2, 256, 256), "uint16", "zyx"),
    ],
)
def test_axes_are_guessed(shape, dtype, axes):
    assert guess_axes(shape, np.dtype(dtype)) == axes


def test_what_has_several_readings_is_asked_for():
    with pytest.raises(AxesError, match="axes='tzyx'"):
        guess_axes((2, 3, 4, 5))


def test_image_fills_in_what_is_missing():
    image = as_image(np.zeros((2, 3, 4, 5)), "tcyx", name="a")
    assert image.scale == (1.0,) * 4
    assert image.units == ("pixel",) * 4
    assert (image.shape, image.channels, image.spatial, image.label_axes) == ((2, 3, 4, 5), 3, "yx", "tyx")
    assert as_image(image) is image
    assert as_image(np.zeros((4, 5))).channels == 1


def test_shape_scale_and_units_follow_the_axes():
    image = Image(np.zeros((2, 3, 4)), "zyx", (2.0, 0.5, 0.25), ("micrometer", "pixel", "nanometer"))
    assert image.along("xz") == ((4, 2), (0.25, 2.0), ("nanometer", "micrometer"))


@pytest.mark.parametrize("more", [{"scale": (1.0,)}, {"units": ("pixel",) * 3}])
def test_scale_and_units_must_fit(more):
    with pytest.raises(AxesError, match="2 entries"):
        as_image(np.zeros((3, 4)), "yx", **more)


@pytest.mark.parametrize(
    ("data", "axes", "error"),
    [
        (np.zeros((3, 4)), "tyx", AxesError),
        (np.zeros((2, 2, 3, 4)), None, AxesError),
        (np.zeros((0, 4)), None, ImageError),
        (np.zeros(4), None, ImageError),
        (np.float64(3), None, ImageError),
        (np.zeros((3, 4), complex), None, ImageError),
        (np.array([["a", "b"]]), None, ImageError),
        ([[1, 2], [3]], None, ImageError),
        (None, None, ImageError),
    ],
)
def test_what_is_no_image_is_refused(data, axes, error):
    with pytest.raises(error):
        as_image(data, axes)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long doubles are doubles here")
def test_numbers_that_few_programs_know_are_refused():
    with pytest.raises(ImageError, match="64 bits at most"):
        as_image(np.zeros((3, 4), np.longdouble))


def test_lists_and_booleans_are_images():
    assert as_image([[1, 2], [3, 4]]).shape == (2, 2)
    assert as_image(np.ones((3, 3), bool)).axes == "yx"


def test_planes_of_a_network_with_as_many_dimensions():
    (plane,) = as_image(np.arange(12).reshape(3, 4)).planes(2)
    assert (plane.axes, plane.shape, plane.at) == ("yx", (3, 4), ())
    np.testing.assert_array_equal(plane.read((slice(1, 3), slice(0, 2))), [[[4, 5], [8, 9]]])


def test_planes_of_a_2d_network_are_times_and_depths():
    data = np.arange(2 * 3 * 2 * 4 * 5).reshape(2, 3, 2, 4, 5)
    planes = as_image(data, "tczyx").planes(2)
    assert [plane.at for plane in planes] == list(itertools.product(range(2), range(2)))
    for plane in planes:
        t, z = plane.at
        np.testing.assert_array_equal(plane.read((slice(0, 4), slice(0, 5))), data[t, :, z])


def test_planes_of_a_3d_network_are_times():
    data = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    planes = as_image(data, "tzyx").planes(3)
    assert [(plane.axes, plane.shape) for plane in planes] == [("zyx", (3, 4, 5))] * 2
    np.testing.assert_array_equal(planes[1].read((slice(0, 3),) * 3)[0], data[1, :, :3, :3])


@pytest.mark.parametrize("order", ["".join(p) for p in itertools.permutations("tczyx")][::7])
def test_a_plane_is_the_same_in_any_order_of_axes(order):
    data = np.random.default_rng(0).integers(0, 99, (2, 3, 2, 4, 5))
    moved = data.transpose(["tczyx".index(a) for a in order])
    planes = as_image(moved, order).planes(2)
    assert len(planes) == 4
    for plane in planes:
        at = dict(zip([order[d] for d, _ in plane.fixed], plane.at, strict=True))
        expected = data[at["t"], :, at["z"]]
        found = plane.read(tuple({"y": slice(1, 4), "x": slice(0, 2)}[a] for a in plane.axes))
        if plane.axes == "xy":
            found = found.swapaxes(1, 2)
        np.testing.assert_array_equal(found, expected[:, 1:4, 0:2])


def test_depth_stored_last_is_still_depth():
    data = np.arange(60).reshape(3, 4, 5)
    planes = as_image(data, "yxz").planes(2)
    assert {plane.axes for plane in planes} == {"yx"}
    np.testing.assert_array_equal(planes[2].read((slice(0, 3), slice(0, 4)))[0], data[..., 2])


def test_channels_are_picked_in_the_order_asked_for():
    data = np.arange(24).reshape(3, 2, 4)
    (plane,) = as_image(data, "cyx").planes(2)
    window = (slice(0, 2), slice(0, 4))
    np.testing.assert_array_equal(plane.pick((2, 0)).read(window), data[[2, 0]])
    np.testing.assert_array_equal(plane.pick((2, 0)).pick(None).read(window), data)


def test_a_2d_image_is_too_flat_for_a_3d_network():
    with pytest.raises(AxesError, match="needs 3"):
        as_image(np.zeros((4, 5))).planes(3)


def test_only_the_window_is_loaded_from_dask():
    loaded = []

    def load(block, block_info=None):
        loaded.append(block_info[None]["chunk-location"])
        return block

    lazy = da.zeros((3, 40, 40), chunks=(1, 10, 10)).map_blocks(load, dtype=float, meta=np.zeros((0, 0, 0)))
    planes = as_image(lazy, "zyx").planes(2)
    assert loaded == []
    block = planes[1].read((slice(12, 18), slice(0, 10)))
    assert (type(block), block.shape) == (np.ndarray, (1, 6, 10))
    assert loaded == [(1, 1, 0)]


def test_zarr_arrays_are_read_too():
    data = np.arange(60, dtype="u2").reshape(3, 4, 5)
    stored = zarr.array(data, chunks=(1, 2, 5))
    np.testing.assert_array_equal(
        as_image(stored, "tyx").planes(2)[2].read((slice(1, 3), slice(2, 5)))[0], data[2, 1:3, 2:]
    )


@pytest.mark.parametrize("error", [OSError, ValueError, KeyError, RuntimeError])
def test_what_cannot_be_read_says_where(error):
    def fail(block):
        raise error("gone")

    lazy = da.zeros((8, 8), chunks=4).map_blocks(fail, dtype=float, meta=np.zeros((0, 0)))
    (plane,) = as_image(lazy, name="broken").planes(2)
    with pytest.raises(ImageError, match=r"'broken' could not be read at the pixels y 0 to 3, x 0 to 3: .*gone"):
        plane.read((slice(0, 4), slice(0, 4)))


def test_other_sizes_of_pixels():
    image = as_image(np.zeros((2, 3, 4)), "tyx", scale=(5, 1, 1), units=("second", "pixel", "pixel"), start=(0, 7, 8))
    found = image.scaled(x=(0.5, "micrometer"), y=(0.25, "micrometer"), z=(3, "micrometer"))
    assert (found.scale, found.units) == ((5, 0.25, 0.5), ("second", "micrometer", "micrometer"))
    assert (found.data is image.data, found.start) == (True, (0, 7, 8))
