"""The hash of labels: the same from whatever parts, however they are stored."""

from __future__ import annotations

import hashlib
import itertools

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_unet.core.axes import as_image
from napari_unet.core.errors import ImageError
from napari_unet.core.hashes import block_digests, block_numbers, hash_of, label_hash
from napari_unet.core.results import Segmentation

SHAPES = [(), (3,), (700,), (3, 4), (512, 512), (1030, 515), (3, 600, 20), (2, 3, 520, 9)]


def by_definition(labels):
    """Hash in the plainest way."""
    planes = labels.reshape((1,) * (2 - labels.ndim) + labels.shape)
    total = hashlib.sha256(",".join(map(str, labels.shape)).encode())
    for plane in planes.reshape(-1, *planes.shape[-2:]):
        for y, x in itertools.product(range(0, plane.shape[0], 512), range(0, plane.shape[1], 512)):
            total.update(hashlib.sha256(plane[y : y + 512, x : x + 512].astype("<u4").tobytes()).digest())
    return total.hexdigest()


def example(shape):
    return np.random.default_rng(0).integers(0, 2**32, shape, dtype=np.uint32)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_hash_is_as_written(shape):
    labels = example(shape)
    assert label_hash(labels) == by_definition(labels) == hash_of(shape, block_digests(labels))


def test_the_hash_knows_values_and_shape_but_no_type():
    labels = np.arange(12).reshape(3, 4)
    assert label_hash(labels.astype("u2")) == label_hash(labels.astype(">i4")) == label_hash(labels.T.copy().T)
    assert label_hash(labels) == label_hash(labels.astype("u8"))
    assert label_hash(labels) != label_hash(labels.reshape(4, 3))
    assert label_hash(labels) != label_hash(labels + 1)
    assert label_hash(labels > 5) == label_hash((labels > 5).astype(int))
    assert Segmentation(as_image(labels), 11, 3.0, 0.1).hash == label_hash(labels)


def test_ids_of_more_than_32_bits_are_not_cut_off():
    labels = np.zeros((600, 600), np.int64)
    labels[550, 550] = 5
    large = labels.copy()
    large[550, 550] += 2**32
    assert label_hash(large) != label_hash(labels)
    assert label_hash(large) == label_hash(large.astype("u8")) == label_hash(da.from_array(large, chunks=100))
    assert block_digests(large)[:3] == block_digests(labels)[:3]


@pytest.mark.parametrize("shape", SHAPES[1:])
@pytest.mark.parametrize("kind", ["zarr", "sharded", "dask", "thin"])
def test_storage_leaves_the_hash_as_it_is(shape, kind):
    labels = example(shape)
    chunks = tuple(min(n, 250 - 17 * axis) for axis, n in enumerate(shape))
    if kind == "dask":
        stored = da.from_array(labels, chunks=chunks)
    else:
        chunks = {"zarr": chunks, "thin": shape[:-2] + (8,) * (len(shape[-2:]) - 1) + shape[-1:]}.get(kind, chunks)
        shards = tuple(3 * n for n in chunks) if kind == "sharded" else None
        stored = zarr.create_array(
            {}, shape=shape, dtype="i8" if kind == "zarr" else "u4", chunks=chunks, shards=shards
        )
        stored[...] = labels
    assert label_hash(stored) == label_hash(labels)


class Counted:
    """Labels of any size, of which no two pixels differ, that notes what is read."""

    def __init__(self, shape, chunks):
        self.shape, self.chunks, self.dtype, self.read = shape, chunks, np.dtype(np.uint32), []

    def __getitem__(self, window):
        self.read.append([part.stop - part.start for part in window])
        return np.broadcast_to(np.uint32(7), self.read[-1])


def test_large_labels_are_read_in_whole_chunks_but_never_as_a_whole():
    labels = Counted((128, 1024, 1024), (64, 64, 64))
    label_hash(labels)
    assert len(labels.read) == 8
    assert set(map(tuple, labels.read)) == {(64, 512, 512)}
    labels = Counted((3000, 40000), (1, 40000))
    label_hash(labels)
    assert max(np.prod(each) for each in labels.read) <= 2**24
    assert sum(np.prod(each) for each in labels.read) == 3000 * 40000


@pytest.mark.parametrize("shape", [(1100, 1600), (3, 1100, 700), (1700,)])
def test_the_parts_of_a_run_make_the_hash(shape):
    labels = example(shape)
    digests = {}
    steps = [1024 if axis >= len(shape) - 2 else 2 for axis in range(len(shape))]
    windows = list(
        itertools.product(*([slice(a, a + s) for a in range(0, n, s)] for n, s in zip(shape, steps, strict=True)))
    )
    for window in reversed(windows):
        digests |= dict(zip(block_numbers(shape, window).tolist(), block_digests(labels[window]), strict=True))
    assert hash_of(shape, (digests[number] for number in range(len(digests)))) == label_hash(labels)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ImageError, match="multiples of 512"):
        block_numbers((2000, 2000), (slice(0, 512), slice(100, 612)))
    with pytest.raises(ImageError, match="multiples of 512"):
        block_numbers((2000, 2000), (slice(0, 512), slice(512, 700)))
    with pytest.raises(ImageError, match="have 4 blocks, but 3"):
        hash_of((600, 600), [b"0" * 32] * 3)
