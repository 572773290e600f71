"""Annotated images that stay where they are stored: no more is read than a patch needs."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ..core.axes import Image, Plane
from ..core.errors import ImageError, TrainingDataError
from ..core.examples import UNKNOWN, Example
from ..io.drawings import is_drawing, read_drawing
from ..io.images import read_image
from ..io.labels import read_labels
from ..io.pairs import read_example
from ..tiling import Statistics, normalize
from ..tiling.isolated import read_steady
from ..tiling.statistics import spread
from .pairs import Pair, Truth, name_kinds, number_objects, positions, spread_spots, whole_objects

__all__ = ["Shelf", "Stored", "as_whole", "digest", "stored_pair"]

_OPEN: Final = 8  # files that are held open at once
_LEVELS: Final = 6
_COARSEST: Final = 16
_LOOKS: Final = 16  # windows of a large image that are looked at before the first step
_WINDOW: Final = {2: 1024, 3: 128}

Window = tuple[slice, ...]


@dataclass
class Shelf:
    """Opens images and labels; a few of those it opened last are kept, so that memory stays bounded."""

    _held: OrderedDict[object, Image] = field(default_factory=OrderedDict)

    def image(self, example: Example) -> Image:
        """Return the image of an example."""
        if isinstance(example.image, Image):
            return read_example(example)
        return self._opened(("image", example.image, example.channels), partial(read_example, example))

    def labels(self, example: Example) -> Image:
        """Return the labels of an example, without channels; shapes are drawn on its image.

        Raises
        ------
        TrainingDataError
            If they are a picture in colors.
        """
        what = example.labels
        if isinstance(what, Image) or not is_drawing(what):
            return self.read(what)
        key = ("drawn", what, example.classes, example.source if example.files else id(example.image))
        return self._opened(key, lambda: read_drawing(what, self.image(example), example.classes))

    def read(self, what: Image | Path) -> Image:
        """Return labels that are pixels, without channels; raises as :meth:`labels` does."""
        found = what if isinstance(what, Image) else self._opened(("labels", what), partial(_read_labels, what))
        return _gray(found) if found.channels > 1 else found

    def _opened(self, key: object, read: Callable[[], Image]) -> Image:
        found = self._held.pop(key, None) or read()
        self._held[key] = found
        while len(self._held) > _OPEN:
            self._held.popitem(last=False)
        return found


def _read_labels(file: Path) -> Image:
    """Read labels; a picture of them, with equal channels, will do."""
    try:
        return read_labels(file, unknown=UNKNOWN)
    except ImageError:
        picture = read_image(file)
        if picture.channels == 1:
            raise
        return _gray(picture)


def _gray(picture: Image) -> Image:
    """Return the one channel of a mask that was saved as a picture."""
    axis = picture.axes.index("c")
    values = np.asarray(picture.data)
    first = values.take(0, axis)
    if any((values.take(i, axis) != first).any() for i in range(1, min(picture.channels, 3))):
        colors = len(np.unique(np.moveaxis(values, axis, -1).reshape(-1, picture.channels), axis=0))
        raise TrainingDataError(
            f"The labels '{picture.source or picture.name}' are a picture in {colors} colors. Labels need one whole "
            "number for each pixel: save the labels layer itself (File > Save Selected Layers), not a screenshot of it."
        )
    axes = picture.axes.replace("c", "")
    return Image(first, axes, *picture.along(axes)[1:], picture.name, picture.source)


def as_whole(values: npt.NDArray[Any], name: str) -> npt.NDArray[np.integer[Any]]:
    """Return labels as whole numbers.

    Parameters
    ----------
    values : ndarray
        Of any kind.
    name : str
        For messages.

    Returns
    -------
    ndarray of int or bool
        The same numbers.

    Raises
    ------
    TrainingDataError
        If there are fractions, negative values, or no numbers.
    """
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and (values == np.rint(values)).all()):
            raise TrainingDataError(
                f"'{name}': labels must be whole numbers from 0 (background) up, but some are fractions. Save the "
                "labels layer itself, or turn probabilities into labels with a threshold first."
            )
        values = values.astype(np.int64)
    if values.dtype.kind not in "bui" or (values.dtype.kind == "i" and values.min(initial=0) < 0):
        raise TrainingDataError(
            f"'{name}': labels must be whole numbers from 0 (background) up, not {values.dtype} with values below 0. "
            "Save the labels layer itself, not a picture of it."
        )
    return values


def digest(block: npt.NDArray[Any]) -> str:
    """Return what tells the content of an image ``(c, *s)`` from another's: 16 hexadecimal digits.

    The type of its numbers, and gray that is stored as color, make no other image of it.
    """
    values = block[:1] if (block == block[:1]).all() else block
    found = hashlib.sha256(str(values.shape).encode())
    found.update(np.ascontiguousarray(values, np.float32).data)
    return found.hexdigest()[:16]


@dataclass(frozen=True)
class Stored:
    """One plane of an example, wherever it is.

    Attributes
    ----------
    image, labels : callable
        Open the plane.
    statistics : Statistics
        Of the whole image.
    truth : Truth
        What the labels say.
    name : str
        For messages.
    ids : ndarray of int or None
        All labels, ascending, 0 first; None where nobody has read them all.
    """

    image: Callable[[], Plane]
    labels: Callable[[], Plane]
    statistics: Statistics
    truth: Truth
    name: str
    ids: npt.NDArray[np.integer[Any]] | None = None

    def read(self, window: Window) -> tuple[npt.NDArray[np.integer[Any]], npt.NDArray[np.bool_] | None]:
        """Return objects and what is known in a window."""
        raw = as_whole(self.labels().read(window)[0], self.name)
        return self.truth.read(raw, window)


@dataclass(frozen=True)
class _Level:
    """Levels of the image: tensors of windows, normalized and averaged as if it were in memory."""

    of: Stored
    times: int
    shape: tuple[int, ...]

    def __getitem__(self, at: tuple[slice, ...]) -> torch.Tensor:
        plane, window = self.of.image(), at[1:]
        whole = tuple(slice(w.start * self.times, w.stop * self.times) for w in window)
        of = self.of.statistics
        block = torch.from_numpy(normalize(read_steady(plane, whole, of.isolated), of))
        if self.times == 1:
            return block
        pool = {2: functional.avg_pool2d, 3: functional.avg_pool3d}[len(window)]
        return pool(block[None], self.times)[0]


@dataclass(frozen=True)
class _Labels:
    of: Stored
    shape: tuple[int, ...]

    def __getitem__(self, window: Window) -> torch.Tensor:
        objects = self.of.read(window)[0]
        if self.of.ids is not None:
            return torch.from_numpy(np.searchsorted(self.of.ids, objects).astype(np.int32))
        solid = np.unique(objects, return_inverse=True)[1].reshape(objects.shape).astype(np.int32)
        return torch.from_numpy(solid + 1 if objects.size and objects.min() > 0 else solid)


@dataclass(frozen=True)
class _Known:
    of: Stored
    shape: tuple[int, ...]

    def __getitem__(self, window: Window) -> torch.Tensor:
        known = self.of.read(window)[1]
        shape = tuple(w.stop - w.start for w in window)
        return torch.from_numpy(np.ones(shape, np.uint8) if known is None else known.astype(np.uint8))


def stored_pair(stored: Stored, like: Pair | None, weight: float) -> Pair:
    """Prepare an annotated image that stays where it is.

    Parameters
    ----------
    stored : Stored
        The plane.
    like : Pair or None
        The same in memory, where that fits: what is known of it is taken over, and only its pixels are let go. None:
        some windows are looked at.
    weight : float
        How often it is drawn.

    Returns
    -------
    Pair
        Its memory is that of a patch.
    """
    plane = stored.image()
    shape, channels = plane.shape, len(plane.channels or range(plane.image.channels))
    levels = [_Level(stored, 1, (channels, *shape))]
    while min(levels[-1].shape[1:]) >= _COARSEST and len(levels) < _LEVELS:
        levels.append(_Level(stored, 2 * levels[-1].times, (channels, *(n // 2 for n in levels[-1].shape[1:]))))
    known = _Known(stored, shape) if stored.truth.partial else None
    labels = _Labels(stored, shape)
    if like is None and stored.truth.classes:
        stored = replace(stored, ids=np.arange(stored.truth.classes + 1))
        labels = _Labels(stored, shape)
    if like is not None:
        return replace(like, levels=tuple(levels), labels=labels, known=known)
    sizes, spots, kinds, places, content = _survey(stored, shape)
    known_sizes = np.zeros(stored.truth.classes + 1 if stored.truth.classes else 0, np.float32)
    return Pair(
        tuple(levels), labels, known_sizes, float(np.median(sizes)) if len(sizes) else 0.0, stored.name,
        weight, known, stored.truth.background is not None, spots, kinds, None if known is None else places,
        digest=content,
    )  # fmt: skip


def _survey(stored: Stored, shape: tuple[int, ...]) -> tuple[Any, Any, Any, Any, str]:
    """Look at some windows: sizes of whole objects, places of objects or classes, known places, and the content."""
    sizes, places, content = [np.zeros(0, np.float32)], [], hashlib.sha256()
    count = stored.truth.classes
    spots: list[list[Any]] = [[] for _ in range(count or 1)]
    empty = np.zeros((0, len(shape)), np.int32)
    for window in _windows(shape, stored.truth):
        objects, known = stored.read(window)
        stored.truth.check(objects, stored.name)
        start = np.array([w.start for w in window], np.int32)
        places.append(empty if known is None else positions(known) + start)
        content.update(digest(stored.image().read(window)).encode())
        if count:
            at, kinds = spread_spots(objects, known, count)
            for number, a, b in kinds:
                spots[number - 1].append(at[a:b] + start)
            continue
        solid = number_objects(objects, stored.truth.background is None)
        if stored.truth.background is None:
            found = whole_objects(solid, known, ended=True)
            sizes.append(found[found > 0])
        spots[0].append(spread_spots(solid, known, 0)[0] + start)
    each = [np.concatenate([empty, *some]).astype(np.int32) for some in spots]
    ends = np.cumsum([0, *map(len, each)]).tolist()
    kinds = name_kinds(ends) if count else ()
    known_at = np.concatenate([empty, *places]).astype(np.int32)
    return np.concatenate(sizes), np.concatenate(each), kinds, known_at, content.hexdigest()[:16]


def _windows(shape: tuple[int, ...], truth: Truth) -> Iterator[Window]:
    """Choose windows over all of an image, or over the areas where its truth is known."""
    boxes: list[Sequence[tuple[int, int]]] = [[(0, n) for n in shape]]
    if truth.region is not None:
        outer = [(0, n) for n in shape[:-2]]
        boxes = [[*outer, *_bounds(polygon, shape)] for polygon in truth.region]
    edge = _WINDOW[len(shape)]
    for box in boxes:
        counts = [max(0, -(-(stop - start) // edge)) for start, stop in box]
        if not math.prod(counts):
            continue
        for at in spread(counts, max(1, _LOOKS // len(boxes))):
            starts = [start + i * edge for i, (start, _) in zip(at, box, strict=True)]
            yield tuple(slice(a, min(a + edge, stop)) for a, (_, stop) in zip(starts, box, strict=True))


def _bounds(polygon: Any, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    low, high = np.floor(np.min(polygon, 0)), np.ceil(np.max(polygon, 0)) + 1
    return [(int(max(0, a)), int(min(n, b))) for a, b, n in zip(low.tolist(), high.tolist(), shape[-2:], strict=True)]
