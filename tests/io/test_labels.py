"""Labels come back as they were written, and the files follow their standards."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import dask.array as da
import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError, OutputError
from napari_unet.io.labels import read_labels, table_path, write_labels
from napari_unet.io.tables import read_table


@st.composite
def labels(draw):
    axes = draw(st.sampled_from(["yx", "tyx", "zyx", "tzyx"]))
    shape = tuple(draw(st.integers(1, 6)) for _ in axes)
    top = draw(st.sampled_from([1, 300, 70000, 2**31 - 1]))
    seed = draw(st.integers(0, 99))
    data = np.random.default_rng(seed).integers(0, top, shape, endpoint=True)
    data.flat[0] = top
    dtype = draw(st.sampled_from([np.int32, np.int64, np.uint32, np.float64]))
    order = draw(st.permutations(range(len(axes))))
    scale = tuple(draw(st.floats(1e-3, 1e3)) for _ in axes)
    units = tuple("second" if a == "t" else "micrometer" for a in axes)
    plain = Image(data, axes, scale, units, "cells")
    turned = Image(
        data.astype(dtype).transpose(order),
        "".join(axes[i] for i in order),
        tuple(scale[i] for i in order),
        tuple(units[i] for i in order),
        "cells",
    )
    return plain, turned


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(both=labels(), suffix=st.sampled_from([".zarr", ".ome.zarr", ".tif", ".ome.tiff", ".npy"]))
def test_round_trip(tmp_path, both, suffix):
    plain, turned = both
    path = tmp_path / f"cells{suffix}"
    write_labels(path, turned, {"model": "nuclei"}, overwrite=True)
    found = read_labels(path, plain.axes if suffix == ".npy" else None)
    # TIFF does not say whether a time point or plane that is alone was an axis.
    kept = "".join(
        a for a, n in zip(plain.axes, plain.shape, strict=True) if n > 1 or a in "yx" or ".tif" not in suffix
    )
    shape, scale, units = plain.along(kept)
    assert found.axes == kept
    assert found.data.dtype == np.int32
    np.testing.assert_array_equal(found.data, plain.data.reshape(shape))
    if suffix != ".npy":
        assert found.scale == pytest.approx(scale)
        assert found.units == units
        assert found.name == "cells"


def example(shape=(700, 1100), axes="yx", top=500):
    data = np.random.default_rng(0).integers(0, top, shape, endpoint=True).astype(np.int32)
    return Image(data, axes, (0.5,) * len(axes), ("micrometer",) * len(axes), "cells")


def test_ome_zarr_metadata(tmp_path):
    image = Image(np.ones((2, 3, 700, 1100), int), "tzyx", (30, 2, 0.5, 0.25), ("second",) + ("micrometer",) * 3)
    path = tmp_path / "cells.ome.zarr"
    write_labels(path, image, {"model": "nuclei", "numbers": np.arange(2), "nan": math.nan, "path": tmp_path})
    root = json.loads((path / "zarr.json").read_text())
    assert (root["zarr_format"], root["node_type"]) == (3, "group")
    listing = json.loads((path / "labels" / "zarr.json").read_text())["attributes"]["ome"]
    assert listing == {"version": "0.5", "labels": ["cells"]}
    attributes = json.loads((path / "labels" / "cells" / "zarr.json").read_text())["attributes"]
    assert attributes["napari-unet"] == {"model": "nuclei", "numbers": [0, 1], "nan": None, "path": str(tmp_path)}
    ome = attributes["ome"]
    assert ome["version"] == "0.5"
    assert ome["image-label"] == {"version": "0.5"}
    (multiscale,) = ome["multiscales"]
    assert multiscale["axes"] == [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "z", "type": "space", "unit": "micrometer"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    assert [d["path"] for d in multiscale["datasets"]] == ["0", "1", "2"]
    for k, dataset in enumerate(multiscale["datasets"]):
        (transform,) = dataset["coordinateTransformations"]
        assert transform == {"type": "scale", "scale": [30, 2, 0.5 * 2**k, 0.25 * 2**k]}
        array = json.loads((path / "labels" / "cells" / dataset["path"] / "zarr.json").read_text())
        assert array["shape"] == [2, 3, -(-700 // 2**k), -(-1100 // 2**k)]
        assert (array["data_type"], array["fill_value"]) == ("uint32", 0)
        assert array["dimension_names"] == ["t", "z", "y", "x"]


def test_labels_lie_where_their_image_lies(tmp_path):
    write_labels(tmp_path / "a.ome.zarr", replace(example((6, 700), "xy"), start=(30.0, -4.5)))
    (multiscale,) = zarr.open_group(tmp_path / "a.ome.zarr" / "labels" / "a", mode="r").attrs["ome"]["multiscales"]
    assert [each["coordinateTransformations"] for each in multiscale["datasets"]] == [
        [{"type": "scale", "scale": [size, size]}, {"type": "translation", "translation": [-4.5, 30.0]}]
        for size in (0.5, 1.0)
    ]
    found = read_labels(tmp_path / "a.ome.zarr")
    assert (found.axes, found.start) == ("yx", (-4.5, 30.0))


def test_pyramid_shards_and_empty_shards(tmp_path):
    image = example((1500, 2100))
    image.data[:1024, :1024] = 0
    write_labels(tmp_path / "a.zarr", image)
    level = zarr.open_array(tmp_path / "a.zarr" / "labels" / "a" / "0", mode="r")
    assert (level.chunks, level.shards, level.dtype) == ((512, 512), (1024, 1024), np.uint32)
    assert "Zstd" in str(level.compressors)
    assert not (tmp_path / "a.zarr" / "labels" / "a" / "0" / "c" / "0" / "0").exists()
    np.testing.assert_array_equal(level[...], image.data)
    for k in (1, 2, 3):
        small = zarr.open_array(tmp_path / "a.zarr" / "labels" / "a" / str(k), mode="r")
        np.testing.assert_array_equal(small[...], image.data[:: 2**k, :: 2**k])
    assert max(small.shape) < 512
    assert not (tmp_path / "a.zarr" / "labels" / "a" / "4").exists()


def test_volume_chunks_and_lazy_labels(tmp_path):
    data = da.arange(70 * 100 * 130, chunks=50_000).reshape(70, 100, 130).rechunk((35, 100, 130))
    write_labels(tmp_path / "a.zarr", Image(data, "zyx"))
    level = zarr.open_array(tmp_path / "a.zarr" / "labels" / "a" / "0", mode="r")
    assert (level.chunks, level.shards) == ((64, 64, 64), (64, 128, 192))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.zarr").data, data.compute())


def test_large_labels_stay_lazy(tmp_path, monkeypatch):
    write_labels(tmp_path / "a.zarr", example())
    monkeypatch.setattr("napari_unet.io.labels.LAZY_BYTES", 100)
    found = read_labels(tmp_path / "a.zarr")
    assert isinstance(found.data, zarr.Array)
    assert found.data.dtype == np.uint32
    np.testing.assert_array_equal(found.data[...], example().data)


@pytest.mark.parametrize("axes", ["yx", "xy", "cyx", "yxc", "xty", "xyztc"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.float32, bool])
@pytest.mark.parametrize("kind", ["zarr", "npy"])
def test_large_labels_are_the_same_as_small_ones(tmp_path, monkeypatch, axes, dtype, kind):
    shape = [{"c": 1, "t": 2, "z": 3, "y": 9, "x": 11}[a] for a in axes]
    data = np.random.default_rng(0).integers(0, 5, shape).astype(dtype)
    path = tmp_path / f"a.{kind}"
    if kind == "zarr":
        zarr.create_array(path, data=data, chunks=tuple(min(n, 4) for n in shape), dimension_names=list(axes))
    else:
        np.save(path, data)
    small = read_labels(path, axes)
    assert small.data.dtype == np.int32
    monkeypatch.setattr("napari_unet.io.labels.LAZY_BYTES", 10)
    large = read_labels(path, axes)
    assert large.axes == small.axes == "".join(a for a in "tzyx" if a in axes)
    assert large.data.dtype.kind in "ui"
    assert not isinstance(large.data, np.ndarray) or isinstance(large.data, np.memmap)
    np.testing.assert_array_equal(np.asarray(large.data[...]), small.data)


def test_large_values_that_are_no_labels_are_refused_when_read(tmp_path, monkeypatch):
    zarr.create_array(tmp_path / "a.zarr", data=np.full((9, 9), 0.5))
    monkeypatch.setattr("napari_unet.io.labels.LAZY_BYTES", 10)
    found = read_labels(tmp_path / "a.zarr")
    with pytest.raises(ImageError, match="does not hold labels"):
        np.asarray(found.data)


def test_existing_folder(tmp_path):
    path = tmp_path / "a.zarr"
    write_labels(path, example())
    with pytest.raises(OutputError, match="exists"):
        write_labels(path, example())
    write_labels(path, example((9, 9)), overwrite=True)
    assert read_labels(path).shape == (9, 9)
    other = tmp_path / "b.zarr"
    other.mkdir()
    (other / "thesis.txt").write_text("")
    with pytest.raises(OutputError, match="other things"):
        write_labels(other, example(), overwrite=True)
    assert (other / "thesis.txt").exists()


def test_errors_leave_nothing(tmp_path):
    bad = example()
    bad.data[-1, -1] = -1
    for name in ("a.zarr", "a.tif", "a.npy", "a.png"):
        with pytest.raises(ImageError, match="negative"):
            write_labels(tmp_path / name, bad)
    assert not list(tmp_path.iterdir())


def test_ome_tiff(tmp_path):
    write_labels(tmp_path / "a.tif", example(), {"model": "nuclei <1>"})
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_ome
        assert file.pages[0].dtype == np.uint16
        assert file.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert 'PhysicalSizeX="0.5" PhysicalSizeXUnit="µm"' in file.ome_metadata
        assert "nuclei &lt;1&gt;" in file.ome_metadata
    write_labels(tmp_path / "a.tif", example(top=70000))
    assert tifffile.imread(tmp_path / "a.tif").dtype == np.uint32


def test_png(tmp_path):
    write_labels(tmp_path / "a.png", example((40, 50), top=60000))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png").data, example((40, 50), top=60000).data)
    write_labels(tmp_path / "a.png", example((1, 40, 50), "tyx"))
    assert read_labels(tmp_path / "a.png").shape == (40, 50)
    with pytest.raises(OutputError, match="65535"):
        write_labels(tmp_path / "b.png", example(top=70000))
    with pytest.raises(OutputError, match="one plane"):
        write_labels(tmp_path / "b.png", example((2, 40, 50), "tyx"))
    PIL.Image.fromarray(np.eye(4, dtype=np.uint8) * 3).convert("P").save(tmp_path / "p.png")
    assert read_labels(tmp_path / "p.png").axes == "yx"


def test_table_beside_labels(tmp_path):
    table = {"index": np.array([1, 2]), "area": np.array([3.5, np.nan])}
    for name in ("cells.zarr", "cells.ome.tif"):
        write_labels(tmp_path / name, example((9, 9)), None, table)
        assert table_path(tmp_path / name) == tmp_path / "cells.objects.csv"
        np.testing.assert_array_equal(read_table(tmp_path / "cells.objects.csv")["area"], table["area"])
        table_path(tmp_path / name).unlink()


def test_labels_of_an_image_store(tmp_path):
    write_labels(tmp_path / "a.zarr", example((9, 9)))
    group = zarr.open_group(tmp_path / "a.zarr", mode="a")
    group.create_array("0", data=np.zeros((5, 5), np.uint8))
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]}
    assert read_labels(tmp_path / "a.zarr").shape == (9, 9)
    assert read_labels(tmp_path / "a.zarr" / "labels").shape == (9, 9)
    assert read_labels(tmp_path / "a.zarr" / "labels" / "a").shape == (9, 9)


def test_bad_labels(tmp_path):
    for data in (np.full((3, 3), 0.5), np.full((3, 3), np.nan), np.full((3, 3), np.inf)):
        with pytest.raises(ImageError, match="does not hold labels"):
            write_labels(tmp_path / "a.tif", Image(data, "yx"))
    with pytest.raises(ImageError, match="channels"):
        write_labels(tmp_path / "a.tif", Image(np.ones((2, 3, 3), int), "cyx"))
    for name in ("a.tif", "a.zarr"):
        with pytest.raises(OutputError, match="Renumber"):
            write_labels(tmp_path / name, Image(np.full((3, 3), 2**40), "yx"))
    with pytest.raises(OutputError, match="suffixes"):
        write_labels(tmp_path / "a.jpg", example())
    with pytest.raises(OutputError, match="does not exist"):
        write_labels(tmp_path / "no" / "a.tif", example())
    PIL.Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="picture and not labels"):
        read_labels(tmp_path / "a.png")


def test_mask_and_one_channel(tmp_path):
    mask = np.eye(5, dtype=bool)
    write_labels(tmp_path / "a.tif", Image(mask[None], "cyx"))
    found = read_labels(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.data, mask)
    assert found.axes == "yx"


def test_what_a_jpeg_holds_is_no_labels(tmp_path):
    file = tmp_path / "mask.jpg"
    PIL.Image.fromarray(np.zeros((8, 8), np.uint8)).save(file)
    with pytest.raises(ImageError, match="JPEG, which changes numbers"):
        read_labels(file)


@pytest.mark.parametrize("name", ["labels.npy", "labels.tif"])
def test_labels_that_say_no_axes_have_those_of_their_image(tmp_path, name):
    values = np.arange(2 * 3 * 5 * 6, dtype=np.uint16).reshape(2, 3, 5, 6)
    if name.endswith(".npy"):
        np.save(tmp_path / name, values)
    else:
        tifffile.imwrite(tmp_path / name, values, photometric="minisblack")
    image = Image(np.zeros((2, 4, 3, 5, 6)), "tczyx")
    found = read_labels(tmp_path / name, like=image)
    assert (found.axes, found.shape) == ("tzyx", values.shape)
    np.testing.assert_array_equal(found.data, values)
    for other in (None, Image(np.zeros((2, 3, 4, 5, 6)), "tczyx"), Image(np.zeros((5, 6)), "yx")):
        with pytest.raises(AxesError, match="read in several ways"):
            read_labels(tmp_path / name, like=other)


def test_an_address_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="only 'segment' writes"):
        write_labels("memory://x.ome.zarr", Image(np.eye(5, dtype=int), "yx"))
    assert not any(tmp_path.iterdir())
