"""Defects in a map of classes, strip by strip: memory is that of a strip and the table, however long a scan is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.core.axes import Image, Plane
from napari_unet.core.defects import Defect
from napari_unet.core.errors import AxesError
from napari_unet.core.lengths import millimeters
from napari_unet.core.steps import Progress, Steps

__all__ = ["find_defects"]

_STRIP: Final = 1 << 22  # pixels
_CORNERS: Final = np.ones((3, 3), bool)
_HELD: Final = 64  # points of an outline, above which it is reduced to its hull

Floats = npt.NDArray[np.float64]


@dataclass
class _Piece:
    """What is known so far of a connected piece; rows run along the strips, columns across."""

    kind: int
    area: int
    sums: Floats  # of rows and columns
    box: list[int]
    points: Floats  # of its outline
    sure: float = 0.0
    into: _Piece | None = field(default=None, repr=False)

    def root(self) -> _Piece:
        piece = self
        while piece.into is not None:
            piece = piece.into
        return piece

    def take(self, other: _Piece) -> None:
        """Become one with another piece."""
        one, two = self.root(), other.root()
        if one is two:
            return
        one.area, one.sums, one.sure = one.area + two.area, one.sums + two.sums, one.sure + two.sure
        low, high = np.minimum(one.box[:2], two.box[:2]), np.maximum(one.box[2:], two.box[2:])
        one.box = [*low.tolist(), *high.tolist()]
        one.points = _hull(np.concatenate([one.points, two.points]))
        two.into, two.points = one, two.points[:0]


def find_defects(
    labels: Image, names: Sequence[str] = (), uncertainty: Image | None = None
) -> Steps[tuple[Defect, ...]]:
    """Find every defect of an image.

    Parameters
    ----------
    labels : Image
        Axes ``yx``, in any order, and perhaps ``t`` and ``z``, whose planes are looked at one by one.
    names : sequence of str
        Of the classes 1, 2 and so on: labels are classes, and each connected piece of one is a defect; pixels that
        share a corner are connected. Empty: labels are objects, each is a defect.
    uncertainty : Image, optional
        0 to 0.5 for each pixel, see :class:`~napari_unet.core.results.Segmentation`.

    Returns
    -------
    tuple of Defect
        By plane, then by where their boxes begin along the longer axis of the image.

    Yields
    ------
    Progress
        One for each strip.

    Raises
    ------
    AxesError
        If labels have channels.
    """
    if labels.channels > 1:
        raise AxesError(f"'{labels.name}' has {labels.channels} channels; labels have none. Choose one channel.")
    planes = labels.planes(2)
    beside: Sequence[Plane | None] = uncertainty.planes(2) if uncertainty else [None] * len(planes)
    found: list[Defect] = []
    for number, (plane, doubt) in enumerate(zip(planes, beside, strict=True)):
        pieces: list[_Piece] = []
        upright = plane.shape[0] >= plane.shape[1]
        for part in _strips(plane, doubt, upright):
            yield Progress(part.end, plane.shape[0 if upright else 1], "Measuring the defects")
            part.follow(pieces, bool(names))
        whole = sorted(pieces, key=_order)
        at = plane.at if len(planes) > 1 else ()
        scale = _millimeters(labels)
        for piece in whole:
            defect = _told(piece, names, upright, scale, doubt is not None)
            found.append(replace(defect, plane=at))
        yield Progress(number + 1, len(planes), "Measuring the defects")
    return tuple(found)


@dataclass
class _Strip:
    """Some rows of a plane, and the pieces that reach their last row, for the strip that follows."""

    values: npt.NDArray[Any]
    doubt: Floats | None
    start: int
    last: list[tuple[int, _Piece]]  # column and piece of the row before it

    @property
    def end(self) -> int:
        return self.start + len(self.values)

    def follow(self, pieces: list[_Piece], classes: bool) -> None:
        """Find the pieces of this strip, and join them with those of the row before it."""
        known = {} if classes else {piece.kind: piece for piece in pieces}
        bottom: list[tuple[int, _Piece]] = []
        row: list[_Piece | None] = [None] * self.values.shape[1]
        for kind, number, numbers, box in self._parts(classes):
            mask = numbers[box] == number
            piece = self._piece(kind, mask, box)
            pieces.append(piece)
            if not classes and kind in known:
                known[kind].take(piece)
            left = box[1].start
            if box[0].start == 0:
                for column in np.flatnonzero(mask[0]).tolist():
                    row[column + left] = piece
            if box[0].stop == len(self.values):
                bottom.extend((column + left, piece) for column in np.flatnonzero(mask[-1]).tolist())
        if classes:
            for column, piece in self.last:
                for other in row[max(0, column - 1) : column + 2]:
                    if other is not None and other.kind == piece.kind:
                        piece.take(other)
        self.last[:] = bottom
        pieces[:] = [piece for piece in pieces if piece.into is None]

    def _parts(self, classes: bool) -> Iterator[tuple[int, int, npt.NDArray[Any], Any]]:
        """Yield the parts of this strip: class or object, number, the numbers of all parts, and where it is."""
        kinds, index = np.unique(self.values, return_inverse=True)
        index = np.asarray(index.reshape(self.values.shape), np.int32)
        if not classes:
            for number, box in enumerate(ndimage.find_objects(index), 1):
                if box is not None and kinds[number] > 0:
                    yield int(kinds[number]), number, index, box
            if len(kinds) and kinds[0] > 0:  # no background at all
                whole = np.asarray(index + 1, np.int32)
                yield int(kinds[0]), 1, whole, ndimage.find_objects(whole)[0]
            return
        for at in np.flatnonzero(kinds > 0).tolist():
            numbers, count = ndimage.label(index == at, _CORNERS)
            for number, box in enumerate(ndimage.find_objects(numbers, count), 1):
                yield int(kinds[at]), number, numbers, box

    def _piece(self, kind: int, mask: npt.NDArray[np.bool_], box: tuple[slice, ...]) -> _Piece:
        rows, columns = np.nonzero(mask)
        top, left = box[0].start + self.start, box[1].start
        sums = np.array([rows.sum() + top * len(rows), columns.sum() + left * len(rows)], float)
        sure = float(self.doubt[box][mask].sum()) if self.doubt is not None else 0.0
        ends = [top, left, top + mask.shape[0], left + mask.shape[1]]
        return _Piece(kind, len(rows), sums, ends, _outline(mask) + np.array([top, left]), sure)


def _order(piece: _Piece) -> tuple[float, ...]:
    """Return what puts pieces in order, however the plane was cut: several may begin at the same corner."""
    return (*piece.box, piece.kind, piece.area, *piece.sums.tolist())


def _strips(plane: Plane, doubt: Plane | None, upright: bool) -> Iterator[_Strip]:
    """Cut a plane across its longer axis; rows of a strip run along it."""
    long, wide = plane.shape if upright else plane.shape[::-1]
    height, last = max(1, _STRIP // wide), []  # type: ignore[var-annotated]  # filled by the strips
    for start in range(0, long, height):
        window = (slice(start, min(start + height, long)), slice(0, wide))
        window = window if upright else window[::-1]
        values, beside = plane.read(window)[0], None if doubt is None else doubt.read(window)[0].astype(float)
        if not upright:
            values, beside = values.T, None if beside is None else beside.T
        yield _Strip(values, beside, start, last)


def _outline(mask: npt.NDArray[np.bool_]) -> Floats:
    """Return the corners of the first and last pixel of each row, reduced to their hull."""
    rows = np.flatnonzero(mask.any(1))
    first, after = mask[rows].argmax(1), mask.shape[1] - mask[rows, ::-1].argmax(1)
    corners = [(rows + down, side) for down in (0, 1) for side in (first, after)]
    return _hull(np.concatenate([np.stack(pair, 1) for pair in corners]).astype(float))


def _hull(points: Floats) -> Floats:
    """Return the convex hull where there are many points (Andrew 1979), else all of them."""
    if len(points) <= _HELD:
        return points
    rows = sorted(set(map(tuple, points.tolist())))
    sides = [_side(rows), _side(rows[::-1])]
    return np.array([*sides[0][:-1], *sides[1][:-1]])


def _side(rows: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    kept: list[tuple[float, ...]] = []
    for row in rows:
        while len(kept) > 1 and _turn(kept[-2], kept[-1], row) <= 0:
            kept.pop()
        kept.append(row)
    return kept


def _turn(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _longest(points: Floats, sides: tuple[float, float]) -> float:
    ends = points * sides
    apart = ((ends[:, None] - ends[None]) ** 2).sum(2)
    return math.sqrt(float(apart.max()))


def _millimeters(labels: Image) -> tuple[float, float] | None:
    _, scale, units = labels.along("yx")
    sides = [step * millimeters(unit) for step, unit in zip(scale, units, strict=True)]
    return None if any(map(math.isnan, sides)) else (sides[0], sides[1])


def _told(
    piece: _Piece, names: Sequence[str], upright: bool, scale: tuple[float, float] | None, judged: bool
) -> Defect:
    """Return what is told of a piece: rows are y, whichever way the strips ran."""
    (y, x), points, box = piece.sums / piece.area, piece.points, piece.box
    if not upright:
        y, x, points, box = x, y, points[:, ::-1], [box[1], box[0], box[3], box[2]]
    kind = names[piece.kind - 1] if 0 < piece.kind <= len(names) else f"class {piece.kind}" if names else "object"
    return Defect(
        kind, float(piece.area), _longest(points, (1.0, 1.0)), float(y), float(x), (box[0], box[1], box[2], box[3]),
        piece.area * scale[0] * scale[1] if scale else None, _longest(points, scale) if scale else None,
        confidence=1 - 2 * piece.sure / piece.area if judged else None,
    )  # fmt: skip
