"""An image is recognized however it is stored, and a changed one is not."""

from __future__ import annotations

import json
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.core.axes import Image, as_image
from napari_unet.core.errors import ImageError
from napari_unet.io.images import read_image
from napari_unet.tiling.chunks import cached
from napari_unet.tiling.fingerprint import fingerprint, without_unknown

DATA = np.random.default_rng(0).integers(0, 60000, (3, 300, 200), np.uint16)


def test_storage_makes_no_difference(tmp_path):
    expected = fingerprint(as_image(DATA, "zyx"))
    assert json.loads(json.dumps(expected)) == expected
    zarr.create_array(tmp_path / "a.zarr", data=DATA, chunks=(2, 64, 50), dimension_names=["z", "y", "x"])
    zarr.create_array(tmp_path / "b.zarr", data=DATA.astype(">u2"), chunks=(1, 30, 50), zarr_format=2)
    tifffile.imwrite(tmp_path / "c.tif", DATA.astype(">u2"), photometric="minisblack", byteorder=">")
    np.save(tmp_path / "d.npy", DATA)
    images = [read_image(tmp_path / name, "zyx") for name in ("a.zarr", "b.zarr", "c.tif", "d.npy")]
    images += [cached(image) for image in images] + [as_image(da.from_array(DATA, chunks=77), "zyx")]
    assert all(fingerprint(image) == expected for image in images)


@pytest.mark.parametrize("shape", [(5, 7), (300, 4000), (3, 5, 600, 700)])
def test_other_images_are_told_apart(shape):
    axes = "tzyx"[-len(shape) :]
    data = np.random.default_rng(1).random(shape).astype(np.float32)
    found = fingerprint(as_image(data, axes))
    others = [data + 1, data[..., ::-1], data[..., :-1], data.astype(np.float64), np.roll(data, 1, axis=-2)]
    assert all(fingerprint(as_image(other, axes)) != found for other in others)
    assert fingerprint(replace(as_image(data, axes), axes="c" + axes[1:] if len(shape) > 2 else "xy")) != found


def test_where_there_is_no_data_counts():
    image, valid = as_image(DATA, "cyx"), np.ones(DATA.shape[1:], bool)
    valid[:, :150] = False
    found = [fingerprint(replace(image, valid=each)) for each in ((), (valid,), (~valid,))]
    assert found[0] == fingerprint(replace(image, valid=(valid | True,)))
    assert len({each["sample"] for each in found}) == len(found)


def test_little_is_read_of_a_large_image():
    class Huge:
        shape, dtype, pixels = (40, 100_000, 100_000), np.dtype(np.uint8), 0

        def __getitem__(self, window):
            found = np.zeros([s.stop - s.start for s in window], np.uint8)
            self.pixels += found.size
            return found

    data = Huge()
    assert fingerprint(as_image(data, "zyx")) == fingerprint(as_image(data, "zyx"))
    assert data.pixels <= 2 * 2**16


def test_damage_is_said(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=DATA, chunks=DATA.shape, dimension_names=["z", "y", "x"])
    (tmp_path / "a.zarr" / "c" / "0" / "0" / "0").write_bytes(b"x")
    with pytest.raises(ImageError, match=r"a\.zarr' could not be read at the pixels z 0 to 0, y"):
        fingerprint(read_image(tmp_path / "a.zarr"))


def test_coarser_levels_count(tmp_path):
    """Networks that look at larger pixels read those."""
    levels = [DATA[:, ::step, ::step].copy() for step in (2, 4)]
    there = fingerprint(Image(DATA, "zyx", levels=tuple(levels)))
    assert there["levels"] == [[3, 150, 100], [3, 75, 50]]
    now = fingerprint(Image(DATA, "zyx", levels=(levels[0], levels[1] + 1)))
    assert [a == b for a, b in zip(there["coarser"], now["coarser"], strict=True)] == [True, False]
    assert now["sample"] == there["sample"]
    old = {key: value for key, value in there.items() if key != "coarser"}
    assert without_unknown(old, now) == old, "runs that began before this was known go on"
    assert without_unknown(there, now) != there


def test_a_coarser_level_that_cannot_be_read_stops_nobody_who_does_not_need_it():
    class Torn:
        shape, dtype = (3, 150, 100), DATA.dtype

        def __getitem__(self, window):
            raise OSError("torn")

    assert fingerprint(Image(DATA, "zyx", levels=(Torn(),)))["coarser"] == [""]
