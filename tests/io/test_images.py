"""Reading images of all formats, and refusing what is none."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError, OutputError
from napari_unet.io.contents import read_contents
from napari_unet.io.images import read_image, write_image
from napari_unet.io.places import check_apart
from napari_unet.workflows import list_series

RNG = np.random.default_rng(0)


def noise(*shape, dtype=np.uint16):
    return RNG.integers(0, 200, shape).astype(dtype)


def same(image, data, axes):
    assert image.axes == axes
    np.testing.assert_array_equal(np.asarray(image.data[...]), data)


# TIFF


@pytest.mark.parametrize(
    ("axes", "shape"), [("YX", (5, 7)), ("TYX", (3, 5, 7)), ("ZCYX", (2, 3, 5, 7)), ("TCZYX", (2, 3, 4, 5, 6))]
)
def test_ome_tiff(tmp_path, axes, shape):
    data = noise(*shape)
    metadata = {"axes": axes, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "mm"}
    metadata |= {"PhysicalSizeZ": 2.0, "TimeIncrement": 30.0, "TimeIncrementUnit": "ms"}
    tifffile.imwrite(tmp_path / "cells.ome.tif", data, metadata=metadata, compression="zlib")
    found = read_image(tmp_path / "cells.ome.tif")
    same(found, data, axes.lower())
    assert found.name == "cells"
    sizes = dict(zip(found.axes, zip(found.scale, found.units, strict=True), strict=True))
    assert sizes["x"] == (0.25, "micrometer")
    assert sizes["y"] == (0.5, "millimeter")
    assert sizes.get("z", (2.0, "micrometer")) == (2.0, "micrometer")
    assert sizes.get("t", (30.0, "millisecond")) == (30.0, "millisecond")
    assert sizes.get("c", (1.0, "pixel")) == (1.0, "pixel")


@pytest.mark.parametrize(
    ("times", "unit", "step", "said"),
    [
        ([0.2, 3.2, 6.1, 9.2], "min", (3.0, "minute"), ""),
        ([0, 1, 3, 7], "s", (2.0, "second"), "1 to 4 second apart. One time counts for all: 2 second."),
        ([0, 0, 0, 0], "s", (1.0, "pixel"), ""),
    ],
)
def test_the_time_between_frames_may_be_told_plane_by_plane(tmp_path, times, unit, step, said):
    told = [time + later for time in times for later in (0.0, 0.1)]
    metadata = {"axes": "TZYX", "Plane": {"DeltaT": told if any(times) else [0.0] * 8, "DeltaTUnit": [unit] * 8}}
    tifffile.imwrite(tmp_path / "a.ome.tif", noise(4, 2, 5, 7), metadata=metadata)
    found = read_image(tmp_path / "a.ome.tif")
    assert found.scale[0] == pytest.approx(step[0])
    assert found.units[0] == step[1]
    assert said in "".join(found.remarks)
    assert bool(found.remarks) == bool(said)
    metadata["TimeIncrement"] = 7.0
    tifffile.imwrite(tmp_path / "b.ome.tif", noise(4, 2, 5, 7), metadata=metadata)
    assert read_image(tmp_path / "b.ome.tif").scale[0] == 7


STAINS = ("DAPI", "actin", "tubulin")


def test_channels_have_the_names_that_ome_gives_them(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (3, 20, 30), dtype=np.uint8)
    told = {"axes": "CYX", "Channel": {"Name": list(STAINS)}}
    tifffile.imwrite(tmp_path / "a.ome.tif", data, ome=True, photometric="minisblack", metadata=told)
    assert read_image(tmp_path / "a.ome.tif").channel_names == STAINS
    root = zarr.open_group(tmp_path / "a.ome.zarr", mode="w")
    root.create_array("0", data=data, chunks=(1, 20, 30))
    multiscales = [{"axes": [{"name": a} for a in "cyx"], "datasets": [{"path": "0"}]}]
    for channels, names in (
        ([{"label": name} for name in STAINS], STAINS),
        ([{"label": "DAPI"}, {}, 3], ()),
        ("?", ()),
    ):
        root.attrs["ome"] = {"multiscales": multiscales, "omero": {"channels": channels}}
        assert read_image(tmp_path / "a.ome.zarr").channel_names == names


def test_imagej_tiff(tmp_path):
    data = noise(2, 3, 4, 5, 6)
    metadata = {"axes": "TZCYX", "unit": "um", "spacing": 1.5, "finterval": 2.0}
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, resolution=(4, 2), metadata=metadata)
    found = read_image(tmp_path / "a.tif")
    same(found, data, "tzcyx")
    assert found.scale == (2.0, 1.5, 1.0, 0.5, 0.25)
    assert found.units == ("second", "micrometer", "pixel", "micrometer", "micrometer")


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ("min", "minute"),
        ("hr", "hour"),
        ("msec", "millisecond"),
        ("Hours", "hour"),
        (None, "second"),
        ("frame", "pixel"),
    ],
)
def test_imagej_tells_the_unit_of_time(tmp_path, told, named):
    metadata = {"axes": "TYX", "finterval": 5.0} | ({"tunit": told} if told else {})
    tifffile.imwrite(tmp_path / "a.tif", noise(2, 5, 6), imagej=True, metadata=metadata)
    found = read_image(tmp_path / "a.tif")
    assert (found.scale[0], found.units[0]) == ((1.0 if told == "frame" else 5.0), named)


def test_imagej_tells_units_of_y_and_z_of_their_own(tmp_path):
    metadata = {"axes": "ZYX", "unit": "nm", "yunit": "um", "zunit": "mm", "spacing": 0.5}
    tifffile.imwrite(tmp_path / "a.tif", noise(2, 5, 6), imagej=True, resolution=(0.5, 4), metadata=metadata)
    found = read_image(tmp_path / "a.tif")
    assert found.scale == (0.5, 0.25, 2.0)
    assert found.units == ("millimeter", "micrometer", "nanometer")


@pytest.fixture
def positions(tmp_path):
    """Three positions of a stage in one OME-TIFF, each with pixels of its own, the last with levels."""
    data = [noise(2, 8, 9), noise(2, 10, 7), noise(64, 64)]
    with tifffile.TiffWriter(tmp_path / "p.ome.tif", ome=True) as file:
        for number, each in enumerate(data[:2], 1):
            size = {"PhysicalSizeX": 0.5 * number, "PhysicalSizeY": 0.25 * number}
            file.write(each, photometric="minisblack", metadata={"axes": "CYX", "Name": f"place {number}", **size})
        file.write(data[2], subifds=1, metadata={"axes": "YX"})
        file.write(data[2][::2, ::2], subfiletype=1)
    return tmp_path / "p.ome.tif", data


@pytest.mark.parametrize("lazy", [False, True])
def test_each_image_of_a_tiff_can_be_chosen(positions, lazy, monkeypatch):
    path, data = positions
    if lazy:
        monkeypatch.setattr("napari_unet.io._tiff.LAZY_BYTES", 0)
    for number, each in enumerate(data, 1):
        found = read_image(path, series=number)
        assert (isinstance(found.data, np.memmap) or type(found.data) is not np.ndarray) == lazy
        same(found, each, "cyx" if number < 3 else "yx")
        assert found.source == str(path / str(number))
        same(read_image(found.source), each, found.axes)  # as other processes open it
        assert found.scale == ((1.0, 0.25 * number, 0.5 * number) if number < 3 else (1.0, 1.0))
        assert len(found.levels) == (number == 3)
        assert not found.said
        with pytest.raises(OutputError, match="would replace the image itself"):
            check_apart(path, found)
    assert [(s.choice, s.name, s.size) for s in list_series(path)][1] == (2, "place 2", "2 x 10 x 7 (cyx), uint16")


def test_of_several_images_the_first_is_taken_and_that_is_said(positions):
    path, data = positions
    found = read_image(path)
    same(found, data[0], "cyx")
    assert found.source == str(path)
    assert len(found.said) == 1
    assert "There are 3 images in this file, and this is the first" in found.said[0]


def test_the_contents_of_a_tiff_are_all_its_images(positions):
    path, data = positions
    found, labels = read_contents(path)
    assert not labels
    for number, (image, each) in enumerate(zip(found, data, strict=True), 1):
        same(image, each, "cyx" if number < 3 else "yx")
        assert (image.name, image.said) == (f"p {number}", ())
        same(read_image(image.source), each, image.axes)


def test_what_cannot_be_opened_hides_no_other_image(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(noise(8, 9), metadata={"axes": "YX"})
        file.write(noise(2, 2, 8, 9), metadata={"axes": "QRYX"}, photometric="minisblack")
        file.write(noise(8, 9) + 1, metadata={"axes": "YX"})
    found, _ = read_contents(tmp_path / "a.ome.tif")
    assert [image.name for image in found] == ["a 1", "a 3"]
    assert len(found[0].said) == 1
    assert "axes" in found[0].said[0]


def test_of_very_many_images_the_first_is_opened(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for _ in range(17):
            file.write(noise(8, 9), metadata={"axes": "YX"})
    found, _ = read_contents(tmp_path / "a.ome.tif")
    assert len(found) == 1
    assert "There are 17 images" in found[0].said[0]


def test_a_small_view_is_no_other_image(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(noise(32, 32), metadata={"axes": "YX"})
        file.write(noise(8, 8), metadata={"axes": "YX", "Name": "label"})
    assert not read_image(tmp_path / "a.ome.tif").said
    assert len(read_contents(tmp_path / "a.ome.tif")[0]) == 1


def test_a_series_that_is_not_there(positions, tmp_path):
    for number in (0, 4, -1):
        with pytest.raises(ImageError, match=f"no series {number} in .* 3 images, counted from 1"):
            read_image(positions[0], series=number)
    np.save(tmp_path / "a.npy", noise(4, 5))
    with pytest.raises(ImageError, match="Give the file alone"):
        read_image(tmp_path / "a.npy", series=1)
    zarr.create_group(tmp_path / "a.zarr")
    with pytest.raises(ImageError, match="Give a folder in it"):
        read_image(tmp_path / "a.zarr", series=2)


def test_plain_tiff(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(4, 8, 9), photometric="minisblack", resolution=(72, 72))
    found = read_image(path)
    assert (found.axes, found.scale) == ("zyx", (1.0, 1.0, 1.0))
    assert read_image(path, "tyx").axes == "tyx"
    assert read_image(path, ["Time", "Y", "X"]).axes == "tyx"
    with pytest.raises(AxesError):
        read_image(path, "yx")
    tifffile.imwrite(path, noise(2, 3, 8, 9), photometric="minisblack")
    with pytest.raises(AxesError, match="Say what its axes are"):
        read_image(path)
    assert read_image(path, "tzyx").shape == (2, 3, 8, 9)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("alpha", [False, True])
def test_color_tiff(tmp_path, planar, alpha):
    data = noise(8, 9, 4 if alpha else 3, dtype=np.uint8)
    stored = data if planar == "contig" else np.moveaxis(data, -1, 0)
    extra = {"extrasamples": ["unassalpha"]} if alpha else {}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, metadata=None, **extra)
    found = read_image(tmp_path / "a.tif")
    same(found, stored[..., :3] if planar == "contig" else stored[:3], "yxc" if planar == "contig" else "cyx")
    if planar == "separate":
        same(read_image(tmp_path / "a.tif", "tyx"), stored, "tyx")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.filterwarnings("ignore:.*are stored as RGB:DeprecationWarning")
def test_the_last_of_four_planes_is_no_transparency(tmp_path, dtype):
    """tifffile, and so napari, writes an array of four planes as if they were red, green, blue and transparency."""
    planes = noise(4, 8, 9, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", planes)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.series[0].axes == "SYX"
    same(read_image(tmp_path / "a.tif"), planes, "cyx")
    for axes in ("tyx", "zyx", "cyx"):
        same(read_image(tmp_path / "a.tif", axes), planes, axes)


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.filterwarnings("ignore:.*are stored as RGB:DeprecationWarning")
def test_planes_that_were_taken_for_channels_are_told(tmp_path, count):
    path, planes = tmp_path / "a.tif", noise(count, 8, 9)
    tifffile.imwrite(path, planes)
    said = f"{count} planes were taken for channels, because the file does not say what they are. If they are a stack"
    assert [remark[: len(said)] for remark in read_image(path).said] == [said]
    assert "--axes zyx" in read_image(path).said[0]
    assert read_image(path, "zyx").said == ()
    for told in ({"metadata": {"axes": "CYX"}}, {"imagej": True}, {"ome": True}):
        tifffile.imwrite(path, planes, **told)
        assert read_image(path).said == (), told
    tifffile.imwrite(path, noise(8, 9, 3, dtype=np.uint8))
    assert read_image(path).said == ()


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_large_tiff_is_lazy(tmp_path, monkeypatch, compression):
    monkeypatch.setattr("napari_unet.io._tiff.LAZY_BYTES", 100)
    data = noise(3, 40, 50)
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": "CYX"}, compression=compression, tile=(16, 16))
    found = read_image(tmp_path / "a.ome.tif")
    assert not isinstance(found.data, np.ndarray)
    same(found, data, "cyx")
    plane = found.planes(2)[0]
    np.testing.assert_array_equal(plane.read((slice(3, 9), slice(30, 50))), data[:, 3:9, 30:50])
    rgba = noise(40, 50, 4, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    same(read_image(tmp_path / "b.tif"), rgba[..., :3], "yxc")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(0, 2000), compressed=st.booleans())
def test_truncated_tiff(tmp_path, cut, compressed):
    path, data = tmp_path / "a.tif", noise(16, 32)
    tifffile.imwrite(path, data, compression="zlib" if compressed else None, metadata=None)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole) - 1)])
    with pytest.raises(ImageError):
        read_image(path)


def test_tiff_that_promises_too_much(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(16, 16), metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["ImageLength"].overwrite(2**16 - 1)
    with pytest.raises(ImageError):
        read_image(path)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["StripByteCounts"].overwrite(2**31)
    with pytest.raises(ImageError):
        read_image(path)


def test_tiff_with_absurd_size(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(16, 16), metadata=None, compression="zlib", bigtiff=True)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for tag in ("ImageLength", "ImageWidth"):
            file.pages[0].tags[tag].overwrite(2**22 + 1, dtype="I")
    with pytest.raises(ImageError, match="more than any image has"):
        read_image(path)


# Pictures and arrays


@pytest.mark.parametrize(
    ("mode", "axes", "dtype"),
    [("L", "yx", np.uint8), ("RGB", "yxc", np.uint8), ("RGBA", "yxc", np.uint8), ("I;16", "yx", np.uint16)],
)
def test_png(tmp_path, mode, axes, dtype):
    data = noise(6, 9, *([len(mode)] if mode.startswith("RGB") else []), dtype=dtype)
    PIL.Image.fromarray(data).save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png")
    same(found, data[..., :3] if mode == "RGBA" else data, axes)
    assert found.data.dtype == dtype


def test_palette_jpeg_and_bmp(tmp_path):
    gray = noise(8, 8, dtype=np.uint8)
    PIL.Image.fromarray(gray).convert("P").save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").axes == "yxc"
    PIL.Image.fromarray(gray).save(tmp_path / "a.bmp")
    same(read_image(tmp_path / "a.bmp"), gray, "yx")
    PIL.Image.fromarray(np.stack([gray] * 3, -1)).save(tmp_path / "a.JPG")
    assert read_image(tmp_path / "a.JPG").shape == (8, 8, 3)


def test_npy(tmp_path):
    data = noise(3, 5, 6)
    np.save(tmp_path / "a.npy", data)
    found = read_image(tmp_path / "a.npy", "cyx")
    same(found, data, "cyx")
    assert isinstance(found.data, np.memmap)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-3])
    with pytest.raises(ImageError, match="NumPy"):
        read_image(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(ImageError, match="NumPy"):
        read_image(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.ones((2, 2), complex))
    with pytest.raises(ImageError, match="real numbers"):
        read_image(tmp_path / "c.npy")


# Zarr


def ome_zarr(path, data, version, axes="cyx", dataset="0"):
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("0", data=data, chunks=(1, 8, 8))
    types = {"c": "channel", "t": "time"}
    multiscale = {
        "axes": [
            {"name": a, "type": types.get(a, "space")} | ({"unit": "micrometer"} if a in "zyx" else {}) for a in axes
        ],
        "datasets": [
            {"path": dataset, "coordinateTransformations": [{"type": "scale", "scale": [1.0, 0.5, 0.25]}]},
        ],
        "coordinateTransformations": [{"type": "scale", "scale": [1.0, 2.0, 2.0]}],
    }
    if version == "0.4":
        group.attrs["multiscales"] = [multiscale | {"version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path, version):
    data = noise(2, 20, 30)
    ome_zarr(tmp_path / "cells.ome.zarr", data, version)
    found = read_image(tmp_path / "cells.ome.zarr")
    same(found, data, "cyx")
    assert (found.name, found.scale) == ("cells", (1.0, 1.0, 0.5))
    assert found.units == ("pixel", "micrometer", "micrometer")
    assert isinstance(found.data, zarr.Array)
    same(read_image(tmp_path / "cells.ome.zarr" / "0"), data, "zyx")
    np.testing.assert_array_equal(found.planes(2)[0].read((slice(0, 3), slice(5, 9))), data[:, 0:3, 5:9])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_where_an_ome_zarr_lies(tmp_path, version):
    file = tmp_path / "cells.ome.zarr"
    ome_zarr(file, noise(2, 20, 30), version)
    group = zarr.open_group(file, mode="a")
    ome = dict(group.attrs).get("ome", dict(group.attrs))
    ome["multiscales"][0]["datasets"][0]["coordinateTransformations"].append(
        {"type": "translation", "translation": [0.0, 10.0, 20.0]}
    )
    ome["multiscales"][0]["coordinateTransformations"].append({"type": "translation", "translation": [0.0, 1.0, -2.0]})
    group.attrs.update({"ome": ome} if version == "0.5" else ome)
    found = read_image(file)
    # Pixel (3, 4): 0.5 * 3 + 10 and 0.25 * 4 + 20 within the image, twice that and a shift outside of it.
    place = [start + scale * n for start, scale, n in zip(found.start, found.scale, (0, 3, 4), strict=True)]
    assert place == [0.0, 2 * 11.5 + 1, 2 * 21 - 2]
    write_image(tmp_path / "b.ome.zarr", Image(noise(20, 30), "yx", found.scale[1:], start=found.start[1:]))
    again = read_image(tmp_path / "b.ome.zarr")
    assert (again.start, again.scale) == (found.start[1:], found.scale[1:])


def test_plain_zarr(tmp_path):
    data = noise(2, 20, 30)
    zarr.create_array(tmp_path / "a.zarr", data=data, dimension_names=["t", "y", "x"])
    same(read_image(tmp_path / "a.zarr"), data, "tyx")
    zarr.create_array(tmp_path / "b.zarr", data=data, zarr_format=2)
    same(read_image(tmp_path / "b.zarr", "cyx"), data, "cyx")


def test_collection_of_a_converter(tmp_path):
    data = noise(2, 20, 30)
    zarr.open_group(tmp_path / "a.zarr", mode="w", attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    ome_zarr(tmp_path / "a.zarr" / "0", data, "0.5")
    found = read_image(tmp_path / "a.zarr")
    same(found, data, "cyx")
    assert not found.said
    ome_zarr(tmp_path / "a.zarr" / "1", data + 1, "0.5")
    found = read_image(tmp_path / "a.zarr")
    same(found, data, "cyx")
    assert "several images in this collection" in found.said[0]
    assert found.said[0].endswith(f"Give another as {tmp_path / 'a.zarr'}/1.")
    same(read_image(tmp_path / "a.zarr" / "1"), data + 1, "cyx")
    both, _ = read_contents(tmp_path / "a.zarr")
    for number, image in enumerate(both):
        assert image.name == f"a {number}"
        same(read_image(image.source), data + number, "cyx")


def test_a_collection_of_labels_alone_and_one_of_plain_arrays(tmp_path):
    labels = noise(20, 30).astype(np.uint32)
    zarr.open_group(tmp_path / "a.zarr", mode="w", attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    for number in range(2):
        group = zarr.open_group(tmp_path / "a.zarr" / str(number), mode="w")
        group.create_group("labels", attributes={"ome": {"version": "0.5", "labels": ["cells"]}})
        levels = [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]
        told = {"ome": {"version": "0.5", "multiscales": levels, "image-label": {"version": "0.5"}}}
        group["labels"].create_group("cells", attributes=told).create_array("0", data=labels + number)
    found = read_contents(tmp_path / "a.zarr")
    assert not found[0]
    assert [np.asarray(each.data)[0, 0] for each in found[1]] == [labels[0, 0], labels[0, 0] + 1]
    group = zarr.open_group(tmp_path / "b.zarr", mode="w")
    for number in range(2):  # perhaps levels, perhaps not: nobody says so
        group.create_array(str(number), data=labels)
    with pytest.raises(ImageError, match="zarr"):
        read_contents(tmp_path / "b.zarr")


def test_early_ome_zarr_has_five_axes_without_names(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=noise(2, 1, 3, 8, 9))
    group.attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "0"}]}]
    assert read_image(tmp_path / "a.zarr").axes == "tczyx"


@pytest.mark.parametrize(
    "dataset", ["../secret", "/etc", "a/../../secret", "..", "C:\\x", "0\\..\\..", "", "./0", "file:///etc"]
)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_paths_out_of_the_store(tmp_path, dataset, version):
    zarr.create_array(tmp_path / "secret", data=noise(2, 2, 2))
    ome_zarr(tmp_path / "a.zarr", noise(2, 20, 30), version, dataset=dataset)
    with pytest.raises(ImageError, match="not inside it"):
        read_image(tmp_path / "a.zarr")


def test_damaged_zarr(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(ImageError, match="without an image"):
        read_image(tmp_path / "a.zarr")
    ome_zarr(tmp_path / "b.zarr", noise(2, 20, 30), "0.5", dataset="7")
    with pytest.raises(ImageError, match="not there"):
        read_image(tmp_path / "b.zarr")
    meta = tmp_path / "b.zarr" / "zarr.json"
    meta.write_text(meta.read_text()[:-40])
    with pytest.raises(ImageError, match="could not be read as zarr"):
        read_image(tmp_path / "b.zarr")
    for broken in ([], [{}], [{"datasets": []}], "x", [{"datasets": [{"path": "0"}], "axes": 3}]):
        ome_zarr(tmp_path / "c.zarr", noise(2, 20, 30), "0.5")
        meta = tmp_path / "c.zarr" / "zarr.json"
        content = json.loads(meta.read_text())
        content["attributes"]["ome"]["multiscales"] = broken
        meta.write_text(json.dumps(content))
        with pytest.raises(ImageError):
            read_image(tmp_path / "c.zarr")


def test_zarr_with_enormous_chunks(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(2**20, 2**20), chunks=(2**20, 2**20), dtype="u2")
    with pytest.raises(ImageError, match="smaller chunks"):
        read_image(tmp_path / "a.zarr")


# Anything else


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg", "a.npy", "a.zarr", "a.czi", "a"])
def test_not_an_image(tmp_path, name):
    with pytest.raises(ImageError, match="no file"):
        read_image(tmp_path / name)
    for content in (b"", b"II*\x00", b"not an image at all" * 9):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError):
            read_image(tmp_path / name)


def test_folder(tmp_path):
    with pytest.raises(ImageError, match="folder"):
        read_image(tmp_path)


def test_truncated_png(tmp_path):
    PIL.Image.fromarray(noise(64, 64, dtype=np.uint8)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    for length in (10, 40, len(whole) // 2):
        (tmp_path / "a.png").write_bytes(whole[:length])
        with pytest.raises(ImageError):
            read_image(tmp_path / "a.png")


# Written


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".ome.zarr", ".zarr", ".npy"])
@pytest.mark.parametrize(("axes", "order"), [("yx", "yx"), ("tzyx", "tzyx"), ("zyx", "yxz")])
def test_written_images_come_back(tmp_path, suffix, axes, order):
    data = RNG.random((2, 3, 40, 30)[-len(axes) :], np.float32)
    scale, units = (20.0, 2.0, 0.5, 0.25)[-len(axes) :], ("second", *["micrometer"] * 3)[-len(axes) :]
    image = Image(data, axes, scale, units)
    turned = Image(np.einsum(f"{axes}->{order}", data), order, *image.along(order)[1:])
    path = tmp_path / f"doubt{suffix}"
    write_image(path, turned, {"model": "nuclei"})
    found = read_image(path, axes if suffix == ".npy" else None)
    same(found, data, axes)
    assert np.asarray(found.data[...]).dtype == np.float32
    if suffix != ".npy":
        assert found.scale == pytest.approx(scale)
        assert found.units == units
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_written_image_has_a_pyramid_and_its_record(tmp_path):
    path = tmp_path / "doubt.ome.zarr"
    data = RNG.random((700, 1100), np.float32)
    write_image(path, Image(data, "yx", (0.5, 0.5), ("micrometer",) * 2), {"model": "nuclei"})
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]
    assert attributes["napari-unet"] == {"model": "nuclei"}
    (multiscale,) = attributes["ome"]["multiscales"]
    scales = [level["coordinateTransformations"][0]["scale"] for level in multiscale["datasets"]]
    assert scales == [[0.5, 0.5], [1.0, 1.0], [2.0, 2.0]]
    np.testing.assert_array_equal(zarr.open_array(path / "1", mode="r")[:], data[::2, ::2])


def test_images_are_not_written_where_they_cannot_be(tmp_path):
    image = Image(RNG.random((4, 4), np.float32), "yx")
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr" / "thesis.txt").touch()
    for name, overwrite in (("a.png", False), ("other.zarr", True), ("other.zarr", False), ("none/a.tif", False)):
        with pytest.raises(OutputError):
            write_image(tmp_path / name, image, overwrite=overwrite)
    write_image(tmp_path / "a.zarr", image)
    with pytest.raises(OutputError, match="exists"):
        write_image(tmp_path / "a.zarr", image)
    write_image(tmp_path / "a.zarr", Image(image.data * 2, "yx"), overwrite=True)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.zarr").data), image.data * 2)


@pytest.mark.parametrize("writer", ["tifffile", "pillow"])
def test_black_and_white_tiffs_take_a_bit_for_a_pixel(tmp_path, writer):
    mask = np.random.default_rng(0).random((200, 203)) > 0.5
    file = tmp_path / "mask.tif"
    if writer == "tifffile":
        tifffile.imwrite(file, mask)
    else:
        PIL.Image.fromarray(mask).save(file)
    np.testing.assert_array_equal(np.asarray(read_image(file).data) > 0, mask)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ImageError, match=r"incomplete|damaged|cannot be read"):
        read_image(file)
