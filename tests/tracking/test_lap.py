"""Linking: the truth of simulated movies, and what may be wrong with labels."""

from __future__ import annotations

import itertools
import time

import dask.array as da
import numpy as np
import pytest
import zarr

import napari_unet
from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError, SpecError
from napari_unet.core.linking import LinkSpec
from napari_unet.core.results import Tracks
from napari_unet.core.steps import finish
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import simulate
from napari_unet.workflows import score_tracks, track, track_steps


def links(tracks: Tracks) -> set[tuple[tuple[int, int], tuple[int, int]]]:
    names = list(zip(tracks.nodes["t"].tolist(), tracks.nodes["label"].tolist(), strict=True))
    return {(names[a], names[b]) for a, b in tracks.edges.tolist()}


def disks(*frames: list[tuple[float, float, float]], edge: int = 64) -> np.ndarray:
    """Draw disks given by y, x and radius."""
    y, x = np.mgrid[:edge, :edge]
    labels = np.zeros((len(frames), edge, edge), np.int32)
    for t, frame in enumerate(frames):
        for i, (row, column, radius) in enumerate(frame):
            labels[t][np.hypot(y - row, x - column) < radius] = i + 1
    return labels


def same(a: Tracks, b: Tracks) -> bool:
    equal = all(np.array_equal(a.nodes[key], b.nodes[key]) for key in a.nodes)
    return equal and np.array_equal(a.edges, b.edges)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_all_links_divisions_and_gaps_are_right(movie, seed, speed):
    truth = movie(seed=seed, speed=speed)
    found = track(truth.labels)
    assert links(found) == truth.links
    assert found.counts == {"objects": len(found.nodes["id"]), "tracks": 35, "lineages": 25, "divisions": 5}


def test_volumes(movie):
    truth = movie(ndim=3, edge=120, frames=9)
    found = track(truth.labels)
    assert links(found) == truth.links
    assert found.axes == "tzyx"
    assert {"z", "y", "x"} < found.nodes.keys()


def test_fast_objects_that_never_overlap():
    frames = [[(20, 15 + 11 * t, 4), (40, 15 + 11 * t, 4)] for t in range(4)]
    assert track(disks(*frames)).counts["tracks"] == 2
    assert track(disks(*frames), max_distance=1.0).counts["tracks"] == 8
    assert track(disks(*frames), min_overlap=0.01).counts["tracks"] == 8


def test_neighbors_are_not_taken_for_one_that_left():
    grid = [(y, x, 5.0) for y in range(8, 60, 11) for x in range(8, 60, 11)]
    moved = [(y + 1, x - 1, r) for y, x, r in grid]
    found = track(disks(grid, moved[1:], moved[1:-1]))
    assert links(found) == {((0, i + 1), (1, i)) for i in range(1, 25)} | {((1, i), (2, i)) for i in range(1, 24)}


def test_the_order_of_ids_and_the_pixel_size_do_not_matter(movie):
    truth = movie(seed=7)
    expected = track(truth.labels)
    rng = np.random.default_rng(0)
    tables = [np.concatenate([[0], 1 + rng.permutation(int(truth.labels.max()))]) for _ in truth.labels]
    shuffled = np.stack([table[frame] for table, frame in zip(tables, truth.labels, strict=True)])
    back = {(t, int(new)): (t, old) for t, table in enumerate(tables) for old, new in enumerate(table)}
    assert {(back[a], back[b]) for a, b in links(track(shuffled))} == links(expected)
    scaled = track(Image(truth.labels, "tyx", (60.0, 0.01, 0.01), ("second", "micrometer", "micrometer")))
    assert same(scaled, expected)
    assert (scaled.scale, scaled.units) == ((60.0, 0.01, 0.01), ("second", "micrometer", "micrometer"))
    assert expected.units == ("frame", "pixel", "pixel")


def test_axes_may_have_units_of_their_own(movie):
    made = movie(frames=9, ndim=3, edge=80)
    same = Image(made.labels, "tzyx", (5, 2, 0.5, 0.5), ("minute", *["micrometer"] * 3))
    mixed = Image(made.labels, "tzyx", (5, 0.002, 500, 0.5), ("minute", "mm", "nm", "micrometer"))
    right, found = track(same), track(mixed)
    assert found.scale == pytest.approx(right.scale)
    assert found.units == right.units
    assert found.edges.tolist() == right.edges.tolist()


