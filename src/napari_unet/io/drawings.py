"""Shapes that somebody has drawn, on a map, in QuPath or ImageJ, as labels of the image that they lie on."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.errors import ImageError, MissingExtraError, SpecError
from ..core.rasterize import Polygons
from ..core.region import Region
from ._slices import ALL, ANYWHERE, Slice, on_planes
from ._tiff import LAZY_BYTES
from ._windowed import Windowed
from .imagej import SUFFIXES as ROIS
from .imagej import read_rois
from .regions import polygons_of
from .suffixes import suffix_of

__all__ = ["DRAWINGS", "check_classes", "classes_drawn", "is_drawing", "read_drawing"]

DRAWINGS: Final = (".geojson", ".gpkg", ".shp", *ROIS)
_LARGEST: Final = 2**28  # bytes of text
_CLASS, _NUMBER = "class", "label"  # what a class and a number are called, in files that this program writes, too
_NAMED: Final = 5  # classes in a message
_HALF: Final = 0.5  # pixel: other programs count from the corner of the first one, this one from its center

Ints = npt.NDArray[np.int32]


class _Shapes(NamedTuple):
    """Areas of a file: which shape each is a part of, in which system (None: pixels), and what is said of shapes."""

    parts: Region
    owners: list[int]
    crs: str | None
    classes: list[str]
    numbers: list[Any]
    slices: list[Slice]
    remarks: tuple[str, ...] = ()


class _Drawn(Windowed):
    """Shapes as labels, drawn where they are asked for, each on its planes."""

    def __init__(self, parts: Region, numbers: Ints, planes: npt.NDArray[np.int64], shape: tuple[int, ...]) -> None:
        self._parts, self._numbers, self._planes = parts, numbers, planes
        self.shape, self.dtype = shape, np.dtype(np.int32)
        self.chunks = tuple(min(n, 1024) if axis > len(shape) - 3 else 1 for axis, n in enumerate(shape))
        self._held: tuple[tuple[int, ...], Polygons, Ints] | None = None

    def _read(self, window: Sequence[slice]) -> Ints:
        *outer, rows, columns = window
        found = np.zeros([part.stop - part.start for part in window], np.int32)
        for at in itertools.product(*(range(part.start, part.stop) for part in outer)):
            polygons, numbers = self._on(at)
            place = tuple(i - part.start for i, part in zip(at, outer, strict=True))
            found[place] = polygons.labels(rows, columns, numbers)
        return found

    def _on(self, plane: tuple[int, ...]) -> tuple[Polygons, Ints]:
        """Return the shapes of a plane; those of the last one are kept."""
        held = self._held
        if held is None or held[0] != plane:
            there = ((self._planes == ALL) | (self._planes == np.array(plane, np.int64))).all(1)
            polygons = Polygons([self._parts[i] for i in np.flatnonzero(there)])
            self._held = held = (plane, polygons, self._numbers[there])
        return held[1], held[2]


def is_drawing(path: Path) -> bool:
    """Tell by its name whether a file holds shapes and no pixels."""
    return suffix_of(path) in DRAWINGS


def classes_drawn(path: Path) -> tuple[str, ...]:
    """Return the classes that the shapes of a file are of.

    Parameters
    ----------
    path : Path
        See :func:`read_drawing`.

    Returns
    -------
    tuple of str
        Sorted; empty if none has a class.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    return tuple(sorted({name for name in _read(path).classes if name}))


def check_classes(files: Sequence[Path], classes: Sequence[str]) -> None:
    """Check that some shape is of the classes that are wanted; a file may well hold others only.

    Parameters
    ----------
    files : sequence of Path
        Of shapes, see :func:`read_drawing`; no more are read than it takes.
    classes : sequence of str
        As there.

    Raises
    ------
    ImageError
        If there are shapes, and none is; or a file cannot be read.
    """
    known, there = _known(classes), list[str]()
    for file in dict.fromkeys(files):
        names = _read(file).classes
        if any(name.casefold() in known for name in names):
            return
        there += names
    if there:
        raise _foreign(there, classes, f"'{files[0]}'" + " and other files" * (len(set(files)) > 1))


