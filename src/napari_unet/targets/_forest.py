"""The basins of :mod:`._basins` inside one brick: what is known without looking farther than one pixel beyond it.

Pointers, ties and saddles are those of the whole plane, because a pointer needs no more than the pixel's neighbors and
compares nothing but stored integers and positions. What the brick alone cannot know, where a tree that leaves it ends,
is left open in the tables of a :class:`~napari_unet.core.forest.Forest`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..core.errors import SpecError
from ..core.forest import Forest, Rim
from ._forest_kernels import BEYOND, SHIFT, STAY, Grown, climb, follow, resolve, survey

__all__ = ["Grow", "explore", "explore_parts", "explore_pieces"]

Grow = Callable[[npt.NDArray[np.uint16], int], Grown | None]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

_FACES: Final = (STAY - 9, STAY - 3, STAY - 1, STAY + 1, STAY + 3, STAY + 9)


def explore(
    potential: Bytes,
    mask: npt.NDArray[np.bool_],
    window: Sequence[slice],
    shape: Sequence[int],
    offsets: npt.NDArray[np.int16] | None = None,
    grow: Grow | None = None,
) -> tuple[Ints, Forest]:
    """Grow the forest of one brick.

    Parameters
    ----------
    potential : ndarray of uint8
        Of the window and the pixels around it, one on each side where the image goes on.
    mask : ndarray of bool
        Foreground, same shape.
    window : sequence of slice
        The brick's pixels in the plane, ``(y, x)`` or ``(z, y, x)``.
    shape : sequence of int
        Of the plane.
    offsets : ndarray of int16, optional
        Shape ``(3, z, y, x)``, of the pixels of `potential`: signed vectors to follow instead of climbing.
    grow : callable, optional
        What climbs, instead of this processor; see :mod:`._forest_torch`. It need not, and is not asked where offsets
        are followed.

    Returns
    -------
    trees : ndarray of int32
        Tree of every pixel of the window; 0 is background. The same whenever the brick is explored again.
    forest : Forest
        The tables.

    Raises
    ------
    SpecError
        If the arrays have other pixels than the window and those around it.
    """
    frame = _frame(window, shape)
    _check(frame.seen, potential, mask, *([] if offsets is None else offsets))
    level = frame.levels(potential, mask)
    grown = grow(level, int(frame.reach[0])) if grow and offsets is None else None
    if grown is None:
        grown = frame.grown(level, offsets)
    places, boxes = frame.places(grown.ends), frame.boxes(grown.boxes)
    inner, high = grown.trees[frame.inside], level[frame.inside]
    stays = ((places >= 0) & (places < inner.shape)).all(1)
    forest = Forest(
        peaks=np.where(stays, frame.pixels(places), -1),
        heights=np.where(stays, (level.ravel()[grown.ends] >> SHIFT) - 1, 0).astype(np.uint8),
        areas=grown.areas,
        firsts=frame.pixels(frame.places(grown.begins)),
        lows=boxes[:, :3],
        highs=boxes[:, 3:],
        exits=_exits(places, np.flatnonzero(~stays), inner.shape),
        pairs=np.stack([grown.codes >> 32, grown.codes & 0xFFFFFFFF], 1).astype(np.int32),
        saddles=grown.saddles,
        rims={side: _rim(inner, high, side) for side in frame.neighbors()},
    )
    return inner.reshape([s.stop - s.start for s in window]), forest


def explore_pieces(found: Ints, window: Sequence[slice], shape: Sequence[int], nested: bool) -> tuple[Ints, Forest]:
    """Find the pieces of classes in a brick that hang together by sides or corners of pixels.

    Parameters
    ----------
    found : ndarray of int32
        Class of each pixel of the window, 0 for background.
    window : sequence of slice
        The brick's pixels in the plane, ``(y, x)`` or ``(z, y, x)``.
    shape : sequence of int
        Of the plane.
    nested : bool
        Whether each class lies within the one before it.

    Returns
    -------
    trees : ndarray of int32
        Piece of every pixel of the window; 0 is background.
    forest : Forest
        The tables.
    """
    trees = np.zeros(found.shape, np.int32)
    kinds = [np.zeros(0, np.uint8)]
    for kind in np.unique(found[found > 0]).tolist():
        pieces, count = ndimage.label(found == kind, np.ones((3,) * found.ndim, bool))
        trees += np.where(pieces > 0, pieces + sum(map(len, kinds)), 0).astype(np.int32)
        kinds.append(np.full(count, kind, np.uint8))
    labels, forest = explore_parts(found > 0, window, shape, trees)
    return labels, replace(forest, kinds=np.concatenate(kinds), nested=nested)


def explore_parts(
    mask: npt.NDArray[np.bool_], window: Sequence[slice], shape: Sequence[int], parts: Ints | None = None
) -> tuple[Ints, Forest]:
    """Find the parts of a brick's foreground that hang together by sides of pixels: a forest of one potential.

    Parameters
    ----------
    mask : ndarray of bool
        Foreground, of the window alone.
    window : sequence of slice
        The brick's pixels in the plane, ``(y, x)`` or ``(z, y, x)``.
    shape : sequence of int
        Of the plane.
    parts : ndarray of int32, optional
        Part of every pixel of the window, where these are known; they touch by corners too.

    Returns
    -------
    trees : ndarray of int32
        Part of every pixel of the window; 0 is background.
    forest : Forest
        The tables; each part has its first pixel as peak.

    Raises
    ------
    SpecError
        If the mask has other pixels than the window.
    """
    frame, corners = _frame(window, shape), parts is not None
    _check(frame.stop - frame.start, mask)
    level, trees = np.zeros(frame.size, np.uint16), np.zeros(frame.size, np.int32)
    inner, high = trees[frame.inside], level[frame.inside]
    if parts is None:
        count = ndimage.label(mask.reshape(inner.shape), output=inner)
    else:
        inner[...] = parts.reshape(inner.shape)
        count = int(parts.max(initial=0))
    high[inner > 0] = 1 << SHIFT
    areas, boxes, codes, saddles = frame.survey(trees, level, count)
    boxes, touching = frame.boxes(boxes), len(codes) if corners else 0
    begins, solid = np.zeros(count, np.int64), np.flatnonzero(trees)[::-1]
    begins[trees.ravel()[solid] - 1] = solid  # of many the last is kept, which is the first pixel
    firsts = frame.pixels(frame.places(begins))
    forest = Forest(
        peaks=firsts,
        heights=np.zeros(count, np.uint8),
        areas=areas,
        firsts=firsts,
        lows=boxes[:, :3],
        highs=boxes[:, 3:],
        exits=np.zeros((0, 3), np.int32),
        pairs=np.stack([codes >> 32, codes & 0xFFFFFFFF], 1).astype(np.int32)[:touching],
        saddles=saddles[:touching],
        rims={side: _rim(inner, high, side) for side in frame.neighbors() if corners or side in _FACES},
        corners=corners,
    )
    return inner.reshape([s.stop - s.start for s in window]), forest


@dataclass(frozen=True)
class _Frame:
    """Where a brick lies in its plane, everything along z, y and x; `reach` pixels around it are looked at."""

    start: Longs
    stop: Longs
    plane: tuple[int, ...]
    reach: Longs

    @property
    def size(self) -> tuple[int, ...]:
        """How many pixels are looked at along each axis."""
        return tuple((self.stop - self.start + 2 * self.reach).tolist())

    @property
    def seen(self) -> Longs:
        """How many of them the image has."""
        seen: Longs = self.stop - self.start + (self.start > 0) + (self.stop < self.plane)
        return seen

    @property
    def moves(self) -> npt.NDArray[np.uint64]:
        """How far each step leads in a flat array, backwards modulo 2**64; what is no step leads nowhere."""
        (_, height, width), step = self.size, np.arange(27)
        moves = ((step // 9 - 1) * height + step // 3 % 3 - 1) * width + step % 3 - 1
        return np.concatenate([moves, np.zeros(BEYOND - 26, np.int64)]).astype(np.uint64)

    @property
    def inside(self) -> tuple[slice, ...]:
        """The brick itself as an index of the pixels that are looked at."""
        sizes = self.stop - self.start
        return tuple(slice(r, r + n) for r, n in zip(self.reach.tolist(), sizes.tolist(), strict=True))

    @property
    def lead(self) -> Longs:
        """Pixels that are looked at before those that the image has."""
        return self.reach - (self.start > 0)

    def levels(self, potential: Bytes, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint16]:
        """Make one array of potential and foreground; see :mod:`._forest_kernels`."""
        level = np.zeros(self.size, np.uint16)
        there = level[tuple(slice(a, a + n) for a, n in zip(self.lead.tolist(), self.seen.tolist(), strict=True))]
        np.add(potential, 1, out=there, dtype=np.uint16)
        np.left_shift(there, SHIFT, out=there)
        np.multiply(there, mask, out=there)
        return level

    def survey(self, trees: Ints, level: npt.NDArray[np.uint16], count: int) -> tuple[Longs, Ints, Longs, Bytes]:
        """Return areas, bounding boxes among the pixels that are looked at, codes of pairs, and saddles."""
        ahead = self.moves[STAY + 1 : 27 if self.reach[0] else STAY + 5]
        found: tuple[Longs, Ints, Longs, Bytes] = survey(trees, level, count, ahead, self.reach[0])
        return found

    def grown(self, level: npt.NDArray[np.uint16], offsets: npt.NDArray[np.int16] | None) -> Grown:
        """Grow trees on this processor."""
        steps, trees = np.full(level.shape, BEYOND, np.uint8), np.zeros(level.shape, np.int32)
        if offsets is None:
            climb(level, steps, self.reach[0])
        else:
            follow(np.ascontiguousarray(offsets), self.lead, level, steps, self.reach[0])
        ends, begins = resolve(steps, trees, self.moves)
        return Grown(trees, ends, begins, *self.survey(trees, level, len(ends)))

    def boxes(self, looked: Ints) -> Ints:
        """Return bounding boxes in the plane."""
        return looked + np.tile(self.start - self.reach, 2).astype(np.int32)

    def places(self, looked: Longs) -> Longs:
        """Return the positions ``(n, 3)`` in the brick of flat indices of the pixels that are looked at."""
        places: Longs = np.stack(np.unravel_index(looked, self.size), 1) - self.reach
        return places

    def pixels(self, places: Longs) -> Longs:
        """Return the flat indices in the plane of positions in the brick."""
        at = places + self.start
        found: Longs = (at[:, 0] * self.plane[1] + at[:, 1]) * self.plane[2] + at[:, 2]
        return found

    def neighbors(self) -> list[int]:
        """List the sides on which the plane goes on."""
        before, after = (self.start > 0).tolist(), (self.stop < self.plane).tolist()
        ways = [[-1] * a + [0] + [1] * b for a, b in zip(before, after, strict=True)]
        sides = [9 * (dz + 1) + 3 * (dy + 1) + dx + 1 for dz, dy, dx in itertools.product(*ways)]
        return [side for side in sides if side != STAY]


def _frame(window: Sequence[slice], shape: Sequence[int]) -> _Frame:
    flat = 3 - len(shape)
    plane = (1,) * flat + tuple(shape)
    start, stop = [0] * flat + [s.start for s in window], [1] * flat + [s.stop for s in window]
    return _Frame(np.array(start), np.array(stop), plane, np.array([int(plane[0] > 1), 1, 1]))


def _check(size: Longs, *arrays: npt.NDArray[Any]) -> None:
    for array in arrays:
        if array.shape != tuple(size.tolist())[-array.ndim :] or (array.ndim < 3 and size[0] > 1):
            raise SpecError(
                f"A brick's array has {array.shape} pixels where {tuple(size.tolist())} are looked at. Give the window "
                "and, unless parts of a mask are wanted, one pixel more on each side where the image goes on."
            )


def _rim(trees: Ints, level: npt.NDArray[np.uint16], side: int) -> Rim:
    parts = (slice(0, 1), slice(None), slice(-1, None))
    window = tuple(parts[side // 3**k % 3] for k in (2, 1, 0))
    # Background wraps around to 255, where nobody looks.
    return Rim(trees[window].copy(), ((level[window] >> SHIFT) - 1).astype(np.uint8))


def _exits(places: Longs, rows: Longs, size: tuple[int, ...]) -> Ints:
    """Say for the trees of `rows`, which end at `places` around a brick, where they enter its neighbors."""
    at = places[rows]
    way = (at >= size).astype(np.int64) - (at < 0)
    across, spot = np.where(way == 0, size, 1), np.where(way == 0, at, 0)
    flat = (spot[:, 0] * across[:, 1] + spot[:, 1]) * across[:, 2] + spot[:, 2]
    return np.stack([rows + 1, (way + 1) @ np.array([9, 3, 1]), flat], 1).astype(np.int32)
