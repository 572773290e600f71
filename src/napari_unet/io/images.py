"""Images from files: TIFF, OME-Zarr, NIfTI, DICOM, PNG, JPEG, BMP, NumPy, rasters; and to most of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import PIL.Image

from napari_unet.core.axes import AXES, Image, as_image, parse_axes
from napari_unet.core.errors import ImageError, OutputError

from ._georeferenced import RASTERS, has_rasterio, is_raster, read_georeferenced, read_stack, write_number_raster
from ._numbered import is_numbered, read_numbered
from ._tiff import read_tiff, write_tiff
from ._zarr import check_replaceable, write_image_zarr
from ._zarr_reader import is_zarr, read_zarr
from .addresses import as_address, as_file
from .atomic import atomic_file, atomic_folder
from .dicom import ENDINGS as DICOM
from .dicom import is_dicom_place, read_dicom
from .nifti import ENDINGS as NIFTI
from .nifti import is_nifti, read_nifti, write_nifti
from .plugins import read_with_plugins
from .sequences import Place, read_sequences
from .suffixes import suffix_of

__all__ = ["SUFFIXES", "WRITTEN", "holds_series", "no_series", "read_image", "write_image"]

WRITTEN: Final = (".zarr", ".tif", ".tiff", ".npy", *NIFTI)
_TIFFS: Final = (".tif", ".tiff", ".svs", ".ndpi", ".btf", ".tf8")
OTHERS: Final = (*_TIFFS, *RASTERS, ".zarr", ".png", ".jpg", ".jpeg", ".bmp", ".npy", *NIFTI)
SUFFIXES: Final = (*OTHERS, *DICOM)
_MODES: Final = {"1": "1", "L": "L", "LA": "L", "I": "I", "F": "F", "I;16": "I;16", "I;16B": "I;16B", "I;16L": "I;16L"}


def read_image(
    path: Place | Sequence[Place], axes: str | Sequence[str] | None = None, series: int | None = None
) -> Image:
    """Read an image file, as far as needed.

    OME-Zarr, NumPy and TIFF files above 256 MB are opened without loading them. Of files with several images the first
    is taken, with all its resolutions, or that of a TIFF that `series` says. Colors become channels, transparency is
    dropped.

    Parameters
    ----------
    path : path-like or sequence of path-like
        ``.tif``, ``.tiff``, ``.svs``, ``.ndpi``, ``.zarr`` (a folder; OME-Zarr 0.4, 0.5 or a plain array), ``.png``,
        ``.jpg``, ``.bmp`` or ``.npy``. For OME-Zarr also an address, such as ``https://...`` or ``s3://...``. With the
        extra ``medical``: ``.nii``, ``.nii.gz``, a folder of DICOM files, or one of them for the series it belongs to.
        A folder of numbered TIFF or PNG files (``t000.tif``, ``t001.tif``) is a movie with a frame in each.
        So is one of rasters of one place, if the axes have ``t``. Other formats, such as ``.czi`` or ``.nd2``, are read
        by the plugins of napari that are installed for them. Several files of one grid, such as T1 and FLAIR of a
        patient, are the channels of one image, see :func:`~napari_unet.io.sequences.read_sequences`.
    axes : str or sequence of str, optional
        One letter of ``tczyx`` for each dimension; where missing, those that the file names or else a guess.
    series : int, optional
        Of a DICOM folder or a TIFF file that holds several: which, from 1 (``list_series`` lists them). The `source` of
        such an image of a TIFF is the file's with the number behind, ``cells.ome.tif/2``, which is read again, too.

    Returns
    -------
    Image
        With the pixel sizes and units that the file names; coarser resolutions are its levels.

    Raises
    ------
    ImageError
        If the file is missing, of another kind, damaged or incomplete, has no such series, or one of several lies on
        another grid.
    AxesError
        If the axes are ambiguous or do not fit.
    MissingExtraError
        If the package that opens such addresses is not installed.
    """
    known = parse_axes(axes) if axes else None
    if isinstance(path, str | os.PathLike):
        return read(path, known, labels=False, series=series)
    if series is not None and len(path) > 1:
        raise ImageError("A series is chosen in one place. Of several, give one DICOM file of each series instead.")
    return read_sequences(path, known, partial(read, labels=False, series=series))


def write_image(
    path: str | os.PathLike[str], image: Image, manifest: Mapping[str, Any] | None = None, overwrite: bool = False
) -> None:
    """Write an image as numbers of 32 bits, complete or not at all.

    Parameters
    ----------
    path : path-like
        ``.zarr`` or ``.ome.zarr``: OME-Zarr 0.5 with a pyramid. ``.tif`` or ``.tiff``: compressed OME-TIFF; of an image
        that lies somewhere on Earth a cloud-optimized GeoTIFF. ``.npy``: keeps no scale. ``.nii`` or ``.nii.gz``: on
        the grid of its source.
    image : Image
        Real numbers.
    manifest : mapping, optional
        How it was made, as plain values; kept as JSON in OME-Zarr and TIFF.
    overwrite : bool
        Replace an existing OME-Zarr folder. A single file is always replaced.

    Raises
    ------
    OutputError
        If the suffix is unknown, or the place cannot be written.
    """
    target, facts = Path(path), dict(manifest or {})
    suffix = suffix_of(target)
    if suffix not in WRITTEN:
        raise OutputError(f"An image cannot be written to '{target}': use one of the suffixes {', '.join(WRITTEN)}.")
    if suffix in NIFTI:
        with atomic_file(target) as temporary:
            write_nifti(temporary, image, np.float32)
        return
    axes = "".join(a for a in AXES if a in image.axes)
    if suffix in (".tif", ".tiff") and image.geo is not None and axes == "yx" and has_rasterio():
        write_number_raster(target, image, facts)
        return
    values = np.asarray(image.data).transpose([image.axes.index(a) for a in axes]).astype(np.float32, copy=False)
    place: dict[str, Any] = {"geo": image.geo, "anatomy": image.anatomy, "start": image.start_of(axes)}
    ordered = Image(values, axes, *image.along(axes)[1:], image.name, **place)
    if suffix == ".zarr":
        if overwrite:
            check_replaceable(target)
        with atomic_folder(target, overwrite) as temporary:
            write_image_zarr(temporary, target.stem.removesuffix(".ome") or "image", ordered, facts)
        return
    with atomic_file(target) as temporary:
        if suffix == ".npy":
            np.save(temporary, values, allow_pickle=False)
        else:
            write_tiff(temporary, ordered, values, facts)


def read(place: str | os.PathLike[str], axes: str | None, labels: bool, series: int | None = None) -> Image:
    """Read an image, or labels (of which palettes are the numbers, not the colors).

    Parameters
    ----------
    place : path-like
        As in :func:`read_image`.
    axes : str or None
        Checked letters, or None.
    labels : bool
        Read numbers rather than colors.
    series : int, optional
        As there.

    Returns
    -------
    Image
        The image.

    Raises
    ------
    ImageError
        As in :func:`read_image`.
    """
    address = as_address(place)
    if address is not None:
        if (suffix := suffix_of(PurePosixPath(address))) in SUFFIXES and suffix != ".zarr":
            raise ImageError(f"'{address}' cannot be read in place, only OME-Zarr can. Download it first.")
        return replace(read_zarr(address, axes, labels), source=address)
    file = as_file(place)
    if series is None and file.name.isdecimal() and holds_series(file.parent):
        file, series = file.parent, int(file.name)
    if not file.exists():
        raise ImageError(f"There is no file '{file}'. Check the name; files on servers must be downloaded first.")
    if not is_zarr(file) and suffix_of(file) not in OTHERS and is_dicom_place(file):
        return read_dicom(file, axes, series)
    if series is not None and holds_series(file):
        return replace(read_tiff(file, axes, series), source=str(file / str(series)))
    if series is not None:
        raise no_series(file)
    return replace(_read(file, axes, labels), source=str(file))


def holds_series(file: Path) -> bool:
    """Tell whether a place is a TIFF file of images that are counted: one that is no raster."""
    return suffix_of(file) in _TIFFS and file.is_file() and not is_raster(file)


def no_series(file: Path) -> ImageError:
    """Return what to say where a series is chosen in a place that has none."""
    one = f"a folder in it, such as '{file / '1'}'" if is_zarr(file) else "the file alone"
    return ImageError(f"A series is chosen in DICOM folders and TIFF files, which '{file}' is not. Give {one}.")


def _read(file: Path, axes: str | None, labels: bool) -> Image:
    suffix = suffix_of(file)
    if is_zarr(file):
        return read_zarr(file, axes, labels)
    if is_nifti(file) and file.is_file():
        return read_nifti(file, axes)
    if is_raster(file):
        return read_georeferenced(file, axes, labels)
    if is_numbered(file):
        return read_numbered(file, axes, partial(_read, labels=labels))
    if file.is_dir():
        raise ImageError(
            f"'{file}' is a folder without a zarr store, DICOM files or numbered frames. Choose a file in it: "
            f"{', '.join(OTHERS)}."
        )
    if suffix in _TIFFS or suffix == ".npy":
        return read_stack(file, axes) if suffix in _TIFFS else _read_npy(file, axes)
    return _read_other(file, axes, labels)


def _read_other(file: Path, axes: str | None, labels: bool) -> Image:
    """Read a picture, or what only a plugin of others reads."""
    suffix = suffix_of(file)
    if suffix in SUFFIXES and suffix != ".zarr":
        return as_image(_read_picture(file, labels), axes, name=file.stem)
    if not labels and (found := read_with_plugins(file, axes)) is not None:
        return found
    raise ImageError(
        f"'{file}' cannot be read: use one of {', '.join(SUFFIXES)}. Convert it, for example to OME-TIFF, or install a "
        "plugin of napari that reads such files."
    )


def _read_npy(file: Path, axes: str | None) -> Image:
    try:
        data = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise ImageError(
            f"'{file}' could not be read as a NumPy array: {error}. Save it again with numpy.save, as numbers."
        ) from error
    return as_image(data, axes, name=file.stem)


def _read_picture(file: Path, labels: bool) -> npt.NDArray[np.generic]:
    """Read a picture as it is stored (not turned by its EXIF orientation, as napari does)."""
    try:
        with warnings.catch_warnings():
            # Large pictures are welcome; beyond Pillow's limit for attacks it raises.
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(file) as picture:
                if picture.mode == "P" and labels:
                    return np.asarray(picture)
                return np.asarray(picture.convert(_MODES.get(picture.mode, "RGB")))
    except PIL.Image.DecompressionBombError as error:
        raise ImageError(f"'{file}' is too large for this format: {error}. Convert it to TIFF or OME-Zarr.") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise ImageError(f"'{file}' could not be read: {error}. Copy or export it again.") from error
