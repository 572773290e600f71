"""Corrections go back into the file as a whole: levels, hash and record, or nothing; and they can be undone."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, OutputError
from napari_unet.core.hashes import label_hash
from napari_unet.core.levels import level_steps
from napari_unet.core.steps import finish
from napari_unet.io import swaps
from napari_unet.io._zarr_reader import read_manifest, read_zarr
from napari_unet.io.edits import Change, Edited, edit_steps, forget_edits, undo_edit
from napari_unet.io.labels import write_labels
from napari_unet.io.runs import RunFolder
from napari_unet.io.swaps import Swaps

CASES = {"yx": (1300, 1100), "tyx": (3, 70, 600), "zyx": (70, 90, 80), "tzyx": (2, 3, 40, 50)}


def squares(shape: tuple[int, ...]) -> np.ndarray:
    """Squares of nine pixels on background, each with a number of its own."""
    y, x = (np.arange(n) for n in shape[-2:])
    plane = (y[:, None] // 10) * (shape[-1] // 10 + 1) + x // 10 + 1
    plane = np.where((y[:, None] % 10 < 9) & (x % 10 < 9), plane, 0)
    planes = np.arange(np.prod(shape[:-2], dtype=int)).reshape((*shape[:-2], 1, 1)) * (plane.max() + 1)
    return np.where(plane > 0, plane + planes, 0).astype(np.int32)


def store(tmp_path: Path, axes: str = "yx") -> tuple[Path, np.ndarray]:
    labels, output = squares(CASES[axes]), tmp_path / "labels.ome.zarr"
    manifest = {"objects": int(labels.max()), "labels_hash": label_hash(labels), "model": "m"}
    write_labels(output, Image(labels, axes), manifest)
    return output, labels


def put_back(output: Path, axes: str, window: tuple[slice, ...], before: np.ndarray, after: np.ndarray) -> Edited:
    where = dict(zip(axes, window, strict=True))
    return finish(edit_steps(output, Change(where, Image(before, axes), Image(after, axes))))


def check(output: Path, axes: str, expected: np.ndarray) -> None:
    """Compare everything that is stored."""
    for level, steps in enumerate(level_steps(axes, expected.shape)):
        found = np.asarray(read_zarr(output, labels=True, level=level).data[:])
        np.testing.assert_array_equal(found, expected[tuple(slice(None, None, s) for s in steps)])
    manifest = read_manifest(output)
    assert manifest is not None
    assert manifest["labels_hash"] == label_hash(expected)


def content(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def crop(axes: str) -> tuple[slice, ...]:
    return tuple(slice(n // 3, n // 3 + max(n // 2, 1)) for n in CASES[axes])


@pytest.mark.parametrize("axes", CASES)
def test_everything_follows_a_correction_and_its_undoing(axes: str, tmp_path: Path) -> None:
    output, labels = store(tmp_path, axes)
    untouched = content(output)
    window = crop(axes)
    before = labels[window].copy()
    after = before.copy()
    rng = np.random.default_rng(0)
    after[rng.random(after.shape) > 0.9] = 0
    ids = np.unique(before)[1:]
    after[after == ids[0]] = ids[-1]  # two objects become one
    after[..., :3, :3] = 10**6  # a new one
    found = put_back(output, axes, window, before, after)
    highest = int(labels.max())
    assert found.renamed == {10**6: highest + 1}
    after[after == 10**6] = highest + 1
    expected = labels.copy()
    expected[window] = after
    check(output, axes, expected)
    manifest = read_manifest(output)
    assert manifest == found.manifest
    assert manifest["objects"] == highest + 1
    assert manifest["model"] == "m"
    assert manifest["edited"][0]["pixels"] == np.count_nonzero(before != after)
    changed = before != after
    assert set(found.ids) == (set(np.unique(before[changed])) | set(np.unique(after[changed]))) - {0}
    swaps = Swaps(output)
    assert swaps.count == 1
    assert "edited" not in undo_edit(output)
    assert content(output) == untouched
    assert not swaps.count
    with pytest.raises(OutputError, match="nothing to undo"):
        undo_edit(output)
    assert not [f for f in tmp_path.iterdir() if f.name.endswith(".unfinished")]


def test_axes_may_be_in_any_order(tmp_path: Path) -> None:
    output, labels = store(tmp_path, "tyx")
    before = labels[1:2, 10:40, 20:50].transpose(2, 0, 1).copy()
    after = before * 0
    where = {"x": slice(20, 50), "t": slice(1, 2), "y": slice(10, 40)}
    finish(edit_steps(output, Change(where, Image(before, "xty"), Image(after, "xty"))))
    labels[1, 10:40, 20:50] = 0
    check(output, "tyx", labels)


def test_only_shards_that_change_are_written(tmp_path: Path) -> None:
    output, labels = store(tmp_path)
    times = {file: file.stat().st_mtime_ns for file in output.rglob("c/*/*")}
    window = (slice(0, 1300), slice(0, 1100))
    after = labels.copy()
    after[1100:1110, 3:5] = 0
    put_back(output, "yx", window, labels, after)
    changed = {f.relative_to(output).as_posix() for f, at in times.items() if f.stat().st_mtime_ns != at}
    levels = len(level_steps("yx", labels.shape))
    assert changed == {"labels/labels/0/c/1/0", *(f"labels/labels/{k}/c/0/0" for k in range(1, levels))}


def test_shards_of_background_come_and_go(tmp_path: Path) -> None:
    output, labels = store(tmp_path)
    window = (slice(1024, 1300), slice(0, 1024))
    before = labels[window].copy()
    put_back(output, "yx", window, before, before * 0)
    gone = output / "labels/labels/0/c/1/0"
    assert not gone.exists()
    after = before * 0
    after[5, 5] = 3
    put_back(output, "yx", window, before * 0, after)
    assert gone.exists()
    assert Swaps(output).count == 2
    expected = labels.copy()
    expected[window] = 0
    expected[window][5, 5] = labels.max() + 1
    check(output, "yx", expected)
    undo_edit(output)
    assert not gone.exists()
    undo_edit(output)
    check(output, "yx", labels)


def test_ids_that_leave_the_part_stay(tmp_path: Path) -> None:
    output, labels = store(tmp_path)
    window = (slice(4, 40), slice(4, 40))  # cuts through objects
    before = labels[window].copy()
    after = before.copy()
    after[0:2, 0:2] = 0
    after[after == before[10, 0]] = before[10, 0]
    found = put_back(output, "yx", window, before, after)
    assert found.ids == (int(labels[4, 4]),)
    assert not found.renamed
    labels[4:6, 4:6] = 0
    check(output, "yx", labels)
    forget_edits(output)
    assert not Swaps(output).folder.exists()
    check(output, "yx", labels)


@pytest.mark.parametrize("manifest", [None, {"objects": 3}])
def test_new_ids_are_free_even_where_no_run_has_counted_the_objects(manifest: Any, tmp_path: Path) -> None:
    output = tmp_path / "labels.ome.zarr"
    labels = np.zeros((600, 700), np.int32)
    labels[500:510, 600:610] = 4  # far from what is corrected
    labels[550:560, 600:610] = 900
    write_labels(output, Image(labels, "yx"), manifest)
    before = labels[:20, :20].copy()
    after = before.copy()
    after[2:5, 2:5], after[8:9, 8:9] = 1, 4
    found = put_back(output, "yx", (slice(0, 20), slice(0, 20)), before, after)
    assert found.renamed == {1: 901, 4: 902}
    assert found.manifest["objects"] == 902
    labels[2:5, 2:5], labels[8, 8] = 901, 902
    check(output, "yx", labels)


def test_two_regions_that_were_taken_at_the_same_time(tmp_path: Path) -> None:
    output, labels = store(tmp_path)
    window = (slice(0, 100), slice(0, 100))
    before = labels[window].copy()
    one, two, three = before.copy(), before.copy(), before.copy()
    one[:10] = 0
    two[20:30] = 0
    three[5:25] = 0
    put_back(output, "yx", window, before, one)
    put_back(output, "yx", window, before, two)  # other pixels: both count
    labels[:10, :100] = 0
    labels[20:30, :100] = 0
    check(output, "yx", labels)
    with pytest.raises(OutputError, match="Take the region again"):
        put_back(output, "yx", window, before, three)
    check(output, "yx", labels)


def test_what_cannot_be_put_back(tmp_path: Path) -> None:
    output, labels = store(tmp_path)
    untouched = content(output)
    window = (slice(0, 100), slice(0, 100))
    before = labels[window].copy()
    with pytest.raises(OutputError, match="Nothing has changed"):
        put_back(output, "yx", window, before, before)
    with pytest.raises(ImageError, match="negative"):
        put_back(output, "yx", window, before, before - 1)
    with RunFolder(output) as run, pytest.raises(OutputError, match="Another program"):
        put_back(output, "yx", window, before, before * 0)
    with RunFolder(output) as run:
        run.journal.begin({"identity": {}})
    with pytest.raises(OutputError, match="unfinished run"):
        put_back(output, "yx", window, before, before * 0)
    with RunFolder(output) as run:
        run.discard()
    (output / "labels/labels/0/c/0/1").unlink()  # damage elsewhere must not get a new hash
    with pytest.raises(OutputError, match="damaged"):
        put_back(output, "yx", window, before, before * 0)
    with pytest.raises(ImageError, match="no labels"):
        put_back(tmp_path / "nothing.ome.zarr", "yx", window, before, before * 0)
    del untouched["labels/labels/0/c/0/1"]
    assert content(output) == untouched


def test_the_second_correction_reads_no_more_than_it_must(tmp_path: Path) -> None:
    output, labels = store(tmp_path)
    window = (slice(0, 100), slice(0, 100))
    before = labels[window].copy()
    after = before.copy()
    after[0] = 0
    put_back(output, "yx", window, before, after)
    again = after.copy()
    again[1] = 0
    where = dict(zip("yx", window, strict=True))
    notes = [p.note for p in edit_steps(output, Change(where, Image(after, "yx"), Image(again, "yx")))]
    assert not [note for note in notes if "Verifying" in note]
    labels[:2, :100] = 0
    check(output, "yx", labels)


class Power(BaseException):
    """Is cut."""


@pytest.mark.parametrize("what", ["edit", "undo"])
def test_the_power_goes_at_any_moment(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was moved before: after the next start all is old, or all is new."""
    axes = "tyx"
    window = (slice(0, 3), slice(20, 40), slice(0, 600))  # three shards of two levels
    labels = squares(CASES[axes])
    before = labels[window].copy()
    new = labels.copy()
    new[window] = 0
    seen = set()
    (tmp_path / "first").mkdir()
    first, _ = store(tmp_path / "first", axes)
    if what == "undo":
        put_back(first, axes, window, before, before * 0)
    for moment in range(200):
        shutil.copytree(tmp_path / "first", tmp_path / str(moment))
        output = tmp_path / str(moment) / first.name
        left = [moment]

        def cut(function: Any, left: list[int] = left) -> Any:
            def call(*given: Any, **named: Any) -> Any:
                left[0] -= 1
                if left[0] < 0:
                    raise Power
                return function(*given, **named)

            return call

        with monkeypatch.context() as patch:
            for place, name in (
                (swaps.os, "rename"), (swaps.os, "replace"), (swaps.os, "link"), (swaps.os, "unlink"),
                (swaps.shutil, "rmtree"),
            ):  # fmt: skip
                patch.setattr(place, name, cut(getattr(place, name)))
            try:
                put_back(output, axes, window, before, before * 0) if what == "edit" else undo_edit(output)
                over = True
            except Power:
                over = False
        Swaps(output).recover()
        manifest = read_manifest(output)
        assert manifest is not None
        edited = "edited" in manifest
        seen.add(edited)
        check(output, axes, new if edited else labels)
        if over:
            break
    assert over
    assert seen == {True, False}


def test_a_full_disk_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, labels = store(tmp_path)
    untouched = content(output)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("napari_unet.io.edits._store_record", full)
        with pytest.raises(OutputError, match="nothing is changed"):
            put_back(output, "yx", (slice(0, 50), slice(0, 50)), labels[:50, :50], labels[:50, :50] * 0)
    with monkeypatch.context() as patch:
        patch.setattr(swaps, "sync", full)
        with pytest.raises(OutputError, match="nothing is half changed"):
            put_back(output, "yx", (slice(0, 50), slice(0, 50)), labels[:50, :50], labels[:50, :50] * 0)
    assert content(output) == untouched
    forget_edits(output)
    assert not Swaps(output).folder.exists()
