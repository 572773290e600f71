"""Outlines of labels, exact to the pixel: found block by block, so that only outlines must fit into memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.steps import Progress, Steps
from ._georeferenced import row_blocks
from ._outline_kernels import follow, holders, scan

__all__ = ["Outlines", "outline_steps"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Outlines:
    """Rings around labels, and around the holes in them.

    Attributes
    ----------
    corners : ndarray of int64, shape (n, 2)
        Row and column of the corners of all rings, one ring after the other; 0 is the upper left corner of the first
        pixel. Outlines run clockwise on the screen.
    ends : ndarray of int64, shape (rings,)
        Where each ring ends in `corners`.
    labels : ndarray of int64, shape (rings,)
        Whose it is; ascending.
    parts : ndarray of int64, shape (rings,)
        Number of the ring that is the outline of the part it belongs to: an outline's own, for a hole another.
    """

    corners: Ints
    ends: Ints
    labels: Ints
    parts: Ints

    @property
    def outer(self) -> npt.NDArray[np.bool_]:
        """Which rings are outlines; all others are holes."""
        return np.asarray(self.parts == np.arange(len(self.parts)))


def outline_steps(labels: Image) -> Steps[tuple[Outlines, Ints]]:
    """Find the outlines of all labels.

    Parts of a label are what is connected by sides of pixels, not by corners. Vertices are where outlines turn, and
    where a third label, or the background, touches them: labels that touch have all vertices of their border in common.

    Parameters
    ----------
    labels : Image
        Axes ``yx``, whole numbers from 0 (background).

    Returns
    -------
    outlines : Outlines
        Of every label, whatever blocks it was read in.
    sizes : ndarray of int64, shape (labels, 2)
        The labels that there are, ascending, and how many pixels they have.

    Yields
    ------
    Progress
        One for every block.

    Raises
    ------
    ImageError
        If the labels cannot be read, or are none.
    """
    height, width = labels.shape
    opened = np.zeros((width + 1, 3), np.int64)
    above, found, sizes = np.zeros(width, np.int64), [], _Sizes()
    for (rows, _), values in row_blocks(labels):
        block = np.ascontiguousarray(values, np.int64)
        found.append(_scanned(block, above, rows.start, rows.stop == height, opened))
        sizes.add(block)
        above = block[-1].copy()
        yield Progress(rows.stop, height, "Following outlines")
    edges = np.concatenate(found)
    found.clear()
    yield Progress(height, height, "Joining outlines")
    edges = edges[np.lexsort((edges[:, 1], edges[:, 0]))]
    points, rings = np.empty(len(edges), np.int64), np.empty((len(edges), 3), np.int64)
    rings = rings[: follow(edges, width, points, rings)].copy()
    corners = np.stack(np.divmod(points, width + 1), axis=1)
    return Outlines(corners, rings[:, 0], rings[:, 1], holders(points, rings, width)), sizes.table()


def _scanned(block: Ints, above: Ints, top: int, last: bool, opened: Ints) -> Ints:
    """Return the edges of a block: counted first, so that memory is that of what is there."""
    before = opened.copy()
    count = scan(block, above, top, last, before, np.empty((0, 3), np.int64))
    out: Ints = np.empty((count, 3), np.int64)
    scan(block, above, top, last, opened, out)
    return out


class _Sizes:
    """Counts pixels of labels, block by block."""

    def __init__(self) -> None:
        self._parts: list[Ints] = []

    def add(self, block: Ints) -> None:
        """Count those of a block."""
        ids, counts = np.unique(block, return_counts=True)
        kept = ids > 0
        self._parts.append(np.stack([ids[kept], counts[kept]], axis=1))
        if len(self._parts) > 64:
            self._parts = [self.table()]

    def table(self) -> Ints:
        """Return labels, ascending, and their pixels."""
        every = np.concatenate([np.zeros((0, 2), np.int64), *self._parts])
        ids, where = np.unique(every[:, 0], return_inverse=True)
        return np.stack([ids, np.bincount(where, every[:, 1], len(ids)).astype(np.int64)], axis=1)
