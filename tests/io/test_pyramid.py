"""Labels of any size can be looked at while they are found: nothing is lost, whatever is in memory."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, OutputError
from napari_unet.core.levels import fitting_levels, level_shapes, level_steps
from napari_unet.core.results import Piece
from napari_unet.io._zarr_reader import read_zarr
from napari_unet.io.labels import write_labels
from napari_unet.io.levels import Part
from napari_unet.io.pyramid import Pyramid
from napari_unet.io.shelf import Shelf
from napari_unet.io.sketch import Sketch

CASES = {"yx": (1300, 900), "tyx": (3, 600, 520), "zyx": (20, 530, 70), "tzyx": (2, 5, 520, 130), "xyt": (530, 520, 2)}


@pytest.fixture(params=[0, 1 << 18], ids=["on disk", "coarse in memory"])
def memory(request: pytest.FixtureRequest) -> int:
    """How many values are kept in memory."""
    return int(request.param)


def opened(image: Image, place: Path, memory: int = 0) -> Pyramid:
    shapes = level_shapes(image.axes, image.shape)
    coarse = {level: np.zeros(shapes[level], np.int32) for level in fitting_levels(shapes, memory)}
    return Pyramid(image, place, coarse)


def make(axes: str, tmp_path: Path) -> tuple[Image, np.ndarray, Path]:
    shape = CASES[axes]
    labels = np.random.default_rng(0).integers(0, 9000, shape, np.int32)
    return Image(np.zeros(shape, np.uint8), axes), labels, tmp_path / "labels.ome.zarr"


def pieces(labels: np.ndarray, axes: str, step: int = 217) -> list[Piece]:
    """Cut labels as tiles do: no multiple of anything; single planes by number."""
    cuts = [
        [slice(a, a + step) for a in range(0, n, step)] if a in "yx" else list(range(n))
        for a, n in zip(axes, labels.shape, strict=True)
    ]
    return [Piece(index, labels[index].copy()) for index in itertools.product(*cuts)]


def whole(levels: Pyramid, level: int) -> tuple[slice, ...]:
    return tuple(slice(0, n) for n in levels.shapes[level])


def expected(labels: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    return labels[tuple(slice(None, None, s) for s in steps)]


@pytest.mark.parametrize("axes", CASES)
def test_levels_are_those_that_are_written(axes: str, tmp_path: Path) -> None:
    image, labels, place = make(axes, tmp_path)
    write_labels(place, Image(labels, axes))
    steps = level_steps(axes, labels.shape)
    found = [read_zarr(place, labels=True, level=level) for level in range(len(steps))]
    with pytest.raises(ImageError, match="zarr"):
        read_zarr(place, labels=True, level=len(steps))
    assert [f.along(axes)[0] for f in found] == [expected(labels, s).shape for s in steps]
    assert len(steps) == len(opened(image, place).shapes)
    for one, step in zip(found, steps, strict=True):
        values = np.asarray(one.data[:]).transpose([one.axes.index(a) for a in axes])
        np.testing.assert_array_equal(values, expected(labels, step))


@pytest.mark.parametrize("axes", CASES)
def test_all_that_was_added_can_be_read(axes: str, tmp_path: Path, memory: int) -> None:
    image, labels, place = make(axes, tmp_path)
    levels = opened(image, place, memory)
    levels.begin()
    for piece in pieces(labels, axes):
        levels.add(piece)
    for level, steps in enumerate(levels.steps):
        np.testing.assert_array_equal(levels.read(level, whole(levels, level)), expected(labels, steps))
    folder = levels._sketch.file.parent
    levels.close()
    assert not folder.exists()


def test_what_comes_later_counts(tmp_path: Path, memory: int) -> None:
    image, labels, place = make("yx", tmp_path)
    levels = opened(image, place, memory)
    levels.begin()
    levels.add(Piece((slice(0, 1300), slice(0, 900)), np.ones((1300, 900), np.int32)))
    for level in range(len(levels.shapes)):
        assert levels.read(level, whole(levels, level)).all()
    for piece in pieces(labels, "yx", 333):
        levels.add(piece)
    for level, steps in enumerate(levels.steps):
        np.testing.assert_array_equal(levels.read(level, whole(levels, level)), expected(labels, steps))
    levels.close()


@pytest.mark.parametrize("axes", ["yx", "zyx"])
def test_looking_never_reads_and_gets_sharp(
    axes: str, tmp_path: Path, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, labels, place = make(axes, tmp_path)
    labels[...] = 7
    levels = opened(image, place, memory)
    levels.begin()
    assert not levels.look(0, whole(levels, 0)).any()
    assert not levels.fetch()  # nothing is there: nothing is wanted
    for piece in pieces(labels, axes):
        levels.add(piece)
    read: list[Any] = []
    before = Sketch.read
    monkeypatch.setattr(Sketch, "read", lambda *given: read.append(given) or before(*given))
    first = levels.look(0, whole(levels, 0))
    assert not read
    assert (first == 7).all() if memory else not first.any()  # from a coarser level
    seen = levels.changes
    while levels.fetch():
        pass
    assert read
    assert levels.changes > seen
    read.clear()
    np.testing.assert_array_equal(levels.look(0, whole(levels, 0)), labels)
    assert not read
    levels.add(Piece(tuple(slice(0, 10) for _ in axes), np.full((10,) * len(axes), 3, np.int32)))
    assert (levels.look(0, tuple(slice(0, 10) for _ in axes)) == 3).all()  # without being loaded again
    assert not read
    levels.close()


def test_a_run_that_goes_on_shows_what_was_there(tmp_path: Path, memory: int) -> None:
    image, labels, place = make("yx", tmp_path)
    (tmp_path / "labels.ome.zarr.unfinished").mkdir()
    manifest = tmp_path / "labels.ome.zarr.unfinished" / "manifest.json"
    manifest.write_text("{}")
    cut = pieces(labels, "yx")
    first = opened(image, place, memory)
    first.begin()
    for piece in cut[:-3]:
        first.add(piece)
    first.close()
    (file,) = (tmp_path / "labels.ome.zarr.unfinished").glob("*.parts")
    with file.open("ab") as stream:
        stream.write(file.read_bytes()[:5000])  # the power went while a piece was written
    second = opened(image, place, memory)
    second.begin()
    for piece in cut[-3:]:
        second.add(piece)
    for level, steps in enumerate(second.steps):
        np.testing.assert_array_equal(second.read(level, whole(second, level)), expected(labels, steps))
    second.close()
    manifest.write_text("another run")
    third = opened(image, place, memory)
    third.begin()
    assert not third.read(0, whole(third, 0)).any()


def test_levels_that_fit_are_the_coarsest() -> None:
    shapes = level_shapes("tyx", (3, 2000, 1000))
    assert shapes == [(3, 2000, 1000), (3, 1000, 500), (3, 500, 250)]
    assert fitting_levels(shapes, 3 * 500 * 250) == [2]
    assert fitting_levels(shapes, 10**10) == [0, 1, 2]
    assert fitting_levels(shapes, 1000) == []


def test_damage_is_background(tmp_path: Path) -> None:
    sketch = Sketch(tmp_path / "parts", "yx")
    sketch.start()
    window = (slice(0, 40), slice(0, 40))
    sketch.add([Part(0, window, np.ones((40, 40), np.int32))])
    content = bytearray(sketch.file.read_bytes())
    content[-3] ^= 255
    sketch.file.write_bytes(content)
    found = sketch.read(0, window)
    assert found is not None
    assert not found.any()
    sketch.close()
    again = sketch.read(0, window)
    assert again is not None
    assert not again.any()


def test_no_place_for_pieces(tmp_path: Path) -> None:
    sketch = Sketch(tmp_path / "missing" / "parts", "yx")
    with pytest.raises(OutputError, match="goes on where it was"):
        sketch.start()


@pytest.mark.parametrize("axes", CASES)
def test_written_labels_are_shown_as_they_are(axes: str, tmp_path: Path, memory: int) -> None:
    image, labels, place = make(axes, tmp_path)
    levels = opened(image, place, memory)
    levels.begin()
    levels.add(Piece((slice(None),) * len(axes), np.ones(labels.shape, np.int32)))
    write_labels(place, Image(labels, axes))
    levels.settle()
    for level, steps in enumerate(levels.steps):
        np.testing.assert_array_equal(levels.read(level, whole(levels, level)), expected(labels, steps))
    write_labels(place, Image(labels + 1, axes), overwrite=True)
    levels.refresh()
    for level, steps in enumerate(levels.steps):
        np.testing.assert_array_equal(levels.read(level, whole(levels, level)), expected(labels + 1, steps))
    levels.look(0, whole(levels, 0))
    while levels.fetch():
        pass
    np.testing.assert_array_equal(levels.look(0, whole(levels, 0)), labels + 1)


def test_other_labels_are_refused(tmp_path: Path) -> None:
    image, _labels, place = make("yx", tmp_path)
    write_labels(place, Image(np.ones((600, 600), np.int32), "yx"))
    with pytest.raises(OutputError, match="600, 600"):
        opened(image, place).settle()


def test_the_shelf_keeps_what_was_used_last() -> None:
    loaded: list[Any] = []

    def load(level: int, window: tuple[slice, ...]) -> np.ndarray:
        loaded.append(window[0].start)
        return np.full([s.stop - s.start for s in window], window[0].start + 1, np.int32)

    shelf = Shelf([(100, 10)], (10, 10), load, limit=3 * 400)
    for start in (0, 10, 20, 0, 30, 0, 10):
        window = (slice(start, start + 10), slice(0, 10))
        shelf.peek(0, window)
        while shelf.fetch():
            pass
        found, missing = shelf.peek(0, window)
        assert not missing
        assert (found == start + 1).all()
    assert loaded == [0, 10, 20, 30, 10]


def test_what_changes_while_it_is_loaded_is_loaded_again() -> None:
    values = np.zeros((10, 10), np.int32)
    window = (slice(0, 10), slice(0, 10))
    times = []

    def load(level: int, window: tuple[slice, ...]) -> np.ndarray:
        found = values.copy()
        if not times:  # a piece arrives just now
            times.append(1)
            values[:] = 5
            shelf.paste(0, window, values)
        return found

    shelf = Shelf([(10, 10)], (10, 10), load)
    shelf.peek(0, window)
    assert shelf.fetch()
    assert (shelf.peek(0, window)[0] == 5).all()


def test_a_file_that_is_being_removed_shows_nothing_and_ends_nothing(tmp_path, monkeypatch):
    """On Windows who opens it meanwhile, or removes it while it is read, is refused."""
    sketch, window = Sketch(tmp_path / "shown.parts", "yx"), (slice(0, 2), slice(0, 2))
    sketch.start()
    sketch.add([Part(0, window, np.ones((2, 2), np.int32))])

    def refuse(self, *arguments, **more):
        raise PermissionError(13, "in use")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        patched.setattr(Path, "unlink", refuse)
        assert not sketch.read(0, window).any()
        sketch.close()
    assert sketch.read(0, window).all()
