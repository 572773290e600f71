"""Labels that are only shown, kept on disk while a run goes on: pieces of a pyramid, one after another in one file."""

from __future__ import annotations

import itertools
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numcodecs.zstd import Zstd

from ..core.errors import OutputError
from ..core.windows import Window, meet, since
from .atomic import patiently
from .levels import Labels, Part

__all__ = ["Sketch"]

_MARK: Final = b"part"
_HEAD: Final = struct.Struct("<4sHHIQ")  # mark, level, number of axes, checksum, bytes of labels
_CELL: Final = {True: 512, False: 16}  # pixels of a cell of the index, along y and x and along other axes


@dataclass(frozen=True)
class _Entry:
    window: Window
    at: int
    size: int
    checksum: int


class Sketch:
    """Pieces of a pyramid in a file; where pieces overlap, the last one counts.

    Parameters
    ----------
    file : Path
        Where they are kept; its folder must be there.
    axes : str
        Of the labels.
    """

    def __init__(self, file: Path, axes: str) -> None:
        self.file = file
        self._cells = tuple(_CELL[a in "yx"] for a in axes)
        self._index: dict[tuple[int, ...], list[_Entry]] = {}
        self._end = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin with nothing."""
        self._end = 0
        try:
            self.file.write_bytes(b"")
        except OSError as error:
            raise _unwritable(self.file, error) from error

    def take_up(self, level: int) -> Iterator[Part]:
        """Find the pieces that are in the file; what was half written when a program ended is cut off.

        Parameters
        ----------
        level : int
            Whose pieces are returned.

        Yields
        ------
        Part
            In the order in which they were added.
        """
        try:
            with self.file.open("r+b") as stream:
                yield from self._taken(stream, level)
                stream.truncate(self._end)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                raise _unwritable(self.file, error) from error
            self.start()

    def read_on(self, level: int) -> Iterator[Part]:
        """Find the pieces that another process has added since the last time; nothing of the file is changed.

        Parameters
        ----------
        level : int
            Whose pieces are returned.

        Yields
        ------
        Part
            In the order in which they were added.
        """
        try:
            with self.file.open("rb") as stream:
                yield from self._taken(stream, level)
        except OSError:
            return  # it is not there yet, or not any more

    def _taken(self, stream: Any, level: int) -> Iterator[Part]:
        size = stream.seek(0, 2)
        while (found := _read_head(stream, self._end, size, len(self._cells))) is not None:
            number, entry = found
            self._enter(number, entry)
            labels = _decode(stream, entry) if number == level else None
            self._end = entry.at + entry.size
            if labels is not None:
                yield Part(number, entry.window, labels)

    def add(self, parts: Iterable[Part]) -> None:
        """Keep pieces.

        Parameters
        ----------
        parts : iterable of Part
            Of any levels.

        Raises
        ------
        OutputError
            If they cannot be written, because the disk is full for example.
        """
        entries, blobs, at = [], [], self._end
        for part in parts:
            blob = bytes(Zstd(level=1).encode(np.ascontiguousarray(part.labels, np.int32)))
            checksum = zlib.crc32(blob)
            bounds = [n for s in part.window for n in (s.start, s.stop)]
            head = _HEAD.pack(_MARK, part.level, len(part.window), checksum, len(blob))
            head += np.array(bounds, "<i8").tobytes()
            entries.append((part.level, _Entry(part.window, at + len(head), len(blob), checksum)))
            blobs += [head, blob]
            at += len(head) + len(blob)
        try:
            with self.file.open("ab") as stream:
                stream.write(b"".join(blobs))
        except OSError as error:
            raise _unwritable(self.file, error) from error
        self._end = at
        for level, entry in entries:
            self._enter(level, entry)

    def holds(self, level: int, window: Window) -> bool:
        """Say whether there are pieces near a window."""
        with self._lock:
            return any(cell in self._index for cell in self._meeting(level, window))

    def read(self, level: int, window: Window) -> Labels | None:
        """Return labels.

        Parameters
        ----------
        level, window : int, tuple of slice
            Of the pyramid.

        Returns
        -------
        ndarray of int32 or None
            Background where there is no piece, or it cannot be read any more; None if there is none at all.
        """
        with self._lock:
            found = {e.at: e for cell in self._meeting(level, window) for e in self._index.get(cell, ())}
        entries = [found[at] for at in sorted(found) if meet(found[at].window, window)]
        if not entries:
            return None
        out = np.zeros([s.stop - s.start for s in window], np.int32)
        try:
            with self.file.open("rb") as stream:
                for entry in entries:
                    labels, both = _decode(stream, entry), meet(entry.window, window)
                    if labels is not None and both is not None:
                        out[since(both, window)] = labels[since(both, entry.window)]
        except (FileNotFoundError, PermissionError):
            pass  # the run is over: its labels are elsewhere by now; Windows refuses a file that is being removed
        return out

    def close(self) -> None:
        """Take the file away."""
        with suppress(PermissionError):  # on Windows somebody still reads it
            patiently(self.file.unlink, True)

    def _enter(self, level: int, entry: _Entry) -> None:
        with self._lock:
            for cell in self._meeting(level, entry.window):
                self._index.setdefault(cell, []).append(entry)

    def _meeting(self, level: int, window: Window) -> Iterator[tuple[int, ...]]:
        ranges = (range(s.start // c, -(-s.stop // c)) for s, c in zip(window, self._cells, strict=True))
        yield from itertools.product((level,), *ranges)


def _read_head(stream: Any, at: int, size: int, ndim: int) -> tuple[int, _Entry] | None:
    """Return level and place of the piece that begins somewhere, or None if there is no whole one."""
    stream.seek(at)
    start = at + _HEAD.size + 16 * ndim
    if start > size:
        return None
    mark, level, axes, checksum, length = _HEAD.unpack(stream.read(_HEAD.size))
    if mark != _MARK or axes != ndim or start + length > size:
        return None
    bounds = np.frombuffer(stream.read(16 * ndim), "<i8").reshape(ndim, 2).tolist()
    return level, _Entry(tuple(slice(a, b) for a, b in bounds), start, length, checksum)


def _decode(stream: Any, entry: _Entry) -> Labels | None:
    stream.seek(entry.at)
    blob = stream.read(entry.size)
    shape = [s.stop - s.start for s in entry.window]
    if len(blob) != entry.size or zlib.crc32(blob) != entry.checksum:
        return None
    try:
        labels: npt.NDArray[np.int32] = np.frombuffer(Zstd().decode(blob), np.int32).reshape(shape)
    except (ValueError, RuntimeError):
        return None
    return labels


def _unwritable(file: Path, error: OSError) -> OutputError:
    return OutputError(
        f"'{file}' could not be written: {error.strerror or error}. Check the free space and the connection of the "
        "disk, then run again: it goes on where it was."
    )
