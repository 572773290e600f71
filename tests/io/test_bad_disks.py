"""Journals on disks that fail: any damage, no room, no locks."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.axes import Image
from napari_unet.core.errors import OutputError
from napari_unet.io import journal as module
from napari_unet.io import label_store
from napari_unet.io.journal import Journal, packed_size
from napari_unet.io.label_store import LabelStore

ARRAYS = {
    "scores": np.arange(60, dtype=np.uint8).reshape(2, 5, 6),
    "trees": np.repeat(np.arange(4000, dtype=np.int32), 9),
    "table": np.array([[1.5, -2.0], [0.0, 7.25]]),
    "count": np.array(7),
    "nothing": np.zeros((0, 3), np.int64),
    "flags": np.array([True, False]),
}


@pytest.fixture
def journal(tmp_path) -> Journal:
    with Journal(tmp_path / "run") as opened:
        yield opened


def test_room_is_told_beforehand(journal):
    journal.put("trees", "0", trees=ARRAYS["trees"])
    size = (journal.folder / "trees" / "0.part").stat().st_size
    assert packed_size(ARRAYS["trees"]) < ARRAYS["trees"].nbytes / 3
    assert 0 < size - packed_size(ARRAYS["trees"]) < 300


@settings(deadline=None, max_examples=60)
@given(draw=st.data())
def test_no_damage_goes_unnoticed(draw, tmp_path_factory):
    with Journal(tmp_path_factory.mktemp("journal") / "run") as journal:
        journal.put("trees", "0", **ARRAYS)
        file = journal.folder / "trees" / "0.part"
        content = file.read_bytes()
        if draw.draw(st.booleans()):
            spoiled = content[: draw.draw(st.integers(0, len(content) - 1))]
        else:
            place, bit = draw.draw(st.integers(0, len(content) - 1)), draw.draw(st.integers(0, 7))
            spoiled = content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
        file.write_bytes(spoiled)
        with pytest.raises(OutputError, match="missing or damaged"):
            journal.get("trees", "0")


def test_a_disk_that_knows_no_locks_is_not_another_program(tmp_path, monkeypatch):
    def unknown(stream: object, byte: int | None = None) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(module, "_take", unknown)
    run, here = Journal(tmp_path / "run"), pytest.raises(OutputError, match="disk of this computer")
    with here as alone:
        run.__enter__()
    with here as shared, run.share("1 of 2"):
        pass
    with here as waiting, run.alone("rims"):
        pass
    assert {type(each.value) for each in (alone, shared, waiting)} == {OutputError}  # nobody is said to hold it


def test_no_room_is_said_with_the_way_out(journal, monkeypatch):
    def full(self: Path, mode: str = "r") -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutputError, match=r"No space left on device.*[Ff]ree space"):
        journal.put("scores", "0", a=np.zeros(3))
    monkeypatch.undo()
    assert not journal.has("scores", "0")


def test_labels_on_a_disk_that_does_not_answer_are_not_made_anew(tmp_path, monkeypatch):
    def lost(*_: object) -> object:
        raise OSError(errno.EIO, "Input/output error")

    image = Image(np.zeros((40, 50), np.float32), "yx")
    (plane,) = image.planes(2)
    window, labels = (slice(0, 40), slice(0, 50)), np.full((40, 50), 7, np.int32)
    LabelStore(tmp_path / "a.ome.zarr", "a", image, 2).write(plane, window, labels)
    monkeypatch.setattr(label_store, "open_labels", lost)
    with pytest.raises(OutputError, match=r"Input/output error.*goes on where it was"):
        LabelStore(tmp_path / "a.ome.zarr", "a", image, 2)
    monkeypatch.undo()
    again = LabelStore(tmp_path / "a.ome.zarr", "a", image, 2)
    np.testing.assert_array_equal(again.read(plane, window), labels)
    # What is damaged or missing is made anew, and empty.
    (tmp_path / "a.ome.zarr" / "labels" / "a" / "0" / "zarr.json").write_text("{")
    assert not LabelStore(tmp_path / "a.ome.zarr", "a", image, 2).read(plane, window).any()
