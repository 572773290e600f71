"""Masks for the frames that a track skips: halfway between the last mask before and the first one after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.core.results import Tracks

__all__ = ["Fill", "draw", "plan"]


@dataclass(frozen=True)
class Fill:
    """A mask to draw.

    Attributes
    ----------
    number : int
        Its value.
    before, after : tuple of int
        Frame and label of the masks on both sides.
    share : float
        How far from the one to the other, 0 to 1.
    """

    number: int
    before: tuple[int, int]
    after: tuple[int, int]
    share: float


def plan(tracks: Tracks, by: str) -> dict[int, list[Fill]]:
    """List the masks that are missing inside tracks, by frame."""
    t, label, track = (tracks.nodes[name].astype(np.int64) for name in ("t", "label", "track"))
    above, below = tracks.edges[:, 0], tracks.edges[:, 1]
    wide = (t[below] - t[above] > 1) & (track[below] == track[above])
    found: dict[int, list[Fill]] = {}
    for a, b in tracks.edges[wide].tolist():
        before, after = (int(t[a]), int(label[a])), (int(t[b]), int(label[b]))
        for frame in range(before[0] + 1, after[0]):
            share = (frame - before[0]) / (after[0] - before[0])
            found.setdefault(frame, []).append(Fill(int(tracks.nodes[by][b]), before, after, share))
    return found


def draw(made: npt.NDArray[np.int32], values: npt.NDArray[Any], fill: Fill, sides: tuple[Any, Any]) -> None:
    """Draw a mask into `made` where `values` are background.

    Both masks are moved to where the object should be; between them the outline is where the mean of their signed
    distances is 0 (Raya and Udupa 1990, IEEE Trans. Med. Imaging 9:32).
    """
    masks = [np.argwhere(side == one[1]) for side, one in zip(sides, (fill.before, fill.after), strict=True)]
    if not all(map(len, masks)):
        return
    middles = [mask.mean(axis=0) for mask in masks]
    middle = (1 - fill.share) * middles[0] + fill.share * middles[1]
    moved = [mask + np.rint(middle - own).astype(int) for mask, own in zip(masks, middles, strict=True)]
    low = np.minimum(*(m.min(axis=0) for m in moved)) - 1
    high = np.maximum(*(m.max(axis=0) for m in moved)) + 2
    level = np.zeros(high - low)
    for mask, share in zip(moved, (1 - fill.share, fill.share), strict=True):
        inside = np.zeros(high - low, np.bool_)
        inside[tuple((mask - low).T)] = True
        level += share * (ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside))
    places = np.argwhere(level > 0) + low
    places = places[((places >= 0) & (places < made.shape)).all(axis=1)]
    index = tuple(places.T)
    free = (values[index] == 0) & (made[index] == 0)
    made[tuple(places[free].T)] = fill.number
