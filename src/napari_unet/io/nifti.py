"""NIfTI (versions 1 and 2): images and labels with their place in the patient."""

from __future__ import annotations

import gzip
import math
import os
import shutil
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.anatomy import Anatomy, stand_up
from ..core.axes import Image, parse_axes
from ..core.errors import AxesError, ImageError, OutputError
from ._extras import need
from ._standing import flips, lay
from ._tiff import LAZY_BYTES, MAX_PIXELS

__all__ = ["ENDINGS", "is_nifti", "read_nifti", "write_nifti"]

ENDINGS: Final = (".nii", ".nii.gz")
_BROKEN: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
    zlib.error,
)
_MM: Final = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
_SECONDS: Final = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
_FLIP: Final = np.diag([-1.0, -1.0, 1.0, 1.0])  # between RAS, NIfTI's world, and LPS
_KEPT: Final = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip
_AGREE: Final = 1e-2  # mm, between what qform and sform say of a corner
_SKEWED: Final = 1e-3
_SLAB: Final = 1 << 22  # voxels that are scaled together


def is_nifti(path: str | os.PathLike[str]) -> bool:
    """Tell a NIfTI file by its name."""
    return Path(path).name.lower().endswith(ENDINGS)


def read_nifti(path: Path, axes: str | None = None) -> Image:
    """Open a NIfTI image; lazily if it is large.

    Its axes are turned and mirrored so that z runs to the head, y to the back and x to the patient's left, as nearly as
    that goes without interpolation; a single plane stays as it was taken. A fourth dimension is time, a fifth channels.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``.
    axes : str, optional
        What the dimensions are, in the order fifth, fourth, z, y, x: such as ``czyx`` for channels in the fourth.

    Returns
    -------
    Image
        numpy, or arrays that read from the file (of ``.nii.gz``, from an unpacked temporary copy) if it takes more than
        256 MB. Scaled values are float32. Scales are in mm, its anatomy has the exact affine.

    Raises
    ------
    ImageError
        If the file is damaged, incomplete, or has no usable voxel sizes.
    AxesError
        If the axes do not fit.
    MissingExtraError
        If nibabel is not installed.
    """
    nibabel = need("nibabel", "Reading NIfTI")
    try:
        found = nibabel.load(path)
        header = found.header
        shape = tuple(int(n) for n in header.get_data_shape())
        _check_sizes(path, found, shape)
        raw = _voxels(path, found, _check_size(path, header, shape))
        slope, inter = float(found.dataobj.slope), float(found.dataobj.inter)
    except (*_BROKEN, nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError) as error:
        raise ImageError(
            f"'{path}' could not be read as NIfTI: {error}. It may be incomplete; copy or export it again."
        ) from error
    values, letters = _with_axes(raw, path)
    if slope != 1 or inter != 0:
        values = _scaled(values, slope, inter)
    try:
        anatomy = _anatomy(header, tuple(values.shape[:3]))
    except ImageError as error:
        raise ImageError(
            f"'{path}' has no usable geometry: {error}. Export it again with the right voxel sizes."
        ) from None
    return _standing(path, values, letters, anatomy, _seconds(header), axes)


def write_nifti(path: Path, image: Image, dtype: npt.DTypeLike) -> None:
    """Write an image as NIfTI-1 on the grid of its source.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``, of a file that may be replaced.
    image : Image
        Without channels (or with one). Of what was read from NIfTI, affine, codes and orientation are written as they
        were, bit by bit; of DICOM the affine is computed from it. No text is written.
    dtype : dtype
        To write as; a type that NIfTI has.

    Raises
    ------
    OutputError
        If the image has several channels.
    MissingExtraError
        If nibabel is not installed.
    """
    if image.channels > 1:
        raise OutputError(
            f"'{image.name}' has {image.channels} channels; NIfTI is written without. Choose one channel."
        )
    if "c" in image.axes:
        one = tuple(0 if a == "c" else slice(None) for a in image.axes)
        image = Image(
            image.data[one], image.label_axes, *image.along(image.label_axes)[1:], image.name, anatomy=image.anatomy
        )
    nibabel = need("nibabel", "Writing NIfTI")
    values, anatomy = lay(image)
    affine = _FLIP @ anatomy.stored
    kind = nibabel.Nifti2Image if len(anatomy.header) > 348 or max(values.shape) > 32767 else nibabel.Nifti1Image
    made = kind(values.astype(dtype), affine)
    if anatomy.header:
        _restore(nibabel, made, anatomy.header)
    else:
        made.header.set_xyzt_units("mm", "sec" if "t" in image.axes else "unknown")
        made.set_sform(affine, code=1)
        if anatomy.skew < 1e-6:
            made.set_qform(affine, code=1)
    if "t" in image.axes:
        made.header["pixdim"][4] = image.along("t")[1][0] / _SECONDS.get(made.header.get_xyzt_units()[1], 1.0)
    nibabel.save(made, path)


