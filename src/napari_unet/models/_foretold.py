"""What room a run will take on the disk, told from a few of its tiles; and what is said of a long one as it begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.errors import OutputError
from ..core.preflight import LONG, Room, foretell, size_words
from ..core.specs import TargetSpec
from ..io.addresses import as_address
from ..io.choosing import run_folder
from ..io.journal import Journal
from ..io.sizes import folder_size, free_space, journal_size, labels_size
from ..targets import explorer
from ..tiling._brick_jobs import intact
from ..tiling._rims import pack
from ..tiling.care import Care
from ..tiling.grid import Grid
from ..tiling.stream import Plan

__all__ = ["PLANES", "Foretold", "Left", "check_room", "left_by", "room_for"]

PLANES: Final = 2  # whose trees are kept at a time
_LAYERS: Final = 3  # of bricks whose scores wait for those around them
_EARLY: Final = 5.0  # seconds of computing, after which a run is foretold


@dataclass(frozen=True)
class Left:
    """What tiles leave: their pixels, and bytes in the journal, in memory, and of the labels."""

    pixels: int = 0
    journal: int = 0
    tables: int = 0
    labels: int = 0

    def __add__(self, other: Left) -> Left:
        return Left(
            self.pixels + other.pixels, self.journal + other.journal, self.tables + other.tables,
            self.labels + other.labels,
        )  # fmt: skip


def left_by(scores: npt.NDArray[np.uint8], rule: TargetSpec) -> Left:
    """Find the trees of a tile as if it were all there is, and see what room they take.

    Parameters
    ----------
    scores : ndarray of uint8, shape (k, *s)
        Of the tile.
    rule : TargetSpec
        How objects are found; a kind that can be found brick by brick.

    Returns
    -------
    Left
        Trees are more and smaller than objects: labels take no more than this.
    """
    explore: Any = explorer(rule)
    trees, forest = explore(scores, rule, tuple(slice(0, n) for n in scores.shape[1:]), scores.shape[1:])
    tables = pack(forest)
    kept = journal_size(trees=trees) + journal_size(**tables)
    return Left(trees.size, kept, sum(v.nbytes for v in tables.values()), labels_size(trees))


def room_for(grid: Grid, planes: int, outputs: int, left: Left, output: Path) -> Room:
    """Estimate what room a run needs at most at a time, beside what it has written already.

    Parameters
    ----------
    grid : Grid
        Of a plane.
    planes : int
        How many there are.
    outputs : int
        Score channels that are stored.
    left : Left
        By a few tiles.
    output : Path
        Where the labels go.

    Returns
    -------
    Room
        On the disk.
    """
    plane, layer = math.prod(grid.shape), math.prod(grid.shape[1:]) * grid.cuts[0][0].write.size
    labels = round(left.labels / left.pixels * plane * planes)
    trees = round(left.journal / left.pixels * plane * min(planes, PLANES))
    needed = labels + trees + min(plane, _LAYERS * layer) * outputs
    # What is there is on the disk already, but trees of planes to come are not.
    folder = run_folder(output)
    if as_address(output):
        return Room(max(0, needed - labels - folder_size(folder)), free_space(folder))  # labels go to a store
    needed = max(labels // 8, needed - folder_size(folder))
    return Room(needed, free_space(output))


def check_room(disk: Room, output: Path) -> None:
    """Refuse what the disk clearly cannot hold.

    Parameters
    ----------
    disk : Room
        What is needed, and what there is.
    output : Path
        Where the labels are to go.

    Raises
    ------
    OutputError
        With both numbers.
    """
    if disk.short:
        raise OutputError(
            f"The disk of '{output}' is too small: about {size_words(disk.needed)} are needed, and "
            f"{size_words(disk.free or 0)} are free. Free space, or choose another disk. What is done already stays."
        )


class Foretold:
    """Says once, when a run has been computing for a few seconds, what it will take, if that is long.

    Parameters
    ----------
    care : Care
        What is learned while the run goes on.
    pixels : int
        Of the image, that are to be scored.
    """

    def __init__(self, care: Care, pixels: int) -> None:
        self._care, self._pixels = care, pixels
        self._stored: tuple[Path, Journal, Grid, int, TargetSpec] | None = None

    def store(self, output: Path, journal: Journal, image: Image, plan: Plan, rule: TargetSpec) -> None:
        """Look at the disk too.

        Parameters
        ----------
        output : Path
            Where the labels go.
        journal : Journal
            Of the run.
        image : Image
            That is segmented.
        plan : Plan
            How.
        rule : TargetSpec
            How objects are found.
        """
        planes = image.planes(plan.ndim)
        self._stored = output, journal, plan.grid(planes[0].shape, len(planes)), len(planes), rule

    def __call__(self) -> str | None:
        """Return what is to be said; empty if that is nothing, None if it is too early to tell.

        Raises
        ------
        OutputError
            If the disk is clearly too small.
        """
        care = self._care
        if not care.speed or care.seconds < _EARLY:
            return None
        seconds = max(0, self._pixels - care.pixels) / 1e6 / care.speed
        if seconds < LONG:
            return ""
        room = None
        if self._stored is not None:
            output, journal, grid, planes, rule = self._stored
            if (scores := _some_scores(journal)) is None:
                return None
            room = room_for(grid, planes, len(scores), left_by(scores, rule), output)
            check_room(room, output)
        return foretell(seconds, care.speed, room)


def _some_scores(journal: Journal) -> npt.NDArray[np.uint8] | None:
    """Return the scores of a brick that wait in a journal."""
    files: Sequence[Path] = sorted((journal.folder / "scores").glob("*.part"))
    entry = intact(journal, "scores", files[len(files) // 2].stem) if files else None
    return None if entry is None else entry["scores"]