def test_labels_that_say_no_sizes_have_those_of_their_image(movie):
    labels = movie(frames=9, edge=80).labels
    image = Image(labels.astype(np.float32), "tyx", (5, 0.5, 0.25), ("minute", "micrometer", "micrometer"))
    found = track(labels, image=image)
    assert (found.scale, found.units) == (image.scale, image.units)
    own = Image(labels, "tyx", (1, 2, 2), ("pixel", "nanometer", "nanometer"))
    found = track(own, image=image)
    assert (found.scale, found.units) == ((5, 2, 2), ("minute", "nanometer", "nanometer"))


def test_coarse_planes_count_by_their_thickness(movie):
    truth = movie(ndim=3, edge=120, frames=9)
    thin = track(Image(truth.labels[:, ::4], "tzyx", (1, 4, 1, 1)))
    assert links(thin) == truth.links


def test_ids_and_families():
    mother = [(30, 30, 8), (10, 10, 4)]
    daughters = [(30, 22, 5.5), (30, 38, 5.5), (10, 10, 4)]
    found = track(disks(mother, mother, daughters, daughters))
    assert found.nodes["id"].tolist() == list(range(10))
    assert found.nodes["track"].tolist() == [1, 2, 1, 2, 3, 4, 2, 3, 4, 2]
    assert found.nodes["parent"].tolist() == [0, 0, 0, 0, 1, 1, 0, 1, 1, 0]
    assert found.nodes["lineage"].tolist() == [1, 2, 1, 2, 1, 1, 2, 1, 1, 2]
    assert found.graph == {3: [1], 4: [1]}
    assert found.edges.tolist() == [[0, 2], [1, 3], [2, 4], [2, 5], [3, 6], [4, 7], [5, 8], [6, 9]]
    assert found.counts["divisions"] == 1
    none = track(disks(mother, mother, daughters, daughters), division=False)
    assert none.counts == {"objects": 10, "tracks": 3, "lineages": 3, "divisions": 0}


@pytest.mark.parametrize(
    "second",
    [
        [(30, 30, 8), (30, 43, 5)],  # the mother is still there
        [(30, 24, 7.9), (30, 40, 2)],  # not alike
        [(30, 32, 5.5), (30, 50, 5.5)],  # both on one side
        [(30, 27, 3), (30, 33, 3)],  # too small together
    ],
)
def test_what_is_no_division(second):
    other = [(10, 10, 8), (10, 50, 8), (50, 10, 8)]
    assert track(disks([(30, 30, 8), *other], [*second, *other])).counts["divisions"] == 0


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_gaps_are_closed_up_to_the_limit(missing):
    here = [[(30, 30, 6)]]
    labels = disks(*here * 2, *[[]] * missing, *here * 2)
    assert track(labels, max_gap=missing).counts["tracks"] == 1
    found = track(labels, max_gap=missing - 1)
    assert found.counts["tracks"] == 2
    assert found.nodes["t"].tolist() == [0, 1, 2 + missing, 3 + missing]


def test_another_object_in_the_place_of_one_that_left_is_not_its_return():
    assert track(disks([(30, 30, 9)], [], [(30, 30, 5)])).counts["tracks"] == 2


# Bad input


def test_empty_frames_and_empty_movies():
    labels = disks([], [(30, 30, 6)], [(31, 30, 6)], [])
    assert links(track(labels)) == {((1, 1), (2, 1))}
    none = track(np.zeros((3, 8, 8), np.uint8))
    assert none.counts == {"objects": 0, "tracks": 0, "lineages": 0, "divisions": 0}
    assert none.edges.shape == (0, 2)
    assert none.graph == {}


def test_one_frame():
    found = track(disks([(30, 30, 6), (10, 10, 6)]))
    assert found.counts == {"objects": 2, "tracks": 2, "lineages": 2, "divisions": 0}
    assert found.edges.shape == (0, 2)


@pytest.mark.parametrize(("shape", "axes"), [((8, 8), "yx"), ((3, 8, 8), "zyx"), ((3, 8, 8), "cyx")])
def test_no_time(shape, axes):
    with pytest.raises(AxesError, match="no time"):
        track(Image(np.zeros(shape, int), axes))
    with pytest.raises(AxesError):
        track(np.zeros((8, 8), int))


def test_channels():
    labels = disks([(30, 30, 6)], [(31, 30, 6)])
    with pytest.raises(AxesError, match="2 channels"):
        track(Image(np.stack([labels, labels], 1), "tcyx"))
    assert track(Image(labels[:, None], "tcyx")).counts["tracks"] == 1


