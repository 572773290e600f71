"""A file that only grows, a line for everything that was done: what is in it is never lost."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final

from ..core.errors import OutputError
from .atomic import atomic_file

__all__ = ["Lines"]

_LARGEST: Final = 2**28  # bytes


class Lines:
    """A JSON-lines file: a header, then one line for each entry, on the disk as soon as it was added.

    A program that is stopped in the middle of a line leaves half of one: it is dropped, with a word in `news`. If a
    line before the last is damaged, a copy of the file is kept beside it and what comes after that line is dropped.
    Entries of two writers never mix: whoever comes second goes on in a file of its own, which holds all of its entries.

    Parameters
    ----------
    path : Path
        Made with its folder when the first entry is added.
    header : mapping
        What the entries are about; JSON-like.

    Attributes
    ----------
    entries : list of dict
        What is in the file.
    path : Path
        Where they are now.
    news : str
        What the user should know of that; empty if all is well.

    Raises
    ------
    OutputError
        If the file cannot be read or written, or holds something else.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path, self.news = path, ""
        self.entries: list[dict[str, Any]] = []
        self._header = _line(header)
        self._late: list[bytes] = []
        self._size = 0  # of what was read or written here
        try:
            if path.exists():
                self._open(_entry(self._header))
                self._size = path.stat().st_size
        except OSError as error:
            raise OutputError(f"'{path}' cannot be used: {error.strerror or error}. Choose another place.") from error

    def _open(self, header: dict[str, Any] | None) -> None:
        if self.path.stat().st_size > _LARGEST:
            raise OutputError(f"'{self.path}' is larger than such a file can be. Move it away.")
        content = self.path.read_bytes()
        good = end = content.find(b"\n") + 1
        if _entry(content[:end]) != header:
            raise OutputError(f"'{self.path}' is something else than expected. Move it away, then try again.")
        while (end := content.find(b"\n", good) + 1) and (found := _entry(content[good:end])) is not None:
            self.entries.append(found)
            good = end
        if good == len(content):
            return
        if end and end < len(content):
            copy = self.path.with_name(f"{self.path.name}.damaged")
            with atomic_file(copy) as temporary:
                temporary.write_bytes(content)
            self.news = f"Line {len(self.entries) + 2} is damaged. What came before it is there; a copy is in '{copy}'."
        else:
            self.news = "The last line was not finished, and is left out."
        os.truncate(self.path, good)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Write an entry down: when this returns it is on the disk.

        Parameters
        ----------
        entry : mapping
            JSON-like.

        Raises
        ------
        OutputError
            If that fails, because the disk is full for example; it is tried again with the next entry. Also, once, if
            somebody else has written into the file since: it is in another file then.
        """
        self._late.append(_line(entry))
        before = self.path
        try:
            if before.exists() and before.stat().st_size != self._size:
                self.path = _beside(before)
            if not self.path.exists():  # or somebody has taken it away
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_file(self.path) as temporary:
                    temporary.write_bytes(self._header + b"".join(map(_line, self.entries)))
                self._size = self.path.stat().st_size
            with self.path.open("r+b") as file:
                self._size = start = file.seek(0, os.SEEK_END)
                try:
                    file.write(b"".join(self._late))
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(start)
                    raise
                self._size = file.tell()
        except OSError as error:
            raise OutputError(
                f"{len(self._late)} corrections are not saved yet: '{self.path}' cannot be written "
                f"({error.strerror or error}). They are tried again with the next one."
            ) from error
        self.entries += filter(None, map(_entry, self._late))
        self._late.clear()
        if self.path != before:
            raise OutputError(
                f"These tracks are corrected in another window or layer, too, which writes to '{before}'. What was "
                f"corrected here is saved in '{self.path}' from now on. Go on in one of them."
            )


def _beside(path: Path) -> Path:
    number = next(n for n in count(2) if not path.with_name(f"{path.stem}-{n}{path.suffix}").exists())
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
