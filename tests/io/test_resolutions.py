"""Files with several resolutions: the finest is the image, the others are its levels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.core.errors import ImageError
from napari_unet.io.images import read_image
from napari_unet.tiling.chunks import cached

RNG = np.random.default_rng(0)


def noise(*shape, dtype=np.uint16):
    return RNG.integers(0, 200, shape).astype(dtype)


def halved(data, axes):
    return data[tuple(slice(None, None, 2) if a in "YX" else slice(None) for a in axes.upper())]


def pyramid(data, axes, count=2):
    levels = [data]
    for _ in range(count):
        levels.append(halved(levels[-1], axes))
    return levels


def same(image, levels, axes):
    assert image.axes == axes
    assert len(image.levels) == len(levels) - 1
    for found, expected in zip((image.data, *image.levels), levels, strict=True):
        np.testing.assert_array_equal(np.asarray(found[...]), expected)


def write_sub_ifds(path, levels, axes, **more):
    options = {"tile": (16, 16), "compression": "zlib", **more}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(levels[0], subifds=len(levels) - 1, metadata={"axes": axes, "PhysicalSizeX": 0.5}, **options)
        for level in levels[1:]:
            file.write(level, subfiletype=1, metadata=None, **options)


def write_svs(path, levels, mpp="0.25"):
    """Write pages as an Aperio scanner does: the finest, a thumbnail, the coarser ones."""
    words = f"Aperio Image Library v11\r\n128x96 [0,0 128x96] (16x16)|AppMag = 40|MPP = {mpp}"
    options = {"photometric": "rgb", "metadata": None, "software": False, "description": words}
    with tifffile.TiffWriter(path) as file:
        file.write(levels[0], tile=(16, 16), compression="deflate", **options)
        file.write(levels[-1], rowsperstrip=16, compression="deflate", **options)
        for level in levels[1:]:
            file.write(level, tile=(16, 16), compression="deflate", **options)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("axes", "shape"), [("YX", (96, 128)), ("CYX", (3, 96, 128)), ("ZYX", (4, 64, 96))])
def test_ome_tiff(tmp_path, monkeypatch, axes, shape, lazy):
    monkeypatch.setattr("napari_unet.io._tiff.LAZY_BYTES", 100 if lazy else 1 << 30)
    levels = pyramid(noise(*shape), axes)
    write_sub_ifds(tmp_path / "a.ome.tif", levels, axes, photometric="minisblack")
    image = read_image(tmp_path / "a.ome.tif")
    same(image, levels, axes.lower())
    assert all(isinstance(array, np.ndarray) != lazy for array in (image.data, *image.levels))
    assert image.along("x")[1] == (0.5,)


@pytest.mark.parametrize("lazy", [False, True])
def test_color_with_transparency(tmp_path, monkeypatch, lazy):
    monkeypatch.setattr("napari_unet.io._tiff.LAZY_BYTES", 100 if lazy else 1 << 30)
    levels = pyramid(noise(96, 128, 4, dtype=np.uint8), "YXS")
    write_sub_ifds(tmp_path / "a.ome.tif", levels, "YXS", photometric="rgb", extrasamples=["unassalpha"])
    same(read_image(tmp_path / "a.ome.tif"), [level[..., :3] for level in levels], "yxc")


@pytest.mark.parametrize("lazy", [False, True])
def test_slides_of_an_aperio_scanner(tmp_path, monkeypatch, lazy):
    monkeypatch.setattr("napari_unet.io._tiff.LAZY_BYTES", 100 if lazy else 1 << 30)
    levels = pyramid(noise(96, 128, 3, dtype=np.uint8), "YXS")
    write_svs(tmp_path / "slide.svs", levels)
    image = read_image(tmp_path / "slide.svs")
    same(image, levels, "yxc")
    assert image.along("yx")[1:] == ((0.25, 0.25), ("micrometer", "micrometer"))
    write_svs(tmp_path / "slide.svs", levels, "unknown")
    assert read_image(tmp_path / "slide.svs").along("yx")[1] == (1.0, 1.0)


def test_a_large_tiff_that_is_stored_as_it_is_is_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unet.io._tiff.LAZY_BYTES", 100)
    data = noise(3, 40, 50)
    for order in "<>":
        tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", byteorder=order)
        image = read_image(tmp_path / "a.tif", "cyx")
        assert isinstance(image.data, np.memmap)
        same(image, [data], "cyx")


def test_axes_of_length_one_are_dropped_without_loading(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unet.io._tiff.LAZY_BYTES", 100)
    data = noise(1, 64, 48)
    options = {"metadata": {"axes": "RYX"}, "photometric": "minisblack", "compression": "zlib", "tile": (16, 16)}
    tifffile.imwrite(tmp_path / "a.tif", data, shaped=True, **options)
    image = read_image(tmp_path / "a.tif")
    assert not isinstance(image.data, np.ndarray)
    same(image, [data[0]], "yx")


@pytest.mark.parametrize("lazy", [False, True])
def test_a_damaged_level_is_said(tmp_path, monkeypatch, lazy):
    monkeypatch.setattr("napari_unet.io._tiff.LAZY_BYTES", 100 if lazy else 1 << 30)
    path = tmp_path / "a.ome.tif"
    write_sub_ifds(path, pyramid(noise(96, 128), "YX"), "YX")
    with tifffile.TiffFile(path) as file:
        page = file.series[0].levels[2].keyframe
        offset, size = page.dataoffsets[3], page.databytecounts[3]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"?" * size)
    with pytest.raises(ImageError, match=r"a\.ome\.tif'.* could not be read"):
        read_image(path).read((slice(0, 24), slice(0, 32)), 2)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["tiles", "strips", "planes", "colors apart", "volume"])
def test_large_compressed_tiffs_are_read_where_one_looks(tmp_path, monkeypatch, kind, order):
    monkeypatch.setattr("napari_unet.io._tiff.LAZY_BYTES", 100)
    options = {"compression": "zlib", "byteorder": order, "photometric": "minisblack"}
    data, axes, more = {
        "tiles": (noise(3, 70, 50), "cyx", {"tile": (32, 16)}),
        "strips": (noise(70, 50, dtype=np.float32), "yx", {"rowsperstrip": 9}),
        "planes": (noise(2, 3, 70, 50), "tzyx", {"rowsperstrip": 70}),
        "colors apart": (noise(3, 70, 50, dtype=np.uint8), "cyx", {"photometric": "rgb", "planarconfig": "separate"}),
        "volume": (noise(20, 70, 50), "zyx", {"tile": (16, 32, 16), "volumetric": True}),
    }[kind]
    tifffile.imwrite(tmp_path / "a.tif", data, **options | more)
    image = read_image(tmp_path / "a.tif", axes)
    assert not isinstance(image.data, np.ndarray)
    same(image, [data], axes)
    np.testing.assert_array_equal(np.asarray(image.data), data)
    kept = cached(image).data
    windows = [(slice(y, y + 30), slice(x, x + 30)) for y in range(0, 70, 7) for x in range(0, 50, 9)]
    with ThreadPoolExecutor(4) as pool:
        whole = (slice(None),) * (data.ndim - 2)
        for window, found in zip(windows, pool.map(lambda w: kept[(*whole, *w)], windows), strict=True):
            np.testing.assert_array_equal(found, data[(..., *window)])
    assert kept.decoded == np.prod([-(-n // c) for n, c in zip(data.shape, kept.chunks, strict=True)])


def test_parts_that_a_tiff_leaves_out_are_empty(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unet.io._tiff.LAZY_BYTES", 100)
    parts = [None if number % 3 else np.full((16, 16), number, np.uint16) for number in range(12)]
    options = {"tile": (16, 16), "compression": "zlib", "shape": (48, 64), "dtype": np.uint16}
    tifffile.imwrite(tmp_path / "a.tif", iter(parts), **options)
    data = read_image(tmp_path / "a.tif").data
    assert data[0:16, 48:64].max() == 3
    assert data[0:48, 0:64].sum() == sum(part.sum() for part in parts if part is not None)
    assert data[40:40, 0:64].shape == (0, 64)
    assert data[-3:, ::2].shape == (3, 32)


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr(tmp_path, version):
    levels = pyramid(noise(2, 60, 80), "CYX")
    root = zarr.open_group(tmp_path / "a.ome.zarr", mode="w", zarr_format=version)
    for number, level in enumerate([*levels, noise(2, 7, 7)]):
        root.create_array(str(number), data=level, chunks=(1, 16, 16))
    datasets = [{"path": str(n)} for n in (0, 1, 2, 3, 4)]  # the fourth is no level, the fifth is not there
    multiscales = [{"version": "0.4", "axes": ["c", "y", "x"], "datasets": datasets}]
    root.attrs.update({"multiscales": multiscales} if version == 2 else {"ome": {"multiscales": multiscales}})
    image = read_image(tmp_path / "a.ome.zarr")
    same(image, levels, "cyx")
    assert all(isinstance(array, zarr.Array) for array in (image.data, *image.levels))


def test_levels_outside_of_the_store_are_refused(tmp_path):
    zarr.create_array(tmp_path / "secret", data=noise(8, 8))
    root = zarr.open_group(tmp_path / "a.ome.zarr", mode="w")
    root.create_array("0", data=noise(16, 16))
    multiscales = [{"axes": ["y", "x"], "datasets": [{"path": "0"}, {"path": "../secret"}]}]
    root.attrs["ome"] = {"multiscales": multiscales}
    with pytest.raises(ImageError, match="not inside it"):
        read_image(tmp_path / "a.ome.zarr")
