"""One plane in work: which of its bricks are scored and explored."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.errors import ImageError
from .bricks import Bricks
from .stitch import Stitch
from .where import Notes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..core.axes import Plane
    from .bricks import Position
    from .depth import Course
    from .grid import Grid, Tile
    from .stitch import Objects

    Ints = npt.NDArray[np.int32]
    Scores = npt.NDArray[np.uint8]
    Window = tuple[slice, ...]

__all__ = ["PlaneWork", "key_of"]


def key_of(place: Position | Window, number: int | None = None) -> str:
    """Name a brick of a plane, or a window."""
    words = [str(p if isinstance(p, int) else p.start) for p in place]
    return ".".join(words if number is None else [str(number), *words])


class PlaneWork:
    """One plane in work; what changes in it is changed by the consumer's thread only.

    Parameters
    ----------
    plane : Plane
        Of the image.
    grid : Grid
        Its tiles; each writes a brick.
    windows : sequence of tuple of slice
        What is written at once.

    Attributes
    ----------
    tiles : dict of tuple to Tile
        What writes each brick.
    left : dict of tuple to Tile
        Bricks that are not scored and not handed out, in the order in which they are to be.
    edges : dict
        Scores along the borders of scored bricks, by direction.
    asked, explored : set of tuple
        Bricks whose trees are being grown or known; those whose trees are known.
    objects : Objects or None
        Of this plane alone, once all trees are known.
    looked_at : tuple of slice
        What :meth:`left_in` was asked for last.
    links, ids : ndarray of int32 or None
        For each of them what it continues in the plane above, and its final id, see :mod:`.depth`.
    course : Course or None
        Where there is a plane below: how large its objects have been.
    """

    def __init__(self, plane: Plane, grid: Grid, windows: Sequence[Window]) -> None:
        self.plane = plane
        self.bricks = Bricks(plane.shape, tuple((0, *(cut.write.stop for cut in cuts)) for cuts in grid.cuts))
        self.tiles: dict[Position, Tile] = dict(zip(self.bricks, grid, strict=True))
        self.left = dict(self.tiles)
        self.stitch = Stitch(self.bricks)
        self.edges: dict[Position, dict[Position, Scores]] = {}
        self.explored: set[Position] = set()
        self.asked: set[Position] = set()
        self.windows = {key_of(window): window for window in windows}
        self.looked_at: Window = ()
        self._near: deque[Position] = deque()  # bricks in the window, those near its middle first
        self.objects: Objects | None = None
        self.links: Ints | None = None
        self.ids: Ints | None = None
        self.course: Course | None = None
        self.notes = Notes()

    def position(self, tile: Tile) -> Position:
        """Return the position of the brick that a tile writes."""
        return self.bricks.at(tuple(span.start for span in tile.write))

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

    def rims(
        self, position: Position, edges: Mapping[Position, Mapping[Position, Scores]] | None = None
    ) -> dict[Position, Scores]:
        """Return the scores just beyond a brick, by direction; from other `edges` than its own, where given."""
        edges, found = self.edges if edges is None else edges, {}
        for other in self.around(position):
            way = tuple(b - a for a, b in zip(position, other, strict=True))
            found[way] = edges[other][tuple(-step for step in way)]
        return found

    def outlines(self, position: Position) -> Ints:
        """Return the ids that the trees of a brick have within this plane."""
        if self.objects is None:
            raise ImageError("Planes were to be joined before objects were numbered. Please report this.")
        return self.objects.numbers[position]

    def finals(self, window: Window) -> dict[Position, Ints]:
        """Return the final ids of the trees of each brick that a window meets."""
        if self.ids is None:
            raise ImageError("Labels were to be written before objects were numbered. Please report this.")
        return {position: self.ids[self.outlines(position)] for position in self.bricks.meeting(window)}

    def needs_scores(self, position: Position) -> bool:
        """Say whether the scores of a brick are needed still, for its own trees or those around it."""
        return not self.explored.issuperset((position, *self.around(position)))

    def left_in(self, window: Window) -> Iterator[Position]:
        """Go through the bricks in a window that are not scored, those near its middle first."""
        if window != self.looked_at:
            middle = [(s.start + s.stop) / 2 for s in window]

            def distance(position: Position) -> float:
                own = self.bricks.window(position)
                return math.dist(middle, [(s.start + s.stop) / 2 for s in own])

            self.looked_at = window
            self._near = deque(sorted((p for p in self.bricks.meeting(window) if p in self.left), key=distance))
        while self._near and self._near[0] not in self.left:
            self._near.popleft()
        return (position for position in self._near if position in self.left)
