"""Objects of a plane from the forests of its bricks, in any order: exact, with memory for tables only.

Trees that leave a brick are joined to those they enter. Where all trees end is known once every brick is in; then the
basins of the peaks are merged as in the whole plane, from the highest saddle down, equal saddles in descending order of
the peaks' pixels, which no cutting changes (elder rule of topological persistence, Edelsbrunner et al. 2002). Only the
highest saddle of two basins matters: merging can but raise a peak, so what did not merge there merges at no lower one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..core.errors import ImageError, SpecError
from ._unions import look_up, settle, total, touch, unite
from .bricks import Bricks, Position

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.amounts import Smallest
    from ..core.forest import Forest, Rim
    from ..core.results import Table

    Ints = npt.NDArray[np.int32]
    Longs = npt.NDArray[np.int64]
    Bytes = npt.NDArray[np.uint8]

__all__ = ["Objects", "Stitch", "relabel"]

_SIDES: Final = tuple(itertools.product((-1, 0, 1), repeat=3))
_OPPOSITE: Final = len(_SIDES) - 1


@dataclass(frozen=True, eq=False)
class Objects:
    """The numbered objects of a plane.

    Attributes
    ----------
    table : dict of ndarray
        One row an object, ordered by first pixel: ``index`` its id from 1, ``area_px`` (2D) or ``volume_px`` (3D),
        ``bbox_y0``, ``bbox_y1`` and so on, ``touches_border`` of the plane, ``first_pixel`` and ``peak_pixel`` as flat
        indices, ``peak`` the potential there.
    numbers : mapping of tuple of int to ndarray of int32
        For the brick at each position the id of every tree; entry 0 is background, trees of dropped objects are 0.
    """

    table: Table
    numbers: Mapping[Position, Ints]

    def __len__(self) -> int:
        """Count the objects."""
        return len(self.table["index"])


@dataclass(frozen=True, eq=False)
class _Border:
    """One side of a border between bricks.

    Its pixels, the trees that leave there, how many trees came before, and how far aside pixels still touch.
    """

    rim: Rim
    leaving: Ints
    start: int
    reach: int

    def entered(self, other: _Border) -> Longs:
        """Return which trees of this side those that leave the other one flow into, rows of (from, to)."""
        into = self.rim.trees.ravel()[other.leaving[:, 2]].astype(np.int64)
        if not into.all():
            raise SpecError(
                "Two bricks differ about the pixels on their common border. Explore all of them from the same scores."
            )
        return np.stack([other.leaving[:, 0] + other.start, into + self.start], 1)


class Stitch:
    """Collects the forests of a plane's bricks; not to be shared by threads.

    Parameters
    ----------
    bricks : Bricks
        How the plane is cut.
    """

    def __init__(self, bricks: Bricks) -> None:
        self.bricks = bricks
        self._forests: dict[Position, Forest] = {}
        # Trees of all bricks are numbered through from 1, as the bricks come; this many are before a brick's first.
        self._starts: dict[Position, int] = {}
        self._count = 0
        # Sides that wait for the brick beyond them.
        self._open: dict[tuple[Position, int], _Border] = {}
        self._joined: list[Longs] = []
        self._touching: list[tuple[Longs, Bytes]] = []

    def add(self, position: Position, forest: Forest) -> None:
        """Take in a brick and join it to its neighbors that are there already.

        Parameters
        ----------
        position : tuple of int
            Of the brick; each once, in any order.
        forest : Forest
            Its trees. Its rims are let go as soon as what is beyond them is there.

        Raises
        ------
        SpecError
            If there is no such brick, it is there already, or it does not fit the others.
        """
        if position in self._starts or position not in self.bricks:
            raise SpecError(f"Brick {position} is unknown or came twice; there are {self.bricks.counts}, each once.")
        start = self._starts[position] = self._count
        self._count += len(forest)
        first = next(iter(self._forests.values()), forest)
        if (first.kinds is None) != (forest.kinds is None):
            raise SpecError("Some bricks have classes and some have objects. Explore all of them in one way.")
        for side, rim in forest.rims.items():
            border = _Border(rim, forest.exits[forest.exits[:, 1] == side], start, int(forest.corners))
            other = tuple(a + b for a, b in zip(position, _SIDES[side][-len(position) :], strict=True))
            if other in self._starts:
                self._join(border, self._open.pop((other, _OPPOSITE - side)))
            else:
                self._open[position, side] = border
        self._touching.append((forest.pairs + np.int64(start), forest.saddles))
        none = forest.exits[:0].copy()
        self._forests[position] = replace(forest, exits=none, pairs=none, saddles=forest.saddles[:0].copy(), rims={})

    def _join(self, here: _Border, there: _Border) -> None:
        """Connect both sides of a border."""
        if here.rim.trees.shape != there.rim.trees.shape:
            raise SpecError(
                f"A common border has {here.rim.trees.shape} pixels in one brick and {there.rim.trees.shape} in the "
                "other. Explore the windows of the cut plane."
            )
        self._joined += [there.entered(here), here.entered(there)]
        rims = here.rim.trees, here.rim.potential, there.rim.trees, there.rim.potential
        codes, saddles = touch(*rims, here.reach)
        order = np.lexsort((saddles, codes))
        highest = order[np.append(codes[order[1:]] != codes[order[:-1]], True)[: order.size]]
        codes = codes[highest]
        pairs = np.stack([codes >> 32, codes & 0xFFFFFFFF], 1) + np.array([here.start, there.start])
        self._touching.append((pairs, saddles[highest]))

    def finish(self, persistence: int, smallest: Smallest, least: Sequence[float] = ()) -> Objects:
        """Merge shallow basins and number the objects; may be called again with other settings.

        Parameters
        ----------
        persistence : int
            Largest rise of a peak above a saddle, in steps of the potential, at which two basins are one object.
        smallest : float or tuple of float
            Objects with fewer pixels are dropped; where trees are pieces of classes, pieces of each class.
        least : sequence of float
            The same for every height of an object's peak, 0 to 255, and instead; parts of a mask have no peak.

        Returns
        -------
        Objects
            Numbered by first pixel.

        Raises
        ------
        ImageError
            If bricks are missing.
        SpecError
            If bricks contradict each other.
        """
        if len(self._starts) < len(self.bricks):
            missing = next(p for p in self.bricks if p not in self._starts)
            raise ImageError(
                f"{len(self.bricks) - len(self._starts)} of {len(self.bricks)} bricks are missing, the first of them "
                f"{missing}. Explore them before the objects are numbered."
            )
        forests = self._forests.values()
        if any(f.kinds is not None for f in forests):
            return self._classes(smallest)
        peaks = np.concatenate([f.peaks for f in forests])
        # Basins in the order of their peaks' pixels.
        roots = np.flatnonzero(peaks >= 0)
        roots = roots[np.argsort(peaks[roots])]
        rank = np.empty(self._count, np.int64)
        rank[roots] = np.arange(roots.size)
        ends = self._ends()
        if (peaks[ends] < 0).any():
            raise SpecError("Some trees end nowhere. Explore every brick as a window of the same cut plane.")
        basin = rank[ends]
        heights = np.concatenate([f.heights for f in forests])[roots]
        owner = unite(*self._edges(basin, roots.size), heights, persistence)
        group = owner[basin]
        columns = [[f.areas, f.firsts, f.lows, f.highs] for f in forests]
        areas, firsts, lows, highs = total(group, roots.size, *map(np.concatenate, zip(*columns, strict=True)))
        needed = np.asarray(least)[heights] if len(least) and any(f.corners for f in forests) else smallest
        kept = np.flatnonzero((areas > 0) & (areas >= needed))
        kept = kept[np.argsort(firsts[kept])]
        ids = np.zeros(roots.size, np.int32)
        ids[kept] = np.arange(1, kept.size + 1)
        table = self._table(areas[kept], lows[kept], highs[kept])
        table |= {"first_pixel": firsts[kept], "peak_pixel": peaks[roots][kept], "peak": heights[kept]}
        numbers, zero = ids[group], np.zeros(1, np.int32)
        parts = ((p, numbers[start : start + len(self._forests[p])]) for p, start in self._starts.items())
        return Objects(table, {p: np.concatenate([zero, part]) for p, part in parts})

    def _classes(self, smallest: Smallest) -> Objects:
        """Let classes of pixels keep their numbers: a row for each up to the highest, empty where there is none."""
        kinds = np.concatenate([np.asarray(f.kinds, np.int32) for f in self._forests.values()])
        columns = [[f.areas, f.firsts, f.lows, f.highs] for f in self._forests.values()]
        areas, firsts, lows, highs = map(np.concatenate, zip(*columns, strict=True))
        if isinstance(smallest, tuple):
            self._drop_pieces(kinds, areas, firsts, smallest)
        group, kept, count = kinds - 1, kinds > 0, int(kinds.max(initial=0))
        areas, firsts, lows, highs = total(group[kept], count, areas[kept], firsts[kept], lows[kept], highs[kept])
        none = areas == 0
        firsts[none], lows[none], highs[none] = -1, 0, 0
        table = self._table(areas, lows, highs)
        table["touches_border"] = table["touches_border"] & ~none
        table |= {"first_pixel": firsts, "peak_pixel": firsts, "peak": np.zeros(count, np.uint8)}
        zero = np.zeros(1, np.int32)
        parts = ((p, kinds[start : start + len(self._forests[p])]) for p, start in self._starts.items())
        return Objects(table, {p: np.concatenate([zero, own]) for p, own in parts})

    def _drop_pieces(self, kinds: Ints, areas: Longs, firsts: Longs, smallest: tuple[float, ...]) -> None:
        """Give trees whose pieces are too small the class around them, or none; from the outermost class."""
        pairs, nested = (
            np.concatenate([p for p, _ in self._touching]) - 1,
            any(f.nested for f in self._forests.values()),
        )
        even = np.zeros(kinds.size, np.uint8)
        for kind, least in enumerate(smallest, 1):
            own = kinds >= kind if nested else kinds == kind
            both = pairs[own[pairs].all(1)]
            codes = both.min(1) * kinds.size + both.max(1)
            piece = unite(codes, even[:1].repeat(codes.size), even, 0)
            sizes = np.bincount(piece[own], areas[own], kinds.size)
            small = own & (sizes[piece] < least)
            if np.isinf(least) and own.any():
                among = own & (sizes[piece] == sizes.max())
                small &= piece != piece[among][firsts[among].argmin()]
            kinds[small] = kind - 1 if nested else 0

    def _ends(self) -> Longs:
        """Return for every tree, counted from 0, the tree with the peak that it leads to."""
        toward = np.arange(self._count)
        for rows in self._joined:
            toward[rows[:, 0] - 1] = rows[:, 1] - 1
        if not settle(toward):
            raise SpecError("Bricks point to each other in a ring. Explore all bricks of the same stored scores.")
        return toward

    def _edges(self, basin: Longs, count: int) -> tuple[Longs, Bytes]:
        """Return pairs of touching basins ``lower * count + higher`` and saddles, the first to merge at the end."""
        pairs = basin[np.concatenate([p for p, _ in self._touching]) - 1]
        saddles = np.concatenate([s for _, s in self._touching])
        one, two = pairs[:, 0], pairs[:, 1]
        codes = np.minimum(one, two) * count + np.maximum(one, two)
        # A stable sort of bytes is a counting sort.
        order = np.argsort(saddles, kind="stable")
        order = order[(one != two)[order]]
        codes, saddles = codes[order], saddles[order]
        for level in np.split(codes, np.flatnonzero(np.diff(saddles)) + 1):
            level.sort()
        return codes, saddles

    def _table(self, areas: Longs, lows: Ints, highs: Ints) -> Table:
        ndim = len(self.bricks.shape)
        lows, highs = lows[:, -ndim:], highs[:, -ndim:]
        table: Table = {"index": np.arange(1, areas.size + 1), "area_px" if ndim == 2 else "volume_px": areas}
        for k, axis in enumerate("zyx"[-ndim:]):
            table |= {f"bbox_{axis}0": lows[:, k], f"bbox_{axis}1": highs[:, k]}
        return table | {"touches_border": ((lows == 0) | (highs == self.bricks.shape)).any(1)}


def relabel(trees: Ints, numbers: Ints, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
    """Turn the trees of a brick into its labels.

    Parameters
    ----------
    trees : ndarray of int32
        Tree of every pixel of the brick, ``(y, x)`` or ``(z, y, x)``.
    numbers : ndarray of int32
        Of this brick, from :class:`Objects`.
    out : ndarray of int, optional
        Where to write, for example a window of the plane's labels.

    Returns
    -------
    ndarray of int32
        `out`, or a new array.

    Raises
    ------
    SpecError
        If the arrays do not belong together.
    """
    found = np.empty(trees.shape, np.int32) if out is None else out
    flat = (1,) * (3 - trees.ndim)
    fits = found.shape == trees.shape
    if not fits or not look_up(trees.reshape(flat + trees.shape), numbers, found.reshape(flat + found.shape)):
        raise SpecError(
            f"A brick of {trees.shape} pixels does not fit labels of {found.shape} pixels and numbers of "
            f"{numbers.size - 1} trees. Use those of the same position."
        )
    return found
