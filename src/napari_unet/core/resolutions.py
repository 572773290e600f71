"""Coarser versions of an image: which arrays are that, and which of them is fine enough.

Along an axis that is `r` times coarser, the center of pixel ``j`` lies at ``(j + 0.5) * r - 0.5`` of the full image: it
covers the pixels from ``j * r`` to ``(j + 1) * r - 1``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .axes import Plane

__all__ = ["choose_level", "coarseness", "true_levels"]


def coarseness(shape: Sequence[int], coarser: Sequence[int], axes: str) -> tuple[int, ...]:
    """Tell how much coarser an array is than the full image.

    Parameters
    ----------
    shape, coarser : sequence of int
        Of the full image and of the array.
    axes : str
        Their axes.

    Returns
    -------
    tuple of int
        Pixels of the full image to one of the array, along each axis; empty if it is no coarser version of it: channels
        and time points must be as many, rows and columns at least two times fewer, and nothing left over but part of
        a pixel.
    """
    if len(coarser) != len(shape) or 0 in coarser:
        return ()
    pairs = dict(zip(axes, zip(shape, coarser, strict=True), strict=True))
    # Rows and columns go together; the longer of them tells best.
    flat = _step(*max(pairs["y"], pairs["x"]))
    steps = {"y": flat, "x": flat, "z": _step(*pairs.get("z", (1, 1))), "t": 1, "c": 1}
    fits = all(m in _lengths(n, steps[a]) for a, (n, m) in pairs.items())
    return tuple(min(steps[a], n) for a, (n, _) in pairs.items()) if fits and flat > 1 else ()


def _step(n: int, m: int) -> int:
    """Return how many times coarser `m` pixels are than `n`."""
    halvings: int = 2 ** max(0, round(math.log2(n / m)))  # of a few pixels, what is usual is believed
    return halvings if m in _lengths(n, halvings) else max(1, round(n / m))


def _lengths(n: int, step: int) -> tuple[int, int]:
    """Return how many pixels may be left of `n`: what is part of a pixel may be one or none."""
    return max(1, n // step), -(-n // step)


def true_levels(data: Any, axes: str, levels: Sequence[Any]) -> tuple[Any, ...]:
    """Leave out what is no coarser version of an image.

    Parameters
    ----------
    data : array-like
        The full image.
    axes : str
        Its axes.
    levels : sequence of array-like
        What is said to be coarser versions.

    Returns
    -------
    tuple of array-like
        Those that are, finest first.
    """
    found = [
        level
        for level in levels
        if _kind(level) == _kind(data) and coarseness(tuple(data.shape), tuple(level.shape), axes)
    ]
    return tuple(sorted(found, key=lambda level: -math.prod(level.shape)))


def _kind(data: Any) -> tuple[Any, Any]:
    """Tell types of numbers apart, but not the orders of their bytes."""
    return getattr(data.dtype, "kind", data.dtype), getattr(data.dtype, "itemsize", None)


def choose_level(plane: Plane, factor: Sequence[float]) -> tuple[int, tuple[int, ...]]:
    """Choose the coarsest version of an image that is still as fine as a net grid.

    Parameters
    ----------
    plane : Plane
        Of the full image.
    factor : sequence of float
        Net pixels to an image pixel, along each axis of the plane.

    Returns
    -------
    level : int
        0 is the full image, 1 the first of its levels, and so on.
    steps : tuple of int
        Pixels of the full image to one of that level, along each axis of the plane.
    """
    image = plane.image
    best = 0, (1,) * len(plane.axes)
    for number, level in enumerate(image.levels, start=1):
        steps = plane.steps_of(number)
        whole = all(image.shape[dimension] == level.shape[dimension] for dimension, _ in plane.fixed)
        if whole and all(step == 1 or step * f <= 1 for step, f in zip(steps, factor, strict=True)):
            best = number, steps
    return best
