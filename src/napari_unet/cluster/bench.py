"""What a process does for a run that others work on too: bricks by their coordinates, with the journal between them.

Nothing is done that the journal has already, so a job that is given out twice, because its process was lost or is late,
changes nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..core.errors import ClusterError
from ..io.journal import Journal
from ..io.runs import peek, store_of
from ..models._bricks import prepare
from ..models.average import gather
from ..models.segment import careful, record
from ..models.stored import difference, identity
from ..tiling._brick_jobs import Explored, Jobs, Scored, intact
from ..tiling._plane_work import PlaneWork, key_of
from ..tiling._rims import borders, pack_edges, unpack, unpack_edges
from ..tiling.chunks import cached
from ..tiling.empty import Sparing
from ..tiling.unreadable import mended
from ..tiling.where import Notes

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Image
    from ..models._scorer import Scorer
    from ..models.errand import Errand
    from ..tiling.bricks import Position
    from ..tiling.grid import Tile

    Scores = npt.NDArray[np.uint8]
    Ints = npt.NDArray[np.int32]
    Place = tuple[int, Position]
    Bounds = tuple[tuple[int, int], ...]

__all__ = ["Bench", "Shared", "SharedJobs"]

_PLANES: Final = 8  # whose geometry is kept
_PATIENCE: Final = 20.0  # seconds that a file written elsewhere may take to be seen here


class Shared(Journal):
    """A journal that other processes write to as well; not locked.

    Network file systems remember for a while that a file was not there. Who was told that it is there looks again.
    """

    def await_entry(self, kind: str, key: str, patience: float = _PATIENCE) -> Mapping[str, npt.NDArray[Any]]:
        """Return an entry that was written elsewhere.

        Parameters
        ----------
        kind, key : str
            As given to :meth:`put`.
        patience : float
            Seconds.

        Returns
        -------
        mapping of ndarray
            By name.

        Raises
        ------
        OutputError
            If it does not come, or is damaged.
        """
        end, pause = time.monotonic() + patience, 0.01
        while not self.has(kind, key) and time.monotonic() < end:
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
            try:
                os.close(os.open(self.folder / kind, os.O_RDONLY))  # which asks the server anew
            except OSError:
                continue
        return self.get(kind, key)


class SharedJobs(Jobs):
    """Jobs that others do too: what is done already is not done again, and what neighbors need is in the journal."""

    def score(self, tiles: list[tuple[int, Tile]], works: list[PlaneWork]) -> Scored:
        """Score tiles, and keep scores and borders."""
        known = [self._known(number, work.position(tile)) for (number, tile), work in zip(tiles, works, strict=True)]
        left = [row for row, notes in enumerate(known) if notes is None]
        if left:
            found = super().score([tiles[row] for row in left], [works[row] for row in left])
            for row, edges, notes in zip(left, found.edges, found.notes, strict=True):
                key = key_of(works[row].position(tiles[row][1]), tiles[row][0])
                self.journal.put("rims", key, **pack_edges(edges), **notes.arrays())
                known[row] = notes
        return Scored(tiles, [{} for _ in tiles], [None] * len(tiles), [notes or Notes() for notes in known])

    def _known(self, number: int, position: Position) -> Notes | None:
        """Return what was seen in a brick if it is scored."""
        key = key_of(position, number)
        if (forest := intact(self.journal, "forest", key)) is not None and self.journal.has("rims", key):
            return Notes.of(forest)
        scores, rims = (intact(self.journal, kind, key) for kind in ("scores", "rims"))
        return None if scores is None or rims is None else Notes.of(scores)

    def explore(self, number: int, work: PlaneWork, position: Position) -> Explored:
        """Grow the trees of a brick, unless they are known."""
        key = key_of(position, number)
        kept = intact(self.journal, "forest", key)
        if kept is not None and self.journal.has("trees", key):
            return Explored(number, position, unpack(kept))
        return super().explore(number, work, position)

    def _rims(self, number: int, work: PlaneWork, position: Position) -> dict[Position, Scores]:
        return work.rims(position, {other: self._edges(number, work, other) for other in work.around(position)})

    def _edges(self, number: int, work: PlaneWork, position: Position) -> dict[Position, Scores]:
        """Return the scores along the borders of a brick; where they were lost they are computed again."""
        key = key_of(position, number)
        if (rims := intact(self.journal, "rims", key)) is not None:
            return unpack_edges(rims)
        scores = intact(self.journal, "scores", key)
        return borders(self._scored(work, position).scores if scores is None else scores["scores"])


class Bench:
    """What a process has at hand for a run: image, model, journal and labels.

    Parameters
    ----------
    errand : Errand
        Which run.
    image : Image, optional
        That of the errand, where it is open already.
    model : Scorer, optional
        Likewise.

    Raises
    ------
    ClusterError, ImageError, ModelError
        If image or model are not here, or others than where the run was begun.
    """

    def __init__(self, errand: Errand, image: Image | None = None, model: Scorer | None = None) -> None:
        self.errand, spec = errand, errand.settings
        self.image = mended(cached(errand.open_image() if image is None else image), spec)
        self.model = gather(spec, self.image) if model is None else model
        begun = peek(errand.place, errand.work)
        if not begun:
            raise ClusterError(
                f"The run that writes '{errand.output}' cannot be seen from here: its folder "
                f"'{errand.run_folder}' is missing. It must lie on a disk that all processes share."
            )
        if other := difference(begun["identity"], identity(record(self.image, spec, self.model))):
            raise ClusterError(f"'{errand.output}' is being made of {other}. Give all processes the same settings.")
        self.care = careful(spec, self.model)
        work = prepare(self.image, spec, self.model, begun, self.care)
        self.journal = Shared(errand.run_folder)
        store = store_of(errand.place, self.image, work.plan.ndim, False, errand.work)
        self.jobs = SharedJobs(work.plan, Sparing(work.predict), work.finding, self.journal, store)
        self.planes = [work.plan.select(plane) for plane in self.image.planes(work.plan.ndim)]
        self.grid = work.plan.grid(self.planes[0].shape, len(self.planes))
        self._works: OrderedDict[int, PlaneWork] = OrderedDict()
        self._retried: dict[str, int] = {}
        self._lock = threading.Lock()

    def work(self, number: int) -> PlaneWork:
        """Return the geometry of a plane.

        Parameters
        ----------
        number : int
            Of the plane.

        Returns
        -------
        PlaneWork
            Shared by threads; nothing in it is changed.
        """
        with self._lock:
            if number not in self._works:
                plane = self.planes[number]
                self._works[number] = PlaneWork(plane, self.grid, self.jobs.sink.windows(plane))
            self._works.move_to_end(number)
            while len(self._works) > _PLANES:
                self._works.popitem(last=False)
            return self._works[number]

    def score(self, places: Sequence[Place]) -> tuple[list[Notes], dict[str, int]]:
        """Score bricks.

        Parameters
        ----------
        places : sequence of (int, tuple of int)
            Plane and position of each; their tiles read equal shapes.

        Returns
        -------
        notes : list of Notes
            What was seen in each.
        retried : dict of str to int
            How often this process was short of memory since it was asked last.
        """
        works = [self.work(number) for number, _ in places]
        tiles = [(number, work.tiles[position]) for (number, position), work in zip(places, works, strict=True)]
        notes = self.jobs.score(tiles, works).notes
        with self._lock:
            before, self._retried = self._retried, dict(self.care.retried)
        return notes, {way: more for way, n in self._retried.items() if (more := n - before.get(way, 0))}

    def explore(self, number: int, position: Position) -> Explored:
        """Grow the trees of a brick that is scored, as are all around it.

        Parameters
        ----------
        number, position : int, tuple of int
            Of the brick.

        Returns
        -------
        Explored
            Its trees are in the journal.
        """
        return self.jobs.explore(number, self.work(number), position)

    def compare(self, numbers: tuple[int, int], position: Position, ids: Sequence[Ints]) -> npt.NDArray[np.int64]:
        """Count what two planes have in common in a brick.

        Parameters
        ----------
        numbers : (int, int)
            The upper and the lower plane.
        position : tuple of int
            Of the brick.
        ids : sequence of ndarray of int32
            The ids that the trees of the brick have within each plane.

        Returns
        -------
        ndarray of int64
            See :func:`~napari_unet.tiling.depth.overlaps`.
        """
        return self.jobs.in_common(numbers, [self.work(number) for number in numbers], position, ids)

    def write(self, number: int, bounds: Bounds, ids: Mapping[Position, Ints]) -> None:
        """Write a part of a plane's labels.

        Parameters
        ----------
        number : int
            Of the plane.
        bounds : tuple of (int, int)
            Of the part, along each axis.
        ids : mapping of tuple to ndarray of int32
            The final ids of the trees of each brick that it meets.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        self.jobs.put(number, self.work(number), tuple(slice(*b) for b in bounds), ids)
