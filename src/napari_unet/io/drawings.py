"""Shapes that somebody has drawn, on a map or in QuPath, as labels of the image that they lie on."""

from __future__ import annotations

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
from ._tiff import LAZY_BYTES
from ._windowed import Windowed
from .regions import polygons_of
from .suffixes import suffix_of

__all__ = ["DRAWINGS", "check_classes", "classes_drawn", "is_drawing", "read_drawing"]

DRAWINGS: Final = (".geojson", ".gpkg", ".shp")
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


class _Drawn(Windowed):
    """Shapes as labels, drawn where they are asked for."""

    def __init__(self, shapes: Region, numbers: Ints, shape: tuple[int, int]) -> None:
        self._polygons, self._numbers = Polygons(shapes), numbers
        self.shape, self.dtype = shape, np.dtype(np.int32)
        self.chunks = tuple(min(n, 1024) for n in shape)

    def _read(self, window: Sequence[slice]) -> Ints:
        return self._polygons.labels(window[0], window[1], self._numbers)


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
        first.
    like : Image or None
        What they were drawn on.
    classes : sequence of str
        Each shape gets the number of its class among these, from 1; its class is what the file calls ``class``, or
        ``classification`` (QuPath): a name, or the number itself. Shapes of other classes are left out, be it all of
        them (:func:`check_classes` finds a wrong name); it is an error where no shape says its class. Of one class are
        also shapes of which no class is said. Empty: each shape gets a number of its own, in the order of the file;
        what the file calls ``label``, if all have another.
    only : str
        The class of the shapes that are wanted; empty for all.

    Returns
    -------
    Image
        Axes ``yx``, int32, with the place of `like`. Where shapes overlap, the last one is seen. Above 256 MB drawn
        where it is read.

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
    flat, scale, units = like.along("yx")
    owners = np.array(shapes.owners, np.int64)
    wanted = numbers[owners] > 0 if len(owners) else np.zeros(0, bool)
    parts = tuple(part for part, kept in zip(_placed(shapes, like, path), wanted, strict=True) if kept)
    beside = bool(parts) and not Polygons(parts).meet(slice(0, flat[0]), slice(0, flat[1]))
    said = (f"None of the shapes of '{path.name}' lies on '{like.name}'.",) if beside else ()
    drawn = _Drawn(parts, numbers[owners[wanted]] if len(owners) else numbers, (flat[0], flat[1]))
    data = drawn if drawn.dtype.itemsize * flat[0] * flat[1] > LAZY_BYTES else drawn[:, :]
    place: dict[str, Any] = {"geo": like.geo and like.geo.without_bands, "start": like.start_of("yx")}
    return Image(data, "yx", scale, units, path.name, str(path), remarks=said, **place)


def _read(path: Path) -> _Shapes:
    """Read the shapes of a file and what is said of each."""
    try:
        if suffix_of(path) == ".geojson":
            return _of_text(path)
        if find_spec("pyproj") is None:
            raise MissingExtraError("pyproj", "geo", f"Reading '{path.name}'")
        from ._map_regions import read_layer  # noqa: PLC0415  # pyproj is an extra

        layer = read_layer(path)
        said = [dict(zip(layer.table, row, strict=True)) for row in zip(*layer.table.values(), strict=True)]
        return _shapes(layer.shapes, said or [{} for _ in layer.shapes], layer.crs)
    except SpecError as error:
        raise ImageError(f"'{path}': {error}") from error


def _of_text(path: Path) -> _Shapes:
    try:
        if path.stat().st_size > _LARGEST:
            raise ImageError(f"'{path}' is too large ({path.stat().st_size} bytes). Save it as GeoPackage (.gpkg).")
        node = json.loads(path.read_text("utf-8-sig"))
        features = node.get("features", [node]) if isinstance(node, dict) else node
        there = [one for one in features if one.get("type") != "Feature" or one["geometry"] is not None]
        found = _shapes(there, [one.get("properties") or {} for one in there], None)
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
    classes = [_class_of(one) for one in low]
    return _Shapes(tuple(one for own in parts for one in own), owners, crs, classes, [one.get(_NUMBER) for one in low])


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
        own = [number for number in shapes.numbers if isinstance(number, int | np.integer) and number > 0]
        unique = len(set(own)) == len(names) and max(own, default=0) < np.iinfo(np.int32).max
        numbers = [int(number) for number in own] if unique else list(range(1, len(names) + 1))
    if not (wanted := only.strip().casefold()):
        return numbers
    if wanted not in names:
        there = sorted(set(filter(None, shapes.classes)))
        raise ImageError(f"'{path}' holds nothing that is called '{only}'. It holds: {', '.join(there) or 'no names'}.")
    return [number if name == wanted else 0 for number, name in zip(numbers, names, strict=True)]


def _placed(shapes: _Shapes, like: Image, path: Path) -> Region:
    """Bring areas to the pixels of an image."""
    on_map = like.geo is not None and bool(like.geo.crs and like.geo.transform)
    if shapes.crs is None or (suffix_of(path) == ".geojson" and not on_map):
        return tuple(tuple((y - _HALF, x - _HALF) for y, x in part) for part in shapes.parts)
    from ._map_regions import in_pixels  # noqa: PLC0415  # pyproj is an extra

    return in_pixels(shapes.parts, shapes.crs, like, f"'{path}'")
