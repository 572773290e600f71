"""Windows of arrays, and how often a store is asked."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.errors import ImageError
from napari_unet.core.windows import Reader, common, meet, since, windows

SHAPES = [(), (5,), (30, 40), (1500, 9000), (40, 600, 70), (2, 3, 20, 600)]


@pytest.mark.parametrize("shape", SHAPES)
def test_windows_cover_everything_once(shape):
    seen = np.zeros(shape, np.uint8)
    for window in windows(shape):
        assert seen[window].size <= 2**22
        seen[window] += 1
    assert (seen == 1).all()


def test_windows_go_down_a_strip_before_the_next_one():
    starts = [tuple(part.start for part in window) for window in windows((2500, 5000))]
    assert starts == [(0, 0), (1024, 0), (2048, 0), (0, 4096), (1024, 4096), (2048, 4096)]


@pytest.mark.parametrize("shape", SHAPES[1:])
@pytest.mark.parametrize("kind", ["numpy", "zarr", "dask"])
def test_what_is_read_is_what_is_there(shape, kind, monkeypatch):
    monkeypatch.setattr("napari_unet.core.windows._HELD_BYTES", 3 << 20)
    data = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    chunks = tuple(max(1, n // 2 - axis) for axis, n in enumerate(shape))
    stored = {"numpy": lambda: data, "zarr": lambda: zarr.array(data, chunks=chunks)}
    reader = Reader(stored.get(kind, lambda: da.from_array(data, chunks=chunks))(), "cells")
    for window in windows(shape):
        np.testing.assert_array_equal(reader.read(window), data[window])


class Counted:
    """Zeros that note what is read of them."""

    def __init__(self, shape, chunks, dtype=np.uint32):
        self.shape, self.chunks, self.dtype, self.read = shape, chunks, np.dtype(dtype), []

    def __getitem__(self, window):
        self.read.append([part.stop - part.start for part in window])
        return np.broadcast_to(self.dtype.type(0), self.read[-1])

    @property
    def times(self):
        """How often each pixel was read, on average."""
        return sum(np.prod(each) for each in self.read) / np.prod(self.shape)


@pytest.mark.parametrize(
    ("shape", "chunks", "times"),
    [
        ((9000, 9000), (512, 512), 1),
        ((9000, 9000), (4096, 4096), 1),
        ((3000, 20000), (1000, 1000), 2.2),  # what windows do not divide is read again at their borders
        ((130, 1100, 1100), (64, 64, 64), 1),
        ((130, 1100, 1100), (64, 512, 512), 1),
        ((40, 300, 300), (1, 300, 300), 1),
        ((5, 3, 1000, 1000), (5, 3, 250, 250), 1.6),
    ],
)
def test_chunks_are_decoded_about_once_and_memory_is_bounded(shape, chunks, times):
    data = Counted(shape, chunks)
    reader = Reader(data, "cells")
    for window in windows(shape):
        reader.read(window)
    assert max(np.prod(each) for each in data.read) * 4 <= 64 << 20
    assert data.times <= times


def test_chunks_larger_than_memory_are_read_in_parts():
    data = Counted((20000, 20000), (20000, 20000), np.uint8)
    reader = Reader(data, "cells")
    for window in windows(data.shape):
        reader.read(window)
    assert max(np.prod(each) for each in data.read) <= 64 << 20
    assert len(data.read) < 12


def test_what_cannot_be_read_is_named():
    class Broken:
        shape, chunks, dtype = (10, 10), (5, 5), np.dtype(np.uint8)

        def __getitem__(self, window):
            raise OSError("the disk is gone")

    with pytest.raises(ImageError, match=r"'cells' could not be read at \[0:10, 0:10\]: the disk is gone"):
        Reader(Broken(), "cells").read((slice(0, 10), slice(0, 10)))


BOXES = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=2, max_size=2)


@given(BOXES, BOXES)
def test_what_windows_have_in_common_is_what_both_pixels_say(one, other):
    one, other = (tuple(slice(start, start + n) for start, n in box) for box in (one, other))
    marked = np.zeros((2, 20, 20), bool)
    marked[0][one], marked[1][other] = True, True
    both = meet(one, other)
    assert (both is None) != marked.all(axis=0).any()
    if both is not None:
        assert both == common(one, other)
        for origin, pixels in ((one, marked[1][one]), (other, marked[0][other])):
            assert pixels[since(both, origin)].all()
            assert np.count_nonzero(pixels) == pixels[since(both, origin)].size
