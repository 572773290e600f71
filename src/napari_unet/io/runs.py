"""A segmentation on its way to a file: a folder beside the result, until the result is complete."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.errors import OutputError
from ..core.steps import Steps
from ._comments import read_comment
from ._zarr import check_replaceable
from ._zarr_reader import read_manifest
from .addresses import as_address
from .atomic import check_depth, clear, put_in_place
from .choosing import run_folder
from .journal import MANIFEST, Journal
from .label_store import LabelStore, stored_labels
from .remote_labels import RemoteLabels, claim_of, is_there, make_room, taken, writer_of
from .swaps import Swaps

__all__ = [
    "RunFolder",
    "describe_unfinished",
    "find_finished",
    "find_manifest",
    "goes_on",
    "has_output",
    "peek",
    "store_of",
]

_STORE: Final = "labels.zarr"
_REPLACED: Final = "replaced.zarr"


class RunFolder:
    """What there is of an unfinished run: its journal and the labels written so far.

    Use it as a context: only one program at a time may work on a result. What was done stays when the context ends,
    and is there for the next; only :meth:`publish_steps` takes it away.

    Parameters
    ----------
    output : Path
        Where the labels are to be in the end, an OME-Zarr folder or an address. The run is kept in a folder whose name
        ends in ``.unfinished``, see :func:`~napari_unet.io.choosing.run_folder`.
    work : str
        See there.

    Attributes
    ----------
    journal : Journal
        What is done.
    """

    def __init__(self, output: Path, work: str = "") -> None:
        self.output = output
        self.address = as_address(output)
        self.folder = run_folder(output, work)
        self.journal = Journal(self.folder)

    def __enter__(self) -> Self:
        """Take the folder; an OutputError says that another program has it, or it is damaged or too long a path."""
        if not self.address and not self.output.parent.is_dir():
            raise OutputError(
                f"'{self.output}' cannot be written: the folder '{self.output.parent}' does not exist. Create it first."
            )
        self.journal.__enter__()
        try:
            check_depth(self.folder)
        except OutputError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Let other programs have the folder; remove it if nothing is in it that could go on."""
        empty = not self.journal.manifest
        self.journal.close()
        if empty:
            clear(self.folder)

    @property
    def begun(self) -> dict[str, Any]:
        """What the unfinished run is; empty if there is none."""
        return self.journal.manifest

    def store(self, image: Image, ndim: int) -> LabelStore:
        """Open the labels, or make them.

        Parameters
        ----------
        image : Image
            Whose labels they are.
        ndim : int
            Spatial dimensions of its planes.

        Returns
        -------
        LabelStore
            Where to write.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        return store_of(self.output, image, ndim)

    def publish_steps(
        self, manifest: Mapping[str, Any], store: LabelStore, digests: npt.NDArray[np.uint8] | None = None
    ) -> Steps[Image]:
        """Complete the labels and put them in place; the folder of the run is gone then.

        Parameters
        ----------
        manifest : mapping
            How the labels were made.
        store : LabelStore
            All of whose windows are written.
        digests : ndarray of uint8, optional
            Of all blocks; see :meth:`LabelStore.finish_steps`.

        Returns
        -------
        Image
            The labels, not loaded.

        Yields
        ------
        Progress
            While they are completed.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        yield from store.finish_steps(manifest, digests)
        if not self.address:
            self._put_in_place()
        self.discard()
        found = stored_labels(self.address or self.output)
        if found is None:
            raise OutputError(f"'{self.output}' was changed by another program while it was written. Run it again.")
        return found[0]

    def make_room(self) -> None:
        """Remove what is at an address and may be replaced: nothing can be swapped there when the run is done."""
        if self.address:
            make_room(self.address, claim_of(self.folder))

    def _put_in_place(self) -> None:
        check_replaceable(self.output)
        Swaps(self.output).forget()  # corrections of the labels that are replaced
        aside = self.folder / _REPLACED
        clear(aside)
        put_in_place(self.folder / _STORE, self.output, aside)

    def discard(self) -> None:
        """Remove the run: its result is in place, or not wanted any more."""
        # The record goes first: what is left of a folder without it, should the program be killed now, is nothing.
        (self.folder / MANIFEST).unlink(missing_ok=True)
        self.journal.close()
        clear(self.folder)


