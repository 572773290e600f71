"""A file that only grows keeps what was written, whatever stops the program."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from napari_unet.core.errors import OutputError
from napari_unet.io.lines import Lines

ABOUT = {"corrections": 1, "tracks": "abc"}


def test_what_was_added_is_there_again(tmp_path):
    path = tmp_path / "new" / "a.jsonl"
    lines = Lines(path, ABOUT)
    assert lines.entries == []
    for i in range(3):
        lines.add({"do": i})
    again = Lines(path, ABOUT)
    assert (again.entries, again.news) == ([{"do": 0}, {"do": 1}, {"do": 2}], "")
    again.add({"do": 3})
    assert len(Lines(path, ABOUT).entries) == 4


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_half_a_line_is_dropped_with_a_word(tmp_path, cut):
    path = tmp_path / "a.jsonl"
    lines = Lines(path, ABOUT)
    lines.add({"do": 1})
    lines.add({"do": 2})
    os.truncate(path, path.stat().st_size - cut)
    again = Lines(path, ABOUT)
    assert again.entries == [{"do": 1}]
    assert "last line" in again.news or cut == 9
    again.add({"do": 3})
    assert Lines(path, ABOUT).entries == [{"do": 1}, {"do": 3}]


@pytest.mark.parametrize("spoiled", [b"\0\0\0\0\0\n", b'{"do": \n', b"7\n", b"\xff\xfe\n"])
def test_a_damaged_last_line_is_dropped(tmp_path, spoiled):
    path = tmp_path / "a.jsonl"
    Lines(path, ABOUT).add({"do": 1})
    with path.open("ab") as file:
        file.write(spoiled)
    again = Lines(path, ABOUT)
    assert again.entries == [{"do": 1}]
    assert "last line" in again.news
    assert Lines(path, ABOUT).news == ""


def test_damage_in_the_middle_keeps_a_copy(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = Lines(path, ABOUT)
    for i in range(4):
        lines.add({"do": i})
    content = path.read_bytes()
    spoiled = content.replace(b'{"do":1}', b'{"do":\x00}')
    path.write_bytes(spoiled)
    again = Lines(path, ABOUT)
    assert again.entries == [{"do": 0}]
    assert "Line 3 is damaged" in again.news
    assert (tmp_path / "a.jsonl.damaged").read_bytes() == spoiled


@pytest.mark.parametrize("content", [b"", b"hello\n", b'{"corrections":1,"tracks":"other"}\n', b"\0" * 9])
def test_something_else_is_left_alone(tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="something else"):
        Lines(path, ABOUT)
    assert path.read_bytes() == content


def test_no_place(tmp_path):
    (tmp_path / "file").write_text("")
    lines = Lines(tmp_path / "file" / "a.jsonl", ABOUT)
    with pytest.raises(OutputError, match="not saved"):
        lines.add({"do": 1})


def test_nothing_is_written_before_there_is_something_to_write(tmp_path):
    Lines(tmp_path / "new" / "a.jsonl", ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_taken_away_is_written_again(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = Lines(path, ABOUT)
    lines.add({"do": 1})
    path.unlink()
    lines.add({"do": 2})
    assert Lines(path, ABOUT).entries == [{"do": 1}, {"do": 2}]


def test_entries_of_two_writers_never_mix(tmp_path):
    path, later = tmp_path / "a.jsonl", tmp_path / "a-2.jsonl"
    Lines(path, ABOUT).add({"do": 0})
    one, other = Lines(path, ABOUT), Lines(path, ABOUT)
    other.add({"do": 1})
    with pytest.raises(OutputError, match=r"another window or layer.*a-2\.jsonl"):
        one.add({"do": 2})
    assert one.path == later
    other.add({"do": 3})
    one.add({"do": 4})
    assert Lines(path, ABOUT).entries == [{"do": i} for i in (0, 1, 3)]
    assert Lines(later, ABOUT).entries == [{"do": i} for i in (0, 2, 4)]


def test_what_cannot_be_written_is_tried_again(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    lines = Lines(path, ABOUT)
    lines.add({"do": 0})

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("napari_unet.io.lines.os.fsync", full)
        for i in (1, 2):
            with pytest.raises(OutputError, match=rf"{i} corrections are not saved.*No space"):
                lines.add({"do": i})
        assert Lines(path, ABOUT).entries == [{"do": 0}]
    lines.add({"do": 3})
    assert Lines(path, ABOUT).entries == [{"do": i} for i in range(4)]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_killed_program_loses_nothing_that_it_said_was_saved(tmp_path):
    path = tmp_path / "a.jsonl"
    code = """
        import sys
        from pathlib import Path
        from napari_unet.io.lines import Lines
        lines = Lines(Path(sys.argv[1]), {"corrections": 1, "tracks": "abc"})
        for i in range(10**9):
            lines.add({"do": i})
            print(i, flush=True)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), path], stdout=subprocess.PIPE) as program:
        told = [int(program.stdout.readline()) for _ in range(20)]
        program.send_signal(signal.SIGKILL)
        told += [int(line) for line in program.stdout.read().split()]
    found = [entry["do"] for entry in Lines(Path(path), ABOUT).entries]
    assert found[: len(told)] == told
    assert found == list(range(len(found)))
