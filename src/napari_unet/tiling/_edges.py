"""Edges of the tiles of volumes: as much read at once as one cube, in the shape that reads the least in all."""

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
_MOST: Final = 2**24  # net pixels read at once, unless even the smallest tile reads more


def choose_edges(grid: Grid) -> Grid:
    """Choose the shape of tiles, which is flat where a volume is: no tile reads more than its cube would.

    Deep networks have halos as wide as a volume. In cubes most of what is read is halo, along flat axes too.

    Parameters
    ----------
    grid : Grid
        Whose edges are those of a cube.

    Returns
    -------
    Grid
        With edges that read the least; scores do not depend on them.
    """
    halos, multiples = per_axis(grid.halo, len(grid.shape)), per_axis(grid.multiple, len(grid.shape))
    choices = []
    for n, factor, cube, halo, multiple in zip(grid.shape, grid.factor, grid.edges, halos, multiples, strict=True):
        cuts = {edge: cut_axis(n, factor, edge, halo, multiple, grid.closed) for edge in {*_EDGES, cube}}
        choices.append(
            [(edge, sum(c.read.size for c in cut), max(c.read.size for c in cut)) for edge, cut in cuts.items()]
        )
    bound = math.prod(
        edge + 2 * halo + 2 * multiple for edge, halo, multiple in zip(grid.edges, halos, multiples, strict=True)
    )
    fitting = [
        (math.prod(reads), math.prod(most), edges)
        for edges, reads, most in (zip(*axes, strict=True) for axes in itertools.product(*choices))
        if math.prod(most) <= min(bound, _MOST)
    ]
    # Among equals the smaller tile, then always the same one.
    return replace(grid, edges=min(fitting)[2]) if fitting else grid