def read_drawing(path: Path, like: Image | None, classes: Sequence[str] = (), only: str = "") -> Image:
    """Draw the shapes of a file as labels of an image: a pixel belongs to a shape if its center does.

    Parameters
    ----------
    path : Path
        ``.geojson``: on the map of the image, as for :func:`~napari_unet.io.regions.region_from_json`; in pixels,
        counted from the corner of the first one as QuPath does, where the image does not say where it lies.
        ``.gpkg`` and ``.shp``: on the map of the image, in the reference system of the file; of several layers the
        first. ``.roi`` and ``.zip``: ROIs of ImageJ in pixels, see :func:`~napari_unet.io.imagej.read_rois`.
    like : Image or None
        What they were drawn on.
    classes : sequence of str
        Each shape gets the number of its class among these, from 1; its class is what the file calls ``class``, or
        ``classification`` (QuPath): a name, or the number itself. Shapes of other classes are left out, be it all of
        them (:func:`check_classes` finds a wrong name); it is an error where no shape says its class. Of one class are
        also shapes of which no class is said. ROIs have the class that their properties call so, or the number of
        their group. Empty: each shape has the number that the file calls ``label`` (ROIs, and objects of QuPath, also
        one that is their name), the next free one where it says none. Where two have the same on one plane, all are
        numbered in the order of the file, in stacks the second of them gets a free one.
    only : str
        The class of the shapes that are wanted; empty for all.

    Returns
    -------
    Image
        Axes ``yx``, int32, with the place of `like`; where shapes say on which planes they lie (ROIs, objects of
        QuPath), of a stack or movie also its ``t`` and ``z``. A ROI without a slice is on all. Where shapes overlap,
        the last one is seen. Above 256 MB drawn where it is read.

    Raises
    ------
    ImageError
        If it cannot be read, there is no image to draw it on, or its classes are others.
    MissingExtraError
        If a package is missing.
    """
    if like is None:
        raise ImageError(
            f"'{path}' holds shapes, which belong to an image. Draw them as labels first: napari-unet regrid "
            f"{path.name} --like IMAGE --output LABELS.tif."
        )
    if not path.is_file():
        raise ImageError(f"There is no file '{path}'. Check the name.")
    shapes = _read(path)
    numbers = np.array(_numbered(shapes, classes, only, path), np.int32)
    outer, planes = on_planes(shapes.slices, like, path.name)
    axes = outer + "yx"
    shape, scale, units = like.along(axes)
    owners = np.array(shapes.owners, np.int64)
    wanted = numbers[owners] > 0
    parts = tuple(part for part, kept in zip(_placed(shapes, like, path), wanted, strict=True) if kept)
    beside = bool(parts) and not Polygons(parts).meet(slice(0, shape[-2]), slice(0, shape[-1]))
    said = (f"None of the shapes of '{path.name}' lies on '{like.name}'.",) if beside else ()
    drawn = _Drawn(parts, numbers[owners[wanted]], planes[owners[wanted]], shape)
    data = drawn if drawn.dtype.itemsize * math.prod(shape) > LAZY_BYTES else drawn[()]
    place: dict[str, Any] = {"geo": like.geo and like.geo.without_bands, "start": like.start_of(axes)}
    return Image(data, axes, scale, units, path.name, str(path), remarks=(*shapes.remarks, *said), **place)


def _read(path: Path) -> _Shapes:
    """Read the shapes of a file and what is said of each."""
    try:
        if suffix_of(path) == ".geojson":
            return _of_text(path)
        if suffix_of(path) in ROIS:
            return _of_rois(path)
        if find_spec("pyproj") is None:
            raise MissingExtraError("pyproj", "geo", f"Reading '{path.name}'")
        from ._map_regions import read_layer  # noqa: PLC0415  # pyproj is an extra

        layer = read_layer(path)
        said = [dict(zip(layer.table, row, strict=True)) for row in zip(*layer.table.values(), strict=True)]
        return _shapes(layer.shapes, said or [{} for _ in layer.shapes], layer.crs)
    except SpecError as error:
        raise ImageError(f"'{path}': {error}") from error


def _of_rois(path: Path) -> _Shapes:
    rois, others = read_rois(path)
    said = (f"{others} points, lines or texts in '{path.name}' have no inside and were left out.",) if others else ()
    return _Shapes(
        tuple(roi.outline for roi in rois), list(range(len(rois))), None, [roi.kind for roi in rois],
        [roi.number for roi in rois], [Slice(roi.position, roi.t, roi.z) for roi in rois], said,
    )  # fmt: skip


def _of_text(path: Path) -> _Shapes:
    try:
        if path.stat().st_size > _LARGEST:
            raise ImageError(f"'{path}' is too large ({path.stat().st_size} bytes). Save it as GeoPackage (.gpkg).")
        node = json.loads(path.read_text("utf-8-sig"))
        features = node.get("features", [node]) if isinstance(node, dict) else node
        there = [one for one in features if one.get("type") != "Feature" or one["geometry"] is not None]
        found = _shapes(there, [one.get("properties") or {} for one in there], None)
        found = found._replace(slices=_slices(there))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ImageError(f"'{path}' could not be read as shapes: {error}. Export it again.") from error
    if find_spec("pyproj") is None:
        return found
    from ._map_regions import system_of  # noqa: PLC0415  # pyproj is an extra

    return found._replace(crs=system_of(node, found.parts))


