"""What is known of one brick's objects before its neighbors are: trees of pointers, as small tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Forest", "Rim"]


@dataclass(frozen=True, eq=False)
class Rim:
    """The pixels of a brick that touch one of its neighbors: a face, an edge or a corner.

    Attributes
    ----------
    trees : ndarray of int32, shape (z, y, x)
        The tree of each pixel, 0 for background; axes across the border have length 1.
    potential : ndarray of uint8
        The stored potential, same shape.
    """

    trees: npt.NDArray[np.int32]
    potential: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Forest:
    """All trees of a brick of one plane.

    Every foreground pixel points to a neighbor or to itself. The pixels of a brick whose pointers lead to the same end
    are a tree; the end is a peak inside the brick or a pixel just beyond it, an exit. Trees are numbered from 1,
    ordered by first pixel; row ``i`` of a table is tree ``i + 1``. Two-dimensional images have a z axis of length 1. A
    *side* is the direction of a neighboring brick, ``9 * (dz + 1) + 3 * (dy + 1) + dx + 1`` with steps of -1, 0 and 1.
    A *pixel* is a flat index into the whole plane.

    Attributes
    ----------
    peaks : ndarray of int64, shape (n,)
        Pixel where a tree ends; -1 where it leaves the brick.
    heights : ndarray of uint8, shape (n,)
        Potential at the peak; 0 where the tree leaves the brick.
    areas : ndarray of int64, shape (n,)
        Number of pixels, of this brick only; the same holds for the next three.
    firsts : ndarray of int64, shape (n,)
        First pixel.
    lows, highs : ndarray of int32, shape (n, 3)
        Bounding box (z, y, x) in the plane: its first pixel and the one after its last.
    exits : ndarray of int32, shape (e, 3)
        For each tree that leaves: its number, the side where it does, and where it arrives, as a flat index into the
        rim that the neighbor has on its opposite side.
    pairs : ndarray of int32, shape (m, 2)
        Trees that touch inside the brick, each pair once.
    saddles : ndarray of uint8, shape (m,)
        The highest potential at which they do.
    rims : mapping of int to Rim
        By side; only where there is a neighbor.
    corners : bool
        Whether pixels touch that have no more than an edge or a corner in common.
    kinds : ndarray of uint8, shape (n,), or None
        Where trees are classes of pixels, or pieces of them: the class of each, whatever it touches.
    nested : bool
        Whether classes lie within the ones before them.
    """

    peaks: npt.NDArray[np.int64]
    heights: npt.NDArray[np.uint8]
    areas: npt.NDArray[np.int64]
    firsts: npt.NDArray[np.int64]
    lows: npt.NDArray[np.int32]
    highs: npt.NDArray[np.int32]
    exits: npt.NDArray[np.int32]
    pairs: npt.NDArray[np.int32]
    saddles: npt.NDArray[np.uint8]
    rims: Mapping[int, Rim]
    corners: bool = True
    kinds: npt.NDArray[np.uint8] | None = None
    nested: bool = False

    def __len__(self) -> int:
        """Count the trees."""
        return len(self.peaks)
