"""OME-Zarr (0.4 and 0.5) and plain zarr arrays (versions 2 and 3), opened without loading them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import zarr

from napari_unet.core.anatomy import Anatomy
from napari_unet.core.axes import AXES, Image, as_image, parse_axes
from napari_unet.core.bands import told_names
from napari_unet.core.errors import AxesError, ImageError
from napari_unet.core.place import GeoReference

from ._zarr_checks import check_array, check_inside
from .addresses import unreachable
from .patient import open_address

__all__ = ["holds_image", "is_zarr", "label_places", "ome_of", "open_store", "read_manifest", "read_zarr"]

_MARKS: Final = ("zarr.json", ".zgroup", ".zarray")
_BROKEN: Final = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RuntimeError)


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


def read_zarr(place: Path | str, axes: str | None = None, labels: bool = False, level: int = 0) -> Image:
    """Open an OME-Zarr image, or a zarr array, without loading it.

    Parameters
    ----------
    place : Path or str
        Folder of the store, or of a group or array in it; or an address that fsspec knows.
    axes : str, optional
        Overrules the axes that the store names.
    labels : bool
        Prefer the first label image of the store.
    level : int
        Of the image; 0 is the finest.

    Returns
    -------
    Image
        Its data, and those of coarser levels, are zarr arrays.

    Raises
    ------
    ImageError
        If the store cannot be reached, is damaged, holds no image, or points outside itself.
    MissingExtraError
        If the package that opens such addresses is not installed.
    """
    node = open_store(place)
    try:
        name = re.split(r"[/\\]", str(place).rstrip("/\\"))[-1].split(".")[0]
        if isinstance(node, zarr.Group):
            found = _read_levels(_image_group(node, place, labels), place, axes, name, level)
            return replace(found, remarks=_others(node, place))
        check_array(node, place)
        named = getattr(node.metadata, "dimension_names", None)
        return as_image(node, axes or _named_axes(named), name=name)
    except _BROKEN as error:
        raise ImageError(f"'{place}' could not be read as zarr: {error}. Copy it again as a whole.") from error


def open_store(place: Path | str) -> zarr.Group | zarr.Array[Any]:
    """Open a store for reading; an ImageError says why it cannot be."""
    try:
        return zarr.open(open_address(place) if isinstance(place, str) else place, mode="r")
    except Exception as error:
        if isinstance(place, str):
            raise unreachable(place, error) from error
        if not isinstance(error, _BROKEN):
            raise
        raise ImageError(f"'{place}' could not be read as zarr: {error}. Copy it again as a whole.") from error


def read_manifest(folder: Path | str) -> dict[str, Any] | None:
    """Return how the labels of a store were made.

    Parameters
    ----------
    folder : Path or str
        Perhaps the root of a store; or an address.

    Returns
    -------
    dict or None
        None if it holds no labels of this program.
    """
    if isinstance(folder, Path) and not is_zarr(folder):
        return None
    try:
        node = open_store(folder)
        image = _image_group(node, folder, labels=True) if isinstance(node, zarr.Group) else None
    except (*_BROKEN, ImageError):
        return None
    found = None if image is None else dict(image.attrs).get("napari-unet")
    return dict(found) if isinstance(found, Mapping) else None


def label_places(place: Path | str) -> list[str]:
    """List the label images of a store.

    Parameters
    ----------
    place : Path or str
        As for :func:`read_zarr`.

    Returns
    -------
    list of str
        Places for :func:`read_zarr`; the place itself if it is a label image.

    Raises
    ------
    ImageError
        If the store cannot be reached, is damaged, or points outside itself.
    """
    node, inner = open_store(place), []
    try:
        while isinstance(node, zarr.Group):
            if "image-label" in ome_of(node):
                return [str(place)]
            if "labels" in node:
                inner.append("labels")
                listed = ome_of(_group(node, "labels", place)).get("labels", [])
                names = [str(name) for name in listed] if isinstance(listed, list) else []
                for name in names:
                    check_inside(name, place)
                return ["/".join((str(place).rstrip("/"), *inner, name)) for name in names]
            if "multiscales" in ome_of(node) or "0" not in node:
                return []
            # The first image of a converter's collection (bioformats2raw.layout).
            inner.append("0")
            node = node["0"]
        return []
    except _BROKEN as error:
        raise ImageError(f"'{place}' could not be read as zarr: {error}. Copy it again as a whole.") from error


def holds_image(place: Path | str) -> bool:
    """Say whether a store has an image beside its labels, be it damaged or not.

    Parameters
    ----------
    place : Path or str
        As for :func:`read_zarr`.

    Returns
    -------
    bool
        False for a store of labels only.

    Raises
    ------
    ImageError
        If the store cannot be reached, or is damaged.
    """
    node = open_store(place)
    if isinstance(node, zarr.Array):
        return True
    try:
        _image_group(node, place, labels=False)
    except ImageError:
        return False
    return True


def _image_group(node: zarr.Group, path: Path | str, labels: bool) -> zarr.Group:
    """Walk from the root of a store to the group that holds the levels."""
    for _ in range(4):
        ome = ome_of(node)
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
    if "plate" in ome_of(node) and not labels:
        raise ImageError(
            f"'{path}' is a plate of many images. Choose one field of a well in it, such as B/3/0; all of them can be "
            "segmented together as many images: napari-unet batch."
        )
    raise ImageError(
        f"'{path}' is a zarr group without {'labels' if labels else 'an image'} (no 'multiscales'). It holds: "
        f"{_members(node)}. Choose one of these folders."
    )


def _others(node: zarr.Group, path: Path | str) -> tuple[str, ...]:
    """Say that a collection has further images, such as positions of a stage."""
    if "multiscales" in ome_of(node) or "0" not in node or "1" not in node:
        return ()
    return (
        "There are several images in this collection, and this is the first. Give another as "
        f"{str(path).rstrip('/')}/1.",
    )


def _members(node: zarr.Group) -> str:
    try:
        return ", ".join(sorted(node.keys())) or "nothing"
    except (*_BROKEN, NotImplementedError):
        return "what a web server does not tell"


def _read_levels(node: zarr.Group, path: Path | str, axes: str | None, name: str, level: int) -> Image:
    multiscale = ome_of(node)["multiscales"][0]
    datasets = multiscale["datasets"][level:]
    array, *coarser = _arrays(node, [str(dataset["path"]) for dataset in datasets], path)
    entries = [a if isinstance(a, Mapping) else {"name": a} for a in multiscale.get("axes", [])]
    # Versions before 0.3 named no axes: there were always five.
    names = [str(a.get("name")) for a in entries] or (AXES if array.ndim == len(AXES) else "")
    found = axes or _named_axes([*names])
    units = tuple(str(a.get("unit") or "pixel") for a in entries)
    ones, zeros = (1.0,) * array.ndim, (0.0,) * array.ndim
    (outer, shift), (inner, start) = (
        (_told(each, "scale", ones), _told(each, "translation", zeros)) for each in (multiscale, datasets[0])
    )
    return as_image(
        array, found, scale=_times(outer, inner), units=units, name=name, levels=tuple(coarser),
        channel_names=_channels(node), start=tuple(map(sum, zip(_times(outer, start), shift, strict=True))),
        **_places(node),
    )  # fmt: skip


def _channels(node: zarr.Group) -> tuple[str, ...]:
    """Return what the channels are called, as OMERO has it; empty where that says nothing."""
    shown = ome_of(node).get("omero")
    channels = shown.get("channels") if isinstance(shown, Mapping) else None
    if not isinstance(channels, list):
        return ()
    return told_names([str(one.get("label") or "") if isinstance(one, Mapping) else "" for one in channels])


def _arrays(node: zarr.Group, names: Sequence[str], path: Path | str) -> Iterator[zarr.Array[Any]]:
    """Open the finest level, and those of the others that are there."""
    for number, inner in enumerate(names):
        check_inside(inner, path)
        if number and inner not in node:
            continue
        array = _inside(node, inner, path)
        if not isinstance(array, zarr.Array):
            raise ImageError(f"'{path}': its level '{inner}' is not an array. Copy it again as a whole.")
        check_array(array, path)
        yield array


def ome_of(node: zarr.Group) -> Mapping[str, Any]:
    """Return what OME-NGFF says of a group, in 0.4 or 0.5; empty if it says nothing."""
    attributes: dict[str, Any] = dict(node.attrs)
    found = attributes.get("ome", attributes)
    return found if isinstance(found, Mapping) else {}


def _inside(node: zarr.Group, inner: str, path: Path | str) -> zarr.Group | zarr.Array[Any]:
    """Open a member, refusing names that lead out of the store."""
    check_inside(inner, path)
    if inner not in node:
        raise ImageError(f"'{path}' names '{inner}', which is not there. Copy it again as a whole.")
    return node[inner]


def _group(node: zarr.Group, inner: str, path: Path | str) -> zarr.Group:
    found = _inside(node, inner, path)
    if not isinstance(found, zarr.Group):
        raise ImageError(f"'{path}': '{inner}' is an array where a group was expected. Choose that array itself.")
    return found


def _named_axes(names: Sequence[str | None] | None) -> str | None:
    """Return axes where a store names them in words that are known, else None."""
    if not names or not all(names):
        return None
    try:
        return parse_axes([str(n) for n in names])
    except AxesError:
        return None


def _places(node: zarr.Group) -> dict[str, Any]:
    """Return where labels lie on Earth or in a patient, if they are of this program and it says so."""
    manifest: Any = dict(node.attrs).get("napari-unet")
    if not isinstance(manifest, Mapping):
        return {}
    try:
        geo = GeoReference.from_dict(manifest["place"])
    except (KeyError, TypeError, ValueError):
        geo = None
    return {"geo": geo, "anatomy": Anatomy.from_dict(manifest.get("anatomy"))}


def _told(holder: Mapping[str, Any], kind: str, otherwise: tuple[float, ...]) -> tuple[float, ...]:
    """Return the numbers of a transformation; `otherwise`, as long as there are axes, where there is none."""
    for transform in holder.get("coordinateTransformations") or ():
        if transform.get("type") == kind and len(transform.get(kind, ())) == len(otherwise):
            return tuple(float(number) for number in transform[kind])
    return otherwise


def _times(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a * b for a, b in zip(one, other, strict=True))
