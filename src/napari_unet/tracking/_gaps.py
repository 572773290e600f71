"""Masks for the frames that a track skips: halfway between the last mask before and the first one after.

Where a division was not seen completely, the mother is there until the first daughter is seen, and both daughters from
then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.core.results import Tracks

__all__ = ["Fill", "draw", "plan"]

Cell = tuple[int, int]  # frame and label
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fill:
    """A mask to draw.

    Attributes
    ----------
    number : int
        Its value.
    before, after : tuple of tuple of int
        Frame and label of the masks on both sides; several are seen as one.
    share : float
        How far from the one to the other, 0 to 1.
    sisters : tuple of tuple of int
        For a daughter that is missing: those that are seen. She has the shape of `after`, and her place before is that
        of the mother (`before`), mirrored at it.
    """

    number: int
    before: tuple[Cell, ...]
    after: tuple[Cell, ...]
    share: float
    sisters: tuple[Cell, ...] = ()


def plan(tracks: Tracks, by: str) -> dict[int, list[Fill]]:
    """List the masks that are missing inside tracks and around divisions, by frame."""
    t, label, track = (tracks.nodes[name].astype(np.int64) for name in ("t", "label", "track"))
    numbers = tracks.nodes[by].astype(np.int64)
    cells = list(zip(t.tolist(), label.tolist(), strict=True))
    above, below = tracks.edges[:, 0], tracks.edges[:, 1]
    wide = t[below] - t[above] > 1
    found: dict[int, list[Fill]] = {}
    for a, b in tracks.edges[wide & (track[below] == track[above])].tolist():
        for frame in range(cells[a][0] + 1, cells[b][0]):
            share = (frame - cells[a][0]) / (cells[b][0] - cells[a][0])
            found.setdefault(frame, []).append(Fill(int(numbers[b]), (cells[a],), (cells[b],), share))
    alone = np.bincount(below, minlength=len(t)) == 1
    for a in np.unique(above[wide & (track[below] != track[above])]).tolist():
        rows = below[above == a]
        if len(rows) > 1 and alone[rows].all():
            for frame, fill in _births(a, rows.tolist(), cells, numbers):
                found.setdefault(frame, []).append(fill)
    return found


def _births(mother: int, daughters: list[int], cells: list[Cell], numbers: Ints) -> Iterator[tuple[int, Fill]]:
    """List what is missing between a mother and her daughters."""
    last = cells[mother][0]
    born = min(cells[row][0] for row in daughters)
    family = tuple(cells[row] for row in daughters)
    for frame in range(last + 1, born):
        yield frame, Fill(int(numbers[mother]), (cells[mother],), family, (frame - last) / (born - last))
    seen = tuple(cell for cell in family if cell[0] == born)
    for row in daughters:
        for frame in range(born, cells[row][0]):
            share = (frame - born + 1) / (cells[row][0] - born + 1)
            yield frame, Fill(int(numbers[row]), (cells[mother],), (cells[row],), share, seen)


def draw(
    made: npt.NDArray[np.int32], values: npt.NDArray[Any], fill: Fill, read: Callable[[int], npt.NDArray[Any]]
) -> None:
    """Draw a mask into `made` where `values` are background; `read` gives the labels of a frame.

    Both masks are moved to where the object should be; between them the outline is where the mean of their signed
    distances is 0 (Raya and Udupa 1990, IEEE Trans. Med. Imaging 9:32).
    """
    masks = [_places(side, read) for side in (fill.before, fill.after)]
    sisters = _places(fill.sisters, read)
    if not all(map(len, masks)):
        return
    middles = [mask.mean(axis=0) for mask in masks]
    shares = [1 - fill.share, fill.share]
    if len(sisters):
        middles[0] = 2 * middles[0] - sisters.mean(axis=0)
        masks[0] = masks[1] + np.rint(middles[0] - middles[1]).astype(int)
    middle = shares[0] * middles[0] + shares[1] * middles[1]
    moved = [mask + np.rint(middle - own).astype(int) for mask, own in zip(masks, middles, strict=True)]
    low = np.minimum(*(m.min(axis=0) for m in moved)) - 1
    high = np.maximum(*(m.max(axis=0) for m in moved)) + 2
    level = np.zeros(high - low)
    for mask, share in zip(moved, shares, strict=True):
        inside = np.zeros(high - low, np.bool_)
        inside[tuple((mask - low).T)] = True
        level += share * (ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside))
    places = np.argwhere(level > 0) + low
    places = places[((places >= 0) & (places < made.shape)).all(axis=1)]
    index = tuple(places.T)
    free = (values[index] == 0) & (made[index] == 0)
    made[tuple(places[free].T)] = fill.number


def _places(cells: tuple[Cell, ...], read: Callable[[int], npt.NDArray[Any]]) -> Ints:
    """Return the pixels of some masks, shape (n, d)."""
    return np.concatenate([np.zeros((0, 0), np.int64)] * (not cells) + [np.argwhere(read(t) == i) for t, i in cells])
