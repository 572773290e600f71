"""DICOM series (CT, MR, PET and single pictures) as images."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..core.anatomy import Anatomy
from ..core.axes import Image
from ..core.errors import AxesError, ImageError
from ..core.series import Series, list_in_words
from ._dicom_geometry import arrange, part
from ._dicom_headers import ENDINGS, Plane, dicom_files, is_dicom, read_header, read_planes
from ._dicom_pixels import Planes, check_syntax
from ._standing import stand
from ._suv import uptake
from ._tiff import LAZY_BYTES

__all__ = ["ENDINGS", "find_series", "is_dicom_place", "open_series", "read_dicom"]

_LOOKED_AT: Final = 200  # files of a folder, before it is called something else
_KINDS: Final = {"SEG": "segmentation", "RTSTRUCT": "structures"}


def is_dicom_place(path: Path) -> bool:
    """Tell whether a path is a DICOM file, or a folder with one in it or below it."""
    if path.is_file():
        return is_dicom(path)
    looked = 0
    for folder, below, names in os.walk(path):
        below[:] = sorted(b for b in below if not b.startswith(".") and not b.endswith(".zarr"))
        for name in sorted(names):
            if not name.startswith(".") and is_dicom(Path(folder, name)):
                return True
            looked += 1
            if looked >= _LOOKED_AT:
                return False
    return False


def find_series(place: Path) -> list[Series]:
    """List what a DICOM folder holds, or the series that a file belongs to.

    Parameters
    ----------
    place : Path
        A folder, with those below it; or one file of a series, whose other files lie beside it.

    Returns
    -------
    list of Series
        Sorted by series number. Volumes of different geometry or time that share a series are listed apart.

    Raises
    ------
    ImageError
        If there is no DICOM file, or one is damaged.
    MissingExtraError
        If pydicom is not installed.
    """
    files = _beside(place) if place.is_file() else dicom_files(place)
    if not files:
        raise ImageError(f"'{place}' holds no DICOM files. Choose the folder of a series.")
    planes: dict[str, list[Plane]] = defaultdict(list)
    found: list[Series] = []
    for file in files:
        there = read_planes(file)
        header = there[0].header if there else read_header(file)
        kind = _KINDS.get(str(header.get("Modality", "")))
        if kind is not None:
            name = f"{header.Modality} series {header.get('SeriesNumber') or '?'}"
            uid = str(header.get("SeriesInstanceUID", ""))
            found.append(Series(0, kind, name, file.name, (str(file),), uid=uid))
        else:
            planes[str(header.get("SeriesInstanceUID", ""))] += there
    for uid, together in planes.items():
        volumes = part(together)
        for number, volume in enumerate(volumes):
            found.append(_volume(uid, volume, f" part {number + 1}" if len(volumes) > 1 else ""))
    found.sort(key=lambda s: (s.kind != "image", _series_number(s.name), s.uid))
    return [replace(each, choice=number + 1) for number, each in enumerate(found)]


def read_dicom(place: Path, axes: str | None = None, series: int | None = None) -> Image:
    """Open a DICOM series.

    Parameters
    ----------
    place : Path
        As for :func:`find_series`.
    axes : str, optional
        To check what the dimensions are taken for.
    series : int, optional
        Which one, as :func:`find_series` counts them; needed where there are several.

    Returns
    -------
    Image
        See :func:`open_series`.

    Raises
    ------
    ImageError
        If there is none, it cannot be opened, or there are several and none was chosen: they are listed.
    AxesError
        If it has other axes.
    """
    found = find_series(place)
    images = [each for each in found if each.kind == "image"]
    if series is not None:
        chosen = [each for each in images if each.choice == series]
        if not chosen:
            raise ImageError(f"'{place}' has no image number {series}. It holds:\n{list_in_words(found)}")
        images = chosen
    if not found:
        raise ImageError(f"'{place}' holds no pictures: it is a plan, a report or the like. Choose the images.")
    if not images:
        raise ImageError(
            f"'{place}' holds no images, but:\n{list_in_words(found)}\nOpen it as labels, or choose another."
        )
    if len(images) > 1:
        raise ImageError(
            f"'{place}' holds {len(images)} images. Say which: --series NUMBER on the command line, series=NUMBER in "
            f"Python, or give one of its files:\n{list_in_words(images)}"
        )
    image = replace(open_series(images[0]), source=str(place))
    if axes is not None and axes != image.axes:
        raise AxesError(f"'{place}' has the axes {image.axes}, not '{axes}'. Leave the axes out.")
    return image


def open_series(series: Series) -> Image:
    """Open a series that was found; loaded up to 256 MB, read plane by plane above.

    Parameters
    ----------
    series : Series
        Of an image.

    Returns
    -------
    Image
        CT in HU, PET in SUV by body weight where the file has what it takes (its anatomy says what the values are), all
        others with slope and intercept of the file. Upright as :func:`~napari_unet.io.nifti.read_nifti` says.

    Raises
    ------
    ImageError
        If the planes make no volume, or their pixels cannot be read.
    """
    if series.problem:
        raise ImageError(series.problem)
    planes, anatomy = arrange(series.contents)
    for plane in planes:
        check_syntax(plane)
    header, remarks = planes[0].header, list(anatomy.remarks)
    modality, factor, quantity = str(header.get("Modality", "")), 1.0, ""
    if modality == "PT":
        factor, quantity, why = uptake(planes)
        remarks += [why] * bool(why)
    elif modality == "CT":
        quantity = "HU"
    if str(header.get("PhotometricInterpretation", "")) == "MONOCHROME1":
        remarks.append("Dark means much (MONOCHROME1): the values are those stored.")
    files = tuple(dict.fromkeys(str(plane.file) for plane in planes))
    said = tuple(f"{series.name}: {remark}" for remark in remarks)
    anatomy = replace(anatomy, files=files, modality=modality, quantity=quantity, remarks=said)
    return _image(series.name, Planes(planes, [factor] * len(planes)), anatomy)


def _image(name: str, data: Any, anatomy: Anatomy) -> Image:
    """Turn planes upright and name their axes."""
    first, color = data.planes[0], "c" * (data.ndim == 4)
    loaded: Any = data[:] if data.nbytes <= LAZY_BYTES else data
    z, y, x = anatomy.scale
    millimeter = ("millimeter",) * 3
    if not first.spaced or len(data.planes) == 1:
        movie = "t" * (len(data.planes) > 1)
        step = float(first.header.get("FrameTime") or 0) / 1000
        scale = (*((step or 1.0,) if movie else ()), y, x, *[1.0] * len(color))
        units = (*(("second" if step else "pixel",) if movie else ()), *millimeter[:2], *["pixel"] * len(color))
        return Image(loaded if movie else loaded[0], f"{movie}yx{color}", scale, units, name, anatomy=anatomy)
    turned = anatomy.order != (2, 1, 0) or any(anatomy.mirrored)
    if turned and loaded is data:
        import dask.array as da  # noqa: PLC0415  # takes longer to import than all else here, and few need it

        loaded = da.from_array(data, chunks=data.chunks, inline_array=True)
    if turned:
        loaded = stand(loaded, anatomy)
    if isinstance(loaded, np.ndarray):
        loaded = np.ascontiguousarray(loaded)
    scale, units = (z, y, x, *[1.0] * len(color)), (*millimeter, *["pixel"] * len(color))
    return Image(loaded, f"zyx{color}", scale, units, name, anatomy=anatomy)


def _volume(uid: str, planes: list[Plane], suffix: str) -> Series:
    """Describe a volume, and say what is wrong with it."""
    first = planes[0]
    header = first.header
    name = f"{header.get('Modality') or 'DICOM'} series {header.get('SeriesNumber') or '?'}{suffix}"
    rows, columns = first.size
    size = f"{len(planes)} {'plane' if first.spaced else 'picture'}{'s' * (len(planes) > 1)} of {rows} x {columns}"
    files = tuple(dict.fromkeys(str(plane.file) for plane in planes))
    try:
        _, anatomy = arrange(planes)
    except ImageError as error:
        return Series(0, "image", name, size, files, str(error), uid, planes)
    size += f", {' x '.join(f'{n:.4g}' for n in anatomy.scale[not first.spaced :])} mm"
    return Series(0, "image", name, size, files, "", uid, planes)


def _series_number(name: str) -> tuple[int, str]:
    digits = name.partition(" series ")[2].partition(" ")[0]
    return (int(digits) if digits.isdigit() else 0, name)


def _beside(file: Path) -> list[Path]:
    """Return the files beside a file that belong to its series."""
    uid = _uid(file)
    if uid is None:
        return [file]
    return [other for other in dicom_files(file.parent, below=False) if other == file or _uid(other) == uid]


def _uid(file: Path) -> Any:
    return read_header(file, ["SeriesInstanceUID"]).get("SeriesInstanceUID")
