"""Bad movies on the command line: clear words, nothing overwritten, nothing left behind; what can be used is used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from napari_unet.io.images import read_image
from napari_unet.io.tables import read_table
from napari_unet.io.tracks import read_tracks

from ..commands import run

FRAMES = 5


def track(labels, output, *words):
    return run("track", labels, "--output", output, *words)


@pytest.fixture
def movie():
    """Six squares that stay, far from each other."""
    values = np.zeros((FRAMES, 64, 96), np.uint16)
    for number in range(6):
        y, x = 8 + 30 * (number // 3), 8 + 30 * (number % 3)
        values[:, y : y + 10, x : x + 10] = number + 1
    return values


@pytest.fixture
def place(tmp_path, movie):
    """Give the path of a movie, changed as a test likes."""

    def write(change=None, name="labels.npy"):
        values = movie.copy()
        np.save(tmp_path / name, values if change is None else change(values))
        return tmp_path / name

    return write


def folder(where: Path, movie, *without, prefix="mask"):
    """Write a folder of frames."""
    where.mkdir()
    for t, frame in enumerate(movie):
        if t not in without:
            tifffile.imwrite(where / f"{prefix}{t:03d}.tif", frame)
    return where


@pytest.mark.parametrize("output", ["tracks.csv", "tracks.geff", "tracks.xml", "tracks"])
@pytest.mark.parametrize("left", [FRAMES, 0])
def test_movies_and_movies_of_nothing_are_written_in_every_format(place, tmp_path, output, left):
    labels = place(lambda values: values * np.uint16(left > 0))
    done = track(labels, tmp_path / output, "--axes", "tyx", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["tracks"] == (6 if left else 0)
    assert read_tracks(tmp_path / output).tracks.counts["objects"] == 6 * left
    again = track(labels, tmp_path / output, "--axes", "tyx")
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    assert track(labels, tmp_path / output, "--axes", "tyx", "--overwrite").exit_code == 0


def empty(values):
    values[2] = 0
    return values


@pytest.mark.parametrize(("change", "tracks"), [(empty, 6), (lambda values: values[:1], 6)], ids=["gap", "one frame"])
def test_empty_frames_and_single_ones(place, tmp_path, change, tracks):
    done = track(place(change), tmp_path / "tracks.csv", "--axes", "tyx")
    assert done.exit_code == 0, done.output
    told = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert int(told["Tracks"]) == tracks
    assert told["Written"] == str(tmp_path / "tracks.csv")


def test_a_number_in_two_places_is_told(place, tmp_path):
    def twice(values):
        values[3][values[3] == 6] = 1
        return values

    done = track(place(twice), tmp_path / "tracks.csv", "--axes", "tyx")
    assert done.exit_code == 0
    assert "In frame 3 the label 1 is in two places, 67 pixels apart" in done.stderr
    assert len(read_table(tmp_path / "tracks.csv")["id"]) == 6 * FRAMES - 1


def test_pieces_of_a_cell_are_one_object_and_nothing_is_said(place, tmp_path):
    def cut(values):
        values[:, 12:14] = 0
        return values

    done = track(place(cut), tmp_path / "tracks.csv", "--axes", "tyx")
    assert done.exit_code == 0
    assert done.stderr == ""


def test_a_picture_is_not_taken_for_labels_in_silence(tmp_path):
    noise = np.random.default_rng(0).integers(100, 4000, (3, 40, 40)).astype(np.uint16)
    np.save(tmp_path / "image.npy", noise)
    done = track(tmp_path / "image.npy", tmp_path / "tracks.csv", "--axes", "tyx")
    assert "looks like a picture and not like labels" in done.stderr


def test_a_stack_taken_for_a_movie_is_told(tmp_path):
    z, y, x = np.mgrid[:24, :96, :128]
    stack = np.zeros(z.shape, np.uint16)
    for number in range(12):
        at = 8 + number % 8, 16 + 30 * (number // 4), 16 + 30 * (number % 4)
        stack[((z - at[0]) / 6) ** 2 + ((y - at[1]) / 11) ** 2 + ((x - at[2]) / 11) ** 2 < 1] = number + 1
    np.save(tmp_path / "stack.npy", stack)
    done = track(tmp_path / "stack.npy", tmp_path / "tracks.csv", "--axes", "tyx")
    assert "as sections of bodies in a stack do" in done.stderr
    refused = track(tmp_path / "stack.npy", tmp_path / "other.csv", "--axes", "zyx")
    assert refused.exit_code == 2
    assert "no time" in refused.stderr


def test_a_folder_of_frames_is_a_movie(movie, tmp_path):
    frames, other = folder(tmp_path / "01", movie), folder(tmp_path / "raw", movie * 100, prefix="t")
    done = track(frames, tmp_path / "tracks.csv", "--image", other)
    assert done.exit_code == 0, done.output
    assert len(read_table(tmp_path / "tracks.csv")["id"]) == 6 * FRAMES
    read = read_image(frames)
    assert read.axes == "tyx"
    assert np.array_equal(np.asarray(read.data), movie)
    turned = read_image(frames, "ytx")
    assert np.array_equal(np.asarray(turned.data), movie.swapaxes(0, 1))


def test_volumes_in_a_folder_are_a_movie_of_volumes(movie, tmp_path):
    stack = np.repeat(movie[:, None], 6, axis=1)
    assert read_image(folder(tmp_path / "3d", stack), "tzyx").shape == stack.shape


def another_size(frames, movie):
    tifffile.imwrite(frames / "mask003.tif", movie[3, :40])


def another_movie(frames, movie):
    tifffile.imwrite(frames / "raw003.tif", movie[3])


def the_same_again(frames, movie):
    tifffile.imwrite(frames / "mask3.tif", movie[3])


def a_gap(frames, _movie):
    (frames / "mask002.tif").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (another_size, "'mask003.tif' has the shape (40, 96), the first frame has (64, 96)"),
        (another_movie, "which are not frames of one movie"),
        (the_same_again, "are both frame 3"),
        (a_gap, "not complete: 2 missing (1 in all)"),
    ],
    ids=["unequal", "mixed", "twice", "gap"],
)
def test_what_is_wrong_with_a_folder_of_frames_is_said(movie, tmp_path, spoil, words):
    frames = folder(tmp_path / "01", movie)
    spoil(frames, movie)
    done = track(frames, tmp_path / "tracks.csv")
    assert done.exit_code == 2
    assert words in done.stderr
    assert not (tmp_path / "tracks.csv").exists()


def test_axes_of_a_folder_have_time(movie, tmp_path):
    done = track(folder(tmp_path / "01", movie), tmp_path / "tracks.csv", "--axes", "yx")
    assert done.exit_code == 2
    assert "one of its axes is t" in done.stderr


@pytest.mark.parametrize("name", ["01", "truth", "notes"])
def test_a_folder_with_anything_else_in_it_is_never_replaced(movie, tmp_path, name):
    frames = folder(tmp_path / "01", movie)
    truth = folder(tmp_path / "truth", movie, prefix="man_track")
    (truth / "man_track.txt").write_text("1 0 4 0\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("day 1")
    before = sorted((file, file.read_bytes()) for file in (tmp_path / name).iterdir())
    done = track(frames, tmp_path / name, "--overwrite")
    assert done.exit_code == 2
    assert sorted((file, file.read_bytes()) for file in (tmp_path / name).iterdir()) == before


@pytest.mark.parametrize(("output", "words"), [("a.txt", ".geff"), ("nowhere/a.csv", "does not exist")])
def test_a_place_that_cannot_be_is_told_before_the_work(movie, tmp_path, output, words):
    broken = folder(tmp_path / "01", movie)
    (broken / "mask004.tif").write_bytes(b"no picture")  # it would be found out while tracking
    done = track(broken, tmp_path / output)
    assert done.exit_code == 2
    assert words in done.stderr


def test_what_is_wrong_with_a_folder_of_others_is_listed(movie, tmp_path):
    theirs = folder(tmp_path / "theirs", movie, 3)
    (theirs / "res_track.txt").write_text("1 0 4 0\n2 0 3 9\n1 0 2 0\nfoo bar\n4 2 3 1\n77 0 4 0\n")
    truth = folder(tmp_path / "truth", movie, prefix="man_track")
    (truth / "man_track.txt").write_text("".join(f"{i} 0 4 0\n" for i in range(1, 7)))
    done = run("evaluate", truth, theirs, "--tracks")
    assert done.exit_code == 0, done.output
    for words in (
        "no mask of frame 3", "track 1 a second time", "not four whole numbers: 'foo bar'", "Track 77 is in the text",
        "Track 2 is in frames 0 to 4, not 0 to 3", "Track 3 is in the masks but not in the text",
    ):  # fmt: skip
        assert words in done.stderr


@pytest.mark.parametrize("ending", ["tif", "png"])
def test_frames_of_different_types_keep_their_numbers(tmp_path, movie, ending):
    frames = movie.copy()
    frames[2:] += np.where(frames[2:] > 0, 300, 0).astype(np.uint16)
    (tmp_path / "frames").mkdir()
    for t, frame in enumerate(frames):
        values = frame.astype(np.uint8 if t < 2 else np.uint16)
        file = tmp_path / "frames" / f"t{t:03d}.{ending}"
        tifffile.imwrite(file, values) if ending == "tif" else PIL.Image.fromarray(values).save(file)
    assert np.array_equal(np.asarray(read_image(tmp_path / "frames").data), frames)
    done = track(tmp_path / "frames", tmp_path / "tracks.csv", "--json")
    assert json.loads(done.stdout)["tracks"] == 6
    assert read_table(tmp_path / "tracks.csv")["label"].max() == 306
