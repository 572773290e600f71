"""OME-Zarr 0.5 (zarr version 3), written; :mod:`._zarr_reader` reads it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec
from zarr.core.sync import sync
from zarr.storage import MemoryStore, StorePath

from napari_unet.core.axes import Image
from napari_unet.core.errors import OutputError
from napari_unet.core.levels import SMALLEST_LEVEL
from napari_unet.core.steps import Progress, Steps, finish

from ._zarr_reader import is_zarr

__all__ = [
    "DIGESTS", "check_replaceable", "create_labels", "finish_labels_steps", "folder_of", "mend_groups", "open_labels",
    "put_shards", "read_digests", "say_finest", "shard_files", "shards_in", "write_digests", "write_image_zarr",
    "write_labels_zarr",
]  # fmt: skip

VERSION: Final = "0.5"
DIGESTS: Final = "digests"
_TYPES: Final = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_AT_ONCE: Final = 2**23  # pixels
Window = tuple[slice, ...]
Root = Path | StorePath
Read = Callable[[Window], npt.NDArray[Any]]


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
    for _ in _fill(create_labels(folder, name, labels), read):
        pass
    finish(finish_labels_steps(folder, name, labels, manifest))


def create_labels(folder: Root, name: str, labels: Image, ndim: int = 3) -> zarr.Array[Any]:
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
    root = zarr.open_group(folder, mode="w", zarr_format=3)
    image = root.create_group("labels", attributes=_listing(name)).create_group(name)
    return _create_level(image, "0", labels.axes, labels.shape, "uint32", ndim)


def mend_groups(folder: Path, name: str) -> None:
    """Write again what :func:`create_labels` says of the groups around the levels, where it is missing or damaged.

    Parameters
    ----------
    folder, name : Path, str
        As for :func:`create_labels`.
    """
    inner = folder / "labels"
    for place, attributes in ((folder, {}), (inner, _listing(name)), (inner / name, {})):
        try:
            found = zarr.open_group(place, mode="r", zarr_format=3)
            damaged = not attributes.items() <= dict(found.attrs).items()
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError):
            damaged = True
        if damaged:
            (place / "zarr.json").unlink(missing_ok=True)
            zarr.open_group(place, mode="a", zarr_format=3, attributes=attributes)


def _listing(name: str) -> dict[str, Any]:
    return {"ome": {"version": VERSION, "labels": [name]}}


def open_labels(folder: Root, name: str) -> zarr.Array[Any]:
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


def shards_in(level: zarr.Array[Any], window: Window) -> Iterator[tuple[str, Window]]:
    """Go through the shards that a window lies in.

    Parameters
    ----------
    level : zarr.Array
        Of any kind.
    window : tuple of slice
        One for each axis.

    Yields
    ------
    key : str
        Path of the shard's file in the folder of the level.
    window : tuple of slice
        What it holds.
    """
    sizes = level.shards or level.chunks
    ranges = (range(s.start // n, -(-s.stop // n)) for s, n in zip(window, sizes, strict=True))
    for number in itertools.product(*ranges):
        axes = zip(number, sizes, level.shape, strict=True)
        yield level.metadata.encode_chunk_key(number), tuple(slice(i * n, min((i + 1) * n, end)) for i, n, end in axes)


def folder_of(level: zarr.Array[Any]) -> Path:
    """Return the folder of an array on a local disk."""
    return Path(str(level.store_path).removeprefix("file://"))


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
    files = (folder_of(level) / key for key, _ in shards_in(level, window))
    return [file for file in files if file.exists()]


def finish_labels_steps(
    folder: Root,
    name: str,
    labels: Image,
    manifest: Mapping[str, Any],
    before_last: Callable[[], None] | None = None,
) -> Steps[None]:
    """Make the coarser levels of a label image whose finest one is written, and say what it is.

    Parameters
    ----------
    folder, name, labels : Path, str, Image
        As for :func:`create_labels`.
    manifest : mapping
        JSON-like; stored under ``napari-unet``.
    before_last : callable, optional
        Called before the one file is written that says that all is complete.

    Yields
    ------
    Progress
        One for every part that is written.
    """
    image = zarr.open_group(folder / "labels" / name, mode="r+")
    multiscale = yield from _coarsen(image, name, labels, open_labels(folder, name))
    if before_last is not None:
        before_last()
    image.attrs.update(_said(multiscale, manifest))


def say_finest(folder: Root, name: str, labels: Image, manifest: Mapping[str, Any]) -> None:
    """Say what labels are whose coarser levels are not made yet, so that they can be read meanwhile.

    Parameters
    ----------
    folder, name, labels, manifest : Path or StorePath, str, Image, mapping
        As for :func:`finish_labels_steps`.
    """
    multiscale = {"name": name, "type": "nearest", "axes": _ome_axes(labels), "datasets": [_dataset(0, labels)]}
    zarr.open_group(folder / "labels" / name, mode="r+").attrs.update(_said(multiscale, manifest))


def put_shards(level: zarr.Array[Any], window: Window, block: npt.NDArray[Any]) -> None:
    """Write whole shards to a server, each by one request, without asking for what is there.

    Parameters
    ----------
    level : zarr.Array
        On a server, where a file is replaced as a whole or not at all.
    window : tuple of slice
        One for each axis, along shards.
    block : ndarray
        What is written.

    Raises
    ------
    OSError
        If the server does not take it.
    """
    made: dict[str, Any] = {}
    packed: zarr.Array[Any] = zarr.Array(zarr.AsyncArray(level.metadata, StorePath(MemoryStore(made))))
    packed[window] = block
    for key, _ in shards_in(level, window):
        place = level.store_path / key
        sync(place.set(made[key]) if key in made else place.delete())


def _said(multiscale: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    ome: dict[str, Any] = {"version": VERSION, "multiscales": [multiscale], "image-label": {"version": VERSION}}
    return {"ome": ome, "napari-unet": dict(manifest)}


def _dataset(level: int, image: Image, steps: Sequence[int] = ()) -> dict[str, Any]:
    scale = [size * step for size, step in zip(image.scale, steps or (1,) * len(image.scale), strict=True)]
    # Coarser levels hold every second pixel, so all of them start where the first pixel lies.
    start = [{"type": "translation", "translation": list(image.start)}] if any(image.start) else []
    return {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}, *start]}


def write_digests(folder: Root, digests: npt.NDArray[np.uint8]) -> None:
    """Write the digests of all blocks of labels as the array ``digests`` beside the levels.

    Parameters
    ----------
    folder : Path
        Of the label image.
    digests : ndarray of uint8, shape (blocks, 32)
        See :func:`~napari_unet.core.hashes.block_digests`.
    """
    zarr.create_array(folder / DIGESTS, data=digests, chunks=digests.shape, zarr_format=3, overwrite=True)


def read_digests(folder: Path) -> npt.NDArray[np.uint8] | None:
    """Read what :func:`write_digests` has written; None if there is none, or it is damaged."""
    try:
        found = np.array(zarr.open_array(folder / DIGESTS, mode="r")[:])
    except (OSError, ValueError, RuntimeError, KeyError, TypeError):
        return None
    return found if found.dtype == np.uint8 and found.ndim == 2 else None


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
    for _ in _fill(level, lambda window: np.asarray(image.data[window])):
        pass
    multiscale = finish(_coarsen(root, name, image, level))
    root.attrs.update({"ome": {"version": VERSION, "multiscales": [multiscale]}, "napari-unet": dict(manifest)})


def _ome_axes(image: Image) -> list[dict[str, str]]:
    named = [{"name": a, "type": _TYPES[a]} for a in image.axes]
    units = [{"unit": u} if u != "pixel" else {} for u in image.units]
    return [n | u for n, u in zip(named, units, strict=True)]


def _coarsen(group: zarr.Group, name: str, image: Image, level: zarr.Array[Any]) -> Steps[dict[str, Any]]:
    """Write the coarser levels of a pyramid and return what OME says of all."""
    steps = (1,) * len(image.axes)
    datasets: list[dict[str, Any]] = []
    ndim, dtype = 2 if level.chunks[:-2] == (1,) * (level.ndim - 2) else 3, str(level.dtype)
    while True:
        datasets.append(_dataset(len(datasets), image, steps))
        if max(level.shape[-2:]) < SMALLEST_LEVEL:
            return {"name": name, "type": "nearest", "axes": _ome_axes(image), "datasets": datasets}
        stride = tuple(2 if a in "yx" and n > 1 else 1 for a, n in zip(image.axes, level.shape, strict=True))
        steps = tuple(a * b for a, b in zip(steps, stride, strict=True))
        shape = tuple(-(-n // s) for n, s in zip(level.shape, stride, strict=True))
        finer, level = level, _create_level(group, str(len(datasets)), image.axes, shape, dtype, ndim)
        for _ in _fill(level, _every(finer, stride)):
            yield Progress(0, 0, "Writing the overviews")


def _create_level(
    group: zarr.Group, name: str, axes: str, shape: tuple[int, ...], dtype: str, ndim: int = 3
) -> zarr.Array[Any]:
    flat = {"y": (512, 1024), "x": (512, 1024)}
    deep = {"z": (64, 64), "y": (64, 512), "x": (64, 512)}
    wanted = [(deep if "z" in axes and ndim == 3 else flat).get(a, (1, 1)) for a in axes]
    chunks = tuple(min(n, c) for n, (c, _) in zip(shape, wanted, strict=True))
    shards = tuple(c * -(-min(n, s) // c) for n, c, (_, s) in zip(shape, chunks, wanted, strict=True))
    return group.create_array(
        name, shape=shape, dtype=dtype, chunks=chunks, shards=shards, compressors=ZstdCodec(level=3), fill_value=0,
        dimension_names=list(axes), overwrite=True,
    )  # fmt: skip


def _fill(level: zarr.Array[Any], read: Read) -> Iterator[None]:
    """Write a level shard by shard; shards of nothing but background are left out."""
    for window in _windows(level.shape, level.shards or level.chunks):
        block = read(window)
        if block.any():
            level[window] = block
        yield


def _windows(shape: tuple[int, ...], block: tuple[int, ...]) -> Iterator[Window]:
    ranges = [range(0, n, b) for n, b in zip(shape, block, strict=True)]
    for start in itertools.product(*ranges):
        yield tuple(slice(a, min(a + b, n)) for a, b, n in zip(start, block, shape, strict=True))


def _every(level: zarr.Array[Any], stride: tuple[int, ...]) -> Read:
    """Return a reader of every second pixel of `level`; of volumes, not all that is left out is in memory at once."""
    keep = tuple(slice(None, None, s) for s in stride)
    chunk = level.chunks[-2] + level.chunks[-2] % 2

    def read(window: Window) -> npt.NDArray[Any]:
        fine = [slice(w.start * s, w.stop * s) for w, s in zip(window, stride, strict=True)]
        layer = math.prod(s.stop - s.start for s in fine) // (fine[-2].stop - fine[-2].start) * chunk
        rows = chunk * max(1, _AT_ONCE // layer)
        starts = range(fine[-2].start, fine[-2].stop, rows)
        cuts = (slice(start, min(start + rows, fine[-2].stop)) for start in starts)
        parts = [np.asarray(level[(*fine[:-2], cut, fine[-1])])[keep] for cut in cuts]
        return np.concatenate(parts, axis=-2) if len(parts) > 1 else parts[0]

    return read
