"""Labels that are written part by part, while the run goes on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zarr

from ..core.axes import AXES, Image, Plane
from ..core.errors import ImageError, OutputError
from ..core.steps import Steps
from ._zarr import create_labels, finish_labels_steps, mend_groups, open_labels, shard_files, write_digests
from ._zarr_reader import read_manifest, read_zarr
from .atomic import clear, patiently, sync
from .labels import as_facts

__all__ = ["LabelStore", "stored_labels"]

Window = tuple[slice, ...]
_BROKEN: Final = (OSError, ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError)
_MISSING: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class LabelStore:
    """An OME-Zarr label image in the making.

    Shards are written whole and by one writer each. What is not written yet is background.

    Parameters
    ----------
    folder : Path
        Root of the store.
    name : str
        Of the label image.
    image : Image
        Whose labels they are.
    ndim : int
        Spatial dimensions of its planes.
    make : bool
        Make them where there are none. False for who writes into labels that another process has made.
    """

    def __init__(self, folder: Path, name: str, image: Image, ndim: int, make: bool = True) -> None:
        self.folder, self.name = folder, name
        axes = "".join(a for a in AXES if a in image.label_axes)
        shape, scale, units = image.along(axes)
        place: dict[str, Any] = {"geo": image.geo and image.geo.without_bands, "anatomy": image.anatomy}
        place["start"] = image.start_of(axes)
        self._frame = Image(np.broadcast_to(np.uint32(0), shape), axes, scale, units, image.name, **place)
        self._level = self._opened(ndim, make)
        self._block = dict(zip(axes, self._level.shards or self._level.chunks, strict=True))

    def _opened(self, ndim: int, make: bool) -> zarr.Array[Any]:
        folder, name = self.folder, self.name
        try:
            there = _reopened(folder, name, self._frame.shape, make)
            if there is None and not make:
                raise OutputError(
                    f"'{folder}' was made by another process and cannot be opened here. Check that all processes see "
                    "the same disk, then give the same command again: the run goes on where it was."
                )
            if there is None:
                clear(folder)
            return create_labels(folder, name, self._frame, ndim) if there is None else there
        except OSError as error:
            raise OutputError(_unwritable(folder, error)) from error

    @property
    def labels(self) -> Image:
        """The labels as far as they are written, not loaded; axes in the order ``tzyx``."""
        frame = self._frame
        place: dict[str, Any] = {"geo": frame.geo, "anatomy": frame.anatomy, "start": frame.start}
        return Image(self._level, frame.axes, frame.scale, frame.units, frame.name, **place)

    def windows(self, plane: Plane) -> Sequence[Window]:
        """List the parts of a plane that are written at once: whole shards."""
        axes = zip(plane.axes, plane.shape, strict=True)
        cuts = [[slice(a, min(a + self._block[x], n)) for a in range(0, n, self._block[x])] for x, n in axes]
        return list(itertools.product(*cuts))

    def write(self, plane: Plane, window: Window, labels: npt.NDArray[np.int32]) -> None:
        """Write a part of a plane.

        Parameters
        ----------
        plane : Plane
            Of the image.
        window : tuple of slice
            One of :meth:`windows`.
        labels : ndarray of int32
            From 0; axes of the plane.

        Raises
        ------
        OutputError
            If it cannot be written, because the disk is full for example.
        """
        place = self._place(plane, window)
        # Planes name their axes in the order of the store; what they hold fixed has length 1 there.
        self._put(place, labels.astype(np.uint32).reshape([s.stop - s.start for s in place]))

    def _put(self, place: Window, block: npt.NDArray[np.uint32]) -> None:
        try:
            for file in shard_files(self._level, place):
                # zarr reads a shard before it writes one: half a shard, after a power cut, would stop it.
                patiently(file.unlink, True)
            patiently(self._level.__setitem__, place, block)
            for file in shard_files(self._level, place):
                sync(file)
        except OSError as error:
            raise OutputError(_unwritable(self.folder, error)) from error

    def read(self, plane: Plane, window: Window) -> npt.NDArray[np.int32]:
        """Read a part of a plane.

        Parameters
        ----------
        plane, window : Plane, tuple of slice
            As for :meth:`write`.

        Returns
        -------
        ndarray of int32
            Background where nothing is written, or what is there cannot be read.
        """
        shape = [s.stop - s.start for s in window]
        try:
            return np.asarray(self._level[self._place(plane, window)]).astype(np.int32).reshape(shape)
        except _BROKEN:
            # Half a shard, after a power cut: as good as none.
            return np.zeros(shape, np.int32)

    def _place(self, plane: Plane, window: Window) -> Window:
        at = {plane.image.axes[dimension]: slice(position, position + 1) for dimension, position in plane.fixed}
        at |= dict(zip(plane.axes, window, strict=True))
        return tuple(at[a] for a in self._frame.axes)

    def finish_steps(self, manifest: Mapping[str, Any], digests: npt.NDArray[np.uint8] | None = None) -> Steps[None]:
        """Make the coarser levels and store how the labels were made.

        Parameters
        ----------
        manifest : mapping
            See :func:`~napari_unet.io.labels.write_labels`.
        digests : ndarray of uint8, shape (blocks, 32), optional
            Of all blocks of the labels. Kept beside them, so that their hash is known after a part has changed.

        Yields
        ------
        Progress
            One for every part of the coarser levels.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        try:
            for half in self.folder.rglob("*.partial"):  # zarr was writing when the program was killed
                patiently(half.unlink, True)
            if digests is not None:
                write_digests(self.folder / "labels" / self.name, digests)
            yield from finish_labels_steps(self.folder, self.name, self._frame, as_facts(manifest))
        except OSError as error:
            raise OutputError(_unwritable(self.folder, error)) from error


def _reopened(folder: Path, name: str, shape: Sequence[int], mend: bool) -> zarr.Array[Any] | None:
    """Open labels that were begun, or return None where there are none, or they are damaged."""
    try:
        if mend and folder.is_dir():
            mend_groups(folder, name)
        level = open_labels(folder, name)
    except _MISSING:
        return None
    except OSError:
        raise  # a disk that does not answer: what is there is not to be made anew
    except (*_BROKEN, OutputError):
        return None
    return level if level.shape == tuple(shape) else None


def stored_labels(folder: Path | str) -> tuple[Image, dict[str, Any]] | None:
    """Return labels that were finished, and how they were made.

    Parameters
    ----------
    folder : Path or str
        Perhaps the root of a store; or an address.

    Returns
    -------
    labels : Image
        Not loaded.
    manifest : dict
        As given to :meth:`LabelStore.finish_steps`. None in place of both if there are no such labels.
    """
    try:
        manifest = read_manifest(folder)
        return None if manifest is None else (read_zarr(folder, labels=True), manifest)
    except ImageError:
        return None


def _unwritable(folder: Path, error: OSError) -> str:
    return (
        f"'{folder}' could not be written: {error.strerror or error}. Check the free space and the connection of the "
        "disk, then give the same command again: the run goes on where it was."
    )
