"""Tracks do not depend on how the labels were computed, and long movies take no more memory than their tables."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.specs import SegmentSpec, TilingSpec
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import simulate

TRACKING = """
    import re, sys
    import dask.array as da
    import numpy as np
    from napari_unet.workflows import track

    class Movie:
        # 2048 x 1024 pixels of 16 cells that walk; a frame is drawn when somebody looks.
        def __init__(self, frames):
            self.shape, self.ndim, self.dtype = (frames, 2048, 1024), 3, np.dtype(np.uint8)

        def __getitem__(self, index):
            (t,) = range(*index[0].indices(self.shape[0]))
            frame = np.zeros((1, 2048, 1024), np.uint8)
            for i in range(16):
                y, x = 200 + 8 * (t % 150), 20 + 60 * i
                frame[0, y : y + 30, x : x + 30] = 1 + (i + t) % 16
            return frame[(slice(None), *index[1:])]

    movie = Movie(int(sys.argv[1]))
    found = track(da.from_array(movie, chunks=(1, 2048, 1024), name=False, asarray=True, fancy=False))
    print(found.counts["objects"], re.search("VmHWM:\\\\s+(\\\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.fixture(scope="module")
def movie() -> Image:
    made = simulate(MovieSpec(shape=(96, 128), frames=3, count=14, diameter=18.0, seed=5))
    return Image(np.asarray(made.image.data), "tyx", name="movie")


def test_tiles_and_stops_do_not_change_tracks(movie: Image, tmp_path: Path) -> None:
    options = {"diameter": 18.0, "device": "cpu"}
    whole = workflows.track(workflows.segment(movie, **options).labels)
    cut = workflows.track(workflows.segment(movie, tiling=TilingSpec(tile=48, batch=1), **options).labels)
    place = tmp_path / "labels.ome.zarr"
    spec = SegmentSpec.of(tiling=TilingSpec(tile=48, batch=1), **options)
    steps = workflows.segment_steps(movie, spec, output=place)
    for _ in range(12):
        next(steps)
    steps.close()
    assert workflows.is_unfinished(place)
    workflows.segment(movie, output=place, tiling=TilingSpec(tile=48, batch=1), **options)
    stopped = workflows.track(workflows.read_labels(place))
    assert whole.counts["objects"] > 20
    for other in (cut, stopped):
        assert np.array_equal(other.edges, whole.edges)
        assert all(np.array_equal(other.nodes[name], whole.nodes[name]) for name in whole.nodes)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_length_of_a_movie() -> None:
    most = {}
    for frames in (30, 300):
        code = textwrap.dedent(TRACKING)
        done = subprocess.run([sys.executable, "-c", code, str(frames)], capture_output=True, text=True, check=True)
        objects, most[frames] = map(int, done.stdout.split())
        assert objects == 16 * frames
    # Ten times as many frames: 540 MB more of pixels, some kB more of tables.
    assert most[300] - most[30] < 40_000
