"""TIFF files: plain, ImageJ, OME and those of slide scanners, with their pyramids."""

from __future__ import annotations

import json
import math
import struct
import weakref
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tifffile

from napari_unet.core.axes import Image, as_image, guess_axes
from napari_unet.core.errors import AxesError, ImageError
from napari_unet.core.series import Series

from ._geo_tags import as_extratags
from ._tiff_scales import SYMBOLS, read_channels, read_scales, tell_times
from ._tiff_tiles import TiffTiles

__all__ = ["BROKEN", "LAZY_BYTES", "MAX_PIXELS", "list_images", "read_tiff", "write_tiff"]

LAZY_BYTES: Final = 256 << 20
MAX_PIXELS: Final = 1 << 40
MAX_CHUNK_BYTES: Final = 4 << 30
# What damaged files make the library raise.
BROKEN: Final = (
    tifffile.TiffFileError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)
_ALPHA: Final = {1, 2}
_VIEW: Final = 4  # so many times fewer pixels, and it is a view of another image


def read_tiff(path: Path, axes: str | None = None, choice: int | None = None) -> Image:
    """Read one series of a TIFF; lazily if it is large.

    Values are those stored: palettes and inverted grays are not applied.

    Parameters
    ----------
    path : Path
        The file.
    axes : str, optional
        Overrules the axes that the file names.
    choice : int, optional
        Which series, from 1 (:func:`list_images` names them). Without it the first, with a remark where there are
        others that are no small views of it.

    Returns
    -------
    Image
        numpy, or arrays that read from the file if it takes more than ``LAZY_BYTES``; samples become channels,
        transparency and axes of length 1 are dropped. Nothing is taken for transparency where `axes` names no
        channels, nor the last of four planes that tifffile was given as an array.

    Raises
    ------
    ImageError
        If the file is not a TIFF, is incomplete, claims more pixels than can be, or has no such series.
    AxesError
        If the axes are ambiguous.
    """
    file, kept = _opened(path), False
    try:
        number = 0 if choice is None else choice - 1
        series = _chosen(path, file, number)
        for level in series.levels:
            _check_size(path, file, level)
        lazy = series.nbytes > LAZY_BYTES
        arrays = [
            _open(path, series, (number, at)) if lazy else level.asarray() for at, level in enumerate(series.levels)
        ]
        stored, scales = str(series.axes).upper(), read_scales(file, number)
        samples = 0 if axes and "c" not in axes else _opaque_samples(series)
        called = read_channels(file, number) if "C" in stored else ()
        others = (*(_others(file) if choice is None else ()), *(tell_times(file, number) if "T" in stored else ()))
        others += _unsaid(series) if axes is None else ()
        kept = lazy
    except BROKEN as error:
        advice = 'Run: pip install "imagecodecs"' if "imagecodecs" in str(error) else "Copy or export it again"
        raise ImageError(f"'{path}' could not be read: {error}. {advice}.") from error
    finally:
        if not kept:
            file.close()
    if kept:
        _close_after(arrays, file)
    picks: list[Any] = [slice(samples) if samples and a == "S" else slice(None) for a in stored]
    guessed = False
    if axes is None:
        picks, axes, guessed = _known_axes(arrays[0], stored, picks, path)
    data, *levels = (_picked(array, tuple(picks)) for array in arrays)
    found = [scales.get(a, (1.0, "pixel")) for a in axes]
    scale, units = tuple(s for s, _ in found), tuple(u for _, u in found)
    name = path.name.split(".")[0]
    return as_image(
        data, axes, scale=scale, units=units, name=name, levels=tuple(levels), remarks=others, channel_names=called,
        guessed=guessed,
    )  # fmt: skip


