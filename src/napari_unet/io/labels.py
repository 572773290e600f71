"""Labels to and from files."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import PIL.Image

from napari_unet.core.axes import AXES, Image, parse_axes
from napari_unet.core.errors import AxesError, ImageError, OutputError
from napari_unet.core.polygons import SUFFIXES as POLYGONS
from napari_unet.core.polygons import Meaning
from napari_unet.core.results import Table
from napari_unet.core.steps import finish

from ._georeferenced import has_rasterio, write_label_raster
from ._tiff import LAZY_BYTES, write_tiff
from ._zarr import Window, check_replaceable, write_labels_zarr
from .addresses import as_address, as_file
from .atomic import atomic_file, atomic_folder
from .dicom_labels import is_dicom_labels, read_one
from .dicom_seg import write_segmentation
from .drawings import is_drawing, read_drawing
from .images import OTHERS, read
from .nifti import ENDINGS as NIFTI
from .nifti import write_nifti
from .suffixes import stem_of, suffix_of
from .tables import write_table

__all__ = ["SUFFIXES", "WRITTEN", "as_facts", "read_labels", "table_path", "write_labels"]

SUFFIXES: Final = (".zarr", ".tif", ".tiff", ".npy", ".png", *NIFTI, ".dcm")
WRITTEN: Final = (*SUFFIXES, *POLYGONS)
_LOSSY: Final = (".jpg", ".jpeg")
_MAX_PNG: Final = 65535
_MAX_BYTE: Final = 255
_MAX_ID: Final = 2**32 - 1


def write_labels(
    path: str | os.PathLike[str],
    labels: Image,
    manifest: Mapping[str, Any] | None = None,
    table: Table | None = None,
    overwrite: bool = False,
) -> None:
    """Write labels, complete or not at all.

    Parameters
    ----------
    path : path-like
        ``.zarr`` or ``.ome.zarr``: OME-Zarr 0.5 label image with a pyramid (uint32, zstd, sharded), written piece by
        piece. ``.tif`` or ``.tiff``: compressed OME-TIFF (uint16, or uint32 where needed), in which a time point or
        plane that is alone is no axis; of an image that lies somewhere on Earth a cloud-optimized GeoTIFF, piece by
        piece. ``.npy``: int32, or int64 where needed; keeps no scale. ``.png``: one plane of up to 65535 (uint16);
        keeps no scale. ``.nii`` or ``.nii.gz``: on the grid of the source, with its affine and codes bit by bit (uint8,
        uint16 or int32 as needed). ``.dcm``: a DICOM-SEG of the series they were made of. ``.gpkg``, ``.geojson`` or
        ``.zip``: polygons, see :func:`~napari_unet.io.polygons.write_polygons`.
    labels : Image
        Whole numbers from 0, without channels (or one).
    manifest : mapping, optional
        How the labels were made; kept as JSON in OME-Zarr and TIFF.
    table : dict of ndarray, optional
        Measurements; written to :func:`table_path`.
    overwrite : bool
        Replace an existing OME-Zarr folder. A single file, and the table, are always replaced.

    Raises
    ------
    OutputError
        If the suffix is unknown, the labels do not fit the format, or the place cannot be written.
    ImageError
        If the values are not labels.
    """
    if address := as_address(path):
        raise OutputError(
            f"'{address}': only 'segment' writes labels to an object store. Give a file or folder, and copy it there."
        )
    target = Path(path)
    suffix = suffix_of(target)
    if suffix not in WRITTEN:
        raise OutputError(f"Labels cannot be written to '{target}': use one of the suffixes {', '.join(WRITTEN)}.")
    ordered = _ordered(labels)
    known = {"place": ordered.geo, "anatomy": ordered.anatomy}
    facts = as_facts({name: place.to_dict() for name, place in known.items() if place} | dict(manifest or {}))
    if suffix == ".zarr":
        _write_zarr(target, ordered, facts, overwrite)
    elif suffix in POLYGONS:
        from .polygons import in_pixels, polygon_steps, write_polygons  # noqa: PLC0415  # it compiles

        told = Meaning.told_by(facts, ordered.source or ordered.name)
        ordered = replace(ordered, geo=None) if in_pixels(target, ordered.geo) else ordered
        write_polygons(target, finish(polygon_steps(ordered, meaning=told)), facts)
    elif suffix in (".tif", ".tiff") and ordered.geo is not None and ordered.axes == "yx" and has_rasterio():
        write_label_raster(target, ordered, facts)
    else:
        values = _load(ordered)
        with atomic_file(target) as temporary:
            if suffix == ".dcm":
                write_segmentation(temporary, replace(ordered, data=values), facts)
            elif suffix in NIFTI:
                narrow = np.uint8 if int(values.max()) <= _MAX_BYTE else np.uint16
                write_nifti(temporary, replace(ordered, data=values), _dtype(values, narrow, np.int32))
            elif suffix == ".png":
                _write_png(temporary, ordered, values)
            elif suffix == ".npy":
                np.save(temporary, values.astype(_dtype(values, np.int32, np.int64)), allow_pickle=False)
            else:
                write_tiff(temporary, ordered, values.astype(_dtype(values, np.uint16, np.uint32)), facts)
    if table is not None:
        write_table(table_path(target), table)


def read_labels(
    path: str | os.PathLike[str],
    axes: str | Sequence[str] | None = None,
    like: Image | None = None,
    only: str = "",
    *,
    unknown: int = 0,
    resample: bool = False,
) -> Image:
    """Read labels.

    Parameters
    ----------
    path : path-like
        A file of :func:`write_labels`, or any image file with one channel of whole numbers; of an OME-Zarr image its
        first label image. With the extra ``medical`` also ``.nii``, ``.nii.gz``, DICOM-SEG and RTSTRUCT. Shapes:
        ``.geojson``, ROIs of ImageJ (``.roi``, ``.zip``), and with the extra ``geo`` ``.gpkg`` and ``.shp``, see
        :func:`~napari_unet.io.drawings.read_drawing`.
    axes : str or sequence of str, optional
        As in :func:`~napari_unet.io.images.read_image`.
    like : Image, optional
        The image that they belong to: segments and outlines of DICOM are put on its grid, shapes are drawn on it. Its
        axes are those of an array of its shape that could have several.
    only : str
        Of a DICOM-SEG or RTSTRUCT: name or number of the one segment or structure that is wanted; of shapes their
        class; empty for all.
    unknown : int
        The label of pixels in which a raster holds no data.
    resample : bool
        Of a DICOM-SEG on another grid than `like`: take the nearest label, in the place of an error.

    Returns
    -------
    Image
        Without channels, axes in the order ``tzyx``. int32 (int64 if needed); above 256 MB a zarr or dask array, or a
        mapped file, that is read where it is needed: in the type of the file (int64 instead of fractions), and values
        that are no labels are refused only when they are read.

    Raises
    ------
    ImageError
        If the file cannot be read or does not hold labels.
    """
    if is_drawing(Path(path)) and as_address(path) is None:
        return read_drawing(Path(path), like, only=only)
    if suffix_of(Path(path)) not in OTHERS and as_address(path) is None and is_dicom_labels(file := as_file(path)):
        return read_one(file, like, only, resample)
    if only:
        raise ImageError(f"'{path}' holds no named segments, of which '{only}' could be one. Leave the name out.")
    if suffix_of(Path(path)) in _LOSSY:
        raise ImageError(f"'{path}' is a JPEG, which changes numbers: it cannot hold labels. Save them as PNG or TIFF.")
    found = read(path, parse_axes(axes), labels=True) if axes else _read_beside(path, like)
    if found.channels > 1:
        raise ImageError(
            f"'{path}' has {found.channels} channels, so it is a picture and not labels. "
            "Choose a file with one whole number for each pixel. If they are planes or dates, name the axes (zyx, tyx)."
        )
    if found.valid:
        found = _known(found, unknown)
    ordered = _ordered(found)
    if math.prod(found.shape) * np.dtype(found.data.dtype).itemsize > LAZY_BYTES:
        return found if found.axes == ordered.axes and found.data.dtype.kind in "ui" else _lazy(found, ordered)
    values = _load(ordered)
    dtype = _dtype(values, np.int32, np.int64)
    if values.dtype == np.uint32 and dtype is np.int32 and values.flags.writeable:
        return replace(ordered, data=values.view(np.int32))  # the bytes are the same, and were read for this alone
    return replace(ordered, data=values.astype(dtype))


def _read_beside(path: str | os.PathLike[str], like: Image | None) -> Image:
    """Read a file whose axes, where it does not say them and they could be several, are those of its image."""
    try:
        return read(path, None, labels=True)
    except AxesError:
        found = None
        if like is not None:
            with suppress(AxesError):
                found = read(path, like.label_axes, labels=True)
        if like is None or found is None or found.shape != like.along(like.label_axes)[0]:
            raise
        return found


def _known(found: Image, unknown: int) -> Image:
    """Return labels of a raster, with a number for what holds no data if it is to have one."""
    from ._raster_arrays import Filled  # noqa: PLC0415  # rasterio is an extra

    if not unknown or found.axes != "yx":
        return replace(found, valid=())
    wide = np.result_type(found.data.dtype, np.min_scalar_type(unknown))
    return replace(found, data=Filled(found.data, found.valid[0], unknown, wide), valid=(), levels=())


def as_facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Reduce a manifest to what JSON can hold.

    Parameters
    ----------
    manifest : mapping
        Arrays become lists; what is no number, None.

    Returns
    -------
    dict
        Plain values.
    """
    return {str(k): _plain(v) for k, v in manifest.items()}