@pytest.mark.parametrize(
    "spoil", [lambda a: a + 0.5, lambda a: -a, lambda a: np.where(a, np.nan, 0.0)], ids=["fractions", "negative", "nan"]
)
def test_no_labels(spoil):
    with pytest.raises(ImageError, match="Labels are"):
        track(spoil(disks([(30, 30, 6)], [(31, 30, 6)])))


def test_any_whole_numbers():
    labels = disks([(30, 30, 6), (10, 10, 6)], [(31, 30, 6), (11, 10, 6)])
    expected = track(labels)
    assert same(track(labels.astype(float)), expected)
    large = track(np.where(labels, labels.astype(np.uint64) + 2**40, 0))
    assert np.array_equal(large.edges, expected.edges)
    assert large.nodes["label"].min() == 2**40 + 1
    assert track(labels > 0).counts["tracks"] == 1


def test_disconnected_masks_of_one_id_are_one_object():
    labels = disks([(30, 20, 5)], [(30, 20, 5)])
    labels[:, 30:34, 30:34] = 1
    assert track(labels).counts["objects"] == 2


@pytest.mark.parametrize("options", [{"max_distance": 0}, {"max_gap": -1}, {"min_overlap": 1}, {"speed": 3}], ids=str)
def test_settings_that_cannot_be_used(options):
    with pytest.raises(SpecError):
        track(np.zeros((2, 8, 8), int), **options)


def test_a_heap_of_specks_does_not_explode():
    labels = np.zeros((2, 90, 90), np.int32)
    labels[:, :, 45:] = 1
    labels[:, ::2, :40:2] = 2 + np.arange(45 * 20).reshape(45, 20)
    labels[:, 60:, :40] = 0
    assert track(labels, max_distance=100).counts["tracks"] == 601


# Lazy, one frame at a time


