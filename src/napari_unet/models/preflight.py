"""What a run will take: a few tiles are computed, and time, memory and room on the disk follow from them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from ..core.amounts import Smallest
from ..core.axes import Image, Plane
from ..core.errors import ImageError
from ..core.memory import free_memory
from ..core.preflight import LONG, Preflight, Room
from ..core.specs import SegmentSpec, TargetSpec
from ..core.steps import Progress, Steps
from ..io.choosing import run_folder
from ..io.journal import Journal
from ..io.runs import peek
from ..io.sizes import free_space, labels_size
from ..tiling.chunks import LIMIT, ChunkedArray, cached
from ..tiling.grid import Grid, Tile
from ..tiling.stream import Plan, score_tiles, stream
from ..tiling.unreadable import mended
from ..tiling.where import choose_where
from ._bricks import begin, can_store, prepare, share_left
from ._foretold import PLANES, Left, check_room, left_by, room_for
from ._scorer import Predict, Scorer, inner
from .devices import device_memory
from .rules import decode_stored, object_rule
from .segment import careful, plan_run, record
from .stored import difference, identity

__all__ = ["look_ahead"]

_LABEL_BYTES: Final = 4
_SHARD: Final = 1024**2  # pixels of labels that are written at once, and held a few times over meanwhile
_HELD: Final = 4


@dataclass(frozen=True)
class _Ahead:
    """A run before it begins."""

    image: Image
    plan: Plan
    predict: Predict
    rule: TargetSpec
    smallest: Smallest
    diameter: float
    stored: bool
    output: Path | None
    left: float

    @property
    def planes(self) -> list[Plane]:
        return [self.plan.select(plane) for plane in self.image.planes(self.plan.ndim)]

    @property
    def pixels(self) -> int:
        """Of the labels."""
        return math.prod(self.image.along(self.image.label_axes)[0])

    def sample(self, plane: Plane, tile: Tile) -> Left:
        """Compute a tile as the run would."""
        scores = score_tiles([(plane, tile)], self.plan, self.predict)[0].scores
        if self.stored:
            return left_by(scores, self.rule)
        labels = decode_stored(self.rule, self.smallest, scores)
        suffix = ".zarr" if self.output is None else self.output.suffix.lower()
        return Left(labels.size, labels=labels_size(labels, suffix))


def look_ahead(image: Image, spec: SegmentSpec, model: Scorer, output: Path | None = None) -> Steps[Preflight]:
    """Estimate what a run will take, from a few tiles that are computed as in the run.

    Parameters
    ----------
    image : Image
        Any axes.
    spec : SegmentSpec
        Settings.
    model : Scorer
        Which network, or several as one.
    output : Path, optional
        Where the labels are to go. What an unfinished run of the same kind has done is not counted.

    Returns
    -------
    Preflight
        Time, memory, and room on the disk.

    Yields
    ------
    Progress
        While it measures and computes.

    Raises
    ------
    AxesError, ImageError, ModelError
        If the image does not fit the model or cannot be read, or its labels cannot be held in memory.
    OutputError
        If the disk is clearly too small.
    """
    image = mended(cached(image), spec)
    yield Progress(0, 0, "Measuring intensities and object size")
    ahead = _prepared(image, spec, model, output)
    grid, planes = ahead.plan.grid(ahead.planes[0].shape, len(ahead.planes)), ahead.planes
    tiles = [tile for tile in grid if not ahead.plan.where.misses(tile.window)] or list(grid)[:1]
    samples, each = yield from _tried(ahead, tiles)
    total, left = len(tiles) * len(planes), sum(samples, Left())
    labels = round(left.labels / left.pixels * ahead.pixels)
    disk = None
    if output is not None:
        outputs = ahead.plan.outputs
        disk = room_for(grid, len(planes), outputs, left, output) if ahead.stored else Room(labels, free_space(output))
    found = Preflight(
        pixels=ahead.pixels, tiles=total, left=ahead.left, seconds=each * total * ahead.left,
        speed=left.pixels / len(samples) / each / 1e6, diameter=ahead.diameter, device=model.device,
        memory=_memory(ahead, grid, left.tables / left.pixels), device_memory=_card(model.device), disk=disk,
        labels=labels, sized=model.card.grid.sized,
    )  # fmt: skip
    if found.disk is not None and output is not None:
        check_room(found.disk, output)
    if not ahead.stored and found.memory.short:
        raise ImageError(
            f"'{image.name}' needs about {found.memory.words} of memory. Write the labels as .ome.zarr, for which an "
            "image may be of any size, close other programs, or segment a part of the image."
        )
    return replace(found, warnings=tuple(_warnings(found, ahead)))


def _prepared(image: Image, spec: SegmentSpec, model: Scorer, output: Path | None) -> _Ahead:
    """Measure what is measured once, or take it from an unfinished run of the same kind."""
    stored = can_store(spec, model) and (output is None or output.suffix.lower() == ".zarr")
    begun = peek(output) if stored and output is not None else {}
    if begun and difference(begun["identity"], identity(record(image, spec, model))):
        begun = {}
    if stored:
        left = share_left(Journal(run_folder(output)), begun) if begun and output is not None else 1.0
        work = prepare(image, spec, model, begun or begin(image, spec, model), careful(spec, model))
        plan, diameter, predict = work.plan, work.diameter, work.predict
    else:
        plan, diameter = plan_run(image, spec, model)
        plan = replace(plan, where=choose_where(spec, image, plan), care=careful(spec, model))
        left, predict = 1.0, inner(model)
    rule, smallest = object_rule(spec, model, diameter, image)
    return _Ahead(image, plan, predict, rule, smallest, diameter, stored, output, left)


def _tried(ahead: _Ahead, tiles: Sequence[Tile]) -> Steps[tuple[list[Left], float]]:
    """Compute a few tiles; return what they leave, and the seconds of each when all workers are busy."""
    workers, planes = ahead.plan.threads, ahead.planes
    total = len(tiles) * len(planes)
    numbers = [(2 * n + 1) * total // (2 * min(total, 2 * workers)) for n in range(min(total, 2 * workers))]
    places = [(planes[number // len(tiles)], tiles[number % len(tiles)]) for number in numbers]
    yield Progress(0, 1 + len(places), "Computing a few tiles")
    ahead.sample(*places[0])  # what is compiled and loaded on first use is not counted
    start, samples = time.perf_counter(), []
    queue = iter([partial(ahead.sample, *place) for place in places])
    with closing(stream(lambda: next(queue, None), workers)) as results:
        for sample in results:
            samples.append(sample)
            yield Progress(1 + len(samples), 1 + len(places), "Computing a few tiles")
    return samples, max(1e-6, (time.perf_counter() - start) / len(samples))


def _memory(ahead: _Ahead, grid: Grid, tables: float) -> Room:
    """Estimate what is taken beside what the program takes now, after it has computed a few tiles."""
    plan, plane = ahead.plan, math.prod(grid.shape)
    workers = plan.threads
    written = math.prod(cuts[0].write.size for cuts in grid.cuts)
    # Results wait for the one thread that takes them in; each tile is read, predicted and cropped at a time.
    needed = 2 * workers * plan.tiling.batch * written * (plan.outputs + _LABEL_BYTES)
    if isinstance(ahead.image.data, ChunkedArray):
        needed += LIMIT
    if ahead.stored:
        needed += round(PLANES * tables * plane) + workers * _SHARD * _LABEL_BYTES * _HELD
    else:
        needed += _LABEL_BYTES * ahead.pixels + PLANES * plane * (plan.outputs + _LABEL_BYTES)
    return Room(needed, free_memory())


def _card(device: str) -> Room | None:
    known = device_memory(device)
    return None if known is None else Room(*known)


def _warnings(found: Preflight, ahead: _Ahead) -> Iterator[str]:
    if found.disk is not None and found.disk.tight:
        yield f"The disk may become full: about {found.disk.words}."
    if found.memory.tight:
        yield f"Memory may be short: about {found.memory.words}. Close other programs, or use fewer --workers."
    if found.device_memory is not None and found.device_memory.tight:
        yield f"The memory of the graphics card may be short: about {found.device_memory.words}. Use a smaller --tile."
    if not ahead.stored and found.seconds > LONG:
        yield "A run that does not write OME-Zarr (.ome.zarr) begins anew if it is stopped."
