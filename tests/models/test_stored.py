"""Labels that are written while they are found: the same as in memory, verified, refused where they are others."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import napari_unet
from napari_unet import workflows
from napari_unet.core.axes import as_image
from napari_unet.core.errors import OutputError
from napari_unet.core.place import GeoReference
from napari_unet.core.results import Piece, Segmentation, label_hash
from napari_unet.core.specs import SegmentSpec, TilingSpec
from napari_unet.core.steps import Progress, finish
from napari_unet.io.label_store import LabelStore

MOVIE = {"diameter": 12.0, "tiling": {"tile": 32, "workers": 2}}


@pytest.fixture
def movie(disks) -> Any:
    plane = disks[0]
    data = np.stack([plane, plane[::-1], np.zeros_like(plane), plane.T[:96, :96].repeat(2, 1)[:, :112]])
    return as_image(data, "tyx", scale=(2.0, 0.5, 0.5), units=("second", "micrometer", "micrometer"), name="cells")


@pytest.fixture
def spec(bright) -> SegmentSpec:
    return SegmentSpec.of(model=str(bright), **MOVIE)


def stopped(steps: Iterator[Progress], after: int) -> Segmentation | None:
    """Take so many steps, then stop; return the result if it came before."""
    try:
        for _ in range(after):
            next(steps)
    except StopIteration as end:
        return end.value
    finally:
        steps.close()
    return None


def store(image: Any, spec: SegmentSpec, output: Path, **more: Any) -> Iterator[Progress]:
    return workflows.segment_steps(image, spec, (), preview=False, output=output, **more)


def test_the_same_labels_as_in_memory(movie, spec, tmp_path):
    expected = napari_unet.segment(movie, spec)
    movie = replace(movie, start=(0.0, -3.5, 12.0))
    found = napari_unet.segment(movie, spec, output=tmp_path / "a.ome.zarr", measures=["objects"])
    assert isinstance(found.labels.data, zarr.Array)
    np.testing.assert_array_equal(found.labels.data[:], expected.labels.data)
    assert (found.labels.axes, found.labels.scale, found.labels.units) == ("tyx", movie.scale, movie.units)
    assert found.labels.start == napari_unet.segment(movie, spec).labels.start == movie.start
    assert found.hash == expected.hash == found.manifest["labels_hash"]
    assert found.manifest.keys() == expected.manifest.keys()
    assert found.objects == expected.objects == len(np.unique(found.table["index"]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ome.zarr"]
    read = workflows.read_labels(tmp_path / "a.ome.zarr")
    np.testing.assert_array_equal(np.asarray(read.data), expected.labels.data)


@pytest.mark.parametrize("axes", ["yx", "yxc", "xy"])
def test_any_axes(axes, disks, bright, tmp_path):
    data = {"yx": disks[0], "xy": disks[0].T, "yxc": np.repeat((disks[0] // 256).astype(np.uint8)[..., None], 3, 2)}
    image = as_image(data[axes], axes)
    expected = napari_unet.segment(image, model=str(bright), diameter=12.0)
    found = napari_unet.segment(image, model=str(bright), diameter=12.0, output=tmp_path / "a.zarr")
    assert found.hash == expected.hash


@pytest.mark.parametrize("after", [1, 4, 9, 20, 40, 60, 75, 90])
def test_stopped_anywhere_it_goes_on(after, movie, spec, tmp_path):
    output = tmp_path / "a.ome.zarr"
    found = stopped(store(movie, spec, output), after)
    assert found is None
    assert not output.exists()
    again: list[Progress] = []
    steps = store(
        movie, spec.model_copy(update={"tiling": TilingSpec(tile=48, batch=2)}) if after == 9 else spec, output
    )
    try:
        while True:
            again.append(next(steps))
    except StopIteration as end:
        found = end.value
    assert found.hash == napari_unet.segment(movie, spec).hash
    assert all(step.done <= step.total for step in again)
    if after >= 20:
        assert next(step.done for step in again if step.note == "Going on") > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ome.zarr"]


def test_stopped_again_and_again(movie, spec, tmp_path):
    found, tries = None, 0
    while found is None:
        tries += 1
        found = stopped(store(movie, spec, tmp_path / "a.ome.zarr"), 20 + 7 * tries)
    assert tries > 2
    assert found.hash == napari_unet.segment(movie, spec).hash


def test_labels_that_are_there_are_verified(movie, spec, tmp_path, monkeypatch):
    output = tmp_path / "a.ome.zarr"
    first = napari_unet.segment(movie, spec, output=output)
    before = {p: p.stat().st_mtime_ns for p in output.rglob("*")}
    monkeypatch.setattr("napari_unet.models.stored.segment_bricks", None)
    for overwrite in (False, True):
        again = napari_unet.segment(movie, spec, output=output, overwrite=overwrite)
        assert (again.objects, again.hash, again.diameter) == (first.objects, first.hash, first.diameter)
    assert {p: p.stat().st_mtime_ns for p in output.rglob("*")} == before


def test_damaged_labels_are_noticed(movie, spec, tmp_path):
    output = tmp_path / "a.ome.zarr"
    expected = napari_unet.segment(movie, spec, output=output).hash
    shard = next(p for p in (output / "labels" / "a" / "0").rglob("0") if p.is_file())
    shard.unlink()  # legal background: only the hash tells
    with pytest.raises(OutputError, match="changed or damaged"):
        napari_unet.segment(movie, spec, output=output)
    assert napari_unet.segment(movie, spec, output=output, overwrite=True).hash == expected


def test_work_by_hand_is_not_replaced(movie, spec, tmp_path):
    output = tmp_path / "a.ome.zarr"
    first = napari_unet.segment(movie, spec, output=output)
    whole = first.hash
    window = {"t": slice(0, 1), "y": slice(0, 50), "x": slice(0, 60)}
    before = as_image(first.labels.data[0:1, 0:50, 0:60].astype(np.int32), "tyx")
    after = as_image(before.data * 0, "tyx")
    table = workflows.measure(first.labels, movie)
    notes: list[str] = []
    steps = workflows.edit_labels_steps(output, before, after, window, table, movie)
    edited, table = finish(steps, lambda progress: notes.append(progress.note))
    assert not [note for note in notes if "Verifying" in note]  # the run has left the digests of all blocks
    labels = workflows.read_labels(output)
    np.testing.assert_array_equal(np.asarray(labels.data)[0, :50, :60], 0)
    assert edited.manifest["labels_hash"] == label_hash(labels.data) != whole
    expected = workflows.measure(labels, movie)
    for name, column in expected.items():
        np.testing.assert_allclose(table[name], column, rtol=1e-9, err_msg=name)
    with pytest.raises(OutputError, match="corrected by hand"):
        napari_unet.segment(movie, spec, output=output)
    assert workflows.undo_edit(output)["labels_hash"] == whole
    assert napari_unet.segment(movie, spec, output=output).hash == whole  # verified again
    finish(workflows.edit_labels_steps(output, before, after, window, {}, None))
    again = napari_unet.segment(movie, spec, output=output, overwrite=True)
    assert again.hash == whole
    assert label_hash(workflows.read_labels(output).data) == whole
    with pytest.raises(OutputError, match="nothing to undo"):
        workflows.undo_edit(output)  # of labels that are gone


def test_corrections_are_put_back_as_a_whole_or_not_at_all(movie, spec, tmp_path):
    output = tmp_path / "a.ome.zarr"
    first = napari_unet.segment(movie, spec, output=output)
    window = {"t": slice(0, 1), "y": slice(0, 50), "x": slice(0, 60)}
    before = as_image(first.labels.data[0:1, 0:50, 0:60].astype(np.int32), "tyx")
    after = as_image(before.data * 0, "tyx")
    table = workflows.measure(first.labels, movie)

    def steps(image):
        return workflows.edit_labels_steps(output, before, after, window, table, image)

    notes = []
    finish(steps(movie), lambda progress: notes.append(progress.note))
    workflows.undo_edit(output)
    for moment in range(len(notes)):  # Cancel
        running = steps(movie)
        for _ in range(moment + 1):
            next(running)
        running.close()
        assert label_hash(workflows.read_labels(output).data) == first.hash
        with pytest.raises(OutputError, match="nothing to undo"):
            workflows.undo_edit(output)

    class Damaged:
        shape, dtype = movie.shape, movie.data.dtype

        def __getitem__(self, index):
            raise OSError("gone")

    news = []
    _edited, measured = finish(steps(replace(movie, data=Damaged())), lambda progress: news.append(progress.news))
    assert [text for text in news if "could not be read" in text or "not known" in text]
    assert set(measured) == set(table)


@pytest.mark.parametrize("half", [False, True])
def test_another_run_is_refused_with_the_reason(half, movie, spec, bright, tmp_path):
    output = tmp_path / "a.ome.zarr"
    assert stopped(store(movie, spec, output), 30 if half else 10**6) is None or not half
    other = tmp_path / "other"
    shutil.copytree(bright, other)
    card = (other / "card.json").read_text()
    (other / "card.json").write_text(card.replace('"name": "bright"', '"name": "dim"'))
    smaller = as_image(movie.data[:, 1:], "tyx", name="cells")
    changed = tmp_path / "changed"
    shutil.copytree(bright, changed)
    rule = json.loads(card)
    rule["target"]["persistence"] = 0.5
    (changed / "card.json").write_text(json.dumps(rule))
    seen = tmp_path / "seen"
    shutil.copytree(bright, seen)
    (seen / "card.json").write_text(json.dumps(json.loads(card) | {"diameter": 15.0}))
    wrong = {
        r"how it sees images \(diameter: 12.0 then, 15.0 now\)": (movie, spec.model_copy(update={"model": str(seen)})),
        r"another rule on its card \(persistence: .* then, 0.5 now\)": (
            movie,
            spec.model_copy(update={"model": str(changed)}),
        ),
        "another model": (movie, spec.model_copy(update={"model": str(other)})),
        "min_size: None then, 5.0 now": (movie, spec.model_copy(update={"min_size": 5.0})),
        "another image": (smaller, spec),
    }
    before = sorted(p for p in tmp_path.rglob("*"))
    for reason, (image, how) in wrong.items():
        with pytest.raises(OutputError, match=reason):
            napari_unet.segment(image, how, output=output)
    assert sorted(p for p in tmp_path.rglob("*")) == before
    found = napari_unet.segment(smaller, spec, output=tmp_path / "b.zarr")
    assert found.objects


def test_labels_of_pixels_of_another_size_or_place_are_refused(movie, spec, tmp_path):
    output, finer = tmp_path / "a.ome.zarr", replace(movie, scale=(2.0, 0.25, 0.25))
    napari_unet.segment(movie, spec, output=output)
    alike = replace(movie, scale=(2.0, 0.5 * (1 + 1e-9), 0.5), units=("second", "um", "um"))
    napari_unet.segment(alike, spec, output=output)  # rounded otherwise, and other words
    wrong = {
        r"another size \(scale: \[2.0, 0.5, 0.5\] then, \[2.0, 0.25, 0.25\] now": replace(
            movie, scale=(2.0, 0.25, 0.25)
        ),
        "another size .*units": replace(movie, units=("second", "millimeter", "millimeter")),
        "lay elsewhere .*start": replace(movie, start=(0.0, 7.0, -2.0)),
        "lay elsewhere .*transform": replace(movie, geo=GeoReference((1.0, 0.0, 5.0, 0.0, -1.0, 7.0), "EPSG:3857")),
    }
    for reason, image in wrong.items():
        with pytest.raises(OutputError, match=reason):
            napari_unet.segment(image, spec, output=output)
    assert napari_unet.segment(finer, spec, output=output, overwrite=True).labels.scale == finer.scale


def test_an_unfinished_run_minds_the_size_of_pixels_where_labels_depend_on_it(movie, spec, tmp_path):
    finer = replace(movie, scale=(2.0, 0.25, 0.25))
    output, least = tmp_path / "a.ome.zarr", spec.model_copy(update={"min_size": "9 um2"})
    assert stopped(store(movie, least, output), 30) is None
    with pytest.raises(OutputError, match=r"another size \(scale: \[0.5, 0.5\] then, \[0.25, 0.25\] now"):
        napari_unet.segment(finer, least, output=output)
    shutil.rmtree(f"{output}.unfinished")
    assert stopped(store(movie, spec, output), 30) is None
    found = napari_unet.segment(finer, spec, output=output)  # the same labels, at the size that is known by now
    assert found.hash == napari_unet.segment(movie, spec).hash
    assert found.labels.scale == finer.scale


def test_something_else_at_the_place(movie, spec, tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(3, 3), dtype="u1")
    with pytest.raises(OutputError, match="exists"):
        napari_unet.segment(movie, spec, output=tmp_path / "a.zarr")
    assert napari_unet.segment(movie, spec, output=tmp_path / "a.zarr", overwrite=True).objects
    (tmp_path / "photos.zarr").mkdir()
    (tmp_path / "photos.zarr" / "me.jpg").write_text("")
    with pytest.raises(OutputError, match="other things"):
        napari_unet.segment(movie, spec, output=tmp_path / "photos.zarr", overwrite=True)
    assert (tmp_path / "photos.zarr" / "me.jpg").exists()


def test_a_missing_folder_is_said_first(movie, spec, tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        napari_unet.segment(movie, spec, output=tmp_path / "no" / "a.zarr")


def test_a_full_disk_loses_nothing(movie, spec, tmp_path, monkeypatch):
    output, write = tmp_path / "a.ome.zarr", LabelStore.write

    def full(self: LabelStore, plane: Any, window: Any, labels: Any) -> None:
        if plane.at == (1,):
            monkeypatch.setattr(self, "_level", Full(self._level))
        write(self, plane, window, labels)

    monkeypatch.setattr(LabelStore, "write", full)
    with pytest.raises(OutputError, match=r"free space.*goes on where it was"):
        napari_unet.segment(movie, spec, output=output)
    assert workflows.is_unfinished(output)
    monkeypatch.undo()
    assert napari_unet.segment(movie, spec, output=output).hash == napari_unet.segment(movie, spec).hash


class Full:
    """A level on a disk without space."""

    def __init__(self, level: Any) -> None:
        self._level = level

    def __getattr__(self, name: str) -> Any:
        return getattr(self._level, name)

    def __setitem__(self, *_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_pieces_are_shown_where_somebody_looks(movie, spec, tmp_path):
    view = {"t": slice(3, 4), "y": slice(64, 96), "x": slice(64, 96)}
    steps = workflows.segment_steps(movie, spec, (), preview=lambda: view, output=tmp_path / "a.zarr")
    pieces = [step.payload for step in steps if isinstance(step.payload, Piece)]
    assert pieces[0].index[0] == 3
    shown = np.zeros(movie.shape, np.int32)
    for piece in pieces:
        shown[piece.index] = piece.labels
    np.testing.assert_array_equal(shown, workflows.read_labels(tmp_path / "a.zarr").data)


def test_other_formats_are_written_too(movie, spec, tmp_path):
    found = napari_unet.segment(movie, spec, output=tmp_path / "a.tif")
    np.testing.assert_array_equal(workflows.read_labels(tmp_path / "a.tif").data, found.labels.data)


def test_a_place_that_cannot_be_written_at_the_end_is_refused_at_the_start(movie, spec, tmp_path, monkeypatch):
    (tmp_path / "a.zarr").mkdir()
    zarr.create_array(tmp_path / "a.zarr", shape=(3, 3), dtype="u1", overwrite=True)
    monkeypatch.setattr("napari_unet.models.segment.segment_image", None)
    how = spec.model_copy(update={"confidence": True})
    for name, reason in {"a.zarr": "exists", "no/b.tif": "does not exist", "c.png": "holds one plane"}.items():
        with pytest.raises(OutputError, match=reason):
            napari_unet.segment(movie, how, output=tmp_path / name)


def test_uncertainty_keeps_labels_in_memory(movie, spec, tmp_path):
    how = spec.model_copy(update={"average": "flips", "uncertainty": True})
    found = napari_unet.segment(movie, how, output=tmp_path / "a.zarr")
    assert found.uncertainty is not None
    np.testing.assert_array_equal(np.asarray(workflows.read_labels(tmp_path / "a.zarr").data), found.labels.data)
