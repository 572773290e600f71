"""Labels that are written into the OME-Zarr image that they are of, as OME-NGFF has it: ``labels/<name>``."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import zarr

from ..core.errors import OutputError, SpecError
from ._zarr_reader import is_zarr, label_places
from .atomic import atomic_folder, write_text

__all__ = ["check_inside", "consolidate_again", "put_inside"]

_NAME: Final = re.compile(r"[\w-][\w. -]*")
_OLD: Final = "0.4"  # of OME-NGFF, where zarr has version 2
_BROKEN: Final = (OSError, ValueError, KeyError, TypeError, RuntimeError)
_HOW: Final = ("model", "sha256", "averaged", "rule", "sight")  # which labels these are, whatever the image held then
_FREE: Final = {"tiling", "device", "model"}  # settings that change no labels, or are told beside them


def check_inside(image: Path, name: str, overwrite: bool = False, labels: Path | None = None) -> None:
    """Check that labels can be written into an image.

    Parameters
    ----------
    image : Path
        An OME-Zarr image on this computer, such as a field of a plate.
    name : str
        Of the labels.
    overwrite : bool
        Whether others of this name may be replaced.
    labels : Path, optional
        The store of those that are to be written: what it has put there before may be replaced, also if the image was
        changed since and the store knows, unless it was corrected there by hand.

    Raises
    ------
    SpecError
        If the name is none.
    OutputError
        If the image is no OME-Zarr, or has other labels of this name.
    """
    if not _NAME.fullmatch(name):
        raise SpecError(f"'{name}' is no name for labels. Use letters, numbers, - and _, such as nuclei.")
    if not is_zarr(image):
        raise OutputError(f"'{image}' is no OME-Zarr, so no labels can be written into it. Leave --into-plate out.")
    there = image / "labels" / name
    if there.exists() and not overwrite and not _is_own(_manifest(there), _of_store(labels)):
        raise OutputError(
            f"'{there}' holds other labels, or such that were corrected by hand. Choose another name, or allow them to "
            "be replaced: --overwrite."
        )


def put_inside(image: Path, name: str, labels: Path, overwrite: bool = False) -> None:
    """Write labels into an image: first the labels as a whole, then their name into the list of labels.

    Parameters
    ----------
    image, name : Path, str
        As for :func:`check_inside`.
    labels : Path
        The store of the labels, as a run leaves it. Nothing is done if they are there already.
    overwrite : bool
        As for :func:`check_inside`.

    Raises
    ------
    OutputError
        As :func:`check_inside` says, or if the place cannot be written.
    """
    check_inside(image, name, overwrite, labels)
    source, inner = Path(label_places(labels)[0]), image / "labels"
    old = zarr.open_group(image, mode="r", use_consolidated=False).metadata.zarr_format == 2
    try:
        if not (inner / name).exists() or _manifest(inner / name) != _manifest(source):
            inner.mkdir(exist_ok=True)
            with atomic_folder(inner / name, overwrite=True) as temporary:
                (_copy_old if old else _copy)(source, temporary, name)
        _list(inner, name, old)
    except OSError as error:
        raise OutputError(
            f"'{inner / name}' cannot be written: {error.strerror or error}. Check the permissions and the free space."
        ) from error


def consolidate_again(images: Iterable[Path]) -> None:
    """Write the summaries of metadata again that images, their wells and plates have: readers look there first."""
    for place in dict.fromkeys(place for image in images for place in (image, *image.parents)):
        if is_zarr(place) and _is_consolidated(place):
            zarr.consolidate_metadata(place)


def _is_consolidated(place: Path) -> bool:
    if (place / ".zmetadata").is_file():
        return True
    found = place / "zarr.json"
    return found.is_file() and bool(json.loads(found.read_text("utf-8")).get("consolidated_metadata"))


def _of_store(labels: Path | None) -> Mapping[str, Any]:
    places = label_places(labels) if labels is not None and is_zarr(labels) else []
    return _manifest(Path(places[0])) if places else {}


def _manifest(place: Path) -> Mapping[str, Any]:
    """Return how labels were made; empty for those of other programs."""
    try:
        found = zarr.open_group(place, mode="r", use_consolidated=False).attrs.get("napari-unet")
    except _BROKEN:
        return {}
    return found if isinstance(found, Mapping) else {}


def _is_own(there: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Say whether labels were made in the same way, and were not corrected where they are."""
    if not there or bool(there.get("edited")) > bool(new.get("edited")):
        return False
    return _made(there) == _made(new)


def _made(manifest: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return how labels were made."""
    settings = {key: value for key, value in manifest.get("settings", {}).items() if key not in _FREE}
    return (*map(manifest.get, _HOW), settings)


def _copy(source: Path, place: Path, name: str) -> None:
    shutil.copytree(source, place, dirs_exist_ok=True)
    file = place / "zarr.json"
    told = json.loads(file.read_text("utf-8"))
    ome = told["attributes"]["ome"]
    ome["image-label"] |= {"source": {"image": "../../"}}
    ome["multiscales"][0]["name"] = name
    write_text(file, json.dumps(told, indent=1))


def _copy_old(source: Path, place: Path, name: str) -> None:
    """Copy labels as OME-NGFF 0.4: to zarr of version 2, which has no shards."""
    found = zarr.open_group(source, mode="r")
    said: Any = dict(found.attrs)
    multiscale = {**said["ome"]["multiscales"][0], "name": name, "version": _OLD}
    image_label = {"version": _OLD, "source": {"image": "../../"}}
    attributes = {"multiscales": [multiscale], "image-label": image_label, "napari-unet": said["napari-unet"]}
    made = zarr.open_group(place, mode="w", zarr_format=2, attributes=attributes)
    for each in multiscale["datasets"]:
        level: Any = found[each["path"]]
        new = made.create_array(
            each["path"], shape=level.shape, dtype=level.dtype, chunks=level.chunks, fill_value=0,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )  # fmt: skip
        blocks = level.shards or level.chunks
        for start in itertools.product(*(range(0, n, b) for n, b in zip(level.shape, blocks, strict=True))):
            window = tuple(slice(a, a + b) for a, b in zip(start, blocks, strict=True))
            if (block := level[window]).any():
                new[window] = block


def _list(inner: Path, name: str, old: bool) -> None:
    """Put a name into the list of the labels of an image."""
    file = inner / (".zattrs" if old else "zarr.json")
    told: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    if old:
        listed = told
        if not (inner / ".zgroup").is_file():
            write_text(inner / ".zgroup", json.dumps({"zarr_format": 2}))
    else:
        told = {"zarr_format": 3, "node_type": "group", "attributes": {}, **told}
        listed = told["attributes"].setdefault("ome", {"version": "0.5"})
    names = listed.get("labels") or []
    if name not in names or not file.is_file():
        listed["labels"] = [*names, name]
        write_text(file, json.dumps(told, indent=1))
