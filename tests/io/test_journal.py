"""The record of a run: whole entries, one writer, damage noticed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_unet.core.errors import InUseError, OutputError
from napari_unet.io.journal import Journal

ARRAYS = {
    "large": np.arange(60_000, dtype=np.int32).reshape(3, 100, 200),
    "small": np.array(7),
    "none": np.zeros((0, 3), np.int64),
    "flags": np.array([True, False]),
    "turned": np.arange(12.0).reshape(3, 4).T,
}


@pytest.fixture
def journal(tmp_path: Path):
    with Journal(tmp_path / "run") as found:
        yield found


def test_arrays_come_back_as_they_were(journal):
    journal.put("trees", "0.1", **ARRAYS)
    assert journal.has("trees", "0.1")
    assert not journal.has("trees", "0.2")
    found = journal.get("trees", "0.1")
    assert found.keys() == ARRAYS.keys()
    for name, values in ARRAYS.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    journal.drop("trees", "0.1")
    journal.drop("trees", "0.1")
    assert not journal.has("trees", "0.1")


def test_an_entry_can_be_a_mark_alone(journal):
    journal.put("begun", "3")
    assert journal.has("begun", "3")
    assert journal.get("begun", "3") == {}


def test_the_manifest_is_there_again(tmp_path):
    with Journal(tmp_path / "run") as first:
        assert first.manifest == {}
        first.begin({"tile": (1, 2), "text": "µm"})
        assert first.manifest == {"tile": [1, 2], "text": "µm"}
    with Journal(tmp_path / "run") as second:
        assert second.manifest == {"tile": [1, 2], "text": "µm"}


@pytest.mark.parametrize("place", [0, 40, -1])
def test_damage_is_noticed(journal, place):
    journal.put("trees", "0", **ARRAYS)
    file = journal.folder / "trees" / "0.part"
    blob = bytearray(file.read_bytes())
    blob[place] ^= 0xFF
    file.write_bytes(blob)
    with pytest.raises(OutputError, match="damaged"):
        journal.get("trees", "0")


@pytest.mark.parametrize("size", [0, 5, 30, 2000])
def test_half_an_entry_is_noticed(journal, size):
    journal.put("trees", "0", **ARRAYS)
    file = journal.folder / "trees" / "0.part"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(OutputError, match="damaged"):
        journal.get("trees", "0")


def test_a_damaged_manifest_is_said_and_lets_go_of_the_folder(tmp_path):
    with Journal(tmp_path / "run") as journal:
        journal.begin({"tile": 1})
    (tmp_path / "run" / "manifest.json").write_text("{")
    for _ in range(2):
        with pytest.raises(OutputError, match="damaged"):
            Journal(tmp_path / "run").__enter__()


def test_only_one_program_at_a_time(tmp_path):
    code = "import sys; from pathlib import Path; from napari_unet.io.journal import Journal\n"
    code += "journal = Journal(Path(sys.argv[1])).__enter__(); print('mine', flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "mine\n"
        with pytest.raises(InUseError, match="Another program is writing"):
            Journal(tmp_path / "run").__enter__()
    finally:
        other.kill()
        other.communicate()
    # However it ended, the system let go of the lock.
    with Journal(tmp_path / "run") as journal:
        journal.put("begun", "0")


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(tmp_path / "file" / "run").__enter__()
    with Journal(tmp_path / "run") as journal:
        (journal.folder / "trees").write_text("in the way")
        with pytest.raises(OutputError):
            journal.put("trees", "0", values=np.zeros(3))


class Msvcrt(SimpleNamespace):
    """Locks of Windows: of bytes, from where the file stands, for the file that was opened."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self):
        super().__init__(held=[])

    def locking(self, handle, mode, length):
        start = os.lseek(handle, 0, os.SEEK_CUR)
        mine = (handle, os.fstat(handle).st_ino, range(start, start + length))
        if mode == self.LK_UNLCK:
            self.held.remove(mine)
            return
        for _, file, taken in self.held:
            if file == mine[1] and taken.start < start + length and start < taken.stop:
                raise OSError(errno.EACCES, "Permission denied")
        self.held.append(mine)


def test_locks_of_windows_are_given_back_at_once(tmp_path, monkeypatch):
    locks = Msvcrt()
    monkeypatch.setitem(sys.modules, "msvcrt", locks)
    monkeypatch.setattr(sys, "platform", "win32")
    with Journal(tmp_path / "run") as whole:
        assert len(locks.held) == 1
        with pytest.raises(InUseError):
            Journal(tmp_path / "run").__enter__()
        with pytest.raises(InUseError), whole.share("1-of-2"):
            pass
        whole.begin({"tile": 1})
    assert not locks.held
    parts = Journal(tmp_path / "run")
    with parts.share("1-of-2"), parts.share("2-of-2"), parts.alone("end"):
        assert len(locks.held) == 5
        with pytest.raises(InUseError):
            Journal(tmp_path / "run").__enter__()
        with pytest.raises(InUseError), parts.share("1-of-2"):
            pass
    assert not locks.held
    with Journal(tmp_path / "run") as whole:
        assert whole.manifest == {"tile": 1}
