"""Folders of numbered files, one a frame, as microscopes and the Cell Tracking Challenge write them: read as movies."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import dask.array as da
import numpy as np
import numpy.typing as npt
import PIL.Image
import tifffile

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError

__all__ = ["is_numbered", "read_numbered"]

_NAME: Final = re.compile(r"(.*?)(\d+)$")
_ENDINGS: Final = (".tif", ".tiff", ".png")
_SAID: Final = 5  # missing frames that are named

Read = Callable[[Path, str | None], Image]


def is_numbered(folder: Path) -> bool:
    """Say whether a folder holds images with numbers at the end of their names."""
    return folder.is_dir() and next(_files(folder), None) is not None


def read_numbered(folder: Path, axes: str | None, read: Read) -> Image:
    """Read a folder of frames; each is read when somebody looks at it.

    Parameters
    ----------
    folder : Path
        Files that are called alike but for a number at the end: ``t000.tif``, ``t001.tif``. They begin anywhere.
    axes : str or None
        Of the movie, with ``t``; where missing, those of the first frame after it.
    read : callable
        Reads one file with the given axes.

    Returns
    -------
    Image
        Its scale is that of the first frame; there is no unit of time.

    Raises
    ------
    ImageError
        If files are called differently, a number is missing or there twice, or frames differ in size.
    AxesError
        If the axes have no time, or a frame has time itself.
    """
    if axes is not None and "t" not in axes:
        raise AxesError(
            f"'{folder}' is a folder of frames, so one of its axes is t; '{axes}' has none. Give one of the files."
        )
    files = _ordered(folder)
    within = None if axes is None else axes.replace("t", "")
    first = read(files[0], within)
    if "t" in first.axes:
        raise AxesError(
            f"'{files[0]}' has the axes '{first.axes}', and there are {len(files)} in its folder. Give one of them."
        )
    kind = _common_type(files, first)
    frames = [_Frame(file, first, within, read, kind) for file in files]
    chunks = tuple(-1 for _ in first.axes)
    data = da.stack([da.from_array(frame, chunks=chunks, name=False, asarray=True, fancy=False) for frame in frames])
    order = axes or f"t{first.axes}"
    data = data.transpose([f"t{first.axes}".index(axis) for axis in order])
    scale = dict(zip(first.axes, first.scale, strict=True)) | {"t": 1.0}
    units = dict(zip(first.axes, first.units or ("",) * len(first.axes), strict=True)) | {"t": "pixel"}
    more: dict[str, Any] = {"units": tuple(units[axis] for axis in order)} if first.units else {}
    return Image(data, order, scale=tuple(scale[axis] for axis in order), name=folder.name, **more)


class _Frame:
    """A file that is read when somebody looks."""

    def __init__(self, file: Path, like: Image, axes: str | None, read: Read, kind: np.dtype[Any]) -> None:
        self.file, self.axes, self.read = file, axes, read
        self.shape, self.dtype, self.ndim = tuple(like.shape), kind, len(like.shape)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        found = self.read(self.file, self.axes)
        if tuple(found.shape) != self.shape:
            raise ImageError(
                f"'{self.file.name}' has the shape {tuple(found.shape)}, the first frame has {self.shape}. All frames "
                "of a movie must have one size: crop them, or take this one out and number the others again."
            )
        values = np.asarray(found.data[index])
        made = values.astype(self.dtype, casting="unsafe", copy=False)
        if not np.can_cast(values.dtype, self.dtype) and not np.array_equal(made, values):
            raise ImageError(
                f"'{self.file.name}' holds {values.dtype}, the frames before hold {self.dtype}, in which its values "
                "have no room. Save all frames of a movie in one type."
            )
        return made


def _common_type(files: list[Path], first: Image) -> np.dtype[Any]:
    """Return the type that holds all frames: programs save frames of few objects in 8 bits, those of many in 16."""
    kinds = {np.dtype(first.data.dtype)}
    for file in files[1:]:
        with suppress(OSError, ValueError, IndexError, tifffile.TiffFileError):  # it is told when the frame is read
            kinds.add(_type_of(file))
    return np.dtype(np.result_type(*kinds))


def _type_of(file: Path) -> np.dtype[Any]:
    """Read of what type a frame is, and no pixels."""
    if file.suffix.lower() == ".png":
        with PIL.Image.open(file) as picture:
            return np.dtype(
                np.uint16 if picture.mode.startswith("I;16") else np.int32 if picture.mode == "I" else np.uint8
            )
    with tifffile.TiffFile(file) as opened:
        return np.dtype(opened.pages.first.dtype or np.uint8)


def _files(folder: Path) -> Any:
    return (
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in _ENDINGS and _NAME.match(file.stem) and not file.name.startswith(".")
    )


def _ordered(folder: Path) -> list[Path]:
    """Return the files in the order of their numbers."""
    found: dict[int, Path] = {}
    names: dict[str, Path] = {}
    for file in _files(folder):
        parts = _NAME.match(file.stem)
        if parts is None:
            continue
        number = int(parts[2])
        names.setdefault(parts[1], file)
        if len(names) > 1:
            one, two = (each.name for each in names.values())
            raise ImageError(
                f"'{folder}' holds '{one}' and '{two}', which are not frames of one movie. Give each its own folder."
            )
        if number in found:
            raise ImageError(f"'{found[number].name}' and '{file.name}' are both frame {number}. Take one of them out.")
        found[number] = file
    lost = sorted(set(range(min(found), max(found) + 1)) - set(found))
    if lost:
        some = ", ".join(map(str, lost[:_SAID])) + (" ..." if len(lost) > _SAID else "")
        raise ImageError(
            f"In '{folder}' the frames from {min(found)} to {max(found)} are not complete: {some} missing ({len(lost)} "
            "in all). Copy them again, put an empty picture there, or number the others again."
        )
    return [found[number] for number in sorted(found)]