def list_images(path: Path, views: bool = True) -> list[Series]:
    """List the series of a TIFF.

    Parameters
    ----------
    path : Path
        The file.
    views : bool
        Also those that are much smaller than the first, such as the views and labels of slides.

    Returns
    -------
    list of Series
        In the order of the file.

    Raises
    ------
    ImageError
        If the file is not a TIFF.
    """
    with _opened(path) as file:
        try:
            wanted = range(1, 1 + len(file.series)) if views else _whole(file)
            return [
                Series(
                    number, "image", each.name or f"image {number}",
                    f"{' x '.join(map(str, each.shape))} ({each.axes.lower()}), {each.dtype}", (str(path),),
                )
                for number, each in enumerate(file.series, 1)
                if number in wanted
            ]  # fmt: skip
        except BROKEN as error:
            raise ImageError(f"'{path}' could not be read: {error}. Copy or export it again.") from error


def write_tiff(path: Path, image: Image, values: npt.NDArray[np.generic], manifest: Mapping[str, Any]) -> None:
    """Write labels or an image as OME-TIFF, compressed, with pixel sizes.

    Parameters
    ----------
    path : Path
        Where to.
    image : Image
        Gives axes, scale and units of `values`.
    values : ndarray
        uint16 or uint32; float32 for an image.
    manifest : mapping
        Kept as JSON in a comment annotation of the namespace ``napari-unet``.
    """
    metadata: dict[str, Any] = {"axes": image.axes.upper()}
    for axis, scale, unit in zip(image.axes, image.scale, image.units, strict=True):
        if axis in "zyx":
            metadata |= {f"PhysicalSize{axis.upper()}": scale}
            metadata |= {f"PhysicalSize{axis.upper()}Unit": SYMBOLS.get(unit, "reference frame")}
        elif axis == "t" and unit in SYMBOLS and unit != "pixel":
            metadata |= {"TimeIncrement": scale, "TimeIncrementUnit": SYMBOLS[unit]}
    if manifest:
        metadata["CommentAnnotation"] = {"Namespace": "napari-unet", "Value": json.dumps(manifest)}
    tags = None if image.geo is None else as_extratags(image.geo)
    tifffile.imwrite(
        path, values, ome=True, photometric="minisblack", compression="zlib", metadata=metadata, extratags=tags
    )


def _opened(path: Path) -> tifffile.TiffFile:
    try:
        return tifffile.TiffFile(path)
    except BROKEN as error:
        raise ImageError(f"'{path}' is not a readable TIFF: {error}. Copy or export it again.") from error


def _chosen(path: Path, file: tifffile.TiffFile, number: int) -> tifffile.TiffPageSeries:
    found = file.series
    if not 0 <= number < len(found):
        holds = f"{len(found)} images, counted from 1" if len(found) > 1 else "one image"
        raise ImageError(
            f"There is no series {number + 1} in '{path}': it holds {holds}. 'napari-unet series' lists them."
        )
    return found[number]


def _others(file: tifffile.TiffFile) -> tuple[str, ...]:
    """Say that there are other images, such as positions of a stage."""
    if len(_whole(file)) < 2:
        return ()
    return (
        f"There are {len(file.series)} images in this file, and this is the first. Choose another with --series 2 on "
        "the command line or series=2 in Python; 'napari-unet series' lists them.",
    )


def _whole(file: tifffile.TiffFile) -> list[int]:
    """Return the numbers, from 1, of the first image and of all that are not much smaller, as views of slides are."""
    sizes = [math.prod(each.shape) for each in file.series]
    return [number for number, size in enumerate(sizes, 1) if size * _VIEW >= sizes[0]]


