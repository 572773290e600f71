"""The ways to look at a tile: mirrored, and turned by quarters in the plane of y and x.

Tiles start and stop on the grid of the network, so what is pooled together is the same seen from any side, and the
scores of a mirrored tile are as independent of how the image was cut as those of the tile itself.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.errors import ModelError
from ..targets import ZERO
from ..tiling.grid import Ends

__all__ = ["AVERAGES", "Turn", "turns"]

AVERAGES: Final = ("none", "flips", "rotations")

Floats = npt.NDArray[Any]


@dataclass(frozen=True)
class Turn:
    """A way to look at a tile: its spatial axes in another order, then some of them backwards.

    Attributes
    ----------
    order : tuple of int
        Where each new spatial axis comes from.
    backwards : tuple of int
        New axes that are reversed.
    """

    order: tuple[int, ...]
    backwards: tuple[int, ...] = ()

    def apply(self, batch: Floats) -> Floats:
        """Turn ``(b, c, *s)``; a view."""
        return self._flip(batch.transpose(0, 1, *(2 + axis for axis in self.order)))

    def ends(self, ends: Ends) -> Ends:
        """Turn what is said of both ends of every axis of a tile."""
        if not ends:
            return ends
        return tuple(ends[old][::-1] if new in self.backwards else ends[old] for new, old in enumerate(self.order))

    def undo(self, scores: Floats, directions: tuple[int | None, ...]) -> Floats:
        """Turn scores ``(b, k, *s)`` back.

        Parts of vectors change their sign where their axis was reversed, and trade places where axes did.

        Parameters
        ----------
        scores : ndarray of float32
            Of a turned tile.
        directions : tuple of int or None
            Spatial axis along which each of the first channels is signed.

        Returns
        -------
        ndarray of float32
            Of the tile as it was; a view where nothing had to be computed.
        """
        back = self._flip(scores).transpose(0, 1, *(2 + int(axis) for axis in np.argsort(self.order)))
        signed = [(channel, axis) for channel, axis in enumerate(directions) if axis is not None]
        if not signed or self == Turn(tuple(sorted(self.order))):
            return back
        turned = back.copy()
        for channel, axis in signed:
            now = self.order.index(axis)
            source = back[:, _counterpart(directions, channel, now)]
            turned[:, channel] = np.float32(2 * ZERO) - source if now in self.backwards else source
        return turned

    def _flip(self, array: Floats) -> Floats:
        return np.flip(array, tuple(2 + axis for axis in self.backwards)) if self.backwards else array


def _counterpart(directions: tuple[int | None, ...], channel: int, axis: int) -> int:
    """Return the channel of the same vector that is signed along another axis."""
    which = directions[:channel].count(directions[channel])
    found = [other for other, along in enumerate(directions) if along == axis]
    if which >= len(found):
        raise ModelError(
            f"This model's scores have a part along axis {directions[channel]} but none along axis {axis}, so they "
            "cannot be turned. Choose average 'flips' or 'none'."
        )
    return found[which]


def turns(average: str, ndim: int) -> list[Turn]:
    """Return the ways to look at a tile with `ndim` spatial axes, the plain one first."""
    straight = tuple(range(ndim))
    if average == "none":
        return [Turn(straight)]
    across = (*straight[:-2], ndim - 1, ndim - 2)
    orders = (straight, across) if average == "rotations" else (straight,)
    backwards = [axes for count in range(ndim + 1) for axes in itertools.combinations(straight, count)]
    return [Turn(order, axes) for order in orders for axes in backwards]