class Watched:
    """An array that remembers what was read of it."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype, self.ndim = data, data.shape, data.dtype, data.ndim
        self.read: list[int] = []

    def __getitem__(self, index):
        part = self.data[index]
        assert part.size <= self.data[0].size
        self.read.append(index[0])
        return part


def test_frames_are_read_once_and_one_at_a_time(movie):
    truth = movie()
    watched = Watched(truth.labels)
    steps = track_steps(watched)
    for _ in range(3):
        next(steps)
    assert watched.read == [0, 1]
    steps.close()
    watched.read.clear()
    shown = []
    found = finish(track_steps(watched), shown.append)
    assert watched.read == list(range(16))
    assert links(found) == truth.links
    assert [p.done for p in shown] == list(range(32))
    assert {p.total for p in shown} == {32}


def test_where_the_pixels_lie_does_not_matter(movie, tmp_path):
    truth = movie()
    expected = track(truth.labels)
    store = zarr.create_array(tmp_path / "movie.zarr", data=truth.labels, chunks=(1, 64, 64))
    turned = Image(truth.labels.transpose(2, 0, 1), "xty")
    for data in (da.from_array(truth.labels, chunks=(3, 50, 50)), store, turned):
        assert same(track(data), expected)
    assert track(turned).axes == "tyx"


def test_a_broken_file_is_told():
    def fail(block):
        raise OSError("disk gone")

    labels = da.zeros((2, 8, 8), dtype=int, chunks=(1, 8, 8)).map_blocks(fail, dtype=int, meta=np.zeros((0, 0, 0), int))
    with pytest.raises(ImageError, match="disk gone"):
        track(labels)


def test_many_objects_are_fast():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-7:8, -7:8]
    disk = np.hypot(y, x) < 7
    places = np.array(list(itertools.product(range(15, 1000, 22), repeat=2)))
    labels = np.zeros((20, 1012, 1012), np.int32)
    for frame in labels:
        for i, (row, column) in enumerate(places + rng.integers(-3, 4, places.shape)):
            frame[row - 7 : row + 8, column - 7 : column + 8][disk] = i + 1
    start = time.process_time()
    found = track(labels)
    assert time.process_time() - start < 5
    assert found.counts == {"objects": 40500, "tracks": 2025, "lineages": 2025, "divisions": 0}
    assert np.array_equal(found.nodes["track"], found.nodes["label"])


def test_tables_keep_the_tracks(movie, tmp_path):
    found = track(movie().labels)
    workflows.write_table(tmp_path / "tracks.csv", found.nodes)
    back = workflows.read_table(tmp_path / "tracks.csv")
    assert list(back) == ["id", "label", "t", "y", "x", "area", "track", "parent", "lineage"]
    assert all(np.array_equal(back[key], found.nodes[key]) for key in back)


def test_the_face_and_the_spec():
    assert napari_unet.track is track
    assert LinkSpec.model_validate_json(LinkSpec().model_dump_json()) == LinkSpec()


def test_of_two_neighbors_that_are_missed_in_turn_neither_is_taken_for_the_other():
    labels = np.zeros((5, 60, 60), np.int32)
    for i, column in enumerate((10, 25, 40, 47)):
        labels[:, 20:40, column : column + 6] = i + 1
    labels[1][labels[1] == 3], labels[2][labels[2] == 4] = 0, 0
    found = track(labels)
    assert links(found) >= {((0, 3), (2, 3)), ((1, 4), (3, 4))}
    assert found.counts["tracks"] == 4


def test_who_left_the_picture_and_comes_back_is_somebody_new():
    others = [(16, 16, 6), (40, 16, 6)]
    out = disks(*[[*others, (28, 64.5, 3)]] * 2, *[others] * 2, *[[*others, (28, 64.5, 3)]] * 2)
    assert track(out).counts == {"objects": 16, "tracks": 4, "lineages": 4, "divisions": 0}
    # What is well inside of the picture was missed.
    missed = disks(*[[*others, (28, 60, 6)]] * 2, *[others] * 2, *[[*others, (28, 60, 6)]] * 2)
    assert track(missed).counts["tracks"] == 3


def test_a_large_cell_and_a_newcomer_at_the_border_are_no_daughters():
    before, after = [(58, 30, 9), (58, 10, 6), (20, 20, 7), (20, 40, 7)], [(57, 30, 8.6), (64, 38, 4), (58, 10, 6)]
    assert track(disks(before, [*after, (20, 20, 7), (20, 40, 7)])).counts["divisions"] == 0


@pytest.mark.parametrize("lost", [0, 1])
def test_a_division_of_which_a_daughter_was_missed_is_found_where_the_border_cuts_her_sister(lost):
    mother, daughters = (30, 50, 8), [(30, 42, 5.5), (30, 59, 5.5)]
    seen = [d for i, d in enumerate(daughters) if i != lost]
    found = track(disks(*[[(10, 10, 8), mother]] * 2, [(10, 10, 8), *seen], *[[(10, 10, 8), *daughters]] * 2))
    assert found.counts == {"objects": 12, "tracks": 4, "lineages": 2, "divisions": 1}


def test_a_daughter_at_the_border_is_one_who_lies_where_her_mother_was():
    # A rod across the border divides: three quarters of what is seen are one daughter, the rest is the other.
    labels = np.zeros((3, 60, 60), np.int32)
    labels[:, 40:50, 40:50] = 7
    labels[0, 10:20, :24], labels[1:, 10:20, :5], labels[1:, 10:20, 6:24] = 1, 1, 2
    assert track(labels).counts["divisions"] == 1
    # The same rod stays behind, and another comes in beside it.
    labels[1:, :25, :25] = 0
    labels[1:, 10:20, 3:24], labels[1:, 22:32, :5] = 2, 1
    assert track(labels).counts["divisions"] == 0


@pytest.mark.parametrize("lost", [[(2, 3)], [(2, 3), (3, 3)], [(1, 1)], [(1, 1), (2, 3)]])
def test_a_division_is_found_where_one_of_the_family_was_missing(lost):
    labels = np.zeros((6, 50, 90), np.int32)
    labels[:, 35:45, 10:45] = 9
    labels[:2, 10:20, 20:60], labels[2:, 10:20, 20:39], labels[2:, 10:20, 41:60] = 1, 2, 3
    for t, name in lost:
        labels[t][labels[t] == name] = 0
    found = track(labels)
    assert found.counts["divisions"] == 1
    assert found.counts["lineages"] == 2


def test_where_many_masks_are_missing_neighbors_are_not_taken_instead():
    spec = MovieSpec(shape=(300, 300), frames=12, count=40, diameter=24.0, cycle=14.0, speed=0.2, dropped=0.3, seed=1)
    made = simulate(spec)
    given = np.asarray(made.given.data)
    scores = score_tracks(track(given), given, made.tracks(), made.labels).scores
    assert scores["CHOTA"] > 0.62
