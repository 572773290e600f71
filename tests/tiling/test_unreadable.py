"""Damaged images from files: stopped at, or read around and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import zarr

import napari_unet
from napari_unet.core.axes import as_image
from napari_unet.core.errors import ImageError, OutputError
from napari_unet.core.specs import SegmentSpec, TilingSpec
from napari_unet.core.steps import finish
from napari_unet.tiling.run import segment_planes
from napari_unet.tiling.statistics import Statistics
from napari_unet.tiling.stream import Plan
from napari_unet.tiling.unreadable import Mended, mended
from napari_unet.tiling.where import choose_where

SKIP = SegmentSpec(unreadable="skip")
SETTINGS: dict[str, Any] = {"diameter": 12.0, "tiling": {"tile": 32, "workers": 2}, "device": "cpu"}


@pytest.fixture
def damaged(disks, tmp_path) -> tuple[Path, np.ndarray]:
    """Two frames in chunks of 40 pixels, one of which is damaged, and one is missing, which is no damage."""
    data = np.stack([disks[0], disks[0][::-1]])
    path = tmp_path / "movie.zarr"
    store = zarr.create_array(path, shape=data.shape, chunks=(1, 40, 40), dtype=data.dtype, fill_value=900)
    store[:] = data
    (path / "c/1/0/1").write_bytes(b"nonsense")
    (path / "c/0/0/0").unlink()
    lost = np.zeros(data.shape, bool)
    lost[1, :40, 40:80] = True
    return path, lost


def test_stop_names_the_place(damaged, bright, tmp_path):
    image = napari_unet.read_image(damaged[0], "tyx")
    with pytest.raises(ImageError, match=r"t 1 to 1, y 0 to 39, x 40 to 79.*unreadable: skip"):
        napari_unet.segment(image, model=str(bright), **SETTINGS)


def test_skip_masks_the_part_and_names_it(damaged, bright, tmp_path):
    path, lost = damaged
    image = napari_unet.read_image(path, "tyx")
    found = napari_unet.segment(image, model=str(bright), unreadable="skip", measures=["objects"], **SETTINGS)
    assert found.objects > 40
    assert not found.labels.data[lost].any()
    assert found.labels.data[1][~lost[1]].any()
    assert found.manifest["unreadable"] == [{"t": [1, 1], "y": [0, 39], "x": [40, 79]}]
    assert found.manifest["not_a_number"] == 0
    assert found.unseen == "1 damaged parts of the image, the first at t 1 to 1, y 0 to 39, x 40 to 79"
    assert set(found.table["index"]) == set(range(1, found.objects + 1))
    whole = napari_unet.segment(image, model=str(bright), unreadable="skip", diameter=12.0, tiling={"tile": 512})
    stored = napari_unet.segment(image, model=str(bright), unreadable="skip", output=tmp_path / "a.zarr", **SETTINGS)
    assert found.hash == whole.hash == stored.hash
    assert stored.manifest["unreadable"] == whole.manifest["unreadable"] == found.manifest["unreadable"]


def test_a_run_that_stopped_goes_on_by_skipping(damaged, bright, tmp_path, monkeypatch):
    path, _ = damaged
    image, output = napari_unet.read_image(path, "tyx"), tmp_path / "a.zarr"
    # What is measured first does not meet the damage.
    from napari_unet.models import segment as module

    monkeypatch.setattr(module, "fingerprint", lambda image: {"shape": list(image.shape)})
    statistics = module.measure_statistics(
        mended(image, SKIP).planes(2), napari_unet.load_model(str(bright)).card.normalize
    )
    monkeypatch.setattr(module, "measure_statistics", lambda *_: statistics)
    with pytest.raises(ImageError, match="unreadable: skip"):
        napari_unet.segment(image, model=str(bright), output=output, **SETTINGS)
    found = napari_unet.segment(image, model=str(bright), output=output, unreadable="skip", **SETTINGS)
    expected = napari_unet.segment(image, model=str(bright), unreadable="skip", **SETTINGS)
    assert found.hash == expected.hash
    assert found.manifest["unreadable"] == expected.manifest["unreadable"] != []
    with pytest.raises(OutputError, match="unreadable: skip then, stop now"):
        napari_unet.segment(image, model=str(bright), output=output, **SETTINGS)
    zarr.open_array(path, mode="r+")[1, :40, 40:80] = 900  # the file is repaired
    image, how = napari_unet.read_image(path, "tyx"), {"output": output, "unreadable": "skip", **SETTINGS}
    with pytest.raises(OutputError, match="parts of it could not be read, which can be read now"):
        napari_unet.segment(image, model=str(bright), **how)
    assert napari_unet.segment(image, model=str(bright), overwrite=True, **how).manifest["unreadable"] == []


def test_what_has_no_chunks_always_stops():
    class Broken:
        shape, dtype = (90, 90), np.dtype("u1")

        def __getitem__(self, _: object) -> np.ndarray:
            raise OSError("gone")

    for data in (np.zeros((9, 9)), Broken()):
        image = as_image(data)
        assert mended(image, SKIP) is image


def test_all_kinds_of_numbers_and_indices():
    def load(block_id: Any) -> np.ndarray:
        if block_id in [(0, 1), (1, 0)]:
            raise RuntimeError("codec")
        return np.full((4, 5), 10 * block_id[0] + block_id[1], np.uint8)

    data = dask.array.map_blocks(load, chunks=((4, 4), (5, 5, 5)), dtype=np.uint8, meta=np.zeros((0, 0), np.uint8))
    array = mended(as_image(data, "yx"), SKIP).data
    assert isinstance(array, Mended)
    assert mended(as_image(array, "yx"), SKIP).data is array
    whole = np.repeat(np.repeat([[0, np.nan, 2], [np.nan, 11, 12]], 4, axis=0), 5, axis=1)
    np.testing.assert_array_equal(np.asarray(array), whole)
    assert array.lost == {(0, 1), (1, 0)}
    for index in [(3, slice(None)), (slice(2, 7), 4), (slice(2, 7), slice(4, 11)), (7, 14), (slice(0, 0), 3)]:
        np.testing.assert_array_equal(array[index], whole[index])
    assert array[5:8, 5:].dtype == np.uint8
    assert [box for _, box in array.holes((slice(2, 6), slice(3, 7)))] == [
        (slice(2, 4), slice(5, 7)), (slice(4, 6), slice(3, 5)),
    ]  # fmt: skip
    assert array.box((1, 2)) == (slice(4, 8), slice(10, 15))


def test_a_chunk_that_was_lost_once_stays_so():
    class Flaky:
        shape, dtype, chunks, fails = (8, 8), np.dtype("f4"), (4, 4), 3

        def __getitem__(self, index: Any) -> np.ndarray:
            self.fails -= 1
            if self.fails >= 0:
                raise OSError("timeout")
            return np.ones((8, 8), np.float32)[index]

    array = mended(as_image(Flaky(), "yx"), SKIP).data
    assert array[:4, :4].dtype == np.float32
    assert np.isnan(array[0, 0]) == np.isnan(array[:4, :4]).all() == ((0, 0) in array.lost)


def test_damage_in_the_dark_is_named_too():
    class Dark:
        shape, dtype, chunks = (300, 300), np.dtype("u2"), (60, 60)

        def __getitem__(self, index: Any) -> np.ndarray:
            block = np.broadcast_to(np.uint16(3), (300, 300))[index]
            if index[0].start < 300 <= index[0].stop and index[1].stop > 240:
                raise OSError("checksum")
            return block

    image = mended(as_image(Dark(), "yx"), SKIP)
    how = Plan((1.0, 1.0), Statistics((0.0,), (100.0,)), 2, 2, tiling=TilingSpec(tile=50))
    how = replace(how, where=choose_where(SegmentSpec(background=0.5), image, how))
    labels, _ = finish(segment_planes(image, how, lambda batch: batch + 1, lambda s: (s[0] > 0).astype(np.int32)))
    assert how.where.record(image)["unreadable"] == [{"y": [240, 299], "x": [240, 299]}]
    assert not labels[240:, 240:].any()
    assert not labels[:, :128].any()
    assert labels[200, 200] == 1
