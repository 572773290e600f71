"""Files and folders that are there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from napari_unet.core.errors import OutputError

from .suffixes import suffix_of

__all__ = ["atomic_file", "atomic_folder", "check_depth", "clear", "patiently", "put_in_place", "sync", "write_text"]

R = TypeVar("R")
_WAITS: Final = sys.platform == "win32"  # there nothing can be renamed or removed while a program has it open
_PATIENCE: Final = 1.5  # seconds that a reader, an indexer or a virus scanner has to let go of a file
_USUAL: Final = 259  # characters of a path on Windows, where nobody has allowed longer ones
_INSIDE: Final = 110  # characters of the path of a part of labels, and of its name while it is written
_PAUSE: Final = 0.01  # seconds before the second try, then twice as long each time


def patiently(do: Callable[..., R], *arguments: Any) -> R:
    """Rename, replace or remove something; on Windows again and again for a while, if another program has it open.

    Parameters
    ----------
    do : callable
        Such as ``os.replace``; done twice it does no harm.
    *arguments : Any
        For `do`.

    Returns
    -------
    Any
        What `do` returned.

    Raises
    ------
    OSError
        If it cannot be done.
    """
    end, pause = time.monotonic() + _PATIENCE, _PAUSE
    while True:
        try:
            return do(*arguments)
        except PermissionError:
            if not _WAITS or time.monotonic() >= end:
                raise
        time.sleep(pause)
        pause *= 2


def clear(folder: Path) -> None:
    """Remove a folder with all that is in it, as far as that can be done."""
    with suppress(OSError):
        patiently(_remove, folder)
    shutil.rmtree(folder, ignore_errors=True)  # of what is in use, all else


def check_depth(folder: Path, more: int = _INSIDE) -> None:
    """Refuse a folder in which the paths of files would be longer than Windows takes them.

    Parameters
    ----------
    folder : Path
        Whole; it is there.
    more : int
        Characters that come after it.

    Raises
    ------
    OutputError
        If a file with a path of that length cannot be written there.
    """
    length = len(str(folder)) + 1 + more
    if not _WAITS or length <= _USUAL:
        return
    long = folder / ("x" * more)
    try:
        long.touch()
        long.unlink()
    except OSError as error:
        raise OutputError(
            f"'{folder}' is too long a path: with what is written in it, it has {length} characters, and Windows takes "
            f"{_USUAL}. Choose a folder with a shorter path, or have long paths allowed (Microsoft: LongPathsEnabled)."
        ) from error


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under a temporary name and put it in place when it is complete.

    Parameters
    ----------
    path : path-like
        Where the file goes; an existing file is replaced in one step.

    Yields
    ------
    Path
        Where to write: a sibling with the same suffix.

    Raises
    ------
    OutputError
        If the folder is missing or cannot be written, or the path is a folder. Nothing is left behind.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise OutputError(f"'{path}' is a folder. Give a file name in it.")
    with _beside(target, path) as temporary:
        yield temporary
        if not temporary.is_file():
            raise OutputError(f"Nothing was written to '{path}'.")
        sync(temporary)
        patiently(os.replace, temporary, target)
        sync(target.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text as a whole or not at all, in UTF-8; see :func:`atomic_file`."""
    with atomic_file(path) as part:
        part.write_text(text, "utf-8")


@contextmanager
def atomic_folder(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Fill a folder under a temporary name and put it in place when it is complete.

    Parameters
    ----------
    path : path-like
        Where the folder goes.
    overwrite : bool
        Swap an existing folder for the new one; the old one stays until the new one is complete.

    Yields
    ------
    Path
        The folder to fill: a sibling, empty.

    Raises
    ------
    OutputError
        If the path exists (without `overwrite`, or as a file), or cannot be written. Nothing is left behind.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_dir():
        raise OutputError(f"'{path}' is a file. Choose another name or remove it first.")
    if target.exists() and not overwrite:
        raise OutputError(f"'{path}' exists. Choose another name, remove it first or ask to overwrite it.")
    with _beside(target, path) as temporary:
        temporary.mkdir()
        check_depth(temporary)
        yield temporary
        _put(temporary, target)


def put_in_place(folder: Path, path: str | os.PathLike[str], aside: Path | None = None) -> None:
    """Move a complete folder to where it belongs, in one step.

    Parameters
    ----------
    folder : Path
        On the same disk.
    path : path-like
        Where it goes; a folder that is there is replaced.
    aside : Path, optional
        Where a folder that is replaced is moved first: in a place that is removed afterwards, also by whoever finds it
        after the program was killed. By default it is a hidden sibling.

    Raises
    ------
    OutputError
        If it cannot be moved; both folders are then as they were.
    """
    target = Path(os.path.realpath(path))
    try:
        _put(folder, target, aside)
    except OSError as error:
        raise OutputError(
            f"'{path}' could not be put in place: {error.strerror or error}. Close the programs that have it open."
        ) from error


def _put(new: Path, target: Path, aside: Path | None = None) -> None:
    for folder, _, files in os.walk(new):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))
    _swap(new, target, aside or target.with_name(f".{uuid.uuid4().hex[:12]}.old"))
    sync(target.parent)


def _swap(new: Path, target: Path, old: Path) -> None:
    """Move `new` to `target`; a folder that is there is moved aside first and back if that fails."""
    if not target.exists():
        patiently(os.rename, new, target)
        return
    patiently(os.rename, target, old)
    try:
        patiently(os.rename, new, target)
    except OSError:
        patiently(os.rename, old, target)
        raise
    clear(old)


@contextmanager
def _beside(target: Path, shown: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a free sibling, remove what is left of it, and put errors in words."""
    if not target.parent.is_dir():
        raise OutputError(f"'{shown}' cannot be written: the folder '{target.parent}' does not exist. Create it first.")
    # Independent of the target's name, which may be as long as a name can be; the suffix tells writers the format.
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.part{suffix_of(target)}")
    try:
        yield temporary
    except PermissionError as error:
        raise OutputError(
            f"'{shown}' cannot be written: no permission ({error.strerror or error}). "
            "Choose another folder, or close the program that has the file open."
        ) from error
    except OSError as error:
        raise OutputError(
            f"'{shown}' could not be written: {error.strerror or error}. "
            "Check the free space and the connection of the disk, or choose another folder."
        ) from error
    finally:
        if temporary.is_dir():
            clear(temporary)
        with suppress(OSError):
            temporary.unlink()


def sync(path: Path) -> None:
    """Ask the system to put a file or folder on the disk; folders cannot be synced everywhere (Windows).

    Parameters
    ----------
    path : Path
        What must outlive a power cut.

    Raises
    ------
    OSError
        If it is not there, or the disk is full or broken.
    """
    folder = path.is_dir()
    try:
        handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    except OSError:
        if folder:
            return
        raise
    try:
        os.fsync(handle)
    except OSError:
        if not folder:
            raise
    finally:
        os.close(handle)
