"""Edges of the tiles of volumes: no more read at once than by a cube, in the shape that takes the least time."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from .grid import cut_axis, per_axis

if TYPE_CHECKING:
    from .grid import Cut, Grid

__all__ = ["choose_edges"]

_EDGES: Final = (32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 512)
_WORK: Final = 0.25  # how much less work counts than time: other programs want the cores too
_FEW: Final = 4  # turns of a worker
_MOST: Final = 2**24  # net pixels read at once, unless even the smallest tile reads more
# Of slices a network keeps features of a few at once only, so a tile of as much memory reads more.
_MOST_SLICES: Final = 2**25


def choose_edges(grid: Grid, workers: int, slices: bool = False) -> Grid:
    """Choose the shape of tiles, which is flat where a volume is: no tile reads more than its cube would.

    Deep networks have halos as wide as a volume. In cubes most of what is read is halo, along flat axes too.

    Parameters
    ----------
    grid : Grid
        Whose edges are those of a cube.
    workers : int
        Tiles that can be worked on at once.
    slices : bool
        A network sees slices of what is written, across each axis, with their halos.

    Returns
    -------
    Grid
        With edges that take the least time; scores do not depend on them.
    """
    halos, multiples = per_axis(grid.halo, len(grid.shape)), per_axis(grid.multiple, len(grid.shape))
    sides = (edge + 2 * (rim + step) for edge, rim, step in zip(grid.edges, halos, multiples, strict=True))
    bound = min(math.prod(sides), _MOST_SLICES if slices else _MOST)
    if len(grid) == 1 and grid.reads <= bound:
        return grid
    choices = []
    for n, factor, cube, halo, multiple in zip(grid.shape, grid.factor, grid.edges, halos, multiples, strict=True):
        cut = {edge: cut_axis(n, factor, edge, halo, multiple, grid.closed) for edge in {*_EDGES, cube}}
        choices.append([_Axis.of(edge, cuts) for edge, cuts in cut.items()])
    fitting = []
    for axes in itertools.product(*choices):
        largest = math.prod(axis.most for axis in axes)
        if largest <= bound:
            edges = tuple(axis.edge for axis in axes)
            work = _work([axis.reads for axis in axes], [axis.own for axis in axes] if slices else None)
            turns = -(-math.prod(axis.tiles for axis in axes) // workers)
            most = _work([axis.most for axis in axes], [axis.most_own for axis in axes] if slices else None)
            # Where workers have many turns, tiles at the border that read less make up for each other.
            longest = turns * most if turns <= _FEW else work / workers
            # Among equals the smaller tile, then always the same one.
            fitting.append((longest + _WORK * work / workers, largest, edges))
    return replace(grid, edges=min(fitting)[2]) if fitting else grid


class _Axis(NamedTuple):
    """How an axis is cut: how often, and net pixels that are read, and seen without halos, in all and at most."""

    edge: int
    tiles: int
    reads: int
    most: int
    own: int
    most_own: int

    @classmethod
    def of(cls, edge: int, cuts: list[Cut]) -> _Axis:
        reads, own = [cut.read.size for cut in cuts], [cut.crop.size for cut in cuts]
        return cls(edge, len(cuts), sum(reads), max(reads), sum(own), max(own))


def _work(reads: list[int], own: list[int] | None) -> int:
    """Return how many pixels a network sees: all that are read, or slices of what is its own across each axis."""
    whole = math.prod(reads)
    return whole if own is None else sum(whole // read * mine for read, mine in zip(reads, own, strict=True))
