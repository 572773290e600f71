"""A file or folder is there as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_unet.core.errors import OutputError
from napari_unet.io import atomic
from napari_unet.io.atomic import atomic_file, atomic_folder, clear
from napari_unet.io.runs import RunFolder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file(tmp_path):
    target = tmp_path / "a.txt"
    with atomic_file(target) as temporary:
        assert temporary.suffix == ".txt"
        assert temporary.parent == tmp_path
        temporary.write_text("one")
        assert not target.exists()
    with atomic_file(target) as temporary:
        temporary.write_text("two")
        assert target.read_text() == "one"
    assert target.read_text() == "two"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("way", [atomic_file, atomic_folder])
def test_errors_leave_nothing(tmp_path, way, error):
    def fill():
        with way(tmp_path / "a.txt") as temporary:
            (temporary / "part" if temporary.is_dir() else temporary).write_text("half")
            raise error

    with pytest.raises(error):
        fill()
    assert not names(tmp_path)


def test_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "a.txt")
    with atomic_file(tmp_path / "link.txt") as temporary:
        temporary.write_text("one")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "one"


def test_folder(tmp_path):
    target = tmp_path / "a.zarr"
    with atomic_folder(target) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "x").write_text("one")
        assert not target.exists()
    with pytest.raises(OutputError, match="exists"), atomic_folder(target):
        pass
    with atomic_folder(target, overwrite=True) as temporary:
        (temporary / "y").write_text("two")
        assert (target / "sub" / "x").exists()
    assert names(target) == ["y"]
    assert names(tmp_path) == ["a.zarr"]


def test_failed_swap_keeps_the_old_folder(tmp_path, monkeypatch):
    target = tmp_path / "a.zarr"
    target.mkdir()
    (target / "old").write_text("old")
    rename = os.rename

    def fails(source, to):
        if str(source).endswith(".part.zarr"):
            raise OSError(28, "No space left on device")
        rename(source, to)

    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(OutputError, match="No space left"), atomic_folder(target, overwrite=True) as temporary:
        (temporary / "new").write_text("new")
    assert names(target) == ["old"]
    assert names(tmp_path) == ["a.zarr"]


def test_refusals(tmp_path):
    (tmp_path / "file").write_text("")
    cases = [
        (atomic_file, tmp_path, "is a folder"),
        (atomic_file, tmp_path / "no" / "a.txt", "does not exist"),
        (atomic_folder, tmp_path / "file", "is a file"),
        (atomic_file, tmp_path / "a.txt", "Nothing was written"),
    ]
    for way, path, message in cases:
        with pytest.raises(OutputError, match=message), way(path):
            pass


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(28, "No space left on device")])
def test_errors_in_words(tmp_path, error):
    with pytest.raises(OutputError, match=error.strerror), atomic_file(tmp_path / "a.txt"):
        raise error


def looked_at(monkeypatch, name, times):
    """Have a function of os fail as on Windows while another program has the file open: so many times."""
    real, left = getattr(os, name), [times]

    def fails(*arguments, **more):
        if left[0]:
            left[0] -= 1
            raise PermissionError(13, "The process cannot access the file because it is being used by another process")
        return real(*arguments, **more)

    monkeypatch.setattr(os, name, fails)
    monkeypatch.setattr(atomic, "_WAITS", True)


def test_a_file_that_is_looked_at_is_waited_for(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("one", "utf-8")
    looked_at(monkeypatch, "replace", 2)
    with atomic_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("two", "utf-8")
    assert (tmp_path / "a.txt").read_text("utf-8") == "two"


def test_a_folder_that_is_looked_at_is_waited_for(tmp_path, monkeypatch):
    (tmp_path / "a.zarr").mkdir()
    looked_at(monkeypatch, "rename", 2)
    with atomic_folder(tmp_path / "a.zarr", overwrite=True) as temporary:
        (temporary / "x").write_text("new", "utf-8")
    assert (tmp_path / "a.zarr" / "x").read_text("utf-8") == "new"
    looked_at(monkeypatch, "unlink", 2)
    clear(tmp_path / "a.zarr")
    assert not names(tmp_path)


def test_who_keeps_a_file_open_is_told(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("one", "utf-8")
    looked_at(monkeypatch, "replace", 10_000)
    monkeypatch.setattr(atomic, "_PATIENCE", 0.05)
    with (
        pytest.raises(OutputError, match="close the program that has the file open"),
        atomic_file(tmp_path / "a.txt") as temporary,
    ):
        temporary.write_text("two", "utf-8")
    assert (tmp_path / "a.txt").read_text("utf-8") == "one"
    assert names(tmp_path) == ["a.txt"]


def test_clearing_removes_what_it_can(tmp_path, monkeypatch):
    clear(tmp_path / "none")
    (tmp_path / "run" / "in").mkdir(parents=True)
    for name in ("a", "in/b", "c"):
        (tmp_path / "run" / name).write_text("", "utf-8")
    monkeypatch.setattr(atomic, "_WAITS", True)
    monkeypatch.setattr(atomic, "_PATIENCE", 0.05)
    real = os.unlink

    def fails(path, **more):
        if Path(path).name == "b":
            raise PermissionError(13, "in use")
        real(path, **more)

    monkeypatch.setattr(os, "unlink", fails)
    clear(tmp_path / "run")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["b"]


@pytest.mark.parametrize("allowed", [True, False])
def test_paths_that_are_too_long_for_windows_are_known_at_once(tmp_path, monkeypatch, allowed):
    short, long = tmp_path, tmp_path / ("folder" * 20)
    long.mkdir()
    real = Path.touch

    def touch(self, *arguments, **more):
        if len(str(self)) > 259 and not allowed:
            raise FileNotFoundError(2, "The system cannot find the path specified")
        real(self, *arguments, **more)

    monkeypatch.setattr(Path, "touch", touch)
    monkeypatch.setattr(atomic, "_WAITS", True)

    def both(folder):
        with atomic_folder(folder / "a.zarr") as temporary:
            (temporary / "x").write_text("one", "utf-8")
        with RunFolder(folder / "b.zarr") as run:
            run.journal.begin({"tile": 1})
            assert [f.name for f in run.folder.iterdir() if f.name.startswith("x")] == []

    both(short)
    if allowed:
        both(long)
        return
    with pytest.raises(OutputError, match=r"too long a path.*Windows takes 259"):
        both(long)
    with pytest.raises(OutputError, match="too long a path"):
        RunFolder(long / "b.zarr").__enter__()
    assert not names(long)
