"""The plan of a run, and one plane scored by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..core.bands import MISSING, band_names
from ..core.errors import ImageError, SpecError
from ..core.specs import TilingSpec
from ._edges import choose_edges
from ._threads import count_workers, stream
from .care import Care
from .grid import Grid, Tile, choose_grid
from .scoring import read_net, score_tiles
from .where import Where

if TYPE_CHECKING:
    from ..core.axes import Plane
    from .scoring import Predict, Scores
    from .statistics import Statistics

__all__ = ["Plan", "batched", "count_workers", "read_net", "score_plane", "score_tiles", "stream"]

R = TypeVar("R")
_VOLUME: Final = 3  # axes
_TILE: Final = {1: 2**16, 2: 1024, 3: 96}  # a large tile reads few halos, a small one needs little memory


@dataclass(frozen=True)
class Plan:
    """All that a run needs to know besides the image, the network and how its scores become objects.

    Attributes
    ----------
    factor : tuple of float
        Net pixels an image pixel along each spatial axis; its length is the network's number of dimensions.
    statistics : Statistics
        Of the whole image, one pair for each of `channels`.
    halo : int or tuple of int
        Net pixels on each side that a score depends on; one number, or one for each axis.
    multiple : int or tuple of int
        The network's stride: reads start and stop at multiples of it.
    inputs : int
        Channels that the network takes; a single channel is repeated to fill them.
    outputs : int
        How many of the network's first output channels are kept.
    channels : tuple of int or None
        Channels of the image to use, in that order; None takes all.
    tiling : TilingSpec
        How the work is cut; changes no score.
    edges : tuple of int or None
        Edges of what a tile writes, net pixels; None chooses by `tiling` and the size of the image.
    where : Where
        What of the image is looked at.
    link_z : float
        How much outlines of neighboring planes must overlap to be one object, see :mod:`.depth`; 0 leaves planes apart.
    care : Care
        What is learned about the device while the run goes on.
    classes : bool
        Labels are the numbers of classes, the same in all planes, not of objects.
    ahead : int
        Threads more than workers: as many as may wait for a device, so that it never waits for them.
    bands : tuple of str
        What the network's channels are called, for messages; empty where they have no names.
    steps : tuple of float
        How far apart pixels lie along each axis, where a network sees all axes alike; 0: they stay as they are; empty:
        alike along all axes.
    closed : bool
        Images are not mirrored at their border: a network sees nothing beyond it, see :mod:`.grid`.
    slices : bool
        A network sees volumes in slices across each axis.
    """

    factor: tuple[float, ...]
    statistics: Statistics
    halo: int | tuple[int, ...]
    multiple: int | tuple[int, ...]
    inputs: int = 1
    outputs: int = 1
    channels: tuple[int, ...] | None = None
    tiling: TilingSpec = field(default_factory=TilingSpec)
    edges: tuple[int, ...] | None = None
    where: Where = field(default_factory=Where, compare=False)
    link_z: float = 0.0
    care: Care = field(default_factory=Care, compare=False, repr=False)
    classes: bool = False
    ahead: int = 0
    bands: tuple[str, ...] = ()
    steps: tuple[float, ...] = ()
    closed: bool = False
    slices: bool = False

    def __post_init__(self) -> None:
        """Refuse factors that no grid can have."""
        if not self.factor or not all(f > 0 and math.isfinite(f) for f in self.factor):
            raise SpecError(f"The image cannot be resampled by {self.factor}. Give an object diameter above 0.")

    @property
    def ndim(self) -> int:
        """Spatial dimensions of the network."""
        return len(self.factor)

    @property
    def threads(self) -> int:
        """How many threads a run has."""
        return count_workers(self.tiling) + self.ahead

    def grid(self, shape: tuple[int, ...], planes: int = 1) -> Grid:
        """Lay out the tiles of one of `planes` equal planes of `shape` image pixels."""
        edges = self.edges or (self.tiling.tile or _TILE[self.ndim],) * self.ndim
        grid = Grid(shape, self.factor, edges, self.halo, self.multiple, self.closed)
        if self.edges:
            return grid
        workers = -(-count_workers(self.tiling) // planes)
        if self.ndim == _VOLUME and not self.tiling.tile:
            grid = choose_edges(grid, workers, self.slices)
        return choose_grid(grid, workers)

    def select(self, plane: Plane) -> Plane:
        """Return the plane with the channels that are used.

        Parameters
        ----------
        plane : Plane
            As cut from the image.

        Returns
        -------
        Plane
            See :meth:`Plane.pick`.

        Raises
        ------
        ImageError
            If the image does not have these channels, or not as many as the network takes.
        """
        have = plane.image.channels
        used = tuple(range(have)) if self.channels is None else self.channels
        name = plane.image.name
        if not all(MISSING <= c < have for c in used) or all(c == MISSING for c in used):
            raise ImageError(f"'{name}' has the channels 0 to {have - 1}, not {used}. Choose among those.")
        if len(used) not in (1, self.inputs):
            raise ImageError(
                f"The model takes {self.inputs} channel{'s' * (self.inputs > 1)} but '{name}' gives {len(used)}"
                f"{_named(plane, used)}{self._lacking(len(used))}. Choose the channels to use, for example "
                "channels=(0,), on the command line --channels 0."
            )
        if len(used) != len(self.statistics.low):
            raise ImageError(
                f"The statistics are of {len(self.statistics.low)} channel(s) but {len(used)} of '{name}' are used. "
                "Measure them again with the same channels."
            )
        return plane.pick(self.channels)

    def _lacking(self, used: int) -> str:
        """Name the bands that a model looks for, where it knows their names."""
        if not self.bands or used > self.inputs:
            return ""
        return f", while it has learned from the bands {', '.join(self.bands)}; 'none' stands for one that is not there"


def _named(plane: Plane, used: Sequence[int]) -> str:
    """Return the names of channels in brackets, where there are some."""
    bands = band_names(plane.image)
    names = [bands[number] for number in used if 0 <= number < len(bands)]
    return f" ({', '.join(names)})" if any(names) else ""


def batched(jobs: Iterable[tuple[R, Tile]], size: int, where: Where) -> Iterator[list[tuple[R, Tile]]]:
    """Group tiles of equal read shape and ends; those that the network will not see are kept apart.

    Parameters
    ----------
    jobs : iterable of (anything, Tile)
        What belongs to a tile, and the tile.
    size : int
        Most tiles of a group.
    where : Where
        What is looked at.

    Yields
    ------
    list of (anything, Tile)
        Full groups as soon as they are full, the rest at the end.
    """
    open_groups: dict[tuple[object, ...], list[tuple[R, Tile]]] = {}
    for key, tile in jobs:
        kind = (tile.kind, where.misses(tile.window))
        group = open_groups.setdefault(kind, [])
        group.append((key, tile))
        if len(group) == size:
            yield open_groups.pop(kind)
    yield from open_groups.values()


def score_plane(plane: Plane, plan: Plan, predict: Predict, scores: Scores) -> Generator[Tile, None, None]:
    """Score one plane.

    Parameters
    ----------
    plane : Plane
        As cut from the image.
    plan : Plan
        How.
    predict : callable
        As for :func:`score_tiles`; called from several threads.
    scores : ndarray of uint8, shape (outputs, *plane)
        Filled in; 255 is a score of 1. The same for any tiling.

    Yields
    ------
    Tile
        Each when its part of `scores` is done.
    """
    chosen = plan.select(plane)
    groups = batched(((None, tile) for tile in plan.grid(plane.shape)), plan.tiling.batch, plan.where)

    def work(tiles: list[Tile]) -> list[Tile]:
        for tile, part in zip(tiles, score_tiles([(chosen, tile) for tile in tiles], plan, predict), strict=True):
            scores[(slice(None), *tile.window)] = part.scores
        return tiles

    def next_job() -> Callable[[], Any] | None:
        group = next(groups, None)
        return None if group is None else partial(work, [tile for _, tile in group])

    with closing(stream(next_job, plan.threads)) as results:
        for tiles in results:
            yield from tiles
