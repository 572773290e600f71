"""Tiles through a plain callable: read, normalise, resample, predict, interpolate, quantise, store."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from ..core.errors import ImageError, ModelError, SpecError
from ..core.resolutions import choose_level
from ..core.specs import TilingSpec
from ..core.steps import stoppable
from .care import Care
from .grid import Grid, Span, Tile, choose_grid
from .resample import apply_taps, interpolation_taps, sampling_taps
from .statistics import Statistics, normalise
from .where import Notes, Scored, Where

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Plane
    from .where import View

    Predict = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
    Scores = npt.NDArray[np.uint8]

__all__ = ["Plan", "batched", "count_workers", "read_net", "score_plane", "score_tiles", "stream"]

R = TypeVar("R")
_TILE: Final = {1: 2**16, 2: 1024, 3: 96}  # a large tile reads few halos, a small one needs little memory
_LARGEST_READ: Final = 2**24  # image values; more is read in parts


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

    def __post_init__(self) -> None:
        """Refuse factors that no grid can have."""
        if not self.factor or not all(f > 0 and math.isfinite(f) for f in self.factor):
            raise SpecError(f"The image cannot be resampled by {self.factor}. Give an object diameter above 0.")

    @property
    def ndim(self) -> int:
        """Spatial dimensions of the network."""
        return len(self.factor)

    def grid(self, shape: tuple[int, ...], planes: int = 1) -> Grid:
        """Lay out the tiles of one of `planes` equal planes of `shape` image pixels."""
        edges = self.edges or (self.tiling.tile or _TILE[self.ndim],) * self.ndim
        grid = Grid(shape, self.factor, edges, self.halo, self.multiple)
        if self.edges:
            return grid
        return choose_grid(grid, -(-count_workers(self.tiling) // planes))

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
        if not all(0 <= c < have for c in used):
            raise ImageError(f"'{name}' has the channels 0 to {have - 1}, not {used}. Choose among those.")
        if len(used) not in (1, self.inputs):
            raise ImageError(
                f"The model takes {self.inputs} channel(s) but '{name}' gives {len(used)}. "
                "Choose the channels to use, for example channels=(0,)."
            )
        if len(used) != len(self.statistics.low):
            raise ImageError(
                f"The statistics are of {len(self.statistics.low)} channel(s) but {len(used)} of '{name}' are used. "
                "Measure them again with the same channels."
            )
        return plane.pick(self.channels)


def count_workers(tiling: TilingSpec) -> int:
    """Return the number of threads: as asked for, or the cores that this process may use."""
    if tiling.workers:
        return tiling.workers
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_net(plane: Plane, spans: Sequence[Span], plan: Plan) -> npt.NDArray[np.float32]:
    """Load a part of the net grid, from the coarsest level of the image that is as fine as the net grid.

    Parameters
    ----------
    plane : Plane
        With the selected channels.
    spans : sequence of Span
        Net pixels, global; mirrored where they lie beyond the image.
    plan : Plan
        Factor and statistics.

    Returns
    -------
    ndarray of float32, shape (channels, *spans)
        Normalised values in -1 ... 4.
    """
    level, steps = choose_level(plane, plan.factor)
    factors = (f * step for f, step in zip(plan.factor, steps, strict=True))
    axes = zip(spans, plane.shape_of(level), factors, strict=True)
    taps = [sampling_taps(*axis) for axis in axes]
    boxes = [t.box for t in taps]
    largest = max(range(len(spans)), key=lambda a: boxes[a].size)
    if math.prod(b.size for b in boxes) > _LARGEST_READ and spans[largest].size > 1:
        # A strongly shrunk image: half by half gives the same values in bounded memory.
        middle = (spans[largest].start + spans[largest].stop) // 2
        halves = [list(spans), list(spans)]
        halves[0][largest] = Span(spans[largest].start, middle)
        halves[1][largest] = Span(middle, spans[largest].stop)
        return np.concatenate([read_net(plane, half, plan) for half in halves], axis=largest + 1)
    block = normalise(plane.read(tuple(b.slice for b in boxes), level), plan.statistics)
    return apply_taps(block, [t.since(b.start) for t, b in zip(taps, boxes, strict=True)])


def score_tiles(tiles: Sequence[tuple[Plane, Tile]], plan: Plan, predict: Predict) -> list[Scored]:
    """Send tiles through the network together.

    Parameters
    ----------
    tiles : sequence of (Plane, Tile)
        Tiles of equal read shape.
    plan : Plan
        How. A tile without a pixel that is looked at is neither read nor predicted.
    predict : callable
        float32 (b, c, *s) -> float32 (b, k, *s), scores in 0 ... 1.

    Returns
    -------
    list of Scored
        For each tile the scores that are to be stored, shape (outputs, *window), and what was seen.

    Raises
    ------
    ModelError
        If the network returns another shape, or memory does not suffice even for a small tile.
    """
    views = [plan.where.view(plane, tile) for plane, tile in tiles]
    seen = [(view, tile) for view, (_, tile) in zip(views, tiles, strict=True) if view.wanted is not False]
    scored = iter(plan.care.score(seen, plan, predict, _scored_once)) if seen else iter(())
    found: list[Scored] = []
    for view, (_, tile) in zip(views, tiles, strict=True):
        if view.wanted is False:
            found.append(Scored(np.zeros((plan.outputs, *(s.size for s in tile.write)), np.uint8), Notes()))
            continue
        found.append(view.judge(next(scored)))
    return found


def _scored_once(tiles: Sequence[tuple[View, Tile]], plan: Plan, predict: Predict) -> list[Scores]:
    found = []
    for (_, tile), scores in zip(tiles, _predicted(tiles, plan, predict), strict=True):
        crop = scores[(slice(plan.outputs), *(s.slice for s in tile.crop))]
        axes = zip(tile.write, plan.factor, tile.read, tile.crop, strict=True)
        taps = [interpolation_taps(write, f).since(read.start + crop.start) for write, f, read, crop in axes]
        found.append(_quantise(apply_taps(crop.astype(np.float32, copy=False), taps)))
    return found


def _predicted(tiles: Sequence[tuple[View, Tile]], plan: Plan, predict: Predict) -> npt.NDArray[np.float32]:
    shape = tiles[0][1].read_shape
    batch = np.empty((len(tiles), plan.inputs, *shape), np.float32)
    for row, (view, tile) in zip(batch, tiles, strict=True):
        row[:] = read_net(view, tile.read, plan)
    predicted = np.asarray(predict(batch))
    sizes = predicted.shape
    if (*sizes[:1], *sizes[2:]) != (len(tiles), *shape) or sizes[1] < plan.outputs:
        raise ModelError(
            f"The model returned the shape {sizes} for {batch.shape}; expected {len(tiles)} x at least "
            f"{plan.outputs} channels x {shape}. Choose another model or correct this one's card."
        )
    return predicted


def _quantise(scores: npt.NDArray[np.float32]) -> Scores:
    """Round 0 ... 1 to 0 ... 255; what is not a number counts as 0."""
    whole = np.rint(np.clip(np.nan_to_num(scores, nan=0.0, posinf=1.0, neginf=0.0), 0, 1) * 255)
    return whole.astype(np.uint8)


def batched(jobs: Iterable[tuple[R, Tile]], size: int, where: Where) -> Iterator[list[tuple[R, Tile]]]:
    """Group tiles of equal read shape; those that the network will not see are kept apart.

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
        kind = (tile.read_shape, where.misses(tile.window))
        group = open_groups.setdefault(kind, [])
        group.append((key, tile))
        if len(group) == size:
            yield open_groups.pop(kind)
    yield from open_groups.values()


def stream(next_job: Callable[[], Callable[[], R] | None], workers: int) -> Generator[R, None, None]:
    """Run jobs on threads and yield their results as they come.

    At most twice as many jobs as workers are handed out at a time. The first error ends it: what waits is dropped,
    what runs is waited for, until its next :func:`~napari_unet.core.steps.check_stopped`, and the error is raised as it
    is. Closing the generator does the same.

    Parameters
    ----------
    next_job : callable
        Returns a job, or None where none can start before a running one is done. Called in the consumer's thread.
    workers : int
        Threads.

    Yields
    ------
    Any
        The result of a job.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="napari-unet")
    pending: dict[Future[R], None] = {}
    stop = threading.Event()
    try:
        while True:
            while len(pending) < 2 * workers and (job := next_job()) is not None:
                pending[pool.submit(stoppable, job, stop)] = None
            if not pending:
                return
            wait(pending, return_when=FIRST_COMPLETED)
            for future in [f for f in pending if f.done()]:
                del pending[future]
                yield future.result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


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

    with closing(stream(next_job, count_workers(plan.tiling))) as results:
        for tiles in results:
            yield from tiles
