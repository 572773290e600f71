"""Labels in an object store: written part by part to where they are to be, for nothing can be renamed there.

A PUT of a whole object is all or nothing, so a shard is seen as a whole or not at all. What says that the labels are
complete is one object, written last. Until then it says whose they are.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import StorePath

from ..core.axes import Image
from ..core.errors import ImageError, MissingExtraError, OutputError
from ..core.steps import Steps
from ._zarr import create_labels, finish_labels_steps, open_labels, put_shards, say_finest, write_digests
from ._zarr_checks import check_array
from ._zarr_reader import read_manifest
from .addresses import package_of
from .atomic import atomic_file
from .label_store import LabelStore, Window
from .labels import as_facts
from .patient import Patient, open_address

__all__ = ["RemoteLabels", "check_store", "claim_of", "is_there", "make_room", "taken", "writer_of"]

_CLAIM: Final = "writer"
_WRITER: Final = "unfinished"
_BROKEN: Final = (OSError, ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError, OutputError)


class RemoteLabels(LabelStore):
    """An OME-Zarr label image in the making, at an address.

    Parameters
    ----------
    address : str
        Root of the store.
    claim : str
        Of the run, see :func:`claim_of`.
    name : str
        Of the label image.
    image : Image
        Whose labels they are.
    ndim : int
        Spatial dimensions of its planes.
    make : bool
        Make them where there are none.

    Raises
    ------
    OutputError
        If the store cannot be written, or others write there.
    """

    def __init__(self, address: str, claim: str, name: str, image: Image, ndim: int, make: bool = True) -> None:
        self.address, self.claim = address, claim
        self._root = StorePath(_opened(address))
        super().__init__(Path(address), name, image, ndim, make)

    def _opened(self, ndim: int, make: bool) -> zarr.Array[Any]:
        try:
            found = self._begun()
            if found is None and not make:
                raise OutputError(
                    f"'{self.address}' was begun by another process and cannot be opened here. Give all processes the "
                    "same address, endpoint and credentials, then the same command again: the run goes on."
                )
            return self._made(ndim) if found is None else found
        except OSError as error:
            raise _unwritable(self.address, error) from error

    def _begun(self) -> zarr.Array[Any] | None:
        """Open the labels of this run; None if there are none, or what there is of them is damaged."""
        if not is_there(self.address):
            return None
        self._check_claim()
        try:
            level = open_labels(self._root, self.name)
            check_array(level, self.address)
        except FileNotFoundError:
            return None
        except OSError:
            raise  # a server that does not answer: what is there is not to be made anew
        except (*_BROKEN, ImageError):
            return None
        return level if level.shape == self._frame.shape and level.dtype == np.uint32 else None

    def _made(self, ndim: int) -> zarr.Array[Any]:
        level = create_labels(self._root, self.name, self._frame, ndim)
        say_finest(self._root, self.name, self._frame, {_WRITER: self.claim})
        self._check_claim()  # of two that began at the same time, the later one has it
        return level

    def _check_claim(self) -> None:
        if writer_of(self.address) != self.claim:
            raise taken(self.address)

    def _put(self, place: Window, block: npt.NDArray[np.uint32]) -> None:
        try:
            put_shards(self._level, place, block)
        except OSError as error:
            raise _unwritable(self.address, error) from error

    def finish_steps(self, manifest: Mapping[str, Any], digests: npt.NDArray[np.uint8] | None = None) -> Steps[None]:
        """Make the coarser levels and, last, say that the labels are complete; see :class:`LabelStore`."""
        self._check_claim()
        try:
            if digests is not None:
                write_digests(self._root / "labels" / self.name, digests)
            yield from finish_labels_steps(
                self._root, self.name, self._frame, as_facts(manifest), before_last=self._check_claim
            )
        except OSError as error:
            raise _unwritable(self.address, error) from error


def claim_of(folder: Path, make: bool = True) -> str:
    """Return the name by which a run is known in an object store.

    Parameters
    ----------
    folder : Path
        Of the run.
    make : bool
        Choose one where there is none. Only who holds the run may.

    Returns
    -------
    str
        That no other run has; empty if there is none.
    """
    file = folder / _CLAIM
    if make and not file.exists():
        with atomic_file(file) as temporary:
            temporary.write_text(uuid.uuid4().hex, "utf-8")
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return ""


def writer_of(address: str) -> str:
    """Return whose labels are being written to an address; empty where none are, or they are complete."""
    return str((read_manifest(address) or {}).get(_WRITER, ""))


def is_there(address: str) -> bool:
    """Say whether anything is at an address.

    Parameters
    ----------
    address : str
        Root of a store.

    Returns
    -------
    bool
        False for an empty prefix.

    Raises
    ------
    OutputError
        If the server does not tell.
    """
    store = _opened(address)
    try:
        return _wait(store.exists("zarr.json")) or not _wait(store.is_empty(""))
    except OSError as error:
        raise _unwritable(address, error) from error


def make_room(address: str, claim: str) -> None:
    """Remove other labels, or what another run has begun; never anything but a zarr store.

    Parameters
    ----------
    address : str
        Root of a store.
    claim : str
        Of the run that may stay.

    Raises
    ------
    OutputError
        If there are other things, or they cannot be removed.
    """
    if not is_there(address) or writer_of(address) == claim:
        return
    store = _opened(address)
    try:
        if not any(_wait(store.exists(mark)) for mark in ("zarr.json", ".zgroup", ".zarray", "labels/zarr.json")):
            raise OutputError(f"'{address}' holds other things than labels. Choose another name.")
        # First what says that the labels are complete: a half that is left must not look like a whole.
        _wait(store.delete_dir("labels"))
        _wait(store.delete_dir(""))
    except OSError as error:
        raise _unwritable(address, error) from error


def check_store(address: str, image: Image | None = None, overwrite: bool = True) -> None:
    """Check that labels can be written to an address, by a small object that is removed again.

    Parameters
    ----------
    address : str
        Root of a store.
    image : Image, optional
        Of which the labels are.
    overwrite : bool
        Whether something that is there may be replaced, or is looked at later.

    Raises
    ------
    OutputError
        If there is no such bucket, credentials or permissions are missing, the server does not answer, the name leads
        somewhere else, or the place is taken.
    MissingExtraError
        If the package for such addresses is not installed.
    """
    scheme, _, inner = address.partition("://")
    parts = inner.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or re.search(r"[\\?#\x00-\x1f]", inner):
        raise OutputError(f"'{address}' is no plain place in a store. Give one such as s3://bucket/folder/x.ome.zarr.")
    if not parts[-1].lower().endswith(".zarr"):
        raise OutputError(f"'{address}' is no name for labels in a store: it must end in .ome.zarr.")
    if scheme in ("http", "https"):
        raise OutputError(f"'{address}': web servers are read only. Give the address of its bucket, such as s3://...")
    here = address.rstrip("/")
    for source in () if image is None else (file.rstrip("/") for file in image.files or (image.source,)):
        if source and (here == source or here.startswith(f"{source}/") or source.startswith(f"{here}/")):
            raise OutputError(
                f"'{address}' and the image '{source}' lie in each other. Choose a place beside the image."
            )
    store, hello = _opened(address), f".{uuid.uuid4().hex[:12]}.hello"
    try:
        _wait(store.set(hello, default_buffer_prototype().buffer.from_bytes(b"hello")))
        found = _wait(store.get(hello, default_buffer_prototype()))
        _wait(store.delete(hello))
    except OSError as error:
        raise _unwritable(address, error) from error
    if found is None or found.to_bytes() != b"hello":
        raise OutputError(f"'{address}' does not give back what was written there. Use another store.")
    if not overwrite and is_there(address):
        raise OutputError(f"'{address}' exists. Choose another name, or allow it to be replaced: --overwrite.")


def _opened(address: str) -> Patient:
    try:
        return open_address(address.rstrip("/"), read_only=False)
    except ImportError as error:
        scheme = address.partition("://")[0]
        raise MissingExtraError(package_of(scheme), "remote", f"Writing to {scheme}://") from error
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise _unwritable(address, error) from error


def _wait(answer: Any) -> Any:
    return sync(answer)


def taken(address: str) -> OutputError:
    """Say that somebody else writes to an address; to be raised."""
    return OutputError(
        f"'{address}' was changed by another program, or another run writes there: it began in another folder for "
        "unfinished runs (--work), or on another computer. Wait until it is done, choose another name, or take the "
        "place from it: --overwrite."
    )


def _unwritable(address: str, error: BaseException) -> OutputError:
    """Say why a store did not take what was written, and what to do."""
    text, kind = str(error) or type(error).__name__, type(error).__name__ + type(error.__cause__).__name__
    if "Credentials" in kind or "credentials" in text.lower():
        todo = "Credentials are missing: see docs/stores.md for where each kind of store looks for them"
    elif isinstance(error, PermissionError) or "403" in text or "Forbidden" in text:
        todo = "These credentials may not read, write, list and remove there: ask for the permission, or choose another"
    elif isinstance(error, FileNotFoundError) or "NoSuchBucket" in text or "404" in text:
        todo = "There is no such bucket: create it, or correct the address"
    else:
        todo = "Check the connection and the store, then give the same command again: what is done already stays"
    return OutputError(f"'{address}' could not be written: {text}. {todo}.")
