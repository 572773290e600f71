"""The levels of a pyramid of labels: how large they are, and which pixels they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

__all__ = ["SMALLEST_LEVEL", "fitting_levels", "level_shapes", "level_steps"]

SMALLEST_LEVEL: Final = 512  # pixels along y and x: a level below is not made coarser


def level_steps(axes: str, shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the levels of a pyramid as they are written.

    Parameters
    ----------
    axes : str
        Letters.
    shape : sequence of int
        Of the finest level.

    Returns
    -------
    list of tuple of int
        For each level how many pixels of the finest one a pixel stands for along each axis; it shows the first of them.
    """
    sizes = dict(zip(axes, shape, strict=True))
    found = [(1,) * len(axes)]
    while max(-(-sizes[a] // step) for a, step in zip(axes, found[-1], strict=True) if a in "yx") >= SMALLEST_LEVEL:
        finer = zip(axes, found[-1], strict=True)
        found.append(tuple(2 * step if a in "yx" and sizes[a] > step else step for a, step in finer))
    return found


def level_shapes(axes: str, shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shapes of the levels of a pyramid.

    Parameters
    ----------
    axes, shape : str, sequence of int
        As for :func:`level_steps`.

    Returns
    -------
    list of tuple of int
        The finest first.
    """
    return [tuple(-(-n // s) for n, s in zip(shape, steps, strict=True)) for steps in level_steps(axes, shape)]


def fitting_levels(shapes: Sequence[tuple[int, ...]], values: int) -> list[int]:
    """Choose the levels that can be kept in memory.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Of the levels, the finest first.
    values : int
        How many values may be kept.

    Returns
    -------
    list of int
        The coarsest levels that have no more values together, the finest of them first; perhaps none.
    """
    found: list[int] = []
    for level in reversed(range(len(shapes))):
        values -= math.prod(shapes[level])
        if values < 0:
            break
        found.insert(0, level)
    return found
