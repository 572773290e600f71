"""OME-Zarr (0.4 and 0.5) and plain zarr arrays, read lazily; written as OME-Zarr 0.5 (zarr version 3)."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

from napari_unet.core.axes import Image, as_image, parse_axes
from napari_unet.core.errors import AxesError, ImageError, OutputError

__all__ = [
    "SMALLEST_LEVEL", "check_replaceable", "create_labels", "finish_labels", "is_zarr", "open_labels", "read_manifest",
    "read_zarr", "shard_files", "write_image_zarr", "write_labels_zarr",
]  # fmt: skip

VERSION: Final = "0.5"
_MARKS: Final = ("zarr.json", ".zgroup", ".zarray")
_MAX_CHUNK_BYTES: Final = 4 << 30
SMALLEST_LEVEL: Final = 512
_TYPES: Final = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_BROKEN: Final = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RuntimeError)
Window = tuple[slice, ...]
Read = Callable[[Window], npt.NDArray[Any]]


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is a zarr group or array.

    Parameters
    ----------
    path : Path
        Any path.

    Returns
    -------
    bool
        True if it holds zarr metadata.
    """
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def check_replaceable(path: Path) -> None:
    """Check that nothing but a zarr store would be replaced.

    Parameters
    ----------
    path : Path
        Any path.

    Raises
    ------
    OutputError
        If it is a folder with other things in it.
    """
    if path.is_dir() and any(path.iterdir()) and not is_zarr(path):
        raise OutputError(f"'{path}' is a folder with other things in it. Choose another name.")


def read_zarr(path: Path, axes: str | None = None, labels: bool = False, level: int = 0) -> Image:
    """Open a level of an OME-Zarr image, or a zarr array, without loading it.

    Parameters
    ----------
    path : Path
        Folder of the store, or of a group or array in it.
    axes : str, optional
        Overrules the axes that the store names.
    labels : bool
        Prefer the first label image of the store.
    level : int
        Of the image; 0 is the finest.

    Returns
    -------
    Image
        Its data is a zarr array.

    Raises
    ------
    ImageError
        If the store is damaged, holds no image, or points outside itself.
    """
    try:
        node = zarr.open(path, mode="r")
        name = path.name.split(".")[0]
        if isinstance(node, zarr.Group):
            return _read_level(_image_group(node, path, labels), path, axes, name, level)
        _check_chunks(node, path)
        named = getattr(node.metadata, "dimension_names", None)
        return as_image(node, axes or _named_axes(named), name=name)
    except _BROKEN as error:
        raise ImageError(f"'{path}' could not be read as zarr: {error}. Copy it again as a whole.") from error


def write_labels_zarr(
    folder: Path,
    name: str,
    labels: Image,
    read: Read,
    manifest: Mapping[str, Any],
) -> None:
    """Write labels as an OME-Zarr 0.5 label image ``labels/<name>`` with a pyramid.

    Levels are made by taking every second pixel along y and x until both are below 512, so that no new ids arise.

    Parameters
    ----------
    folder : Path
        An empty folder: the root of the store.
    name : str
        Of the label image.
    labels : Image
        Without channels, axes in the order ``tzyx``.
    read : callable
        Gives the labels of a window (slices along those axes) as uint32; called once for each shard.
    manifest : mapping
        JSON-like; stored under ``napari-unet``.
    """
    _fill(create_labels(folder, name, labels), read)
    finish_labels(folder, name, labels, manifest)


def create_labels(folder: Path, name: str, labels: Image, ndim: int = 3) -> zarr.Array[Any]:
    """Make the finest level of a label image, empty.

    Parameters
    ----------
    folder : Path
        An empty folder: the root of the store.
    name : str
        Of the label image.
    labels : Image
        Axes in the order ``tzyx``, shape, scale and units; its values are not looked at.
    ndim : int
        Spatial dimensions of what is written at once: 2 makes shards of single planes.

    Returns
    -------
    zarr.Array
        uint32.
    """
    listing: dict[str, Any] = {"ome": {"version": VERSION, "labels": [name]}}
    root = zarr.open_group(folder, mode="w", zarr_format=3)
    image = root.create_group("labels", attributes=listing).create_group(name)
    return _create_level(image, "0", labels.axes, labels.shape, "uint32", ndim)


def open_labels(folder: Path, name: str) -> zarr.Array[Any]:
    """Open the finest level that :func:`create_labels` made, to go on writing it.

    Parameters
    ----------
    folder, name : Path, str
        As for :func:`create_labels`.

    Returns
    -------
    zarr.Array
        uint32.

    Raises
    ------
    OutputError
        If it is not there.
    """
    level = zarr.open_group(folder / "labels" / name, mode="r+").get("0")
    if not isinstance(level, zarr.Array):
        raise OutputError(f"'{folder}' holds no labels. Remove it and give the command again.")
    return level


