"""Edges of the tiles of volumes: no more read at once than by a cube, in the shape that takes the least time."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .grid import cut_axis, per_axis

if TYPE_CHECKING:
    from .grid import Grid

__all__ = ["choose_edges"]

_EDGES: Final = (32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 512)
_WORK: Final = 0.25  # how much less work counts than time: other programs want the cores too
_FEW: Final = 4  # turns of a worker
_MOST: Final = 2**24  # net pixels read at once, unless even the smallest tile reads more


def choose_edges(grid: Grid, workers: int) -> Grid:
    """Choose the shape of tiles, which is flat where a volume is: no tile reads more than its cube would.

    Deep networks have halos as wide as a volume. In cubes most of what is read is halo, along flat axes too.

    Parameters
    ----------
    grid : Grid
        Whose edges are those of a cube.
    workers : int
        Tiles that can be worked on at once.

    Returns
    -------
    Grid
        With edges that take the least time; scores do not depend on them.
    """
    halos, multiples = per_axis(grid.halo, len(grid.shape)), per_axis(grid.multiple, len(grid.shape))
    sides = (edge + 2 * (rim + step) for edge, rim, step in zip(grid.edges, halos, multiples, strict=True))
    bound = min(math.prod(sides), _MOST)
    if len(grid) == 1 and grid.reads <= bound:
        return grid
    choices = []
    for n, factor, cube, halo, multiple in zip(grid.shape, grid.factor, grid.edges, halos, multiples, strict=True):
        cut = {edge: cut_axis(n, factor, edge, halo, multiple, grid.closed) for edge in {*_EDGES, cube}}
        sizes = {edge: [cut.read.size for cut in cuts] for edge, cuts in cut.items()}
        choices.append([(edge, len(reads), sum(reads), max(reads)) for edge, reads in sizes.items()])
    fitting = []
    for axes in itertools.product(*choices):
        edges, counts, reads, most = zip(*axes, strict=True)
        largest, work = math.prod(most), math.prod(reads)
        if largest <= bound:
            turns = -(-math.prod(counts) // workers)
            # Where workers have many turns, tiles at the border that read less make up for each other.
            longest = turns * largest if turns <= _FEW else work / workers
            # Among equals the smaller tile, then always the same one.
            fitting.append((longest + _WORK * work / workers, largest, edges))
    return replace(grid, edges=min(fitting)[2]) if fitting else grid
