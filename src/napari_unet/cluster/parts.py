"""A run in parts, for sites whose jobs do not speak to each other: what they share is the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ClusterError, OutputError
from ..core.steps import Progress, Steps
from ..io.addresses import as_address, shown
from ..io.choosing import run_folder
from ..io.runs import find_finished, goes_on, has_output, peek, store_of
from ..models._bricks import begin, can_store
from ..models.average import gather
from ..models.errand import errand_of, source_of
from ..models.segment import record
from ..models.stored import difference, identity, unlike
from ..tiling._plane_work import key_of
from ..tiling.chunks import cached
from ..tiling.stream import batched, stream
from ..tiling.unreadable import mended
from .bench import Bench, Shared

if TYPE_CHECKING:
    from ..core.axes import Image
    from ..core.specs import SegmentSpec
    from ..models._scorer import Scorer
    from ..tiling.bricks import Position
    from ..tiling.grid import Tile

    Place = tuple[int, Position]

__all__ = ["Part", "segment_part_steps"]


@dataclass(frozen=True)
class Part:
    """One of several parts of a run.

    Attributes
    ----------
    number, of : int
        Which, from 1, and how many there are.
    bricks, scored, explored : int
        How many it has; how many of them were scored and had their trees grown now, not earlier.
    """

    number: int
    of: int
    bricks: int = 0
    scored: int = 0
    explored: int = 0


def segment_part_steps(image: Image, spec: SegmentSpec, output: Path, part: Part) -> Steps[Part]:
    """Do one part of a run. Parts are done in any order, at the same time, or again; another run completes them.

    Parameters
    ----------
    image, spec : Image, SegmentSpec
        The same for all parts; the image is from a file.
    output : Path
        An OME-Zarr folder, on a disk that all parts share.
    part : Part
        Which.

    Returns
    -------
    Part
        What was done.

    Yields
    ------
    Progress
        One for every brick.

    Raises
    ------
    ClusterError
        If there is no such part, or objects cannot be found in parts.
    OutputError
        If something else is at the place, or the same part is being done by another process.
    """
    if not 1 <= part.number <= part.of:
        raise ClusterError(f"There is no part {part.number} of {part.of}. Parts are 1 to {part.of}.")
    errand = errand_of(image, spec, output)
    yield Progress(0, 0, "Loading the model")
    model, image = gather(spec, image), mended(cached(image), spec)
    if not can_store(spec, model):
        raise ClusterError(
            "Neither uncertainty nor objects that need the whole plane at once can be found in parts. Run this without "
            "--part."
        )
    asked = record(image, spec, model)
    if _is_finished(output, asked):
        return part
    _check_folder(output)
    journal = Shared(run_folder(output))
    with journal.share(f"{part.number}-of-{part.of}"):
        yield Progress(0, 0, "Measuring intensities and object size, or waiting for who does")
        with journal.alone("begin"):
            _begin(journal, (image, spec, model), output, identity(asked))
        bench = Bench(errand, image, model)
        return (yield from _Doing(bench, part).steps())


def _begin(journal: Shared, run: tuple[Image, SegmentSpec, Scorer], output: Path, wanted: dict[str, Any]) -> None:
    """Measure what is measured once, unless another part has done so."""
    image, spec, model = run
    if not (found := peek(output)):
        told = {"identity": wanted, "errand": source_of(image, spec)}
        journal.begin(told | begin(image, spec, model))
    elif other := difference(found["identity"], wanted):
        raise OutputError(f"'{journal.folder}' holds unfinished {other}. Give all parts the same settings.")
    store_of(output, image, model.card.net.ndim)


def _is_finished(output: Path, wanted: dict[str, Any]) -> bool:
    if not has_output(output) or goes_on(output):
        return False
    found = find_finished(output)
    other = "something else" if found is None else unlike(found[1], wanted)
    if other:
        raise OutputError(f"'{shown(output)}' exists and holds {other}. Choose another name, or remove it first.")
    return True


def _check_folder(output: Path) -> None:
    if not as_address(output) and not output.parent.is_dir():
        raise OutputError(
            f"'{output}' cannot be written: the folder '{output.parent}' does not exist. Create it first."
        )


class _Doing:
    """One part at work."""

    def __init__(self, bench: Bench, part: Part) -> None:
        self.bench, self.part = bench, part
        count = len(bench.grid)
        total = count * len(bench.planes)
        self.first, self.last = (total * n // part.of for n in (part.number - 1, part.number))
        self.positions = list(bench.work(self.first // count).bricks) if self.last > self.first else []
        self.scored = self.explored = 0

    def own(self) -> Iterator[Place]:
        """Go through the bricks of the part: neighbors, so that few of them meet another part's."""
        count = len(self.positions)
        for index in range(self.first, self.last):
            yield index // count, self.positions[index % count]

    def steps(self) -> Steps[Part]:
        bricks = self.last - self.first
        for verb, jobs, note in (
            ("scored", self._scoring(), "Finding objects"),
            ("explored", self._exploring(), "Outlining objects"),
        ):
            done = 0 if verb == "scored" else bricks
            yield Progress(done, 2 * bricks, note)
            next_job = partial(next, jobs, None)
            with closing(stream(next_job, self.bench.jobs.plan.threads)) as results:
                for count in results:
                    done += count
                    setattr(self, verb, getattr(self, verb) + count)
                    yield Progress(min(done, 2 * bricks), 2 * bricks, note)
        return Part(self.part.number, self.part.of, bricks, self.scored, self.explored)

    def _scoring(self) -> Iterator[Callable[[], int]]:
        bench, plan = self.bench, self.bench.jobs.plan
        tiles: Iterator[tuple[Place, Tile]] = (
            (place, bench.work(place[0]).tiles[place[1]]) for place in self.own() if not self._is_scored(place)
        )
        for group in batched(tiles, plan.tiling.batch, plan.where):
            yield partial(self._score, [place for place, _ in group])

    def _score(self, places: list[Place]) -> int:
        self.bench.score(places)
        return len(places)

    def _exploring(self) -> Iterator[Callable[[], int]]:
        """Grow trees of the part's bricks and of those around it, as far as all around them are scored by now."""
        seen: set[Place] = set()
        for number, position in self.own():
            around = self.bench.work(number).around(position)
            for place in ((number, position), *((number, other) for other in around)):
                if place not in seen:
                    seen.add(place)
                    if self._is_ready(place):
                        yield partial(self._explore, place)
            if len(seen) > 2 * len(self.positions) + 2:
                seen = {place for place in seen if place[0] == number}

    def _explore(self, place: Place) -> int:
        number, position = place
        self.bench.explore(number, position)
        self.bench.journal.drop("scores", key_of(position, number))  # borders stay for the bricks around it
        return 1

    def _is_scored(self, place: Place) -> bool:
        """Say so without reading; what is damaged is noticed by who needs it."""
        key, has = key_of(place[1], place[0]), self.bench.journal.has
        return has("rims", key) and (has("scores", key) or has("forest", key))

    def _is_ready(self, place: Place) -> bool:
        number, position = place
        if self.bench.journal.has("forest", key_of(position, number)) or not self._is_scored(place):
            return False
        return all(self._is_scored((number, other)) for other in self.bench.work(number).around(position))
