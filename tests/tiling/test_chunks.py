"""Each chunk is decoded once while it is held, whoever asks; what cannot be decoded is named."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.axes import as_image
from napari_unet.core.errors import ImageError
from napari_unet.io.images import read_image
from napari_unet.tiling.chunks import cached


class Stored:
    """An array in chunks that counts, can be slow, and can be damaged at a pixel."""

    def __init__(self, data, chunks, damaged=None):
        self.data, self.chunks, self.damaged = data, chunks, damaged
        self.shape, self.dtype = data.shape, data.dtype
        self.calls = 0
        self.go = threading.Event()
        self.go.set()

    def __getitem__(self, index):
        self.calls += 1
        assert self.go.wait(10)
        bad = self.damaged
        if bad is not None and all(s.start <= b < s.stop for s, b in zip(index, bad, strict=True)):
            raise RuntimeError("checksum is wrong")
        return self.data[index]


def numbers(*shape, dtype=np.int32):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def windows(shape):
    spans = [st.tuples(st.integers(0, n), st.integers(0, n)).map(lambda ab: slice(min(ab), max(ab))) for n in shape]
    whole = [st.integers(0, n - 1) | span | st.just(slice(None)) for n, span in zip(shape, spans, strict=True)]
    return st.tuples(*whole)


@settings(deadline=None, max_examples=30)
@given(st.data(), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 200, 10**6]))
def test_windows_are_those_of_the_array(data, height, width, limit):
    array = numbers(3, 23, 17)
    image = cached(as_image(Stored(array, (2, height, width)), "cyx"), limit)
    for _ in range(4):
        window = data.draw(windows(array.shape))
        np.testing.assert_array_equal(image.data[window], array[window])
    np.testing.assert_array_equal(image.data[1:3], array[1:3])
    np.testing.assert_array_equal(np.asarray(image.data), array)


@pytest.mark.parametrize("chunks", [(7, 5), ((3, 0, 10, 10), (1, 16))])
def test_dask_is_computed_block_by_block(chunks):
    calls = []

    def seen(block):
        calls.append(threading.current_thread())
        return block + 1

    array = numbers(23, 17)
    lazy = da.from_array(array, chunks=chunks).map_blocks(seen, dtype=array.dtype, meta=array)
    calls.clear()
    image = cached(as_image(lazy))
    for _ in range(3):
        np.testing.assert_array_equal(image.data[2:20, 3:17], array[2:20, 3:17] + 1)
    assert 0 < len(calls) <= math.prod(map(len, lazy.chunks))
    assert {*calls} == {threading.current_thread()}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("shards", [None, (32, 32)])
def test_zarr(tmp_path, version, shards):
    array = numbers(70, 50, dtype=np.uint16)
    if version == 2 and shards:
        pytest.skip("version 2 has no shards")
    zarr.create_array(tmp_path / "a.zarr", data=array, chunks=(16, 16), shards=shards, zarr_format=version)
    image = cached(read_image(tmp_path / "a.zarr", "yx"))
    for window in ((slice(3, 40), slice(0, 50)), (slice(30, 70), slice(10, 20)), (slice(0, 70), slice(0, 50))):
        np.testing.assert_array_equal(image.data[window], array[window])
    assert image.data.decoded == 5 * 4


def test_other_byte_orders_become_the_machines():
    array = numbers(9, 9, dtype=">u2")
    image = cached(as_image(Stored(array, (4, 4))))
    assert image.data.dtype == np.uint16
    np.testing.assert_array_equal(image.data[1:8, 2:9], array[1:8, 2:9])


def test_what_has_no_chunks_is_left_alone(tmp_path):
    np.save(tmp_path / "a.npy", numbers(8, 8))
    for image in (as_image(numbers(8, 8)), read_image(tmp_path / "a.npy")):
        assert cached(image).data is image.data
    once = cached(as_image(Stored(numbers(8, 8), (4, 4))))
    assert cached(once).data is once.data


def test_threads_wait_for_one_that_decodes():
    stored = Stored(numbers(8, 8), (8, 8))
    image = cached(as_image(stored))
    stored.go.clear()
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(image.data.__getitem__, (slice(0, 8), slice(i, 8))) for i in range(4)]
        threading.Event().wait(0.05)
        stored.go.set()
        for i, job in enumerate(jobs):
            np.testing.assert_array_equal(job.result(10), stored.data[:, i:])
    assert stored.calls == image.data.decoded == 1


def test_many_threads_decode_each_chunk_once():
    stored = Stored(numbers(64, 64), (8, 8))
    image = cached(as_image(stored))
    spans = [(slice(y, y + 20), slice(x, x + 20)) for y in range(0, 48, 5) for x in range(0, 48, 5)]
    with ThreadPoolExecutor(8) as pool:
        for window, found in zip(spans, pool.map(image.data.__getitem__, spans), strict=True):
            np.testing.assert_array_equal(found, stored.data[window])
    assert image.data.decoded == 64
    assert stored.calls < 64


def test_no_more_than_the_limit_is_held():
    stored = Stored(numbers(64, 64), (8, 8))
    size = 8 * 8 * 4
    image = cached(as_image(stored), 10 * size)
    for _ in range(2):
        for y in range(0, 64, 8):
            assert image.data[y : y + 8, :].shape == (8, 64)
            assert image.data.shelf.nbytes <= 10 * size
    assert image.data.decoded == 128
    # The last used are held.
    assert image.data[56:64, 0:64].shape == (8, 64)
    assert image.data.decoded == 128


def test_a_chunk_larger_than_the_limit_is_held_alone():
    stored = Stored(numbers(64, 64), (64, 32))
    image = cached(as_image(stored), 100)
    for y in range(0, 64, 8):
        assert image.data[y : y + 8, 0:32].shape == (8, 32)
    assert image.data.decoded == 1
    assert image.data[0:1, 40:41].shape == (1, 1)
    assert image.data.shelf.nbytes == 64 * 32 * 4


def test_a_damaged_chunk_is_named_and_the_others_stay():
    stored = Stored(numbers(2, 64, 64), (1, 16, 16), damaged=(1, 40, 20))
    image = cached(as_image(stored, "cyx", name="liver"))
    for _ in range(2):
        with pytest.raises(ImageError, match=r"'liver'.*c 1 to 1, y 32 to 47, x 16 to 31: checksum is wrong"):
            image.data[:, 30:50, 0:64]
    done = image.data.decoded
    np.testing.assert_array_equal(image.data[0], stored.data[0])
    assert image.data.decoded <= done + 16
    stored.damaged = None
    np.testing.assert_array_equal(image.data[:, 30:50, 0:64], stored.data[:, 30:50, 0:64])


def test_who_waits_for_a_damaged_chunk_is_told():
    stored = Stored(numbers(8, 8), (8, 8), damaged=(0, 0))
    image = cached(as_image(stored))
    stored.go.clear()
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(image.data.__getitem__, (slice(0, 8), slice(0, 8))) for _ in range(3)]
        threading.Event().wait(0.05)
        stored.go.set()
        for job in jobs:
            with pytest.raises(ImageError, match="cannot be read"):
                job.result(10)


def test_a_corrupt_file_is_named_with_its_place(tmp_path):
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=numbers(64, 64), chunks=(16, 16), dimension_names=["y", "x"])
    (path / "c" / "2" / "1").write_bytes(b"nothing of the kind")
    plane = cached(read_image(path)).planes(2)[0]
    with pytest.raises(ImageError, match=r"a\.zarr' has a part .* y 32 to 47, x 16 to 31"):
        plane.read((slice(0, 64), slice(0, 64)))
    np.testing.assert_array_equal(plane.read((slice(0, 32), slice(0, 64)))[0], numbers(64, 64)[:32])


def test_chunks_that_are_not_what_was_promised_are_refused():
    class Liar(Stored):
        def __getitem__(self, index):
            return self.data[index].astype(np.float64)

    class Short(Stored):
        def __getitem__(self, index):
            return self.data[index][1:]

    for kind, words in ((Liar, "holds float64 where int32"), (Short, "has the shape")):
        with pytest.raises(ImageError, match=words):
            cached(as_image(kind(numbers(8, 8), (4, 4)))).data[0:8, 0:8]


@pytest.mark.parametrize("index", [(-1, 0), (slice(-3, None),), (slice(0, 8, 2),), ([0, 1],), (8, 0), (None, 0)])
def test_odd_indices_are_refused(index):
    image = cached(as_image(Stored(numbers(8, 8), (4, 4))))
    with pytest.raises(IndexError, match="whole numbers from 0"):
        image.data[index]