def store_of(output: Path, image: Image, ndim: int, make: bool = True, work: str = "") -> LabelStore:
    """Open the labels of an unfinished run.

    Parameters
    ----------
    output : Path
        Where they are to be in the end.
    image, ndim : Image, int
        See :meth:`RunFolder.store`.
    make : bool
        Make them where there are none, or what is there is damaged; only who holds the run may.
    work : str
        See :func:`~napari_unet.io.choosing.run_folder`.

    Returns
    -------
    LabelStore
        Where to write.

    Raises
    ------
    OutputError
        If it cannot be written, or there is none to open.
    """
    name = output.stem.removesuffix(".ome") or "labels"
    if address := as_address(output):
        return RemoteLabels(address, claim_of(run_folder(output, work), make), name, image, ndim, make)
    return LabelStore(run_folder(output) / _STORE, name, image, ndim, make)


def find_finished(output: Path) -> tuple[Image, dict[str, Any]] | None:
    """Return the labels of a finished run and how they were made, if there are any.

    A correction by hand that was being put back when the program ended is brought to an end first.

    Parameters
    ----------
    output : Path
        Of any kind.

    Returns
    -------
    labels : Image
        Not loaded.
    manifest : dict
        As it was given to :meth:`RunFolder.publish_steps`; with ``edited``, a list, if labels were corrected by hand.
    """
    if address := as_address(output):
        return stored_labels(address)
    Swaps(output).recover()
    return stored_labels(output)


def has_output(output: Path) -> bool:
    """Say whether there is anything where labels are to be: a file, a folder, or an object at an address."""
    address = as_address(output)
    return is_there(address) if address else output.exists()


def goes_on(output: Path, overwrite: bool = False) -> bool:
    """Say whether labels at an address are those that the unfinished run of this output has begun.

    Parameters
    ----------
    output : Path
        Where the labels are to be in the end.
    overwrite : bool
        Say no, where it would be refused.

    Returns
    -------
    bool
        False for a folder: unfinished labels are not at their place yet.

    Raises
    ------
    OutputError
        If another run writes there.
    """
    address = as_address(output)
    writer = writer_of(address) if address else ""
    if not address or not writer:
        return False
    if writer == claim_of(run_folder(output), make=False):
        return True
    if not overwrite:
        raise taken(address)
    return False


def peek(output: Path, work: str = "") -> dict[str, Any]:
    """Return what an unfinished run is, whether or not a program is working on it.

    Parameters
    ----------
    output : Path
        Where its labels are to be in the end.
    work : str
        See :func:`~napari_unet.io.choosing.run_folder`.

    Returns
    -------
    dict
        Empty if there is none, or its record is damaged.
    """
    try:
        return dict(json.loads((RunFolder(output, work).folder / MANIFEST).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def describe_unfinished(output: Path) -> str:
    """Say in words whether an unfinished run is there, of what, and since when.

    Parameters
    ----------
    output : Path
        Where its labels are to be in the end.

    Returns
    -------
    str
        Empty if there is none.
    """
    folder = RunFolder(output).folder
    try:
        begun = peek(output)["identity"]
        last = max(kind.stat().st_mtime for kind in folder.iterdir())
        image, model = begun["image"], begun["model"]
        shape = " x ".join(map(str, image["shape"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    when = time.strftime("%Y-%m-%d at %H:%M", time.localtime(last))
    return (
        f"'{folder}' holds an unfinished run, last written on {when}"
        f" (model {model}, {shape} pixels): with the same image and settings it goes on where it was."
    )


def find_manifest(file: Path) -> dict[str, Any]:
    """Return how labels were made.

    Parameters
    ----------
    file : Path
        OME-Zarr or TIFF.

    Returns
    -------
    dict
        As it was given when they were written; empty if there is nothing.
    """
    if file.suffix.lower() in (".tif", ".tiff"):
        return read_comment(file)
    return read_manifest(as_address(file) or file) or {}
