"""The record of a run that can go on: its manifest, a lock, and what is done, one small file for each part."""

from __future__ import annotations

import errno
import json
import os
import struct
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from numcodecs.zstd import Zstd

from ..core.errors import InUseError, OutputError
from .atomic import atomic_file, patiently

__all__ = ["MANIFEST", "Journal", "packed_size"]

MANIFEST: Final = "manifest.json"

_MARK: Final = b"unet-journal-2\n"
_START: Final = struct.Struct("<QL")  # length and checksum of the header
_LONGEST: Final = 2**20  # bytes of a header
_WORTH_PACKING: Final = 2**14  # bytes
_BYTES: Final = 2**20  # of a lock: one for each part of a run, if it has parts
_PAUSE: Final = 0.2  # seconds
_KINDS: Final = frozenset("?biufc")
_HELD: Final = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)  # what systems say of a lock that another program has


class Journal:
    """A folder that knows how far a run has come.

    Entries are arrays under a kind and a key. An entry is there as a whole or not at all, whatever stops the program or
    the computer; damage is noticed when it is read.

    Parameters
    ----------
    folder : Path
        Made if it is not there. Only one program at a time may work with it: use it as a context.

    Attributes
    ----------
    manifest : dict
        What the run is; empty for a new one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: Any = None
        self.manifest: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Take the folder; an InUseError says that another program has it, an OutputError that it is damaged."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / "lock").open("a+b")
        except OSError as error:
            raise OutputError(
                f"'{self.folder}' cannot be written: {error.strerror or error}. Choose another place for the result."
            ) from error
        try:
            self._hold(self._lock, self._held())
        except OutputError:
            self._lock.close()
            raise
        file = self.folder / MANIFEST
        if file.exists():
            try:
                self.manifest = dict(json.loads(file.read_text("utf-8")))
            except (OSError, ValueError, TypeError) as error:
                self.close()
                raise OutputError(self._damaged(file)) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Let other programs have the folder."""
        self.close()

    @contextmanager
    def share(self, name: str) -> Iterator[None]:
        """Take part in a run together with other processes, for as long as the context lasts.

        Parameters
        ----------
        name : str
            Of the part; nobody else may do the same one meanwhile.

        Raises
        ------
        InUseError
            If another process holds the whole run, or does the same part.
        OutputError
            If the folder cannot be written or locked.
        """
        with ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                whole, own = (stack.enter_context((self.folder / f).open("a+b")) for f in ("lock", f"lock.{name}"))
            except OSError as error:
                raise OutputError(
                    f"'{self.folder}' cannot be written: {error.strerror or error}. Choose another place."
                ) from error
            for stream, byte, words in (
                (own, None, f"Another process is doing part {name} of this run right now. Wait until it is done."),
                (whole, zlib.crc32(name.encode()) % _BYTES, self._held()),
            ):
                self._hold(stream, words, byte)
                stack.callback(_let_go, stream, byte)
            yield

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Wait until no other process is in a context of that name, and keep others out while this one lasts."""
        with (self.folder / f"lock.{name}").open("a+b") as stream:
            while True:
                try:
                    self._hold(stream, self._held())
                    break
                except InUseError:
                    time.sleep(_PAUSE)
            try:
                yield
            finally:
                _let_go(stream)

    def _hold(self, stream: Any, held: str, byte: int | None = None) -> None:
        """Lock a file of the folder; `held` is what to say if another program has it."""
        try:
            _take(stream, byte)
        except OSError as error:
            if error.errno in _HELD:
                raise InUseError(held) from error
            raise OutputError(
                f"'{self.folder}' cannot be held for this program alone: {error.strerror or error}. Choose a place "
                "on a disk of this computer."
            ) from error

    def _held(self) -> str:
        return (
            f"Another program is writing this result right now (it holds '{self.folder}'). Wait until it is done, "
            "or choose another name."
        )

    def close(self) -> None:
        """Let other programs have the folder; the entries stay."""
        if self._lock is not None:
            _let_go(self._lock)
            self._lock.close()
            self._lock = None

    def begin(self, manifest: Mapping[str, Any]) -> None:
        """Say what the run is.

        Parameters
        ----------
        manifest : mapping
            JSON-like.
        """
        with atomic_file(self.folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1), "utf-8")
        self.manifest = dict(json.loads(json.dumps(manifest)))

    def has(self, kind: str, key: str) -> bool:
        """Say whether an entry is there."""
        return self._file(kind, key).exists()

    def put(self, kind: str, key: str, **arrays: npt.NDArray[Any]) -> None:
        """Keep an entry: when this returns it is on the disk.

        Parameters
        ----------
        kind, key : str
            Plain words.
        **arrays : ndarray
            Of numbers.

        Raises
        ------
        OutputError
            If it cannot be written, because the disk is full for example.
        """
        packed = [_pack(name, values) for name, values in arrays.items()]
        header = json.dumps([about for about, _ in packed]).encode()
        file = self._file(kind, key)
        try:
            file.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"'{file.parent}' cannot be written: {error.strerror or error}.") from error
        with atomic_file(file) as temporary, temporary.open("wb") as stream:
            stream.write(_MARK + _START.pack(len(header), zlib.crc32(header)) + header)
            for _, blob in packed:
                stream.write(blob)

    def get(self, kind: str, key: str) -> dict[str, npt.NDArray[Any]]:
        """Return an entry.

        Parameters
        ----------
        kind, key : str
            As given to :meth:`put`.

        Returns
        -------
        dict of ndarray
            By name.

        Raises
        ------
        OutputError
            If it is missing or damaged.
        """
        file = self._file(kind, key)
        try:
            with file.open("rb") as stream:
                if stream.read(len(_MARK)) != _MARK:
                    raise ValueError("it is something else")
                length, checksum = _START.unpack(stream.read(_START.size))
                header = stream.read(min(length, _LONGEST))
                if len(header) != length or zlib.crc32(header) != checksum:
                    raise ValueError("it is something else")
                return {about["name"]: _unpack(about, stream.read(about["bytes"])) for about in json.loads(header)}
        except (OSError, ValueError, KeyError, TypeError, struct.error, RuntimeError) as error:
            raise OutputError(self._damaged(file)) from error

    def count(self, kind: str) -> int:
        """Return the number of entries of a kind."""
        return sum(1 for _ in (self.folder / kind).glob("*.part"))

    def drop(self, kind: str, key: str) -> None:
        """Forget an entry, if it is there."""
        patiently(self._file(kind, key).unlink, True)

    def _file(self, kind: str, key: str) -> Path:
        return self.folder / kind / f"{key}.part"

    def _damaged(self, file: Path) -> str:
        return (
            f"'{file}' of an unfinished run is missing or damaged, so the run cannot go on. Remove the folder "
            f"'{self.folder}' and give the command again."
        )


def packed_size(values: npt.NDArray[Any]) -> int:
    """Return the bytes that an array takes in an entry.

    Parameters
    ----------
    values : ndarray
        Of numbers.

    Returns
    -------
    int
        Packed, where that is worth it.
    """
    return len(_pack("", values)[1])


def _pack(name: str, values: npt.NDArray[Any]) -> tuple[dict[str, Any], bytes]:
    values = np.ascontiguousarray(values) if values.ndim else values
    blob, packed = values.tobytes(), False
    if len(blob) >= _WORTH_PACKING and values.dtype.itemsize > 1:
        blob, packed = bytes(Zstd(level=1).encode(blob)), True
    about = {"name": name, "dtype": values.dtype.str, "shape": list(values.shape), "bytes": len(blob), "packed": packed}
    return about | {"crc": zlib.crc32(blob)}, blob


def _unpack(about: Mapping[str, Any], blob: bytes) -> npt.NDArray[Any]:
    if zlib.crc32(blob) != about["crc"]:
        raise ValueError("the checksum is wrong")
    dtype = np.dtype(about["dtype"])
    if dtype.kind not in _KINDS:
        raise ValueError("it holds no numbers")
    values = np.frombuffer(Zstd().decode(blob) if about["packed"] else blob, dtype)
    return values.reshape(about["shape"])


def _take(stream: Any, byte: int | None = None) -> None:
    """Lock an open file for this program alone; the system lets go of it however the program ends.

    With `byte` it is shared with others that give one, and kept from those that do not. Windows knows only locks of
    some bytes, so there all of them are taken, or this one.
    """
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415  # there is no other place for it

        os.lseek(stream.fileno(), byte or 0, os.SEEK_SET)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, _BYTES if byte is None else 1)
    else:
        import fcntl  # noqa: PLC0415

        fcntl.flock(stream.fileno(), (fcntl.LOCK_EX if byte is None else fcntl.LOCK_SH) | fcntl.LOCK_NB)


def _let_go(stream: Any, byte: int | None = None) -> None:
    """Give back what :func:`_take` took: Windows does so when a file is closed, too, but not at once."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        with suppress(OSError):
            os.lseek(stream.fileno(), byte or 0, os.SEEK_SET)
            msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, _BYTES if byte is None else 1)
