"""Geometry of bricks without arrays: the parts of a plane that are decoded and written one by one."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..core.errors import SpecError

__all__ = ["Bricks", "Position"]

Position = tuple[int, ...]


@dataclass(frozen=True)
class Bricks:
    """A plane cut into bricks, straight through along every axis.

    Attributes
    ----------
    shape : tuple of int
        Of the plane, ``(y, x)`` or ``(z, y, x)``.
    borders : tuple of tuple of int
        For each axis where bricks begin, ascending from 0, and where the last one ends.
    """

    shape: tuple[int, ...]
    borders: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        """Refuse borders that leave pixels out."""
        for n, cuts in zip(self.shape, self.borders, strict=True):
            if len(cuts) < 2 or cuts[0] != 0 or cuts[-1] != n or any(a >= b for a, b in itertools.pairwise(cuts)):
                raise SpecError(
                    f"The borders {cuts} do not cut an axis of {n} pixels. Give them in ascending order, from 0 to {n}."
                )

    @classmethod
    def cut(cls, shape: Sequence[int], edges: Sequence[int]) -> Bricks:
        """Cut a plane into equal bricks.

        Parameters
        ----------
        shape : sequence of int
            Of the plane, each at least 1.
        edges : sequence of int
            Of a brick, pixels; the last one along an axis may be smaller.

        Returns
        -------
        Bricks
            The cut plane.

        Raises
        ------
        SpecError
            If there is no plane, or a brick would have no pixels.
        """
        if min(edges) < 1:
            raise SpecError(f"Bricks of {tuple(edges)} pixels have none. Give edges of at least 1.")
        axes = zip(shape, edges, strict=True)
        return cls(tuple(shape), tuple((*range(0, n, edge), n) for n, edge in axes))

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Number of bricks along each axis."""
        return tuple(len(cuts) - 1 for cuts in self.borders)

    def __len__(self) -> int:
        """Count the bricks."""
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[Position]:
        """Go through the positions of the bricks, the last axis fastest."""
        return itertools.product(*map(range, self.counts))

    def __contains__(self, position: object) -> bool:
        """Say whether there is a brick at a position."""
        counts = self.counts
        return (
            isinstance(position, tuple)
            and len(position) == len(counts)
            and all(0 <= i < n for i, n in zip(position, counts, strict=True))
        )

    def window(self, position: Position) -> tuple[slice, ...]:
        """Return the pixels of the brick at a position.

        Parameters
        ----------
        position : tuple of int
            Number of the brick along each axis.

        Returns
        -------
        tuple of slice
            Index of the plane.
        """
        return tuple(slice(cuts[i], cuts[i + 1]) for i, cuts in zip(position, self.borders, strict=True))

    def widened(self, position: Position) -> tuple[slice, ...]:
        """Return what must be read to explore a brick: one pixel more on each side, within the plane.

        Parameters
        ----------
        position : tuple of int
            Number of the brick along each axis.

        Returns
        -------
        tuple of slice
            Index of the plane.
        """
        axes = zip(self.window(position), self.shape, strict=True)
        return tuple(slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in axes)

    def at(self, pixel: Sequence[int]) -> Position:
        """Return the position of the brick that a pixel lies in.

        Parameters
        ----------
        pixel : sequence of int
            Of the plane.

        Returns
        -------
        tuple of int
            Number of the brick along each axis.
        """
        return tuple(bisect_right(cuts, n) - 1 for cuts, n in zip(self.borders, pixel, strict=True))

    def meeting(self, window: Sequence[slice]) -> Iterator[Position]:
        """Go through the bricks that have pixels in common with a window.

        Parameters
        ----------
        window : sequence of slice
            Pixels of the plane, at least one along each axis.

        Yields
        ------
        tuple of int
            Position of a brick, the last axis fastest.
        """
        first, last = self.at([s.start for s in window]), self.at([s.stop - 1 for s in window])
        yield from itertools.product(*(range(a, b + 1) for a, b in zip(first, last, strict=True)))