def shard_files(level: zarr.Array[Any], window: Window) -> list[Path]:
    """List the files of the shards that a window lies in, as far as there are any.

    Parameters
    ----------
    level : zarr.Array
        On a local disk.
    window : tuple of slice
        One for each axis.

    Returns
    -------
    list of Path
        Shards of nothing but background have none.
    """
    sizes = level.shards or level.chunks
    numbers = [range(s.start // n, -(-s.stop // n)) for s, n in zip(window, sizes, strict=True)]
    folder, encode = Path(str(level.store_path).removeprefix("file://")), level.metadata.encode_chunk_key
    files = (folder / encode(number) for number in itertools.product(*numbers))
    return [file for file in files if file.exists()]


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return how the labels of a store were made.

    Parameters
    ----------
    folder : Path
        Perhaps the root of a store.

    Returns
    -------
    dict or None
        None if it holds no labels of this program.
    """
    if not is_zarr(folder):
        return None
    try:
        node = zarr.open(folder, mode="r")
        image = _image_group(node, folder, labels=True) if isinstance(node, zarr.Group) else None
    except (*_BROKEN, ImageError):
        return None
    found = None if image is None else dict(image.attrs).get("napari-unet")
    return dict(found) if isinstance(found, Mapping) else None


def finish_labels(folder: Path, name: str, labels: Image, manifest: Mapping[str, Any]) -> None:
    """Make the coarser levels of a label image whose finest one is written, and say what it is.

    Parameters
    ----------
    folder, name, labels : Path, str, Image
        As for :func:`create_labels`.
    manifest : mapping
        JSON-like; stored under ``napari-unet``.
    """
    image = zarr.open_group(folder / "labels" / name, mode="r+")
    multiscale = _coarsen(image, name, labels, open_labels(folder, name))
    ome: dict[str, Any] = {"version": VERSION, "multiscales": [multiscale], "image-label": {"version": VERSION}}
    image.attrs.update({"ome": ome, "napari-unet": dict(manifest)})


def write_image_zarr(folder: Path, name: str, image: Image, manifest: Mapping[str, Any]) -> None:
    """Write an image without channels as OME-Zarr 0.5 with a pyramid, made like that of labels.

    Parameters
    ----------
    folder : Path
        An empty folder: the root of the store.
    name : str
        Of the image.
    image : Image
        float32, axes in the order ``tzyx``.
    manifest : mapping
        JSON-like; stored under ``napari-unet``.
    """
    root = zarr.open_group(folder, mode="w", zarr_format=3)
    level = _create_level(root, "0", image.axes, image.shape, "float32")
    _fill(level, lambda window: np.asarray(image.data[window]))
    multiscale = _coarsen(root, name, image, level)
    root.attrs.update({"ome": {"version": VERSION, "multiscales": [multiscale]}, "napari-unet": dict(manifest)})


def _image_group(node: zarr.Group, path: Path, labels: bool) -> zarr.Group:
    """Walk from the root of a store to the group that holds the levels."""
    for _ in range(4):
        ome = _ome(node)
        listed = ome.get("labels")
        if labels and "image-label" not in ome and "labels" in node:
            node = _group(node, "labels", path)
        elif labels and isinstance(listed, list) and listed:
            node = _group(node, str(listed[0]), path)
        elif "multiscales" in ome:
            return node
        elif "0" in node:
            # The first image of a converter's collection (bioformats2raw.layout).
            node = _group(node, "0", path)
        else:
            break
    raise ImageError(
        f"'{path}' is a zarr group without {'labels' if labels else 'an image'} (no 'multiscales'). It holds: "
        f"{', '.join(sorted(node.keys())) or 'nothing'}. Choose one of these folders."
    )


def _read_level(node: zarr.Group, path: Path, axes: str | None, name: str, level: int) -> Image:
    multiscale = _ome(node)["multiscales"][0]
    dataset = multiscale["datasets"][level]
    array = _inside(node, str(dataset["path"]), path)
    if not isinstance(array, zarr.Array):
        raise ImageError(f"'{path}': its level '{dataset['path']}' is not an array. Copy it again as a whole.")
    _check_chunks(array, path)
    entries = [a if isinstance(a, Mapping) else {"name": a} for a in multiscale.get("axes", [])]
    found = axes or _named_axes([str(a.get("name")) for a in entries])
    units = tuple(str(a.get("unit") or "pixel") for a in entries)
    sizes = (_scale(multiscale, array.ndim), _scale(dataset, array.ndim))
    return as_image(array, found, scale=tuple(a * b for a, b in zip(*sizes, strict=True)), units=units, name=name)


def _ome(node: zarr.Group) -> Mapping[str, Any]:
    attributes: dict[str, Any] = dict(node.attrs)
    found = attributes.get("ome", attributes)
    return found if isinstance(found, Mapping) else {}


def _inside(node: zarr.Group, inner: str, path: Path) -> zarr.Group | zarr.Array[Any]:
    """Open a member, refusing names that lead out of the store."""
    parts = re.split(r"[/\\]", inner)
    if not inner or ":" in inner or any(part in ("", ".", "..") for part in parts):
        raise ImageError(f"'{path}' points to '{inner}', which is not inside it. Do not trust this file.")
    if inner not in node:
        raise ImageError(f"'{path}' names '{inner}', which is not there. Copy it again as a whole.")
    return node[inner]


def _group(node: zarr.Group, inner: str, path: Path) -> zarr.Group:
    found = _inside(node, inner, path)
    if not isinstance(found, zarr.Group):
        raise ImageError(f"'{path}': '{inner}' is an array where a group was expected. Choose that array itself.")
    return found


def _check_chunks(array: zarr.Array[Any], path: Path) -> None:
    size = math.prod(array.chunks) * array.dtype.itemsize
    if size > _MAX_CHUNK_BYTES:
        raise ImageError(
            f"'{path}' has chunks of {size / 2**30:.1f} GiB, which cannot be read piece by piece. "
            "Store it again with smaller chunks (512 pixels along y and x)."
        )


def _named_axes(names: Sequence[str | None] | None) -> str | None:
    """Return axes where a store names them in words that are known, else None."""
    if not names or not all(names):
        return None
    try:
        return parse_axes([str(n) for n in names])
    except AxesError:
        return None


def _scale(holder: Mapping[str, Any], ndim: int) -> tuple[float, ...]:
    for transform in holder.get("coordinateTransformations") or ():
        if transform.get("type") == "scale" and len(transform.get("scale", ())) == ndim:
            return tuple(float(s) for s in transform["scale"])
    return (1.0,) * ndim


def _ome_axes(image: Image) -> list[dict[str, str]]:
    named = [{"name": a, "type": _TYPES[a]} for a in image.axes]
    units = [{"unit": u} if u != "pixel" else {} for u in image.units]
    return [n | u for n, u in zip(named, units, strict=True)]


def _coarsen(group: zarr.Group, name: str, image: Image, level: zarr.Array[Any]) -> dict[str, Any]:
    """Write the coarser levels of a pyramid and return what OME says of all."""
    steps = (1,) * len(image.axes)
    datasets: list[dict[str, Any]] = []
    ndim, dtype = 2 if level.chunks[:-2] == (1,) * (level.ndim - 2) else 3, str(level.dtype)
    while True:
        scale = [size * step for size, step in zip(image.scale, steps, strict=True)]
        transform = {"type": "scale", "scale": scale}
        datasets.append({"path": str(len(datasets)), "coordinateTransformations": [transform]})
        if max(level.shape[-2:]) < SMALLEST_LEVEL:
            return {"name": name, "type": "nearest", "axes": _ome_axes(image), "datasets": datasets}
        stride = tuple(2 if a in "yx" and n > 1 else 1 for a, n in zip(image.axes, level.shape, strict=True))
        steps = tuple(a * b for a, b in zip(steps, stride, strict=True))
        shape = tuple(-(-n // s) for n, s in zip(level.shape, stride, strict=True))
        finer, level = level, _create_level(group, str(len(datasets)), image.axes, shape, dtype, ndim)
        _fill(level, _every(finer, stride))


def _create_level(
    group: zarr.Group, name: str, axes: str, shape: tuple[int, ...], dtype: str, ndim: int = 3
) -> zarr.Array[Any]:
    flat = {"y": (512, 1024), "x": (512, 1024)}
    deep = {"z": (64, 64), "y": (64, 512), "x": (64, 512)}
    wanted = [(deep if "z" in axes and ndim == 3 else flat).get(a, (1, 1)) for a in axes]
    chunks = tuple(min(n, c) for n, (c, _) in zip(shape, wanted, strict=True))
    shards = tuple(c * -(-min(n, s) // c) for n, c, (_, s) in zip(shape, chunks, wanted, strict=True))
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        compressors=ZstdCodec(level=3),
        fill_value=0,
        dimension_names=list(axes),
        overwrite=True,
    )


def _fill(level: zarr.Array[Any], read: Read) -> None:
    """Write a level shard by shard; shards of nothing but background are left out."""
    for window in _windows(level.shape, level.shards or level.chunks):
        block = read(window)
        if block.any():
            level[window] = block


def _windows(shape: tuple[int, ...], block: tuple[int, ...]) -> Iterator[Window]:
    ranges = [range(0, n, b) for n, b in zip(shape, block, strict=True)]
    for start in itertools.product(*ranges):
        yield tuple(slice(a, min(a + b, n)) for a, b, n in zip(start, block, shape, strict=True))


def _every(level: zarr.Array[Any], stride: tuple[int, ...]) -> Read:
    """Return a reader of every second pixel of `level`."""
    keep = tuple(slice(None, None, s) for s in stride)

    def read(window: Window) -> npt.NDArray[Any]:
        fine = tuple(slice(w.start * s, w.stop * s) for w, s in zip(window, stride, strict=True))
        return np.asarray(level[fine])[keep]

    return read