def _shapes(nodes: Sequence[Any], said: Sequence[dict[str, Any]], crs: str | None) -> _Shapes:
    parts = [tuple(polygons_of(node)) for node in nodes]
    owners = [number for number, own in enumerate(parts) for _ in own]
    if not all(math.isfinite(value) for own in parts for part in own for corner in part for value in corner):
        raise SpecError("Some corners are no numbers. Draw these shapes again.")
    low = [{str(name).lower(): value for name, value in one.items()} for one in said]
    every = tuple(one for own in parts for one in own)
    return _Shapes(every, owners, crs, list(map(_class_of, low)), list(map(_number_of, low)), [ANYWHERE] * len(parts))


def _slices(nodes: Sequence[Any]) -> list[Slice]:
    """Return the planes of features as QuPath says them: the first one is not said, unless none is."""
    said = [node.get("plane", (node.get("geometry") or {}).get("plane")) for node in nodes]
    first = Slice(0, 1, 1) if any(said) else ANYWHERE
    return [Slice(0, int(one.get("t", 0)) + 1, int(one.get("z", 0)) + 1) if one else first for one in said]


def _number_of(said: dict[str, Any]) -> Any:
    """Return the label of a shape, None if there is none; QuPath keeps names only."""
    name = said.get("name") if "objecttype" in said else None
    return int(name) if said.get(_NUMBER) is None and isinstance(name, str) and name.isdecimal() else said.get(_NUMBER)


def _class_of(said: dict[str, Any]) -> str:
    """Return the class of a shape, as a name; empty if there is none."""
    value = said.get(_CLASS, said.get("classification"))
    value = value.get("name") if isinstance(value, dict) else value
    if value is None or value != value:  # noqa: PLR0124  # not a number
        return ""
    return str(int(value)) if isinstance(value, float | np.floating) and value == int(value) else str(value).strip()


def _known(classes: Sequence[str]) -> dict[str, int]:
    """Return the numbers of classes by what shapes may call them; of a single class are those of which none is said."""
    known = {str(number): number for number in range(1, len(classes) + 1)}
    known |= {name.strip().casefold(): number for number, name in enumerate(classes, 1)}
    return known | ({"": 1} if len(classes) == 1 else {})


def _foreign(names: Sequence[str], classes: Sequence[str], where: str) -> ImageError:
    there = sorted({name or "no class" for name in names})
    return ImageError(
        f"None of the {len(names)} shapes in {where} is of the classes {', '.join(classes)}. They are of: "
        f"{', '.join(there[:_NAMED])}{' and more' * (len(there) > _NAMED)}. Give every shape a property "
        f"'{_CLASS}', or name the classes as they are there."
    )


def _numbered(shapes: _Shapes, classes: Sequence[str], only: str, path: Path) -> list[int]:
    """Return the label of every shape, 0 for those that are left out."""
    names = [name.casefold() for name in shapes.classes]
    if classes:
        known = _known(classes)
        numbers = [known.get(name, 0) for name in names]
        if names and not any(numbers) and not any(names):
            raise _foreign(shapes.classes, classes, f"'{path}'")
    else:
        numbers = _own_numbers(shapes)
    if not (wanted := only.strip().casefold()):
        return numbers
    if wanted not in names:
        there = sorted(set(filter(None, shapes.classes)))
        raise ImageError(f"'{path}' holds nothing that is called '{only}'. It holds: {', '.join(there) or 'no names'}.")
    return [number if name == wanted else 0 for number, name in zip(numbers, names, strict=True)]


def _own_numbers(shapes: _Shapes) -> list[int]:
    """Return the labels of shapes where each is an object, the next free ones where they have none."""
    most = np.iinfo(np.int32).max - len(shapes.numbers)
    own = [int(n) if isinstance(n, int | np.integer) and 0 < n < most else 0 for n in shapes.numbers]
    seen, free = set[tuple[Slice, int]](), max(own, default=0)
    for at, key in enumerate(zip(shapes.slices, own, strict=True)):
        if key in seen and not any(map(any, shapes.slices)):
            return list(range(1, len(own) + 1))
        if not key[1] or key in seen:
            free += 1
            own[at] = free
        seen.add(key if key[1] else (key[0], free))
    return own


def _placed(shapes: _Shapes, like: Image, path: Path) -> Region:
    """Bring areas to the pixels of an image."""
    on_map = like.geo is not None and bool(like.geo.crs and like.geo.transform)
    if shapes.crs is None or (suffix_of(path) == ".geojson" and not on_map):
        return tuple(tuple((y - _HALF, x - _HALF) for y, x in part) for part in shapes.parts)
    from ._map_regions import in_pixels  # noqa: PLC0415  # pyproj is an extra

    return in_pixels(shapes.parts, shapes.crs, like, f"'{path}'")
