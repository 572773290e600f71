"""One plane in work: which of its bricks are scored and explored."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .bricks import Bricks
from .stitch import Stitch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..core.axes import Plane
    from .bricks import Position
    from .grid import Grid
    from .stitch import Objects

    Scores = npt.NDArray[np.uint8]
    Window = tuple[slice, ...]

__all__ = ["PlaneWork", "key_of"]


def key_of(place: Position | Window, number: int | None = None) -> str:
    """Name a brick of a plane, or a window."""
    words = [str(p if isinstance(p, int) else p.start) for p in place]
    return ".".join(words if number is None else [str(number), *words])


class PlaneWork:
    """One plane in work; everything in it belongs to the consumer's thread."""

    def __init__(self, plane: Plane, grid: Grid, windows: Sequence[Window]) -> None:
        self.plane = plane
        self.bricks = Bricks(plane.shape, tuple((0, *(cut.write.stop for cut in cuts)) for cuts in grid.cuts))
        self.tiles = dict(zip(self.bricks, grid, strict=True))
        self.stitch = Stitch(self.bricks)
        self.edges: dict[Position, dict[Position, Scores]] = {}
        self.explored: set[Position] = set()
        self.asked: set[Position] = set()
        self.windows = {key_of(window): window for window in windows}
        self.objects: Objects | None = None
        self.offset = 0

    def around(self, position: Position) -> list[Position]:
        """List the neighbors of a brick."""
        steps = itertools.product((-1, 0, 1), repeat=len(position))
        near = (tuple(a + b for a, b in zip(position, step, strict=True)) for step in steps if any(step))
        return [other for other in near if other in self.bricks]

    def ready(self, position: Position) -> bool:
        """Say whether a brick's trees can be grown: it and all around it are scored."""
        if position in self.asked or position not in self.edges:
            return False
        return all(other in self.edges for other in self.around(position))

    def rims(self, position: Position) -> dict[Position, Scores]:
        """Return the scores just beyond a brick, by direction."""
        found = {}
        for other in self.around(position):
            way = tuple(b - a for a, b in zip(position, other, strict=True))
            found[way] = self.edges[other][tuple(-step for step in way)]
        return found
