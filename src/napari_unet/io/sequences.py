"""Several files of one grid as the channels of one image: T1, FLAIR and so on of one patient."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, Final

import dask.array as da
import numpy as np

from ..core.axes import Image
from ..core.errors import ImageError
from ..core.sequences import check_sequences, name_sequences, shared_place
from .addresses import as_address
from .suffixes import stem_of

__all__ = ["Place", "read_sequences"]

_BLOCK: Final = {"z": 64, "y": 512, "x": 512}  # of an array that has no chunks

Place = str | os.PathLike[str]


def read_sequences(places: Sequence[Place], axes: str | None, read: Callable[[Place, str | None], Image]) -> Image:
    """Read files as the channels of one image, in the order in which they are given.

    Parameters
    ----------
    places : sequence of path-like
        Images without channels (all movies of one length, or none) that have their voxels at the same places: NIfTI and
        DICOM within a hundredth of a voxel in the patient, others by shape, scale, units and place on Earth.
    axes : str or None
        Of the image; ``c`` may be left out, and comes first then.
    read : callable
        Opens one file with the given axes.

    Returns
    -------
    Image
        Axes ``(c, ...)``, of a type that holds the numbers of all files; lazy where one of them is. Channels are called
        what differs between the names of the files. All else is that of the first.

    Raises
    ------
    ImageError
        If a file cannot be read, has channels of its own, is given twice, or lies on another grid.
    """
    if not places:
        raise ImageError("No file was given. Give at least one image.")
    if len(places) == 1:
        return read(places[0], axes)
    images = [read(place, axes and axes.replace("c", "")) for place in places]
    files = tuple(image.source for image in images)
    if twice := next((file for file in files if files.count(file) > 1), None):
        raise ImageError(f"'{twice}' is given twice. Give each file once, in the order of the channels.")
    check_sequences(images)
    first = images[0]
    titles = _titles(images)
    case, names = name_sequences(titles)
    name = case or " + ".join(titles)
    own = f"c{first.axes}"
    scale, units = (1.0, *first.scale), ("pixel", *first.units)
    joined = Image(
        _stacked([image.data for image in images], first.axes), own, scale, units, name, files[0], _levels(images),
        valid=_valid(images), channel_names=names, files=files, **shared_place(images, names),
        start=(0.0, *first.start),
        remarks=tuple(remark for image in images for remark in image.remarks),
    )  # fmt: skip
    return _ordered(joined, axes) if axes and "c" in axes and axes != own else joined


def _titles(images: Sequence[Image]) -> list[str]:
    """Return what the files are called; where they are called alike, their folders."""
    titles = [image.name for image in images]
    if len(set(titles)) == len(titles) or any(image.anatomy and image.anatomy.files for image in images):
        return titles  # a folder of DICOM files may bear the name of a patient
    places = [PurePath(as_address(image.source) or image.source) for image in images]
    folders = [f"{place.parent.name}_{stem_of(place)}" for place in places]
    return folders if len(set(folders)) == len(folders) else titles


def _stacked(arrays: Sequence[Any], axes: str) -> Any:
    """Stack arrays as they are read, or at once where all are in memory."""
    dtype = _common([np.dtype(array.dtype) for array in arrays])
    if all(type(array) is np.ndarray for array in arrays):
        return np.stack([array.astype(dtype, copy=False) for array in arrays])
    chunks = tuple(min(n, _BLOCK.get(a, 1)) for n, a in zip(arrays[0].shape, axes, strict=True))
    return da.stack([_lazy(array, chunks).astype(dtype) for array in arrays])


def _common(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """Return a type that holds the numbers of all."""
    found = np.result_type(*dtypes)
    lossy = [dtype for dtype in dtypes if dtype.kind in "iu" and dtype.itemsize == 8 and found.kind == "f"]
    if lossy:
        raise ImageError(
            f"Numbers of the types {', '.join(map(str, dtypes))} have no common type that holds all of them. Save the "
            "files with 32 bits or as one type."
        )
    return found


def _lazy(array: Any, chunks: tuple[int, ...]) -> Any:
    if isinstance(array, da.Array):
        return array
    return da.from_array(array, chunks=getattr(array, "chunks", chunks), name=False, asarray=True, fancy=False)


def _levels(images: Sequence[Image]) -> tuple[Any, ...]:
    """Return the coarser resolutions that all have."""
    found = []
    for arrays in zip(*(image.levels for image in images), strict=False):
        if len({tuple(array.shape) for array in arrays}) > 1:
            break
        found.append(_stacked(arrays, images[0].axes))
    return tuple(found)


def _valid(images: Sequence[Image]) -> tuple[Any, ...]:
    """Return where all hold data."""
    masks = [image.valid[0] for image in images if image.valid]
    if not masks:
        return ()
    edges = (_BLOCK["y"], _BLOCK["x"])
    return (da.stack([_lazy(mask, tuple(map(min, mask.shape, edges))) for mask in masks]).all(axis=0),)


def _ordered(image: Image, axes: str) -> Image:
    """Bring the channels to where they are asked for."""
    if sorted(axes) != sorted(image.axes):
        raise ImageError(f"'{image.name}' has the axes {image.axes}, which cannot be called '{axes}'.")
    order = [image.axes.index(axis) for axis in axes]
    _, scale, units = image.along(axes)
    levels = tuple(level.transpose(order) for level in image.levels)
    return replace(image, data=image.data.transpose(order), axes=axes, scale=scale, units=units, levels=levels,
        start=image.start_of(axes),
    )  # fmt: skip