def table_path(path: str | os.PathLike[str]) -> Path:
    """Return where the measurements of a labels file are kept.

    Parameters
    ----------
    path : path-like
        Of the labels, e.g. ``cells.ome.tif``.

    Returns
    -------
    Path
        Beside it, e.g. ``cells.objects.csv``.
    """
    target = Path(path)
    return target.with_name(f"{stem_of(target)}.objects.csv")


class _Ordered:
    """A view of labels with the axes in the order ``tzyx`` and no channels; read by windows."""

    def __init__(self, source: Image) -> None:
        self.source = source
        self.axes = "".join(a for a in AXES if a in source.axes and a != "c")
        self.shape = source.along(self.axes)[0]
        self.dtype = np.dtype(source.data.dtype)

    def __getitem__(self, window: Window) -> npt.NDArray[np.generic]:
        """Load a window: one slice for each of `axes`."""
        parts = dict(zip(self.axes, window, strict=True))
        block = np.asarray(self.source.data[tuple(parts.get(a, 0) for a in self.source.axes)])
        left = self.source.label_axes
        return block.transpose([left.index(a) for a in self.axes])


def _ordered(labels: Image) -> Image:
    if labels.channels > 1:
        raise ImageError(f"'{labels.name}' has {labels.channels} channels; labels have none. Choose one channel.")
    view = _Ordered(labels)
    _, scale, units = labels.along(view.axes)
    geo = labels.geo and labels.geo.without_bands
    place: dict[str, Any] = {"geo": geo, "anatomy": labels.anatomy, "start": labels.start_of(view.axes)}
    place |= {"guessed": labels.guessed}
    return Image(view, view.axes, scale, units, labels.name, labels.source, **place)


