"""Which planes of a run with a journal are joined through depth, see :mod:`.depth`."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ._brick_jobs import intact
from .depth import Course, Depth, link, planes_above, summed

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Plane
    from ._brick_jobs import Compared, Journal
    from ._plane_work import PlaneWork
    from .stitch import Objects

    Longs = npt.NDArray[np.int64]

__all__ = ["Joining"]


class Joining:
    """What is known of objects in depth; belongs to the consumer's thread.

    The trees of a plane are needed until the plane below is linked to it. Links are kept in the journal from then on,
    and the ids of a finished plane until the plane below is finished too.

    Parameters
    ----------
    planes : sequence of Plane
        Of the image.
    journal : Journal
        Where to note what is known.
    threshold : float
        See :func:`~napari_unet.tiling.depth.link`; 0 leaves planes apart.
    classes : bool
        Labels are the numbers of classes, which are the same in all planes.
    """

    def __init__(self, planes: Sequence[Plane], journal: Journal, threshold: float, classes: bool = False) -> None:
        self.depth = Depth(planes_above(planes, threshold), classes)
        self.journal, self.threshold = journal, threshold
        self._shared: dict[int, list[Longs]] = {}

    def take_up(self, held: Collection[int]) -> list[int]:
        """Say which of the planes whose labels are where they belong are finished.

        Planes of one depth are finished from the first on: what lies below one that is to be done again is done again
        too, and so are all if what links the last one to the next was lost.
        """
        finished = []
        for first in (number for number, above in enumerate(self.depth.above) if above is None):
            whole = list(self._down(first))
            stack = list(itertools.takewhile(held.__contains__, whole))
            if stack and len(stack) < len(whole):
                kept = intact(self.journal, "ids", str(stack[-1]))
                linked = intact(self.journal, "links", str(whole[len(stack)])) is not None
                if kept is None or not linked or not kept.keys() >= {"largest", "since"}:
                    continue
                self.depth.ids[stack[-1]] = kept["ids"]
                self.depth.courses[stack[-1]] = Course(kept["largest"], kept["since"])
            finished += stack
        return sorted(finished)

    def _down(self, number: int | None) -> Iterator[int]:
        while number is not None:
            yield number
            number = self.depth.below[number]

    def comparable(self, number: int, active: Mapping[int, PlaneWork]) -> Iterator[tuple[int, int]]:
        """Take in that the objects of a plane are known; yield pairs of planes, the upper one first, to be compared."""
        here, above, below = active[number], self.depth.above[number], self.depth.below[number]
        if above is None:
            here.links = np.zeros(len(here.objects or ()) + 1, np.int32)
        elif (kept := intact(self.journal, "links", str(number))) is not None:
            here.links = kept["links"]
        elif above in active and active[above].objects is not None:
            yield above, number
        if below is not None and below in active and _waits(active[below]):
            yield number, below

    def note(self, result: Compared, active: Mapping[int, PlaneWork]) -> None:
        """Take in the comparison of two planes in one brick; the last one links them."""
        lower = active[result.lower]
        self._shared.setdefault(result.lower, []).append(result.shared)
        if len(self._shared[result.lower]) == len(lower.bricks):
            shared = summed(self._shared.pop(result.lower))
            links = link(shared, _pixels(active[result.upper].objects), _pixels(lower.objects), self.threshold)
            self.journal.put("links", str(result.lower), links=links)
            lower.links = links

    def released(self, number: int, active: Mapping[int, PlaneWork]) -> bool:
        """Say whether no plane needs the trees of this one any more."""
        below = self.depth.below[number]
        return below is None or (below in active and active[below].links is not None)

    def number(self, number: int, here: PlaneWork) -> None:
        """Give final ids to the objects of a plane that is linked, after those of all planes before it."""
        if here.links is None:
            return
        pixels = _pixels(here.objects) if self.depth.joins(number) else np.zeros(len(here.links), np.int64)
        here.links = self.depth.cut(number, here.links, pixels)
        here.ids = self.depth.number(number, here.links, pixels)
        here.course = self.depth.courses.get(number)

    def keep(self, number: int, here: PlaneWork) -> int:
        """Keep what the plane below needs of a plane that is done; return how many objects begin in it."""
        if here.course is not None and here.ids is not None:
            self.journal.put("ids", str(number), ids=here.ids, **here.course._asdict())
        return 0 if here.links is None else int(np.count_nonzero(here.links[1:] == 0))

    def forget(self, number: int) -> None:
        """Let go of what was needed for a plane that is finished."""
        self.journal.drop("links", str(number))
        if (above := self.depth.above[number]) is not None:
            self.journal.drop("ids", str(above))


def _waits(here: PlaneWork) -> bool:
    return here.objects is not None and here.links is None


def _pixels(objects: Objects | None) -> Longs:
    """Return the pixels of each outline, by id."""
    none = np.zeros(1, np.int64)
    return none if objects is None else np.concatenate([none, objects.table["area_px"].astype(np.int64)])
