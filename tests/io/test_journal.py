"""The record of a run: entries are whole or not there, damage is noticed, and one program at a time writes."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.errors import OutputError
from napari_unet.io import journal as module
from napari_unet.io.journal import MANIFEST, Journal, packed_size

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


def test_entries_come_back_as_they_were(journal):
    assert not journal.has("scores", "0.1.2")
    journal.put("scores", "0.1.2", **ARRAYS)
    assert journal.has("scores", "0.1.2")
    found = journal.get("scores", "0.1.2")
    assert found.keys() == ARRAYS.keys()
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(found[name], values)
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)
    assert journal.count("scores") == 1
    journal.drop("scores", "0.1.2")
    journal.drop("scores", "0.1.2")
    assert (journal.has("scores", "0.1.2"), journal.count("scores"), journal.count("trees")) == (False, 0, 0)


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


def test_one_program_at_a_time(journal):
    with pytest.raises(OutputError, match="Another program is writing this result right now"):
        Journal(journal.folder).__enter__()
    journal.close()
    with Journal(journal.folder):
        pass


def test_a_disk_that_knows_no_locks_is_not_another_program(tmp_path, monkeypatch):
    def unknown(stream: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(module, "_take", unknown)
    with pytest.raises(OutputError, match="disk of this computer"):
        Journal(tmp_path / "run").__enter__()


def test_the_manifest_stays(tmp_path):
    with Journal(tmp_path / "run") as journal:
        assert journal.manifest == {}
        journal.begin({"diameter": 12.5, "tile": (64, 64)})
        assert journal.manifest == {"diameter": 12.5, "tile": [64, 64]}
    with Journal(tmp_path / "run") as journal:
        assert journal.manifest == {"diameter": 12.5, "tile": [64, 64]}
    (tmp_path / "run" / MANIFEST).write_text("[")
    with pytest.raises(OutputError, match="Remove the folder"):
        Journal(tmp_path / "run").__enter__()
    (tmp_path / "run" / MANIFEST).unlink()
    with Journal(tmp_path / "run"):  # the lock was let go of
        pass


def test_a_place_that_cannot_be_a_folder(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(tmp_path / "run").__enter__()


def test_no_room_is_said_with_the_way_out(journal, monkeypatch):
    def full(self: Path, mode: str = "r") -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutputError, match=r"No space left on device.*[Ff]ree space"):
        journal.put("scores", "0", a=np.zeros(3))
    monkeypatch.undo()
    assert not journal.has("scores", "0")