def _load(ordered: Image) -> npt.NDArray[np.integer[Any]]:
    return _whole(ordered.data[(slice(None),) * len(ordered.axes)], ordered.name)


def _lazy(found: Image, ordered: Image) -> Image:
    """Bring large labels into the order and type of labels without loading them."""
    import dask.array as da  # noqa: PLC0415  # takes longer to import than all else here, and few need it

    data = da.from_array(found.data, chunks=getattr(found.data, "chunks", None) or "auto")
    if "c" in found.axes:
        data = data[(slice(None),) * found.axes.index("c") + (0,)]
    data = data.transpose([found.label_axes.index(a) for a in ordered.axes])
    if data.dtype.kind not in "ui":
        data = data.map_blocks(lambda block: _whole(block, found.name).astype(np.int64), dtype=np.int64)
    return replace(ordered, data=data)


def _whole(values: npt.NDArray[np.generic], name: str) -> npt.NDArray[np.integer[Any]]:
    """Check that values are labels."""
    kind = values.dtype.kind
    if kind == "b":
        return values.astype(np.uint8)
    if kind == "f":
        floats = values.astype(np.float64)
        if np.isfinite(floats).all() and (floats == np.rint(floats)).all() and np.abs(floats).max() <= _MAX_ID:
            values, kind = floats.astype(np.int64), "i"
    if kind not in "ui":
        raise ImageError(
            f"'{name}' does not hold labels but {values.dtype} values. Labels are whole numbers from 0 up. Save the "
            "labels layer itself, or turn probabilities into labels with a threshold first."
        )
    if kind == "i" and int(np.min(values)) < 0:
        raise ImageError(
            f"'{name}' holds negative numbers. Labels are 0 (background) or from 1 up: renumber those below 0."
        )
    return values  # type: ignore[return-value]


def _dtype(values: npt.NDArray[np.integer[Any]], narrow: type, wide: type) -> type[np.integer[Any]]:
    top = int(values.max())
    if top <= np.iinfo(narrow).max:
        return narrow
    if top > np.iinfo(wide).max:
        raise OutputError(f"The labels reach {top}, which does not fit. Renumber them from 1.")
    return wide


def _write_zarr(target: Path, ordered: Image, facts: Mapping[str, Any], overwrite: bool) -> None:
    if overwrite:
        check_replaceable(target)

    def read_window(window: Window) -> npt.NDArray[np.uint32]:
        values = _whole(ordered.data[window], ordered.name)
        return values.astype(_dtype(values, np.uint32, np.uint32))

    name = target.stem.removesuffix(".ome") or "labels"
    with atomic_folder(target, overwrite) as temporary:
        write_labels_zarr(temporary, name, ordered, read_window, facts)


def _write_png(path: Path, ordered: Image, values: npt.NDArray[np.integer[Any]]) -> None:
    plane = values.squeeze(axis=tuple(i for i, n in enumerate(values.shape[:-2]) if n == 1))
    if plane.ndim != 2:
        raise OutputError(
            f"PNG holds one plane; these labels have the axes {ordered.axes}. Write .tif or .zarr instead."
        )
    if int(plane.max()) > _MAX_PNG:
        raise OutputError(f"PNG holds labels up to {_MAX_PNG}, these reach {plane.max()}. Write .tif or .zarr instead.")
    PIL.Image.fromarray(plane.astype(np.uint16)).save(path, format="PNG")


def _plain(value: Any) -> Any:
    """Reduce a value to what JSON can hold; what is not a number becomes null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