def _check_size(path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Refuse what cannot be true before anything is allocated for it."""
    pixels = math.prod(series.shape)
    if pixels >= MAX_PIXELS:
        raise ImageError(f"'{path}' claims {pixels:.3g} pixels, more than any image has. The file is damaged.")
    size = path.stat().st_size
    needed, compressed = 0, False
    for page in series.pages:
        if page is None or Path(page.parent.filehandle.path) != Path(file.filehandle.path):
            continue
        parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        needed = max([needed, *(offset + length for offset, length in parts)])
        compressed |= series.keyframe.compression != tifffile.COMPRESSION.NONE
        compressed |= any(length == 0 for _, length in parts)
    # Of black and white images eight pixels are one byte.
    promised = -(-pixels * series.keyframe.bitspersample // 8)
    if needed > size or (not compressed and not _several_files(series) and promised > size):
        raise ImageError(
            f"'{path}' is incomplete: it promises {max(needed, promised):,} bytes and has {size:,}. "
            "Copy or download it again."
        )


def _several_files(series: tifffile.TiffPageSeries) -> bool:
    return bool(getattr(series, "is_multifile", False)) or any(page is None for page in series.pages)


def _open(path: Path, series: tifffile.TiffPageSeries, at: tuple[int, int]) -> Any:
    """Open a level, the second number, of a series without loading it."""
    number, level = at
    if series.levels[level].dataoffset is not None and not _several_files(series):
        try:
            # Stored in one piece, as it is: a chunk would be a whole plane, or all of it.
            return tifffile.memmap(path, series=number, level=level, mode="r")
        except ValueError:
            pass  # stored some other way after all
    array = TiffTiles(series.aszarr(level=level, maxworkers=1))
    size = math.prod(array.chunks) * array.dtype.itemsize
    if size > MAX_CHUNK_BYTES:
        raise ImageError(
            f"'{path}' is stored in parts of {size / 2**30:.1f} GiB, which cannot be read piece by piece. "
            "Export it again with tiles, for example of 512 x 512 pixels."
        )
    return array


def _close_after(arrays: list[Any], file: tifffile.TiffFile) -> None:
    """Close a file when the last array that reads from it is gone."""
    left = set(range(len(arrays)))

    def gone(number: int) -> None:
        left.discard(number)
        if not left:
            file.close()

    for number, array in enumerate(arrays):
        weakref.finalize(array, gone, number)


def _opaque_samples(series: tifffile.TiffPageSeries) -> int:
    """Return the number of samples without transparency, 0 if there is none to drop."""
    page = series.keyframe
    if series.kind == "shaped" and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        return 0  # an array of four planes, channels or dates, which tifffile writes as if they were colors
    extra = [int(e) for e in page.extrasamples]
    return page.samplesperpixel - 1 if extra and extra[-1] in _ALPHA else 0


def _unsaid(series: tifffile.TiffPageSeries) -> tuple[str, ...]:
    """Say that the planes of an array were taken for channels, though nobody has said what they are."""
    page = series.keyframe
    if series.kind != "shaped" or page.planarconfig != tifffile.PLANARCONFIG.SEPARATE or "S" not in series.axes:
        return ()
    return (
        f"{page.samplesperpixel} planes were taken for channels, because the file does not say what they are. If they "
        "are a stack, give --axes zyx (in Python axes='zyx'), if dates tyx; in the viewer, open the file with napari's "
        "own reader.",
    )


def _picked(data: Any, picks: tuple[Any, ...]) -> Any:
    """Index an array without loading it."""
    if all(pick == slice(None) for pick in picks):
        return data
    if not isinstance(data, np.ndarray):
        # Few large pictures need dask, and it takes longer to import than all else here.
        import dask.array as da  # noqa: PLC0415

        data = da.from_array(data, chunks=data.chunks)
    return data[picks]


def _known_axes(data: Any, stored: str, picks: list[Any], path: Path) -> tuple[list[Any], str, bool]:
    """Translate TIFF's axis letters to ``tczyx``, dropping unknown axes of length 1; and whether they are guessed."""
    clash = "S" in stored and "C" in stored
    picks, kept, shape = [*picks], "", []
    for i, (a, n) in enumerate(zip(stored, data.shape, strict=True)):
        if n == 1 and (a not in "TCZYXS" or (clash and a in "CS")):
            picks[i] = 0
        else:
            kept += a
            shape.append(min(n, picks[i].stop or n))
    if all(a in "TCZYXS" for a in kept) and not {"C", "S"} <= set(kept):
        axes = kept.lower().replace("s", "c")
        if len(set(axes)) == len(axes):
            return picks, axes, False
    try:
        return picks, guess_axes(tuple(shape), data.dtype), len(shape) > 2
    except AxesError as error:
        raise AxesError(f"'{path}' names its axes {kept}. {error}") from error
