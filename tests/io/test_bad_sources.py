"""Files that lie, are damaged or mean harm are refused before anything is allocated or run."""

from __future__ import annotations

import json
import pickle
import sys
import tracemalloc
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.core.axes import as_image
from napari_unet.core.errors import ImageError
from napari_unet.io._zarr_checks import check_array
from napari_unet.io.images import read_image
from napari_unet.tiling.chunks import cached


@pytest.fixture
def little_memory():
    """Fails a test that allocates as much as a lying header says."""
    tracemalloc.start()
    yield
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 << 20


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("edge", [2**20, 2**21])
def test_a_tiny_tiff_with_a_huge_header(tmp_path, edge):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((16, 16), np.uint16), metadata=None, compression="zlib", bigtiff=True)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for tag in ("ImageLength", "ImageWidth"):
            file.pages[0].tags[tag].overwrite(edge, dtype="I")
    with pytest.raises(ImageError, match="more than any image has"):
        read_image(path)


@pytest.mark.usefixtures("little_memory")
def test_a_tiny_tiff_with_a_huge_strip(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((16, 16), np.uint16), metadata=None, compression="zlib", bigtiff=True)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for tag in ("ImageLength", "ImageWidth", "RowsPerStrip"):
            file.pages[0].tags[tag].overwrite(2**19, dtype="I")
    with pytest.raises(ImageError, match=r"parts of 512.0 GiB"):
        read_image(path)


@pytest.mark.usefixtures("little_memory")
def test_a_tiny_npy_with_a_huge_header(tmp_path):
    path = tmp_path / "a.npy"
    header = {"descr": "<u2", "fortran_order": False, "shape": (2**20, 2**20)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b"0" * 100)
    with pytest.raises(ImageError, match="could not be read as a NumPy array"):
        read_image(path)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("version", [2, 3])
def test_a_tiny_zarr_with_a_huge_header(tmp_path, version):
    options = {"shape": (2**20, 2**20), "chunks": (512, 512), "dtype": "u2", "zarr_format": version}
    array = zarr.create_array(tmp_path / "a.zarr", **options)
    array[:512, :512] = 1
    with pytest.raises(ImageError, match=r"claims 1\.1e\+12 pixels"):
        read_image(tmp_path / "a.zarr", "yx")
    # As many pixels with something in them are an image.
    (tmp_path / "a.zarr" / "more").write_bytes(b"0" * 2**20)
    assert read_image(tmp_path / "a.zarr", "yx").shape == (2**20, 2**20)
    zarr.create_array(tmp_path / "b.zarr", **options | {"shape": (2**19, 2**20)})
    assert read_image(tmp_path / "b.zarr", "yx").shape == (2**19, 2**20)


class _Harm:
    def __reduce__(self):
        return exec, ("import sys; sys.modules['harmed'] = sys",)


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_a_pickle_is_never_unpacked(tmp_path, place):
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=np.ones((8, 8), np.uint16), chunks=(8, 8), zarr_format=2, compressors=None)
    meta = json.loads((path / ".zarray").read_text())
    meta[place] = [{"id": "pickle", "protocol": 5}] if place == "filters" else {"id": "pickle", "protocol": 5}
    (path / ".zarray").write_text(json.dumps(meta))
    (path / "0.0").write_bytes(pickle.dumps(_Harm()))
    with pytest.raises(ImageError):
        read_image(path, "yx")
    assert "harmed" not in sys.modules


@pytest.mark.parametrize(
    "metadata",
    [
        {"filters": [{"id": "Pickle", "protocol": 5}]},
        {"compressor": {"id": "pickle"}},
        {"codecs": [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "numcodecs.pickle"}]}}]},
    ],
)
def test_what_would_run_programs_is_refused_whatever_zarr_thinks_of_it(metadata):
    array = SimpleNamespace(metadata=SimpleNamespace(to_dict=lambda: metadata))
    with pytest.raises(ImageError, match="Do not trust this file"):
        check_array(array, "a.zarr")


def test_a_truncated_chunk_is_named(tmp_path):
    data = np.random.default_rng(0).integers(0, 999, (64, 64)).astype(np.uint16)
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(16, 16), shards=(32, 32), dimension_names=["y", "x"])
    shard = tmp_path / "a.zarr" / "c" / "1" / "0"
    whole = shard.read_bytes()
    plane = cached(read_image(tmp_path / "a.zarr")).planes(2)[0]
    for broken in (whole[:-10], whole[:100] + b"?" * (len(whole) - 200) + whole[-100:]):
        shard.write_bytes(broken)
        with pytest.raises(ImageError, match=r"a\.zarr' has a part that cannot be read, at the pixels y \d+ to \d+, x"):
            plane.read((slice(0, 64), slice(0, 64)))
    shard.write_bytes(whole)
    np.testing.assert_array_equal(plane.read((slice(0, 64), slice(0, 64)))[0], data)


def test_arrays_of_unknown_size_are_refused():
    values = da.from_array(np.arange(100), chunks=10)
    with pytest.raises(ImageError, match="compute_chunk_sizes"):
        as_image(da.stack([values[values > 5]] * 4), "yx")