def _restore(nibabel: Any, made: Any, block: bytes) -> None:
    """Put the geometry of the source's header into that of a new image, bit by bit."""
    source = nibabel.Nifti2Header if len(block) > 348 else nibabel.Nifti1Header
    kept = source(block, check=False)
    for field in _KEPT:
        made.header[field] = kept[field]
    made.header["pixdim"][:4] = kept["pixdim"][:4]
    # The affine in memory would be written over the fields otherwise.
    made._affine = made.header.get_best_affine()


def _check_sizes(path: Path, found: Any, shape: tuple[int, ...]) -> None:
    """Refuse voxels of no size, where sizes count: nibabel takes them as 1 mm wide."""
    if int(found.header["sform_code"]):
        return
    with found.file_map.get("header", found.file_map["image"]).get_prepare_fileobj("rb") as stream:
        stored = type(found.header).from_fileobj(stream, check=False)["pixdim"][1:4]
    if any(n > 1 and not abs(size) > 0 for n, size in zip(shape, stored, strict=False)):
        sizes = " x ".join(f"{abs(size):g}" for size in stored)
        raise ImageError(
            f"'{path}' says that its voxels are {sizes} mm large, so nothing can be measured in it. Export it again "
            "with the right voxel sizes."
        )


def _check_size(path: Path, header: Any, shape: tuple[int, ...]) -> int:
    """Refuse what cannot be true before anything is allocated for it."""
    if not shape or any(n < 1 for n in shape):
        raise ImageError(f"'{path}' has the shape {shape}: it holds no voxels. Export it again.")
    if math.prod(shape) >= MAX_PIXELS:
        raise ImageError(f"'{path}' claims {math.prod(shape):.3g} voxels, more than any image has. It is damaged.")
    needed = math.prod(shape) * header.get_data_dtype().itemsize
    there = path.stat().st_size
    whole = needed + int(header.get_data_offset())
    # deflate packs a thousand to one at best
    if there < (whole if path.suffix.lower() != ".gz" else whole // 1100):
        raise ImageError(f"'{path}' is incomplete: it promises {whole:,} bytes and has {there:,}. Copy it again.")
    return int(needed)


def _voxels(path: Path, found: Any, size: int) -> npt.NDArray[Any]:
    """Return the numbers of a file as they are stored: mapped where the file is not packed, else loaded.

    Packed files cannot be read in parts, so a large one is unpacked to a temporary file, which goes with the image.
    """
    if size <= LAZY_BYTES or path.suffix.lower() != ".gz":
        return np.asanyarray(found.dataobj.get_unscaled())
    # What is mapped stays readable until nobody has it any more, and the file is gone then, also on Windows.
    with gzip.open(path) as packed, tempfile.NamedTemporaryFile(suffix=".raw", prefix="napari-unet-") as plain:
        packed.seek(int(found.dataobj.offset))
        shutil.copyfileobj(packed, plain, 1 << 22)
        plain.flush()
        return np.memmap(plain, found.dataobj.dtype, "r", 0, found.dataobj.shape, "F")


def _with_axes(raw: npt.NDArray[Any], path: Path) -> tuple[npt.NDArray[Any], str]:
    """Give an array its three spatial axes first, and name those after them."""
    color = ""
    if raw.dtype.names:  # 24 or 32 bits of color
        width = len(raw.dtype.names)
        raw = np.ascontiguousarray(raw).view(np.uint8).reshape(*raw.shape, width)[..., :3]
        color = "c"
    if raw.dtype.kind not in "buif":
        raise ImageError(f"'{path}' holds {raw.dtype} values; images hold real numbers. Save its magnitude instead.")
    if raw.dtype.kind == "f" and raw.dtype.itemsize > 8:
        raw = raw.astype(np.float64)
    outer = len(color)
    lengths = list(raw.shape[: raw.ndim - outer])
    lengths += [1] * (3 - len(lengths))
    if any(n > 1 for n in lengths[5:]) or (color and any(n > 1 for n in lengths[4:])):
        raise AxesError(f"'{path}' has {len(lengths)} dimensions {tuple(lengths)}; up to five can be read.")
    letters = "".join(a for a, n in zip("tc", lengths[3:5], strict=False) if n > 1)
    kept = [*lengths[:3], *(n for n in lengths[3:5] if n > 1)]
    return raw.reshape(kept + list(raw.shape[raw.ndim - outer :]), order="F" if not color else "C"), letters + color


def _scaled(values: npt.NDArray[Any], slope: float, inter: float) -> Any:
    """Return values times slope plus intercept as float32; where the file is large, when they are looked at."""

    def scale(block: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return (block * np.float64(slope) + np.float64(inter)).astype(np.float32)

    if values.nbytes <= LAZY_BYTES:
        return scale(values)
    import dask.array as da  # noqa: PLC0415  # takes longer to import than all else here, and few need it

    planes = max(1, _SLAB // math.prod(values.shape[:2]))
    chunks = (-1, -1, planes, *[1] * (values.ndim - 3))
    return da.from_array(values, chunks=chunks).map_blocks(scale, dtype=np.float32)


def _anatomy(header: Any, shape: tuple[int, ...]) -> Anatomy:
    """Return where voxels lie, from sform, else qform, else nothing but their sizes."""
    remarks = []
    codes = int(header["sform_code"]), int(header["qform_code"])
    unit = header.get_xyzt_units()[0]
    sizes = np.abs([float(n) for n in header["pixdim"][1:4]])
    if any(codes):
        affine = np.asarray(header.get_best_affine(), np.float64)
    else:
        affine = _FLIP @ np.diag([*sizes, 1.0])
        remarks.append(
            "The file does not say how the image lies in the patient (sform and qform are 0): it is shown as it is "
            "stored, and left and right cannot be told."
        )
    if all(codes) and _differ(affine, np.asarray(header.get_qform(), np.float64), shape):
        remarks.append("Two places are given that differ (sform and qform); sform is taken.")
    affine = np.diag([_MM[unit]] * 3 + [1.0]) @ affine
    found = stand_up(_FLIP @ affine, shape, single=shape[2] == 1 or not any(codes))
    if found.skew > _SKEWED:
        remarks.append(
            f"The axes are not orthogonal (up to {math.degrees(math.asin(min(1, found.skew))):.1f} degrees off): sizes "
            "along them are right, the viewer shows them as if they were."
        )
    block = type(header)()
    for field in _KEPT:
        block[field] = header[field]
    block["pixdim"][:4] = header["pixdim"][:4]
    return replace(found, header=bytes(block.binaryblock), remarks=tuple(remarks))


def _differ(one: npt.NDArray[Any], other: npt.NDArray[Any], shape: tuple[int, ...]) -> bool:
    ends = np.array([[0, 0, 0, 1], [*(n - 1 for n in shape), 1]], np.float64)
    return bool(np.abs(ends @ (one - other).T).max() > _AGREE)


def _seconds(header: Any) -> tuple[float, str]:
    """Return the time between two volumes, and its unit."""
    step, unit = float(header["pixdim"][4]), header.get_xyzt_units()[1]
    return (step * _SECONDS[unit], "second") if unit in _SECONDS and step > 0 else (1.0, "pixel")


def _standing(
    path: Path, values: Any, letters: str, anatomy: Anatomy, time: tuple[float, str], axes: str | None
) -> Image:
    """Turn and mirror a stored array, and name its axes."""
    single = values.shape[2] == 1
    outer = range(values.ndim - 1, 2, -1)
    turned = values.transpose([*outer, *anatomy.order])
    turned = turned[..., 0, :, :] if single else turned[(..., *flips(anatomy))]
    found = letters[::-1] + ("yx" if single else "zyx")
    if found[0] == "c" and values.dtype == np.uint8 and turned.shape[0] == 3:
        turned, found = np.moveaxis(turned, 0, -1), found[1:] + "c"  # a color picture, as the viewer shows it
    if axes is not None:
        if len(axes) != len(found) or axes.lstrip("tc") != found.lstrip("tc"):
            raise AxesError(
                f"'{path}' has the axes {found} and the shape {turned.shape}, which cannot be called '{axes}'. Only "
                f"the first {len(letters)} may be named otherwise: t time, c channels."
            )
        found = parse_axes(axes)
    sizes = dict(zip("zyx", anatomy.scale, strict=True)) | {"c": 1.0, "t": time[0]}
    units = dict.fromkeys("zyx", "millimeter") | {"c": "pixel", "t": time[1]}
    if turned.nbytes <= LAZY_BYTES:  # not left mapped: somebody may replace the file
        turned = np.ascontiguousarray(turned, turned.dtype.newbyteorder("="))
    name = path.name[: -len(next(e for e in ENDINGS[::-1] if path.name.lower().endswith(e)))]
    scale = tuple(sizes[a] for a in found)
    return Image(turned, found, scale, tuple(units[a] for a in found), name, str(path), anatomy=anatomy)
