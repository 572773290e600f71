"""Parts of a pyramid of labels: what its levels show of a window."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..core.windows import Window, since

__all__ = ["Labels", "Part", "slabs", "thinned"]

_SLAB: Final = 16  # planes of a part that are kept together

Labels = npt.NDArray[np.int32]
Steps = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """Labels of a window of a level.

    Attributes
    ----------
    level : int
        From 0, the finest.
    window : tuple of slice
        Of the level.
    labels : ndarray of int32
        Its values.
    """

    level: int
    window: Window
    labels: Labels


def thinned(window: Window, labels: Labels, steps: Steps) -> tuple[Window, Labels] | None:
    """Return what a coarser level shows of a window.

    Parameters
    ----------
    window : tuple of slice
        Of the finer level.
    labels : ndarray of int32
        Its values.
    steps : tuple of int
        How many pixels of the finer level a pixel of the coarser one stands for.

    Returns
    -------
    window : tuple of slice
        Of the coarser level.
    labels : ndarray of int32
        Its values, a view. None in place of both if it is not even one pixel.
    """
    cuts = [(s, step, -(-s.start // step)) for s, step in zip(window, steps, strict=True)]
    own = tuple(slice(first, -(-s.stop // step)) for s, step, first in cuts)
    if any(s.start >= s.stop for s in own):
        return None
    return own, labels[tuple(slice(first * step - s.start, None, step) for s, step, first in cuts)]


def slabs(part: Part, axes: str) -> list[Part]:
    """Cut a part along depth and time, so that a single plane of it can be read."""
    steps = [s.stop - s.start if a in "yx" else _SLAB for a, s in zip(axes, part.window, strict=True)]
    starts = itertools.product(*(range(s.start, s.stop, step) for s, step in zip(part.window, steps, strict=True)))
    found = []
    for start in starts:
        ends = zip(start, part.window, steps, strict=True)
        own = tuple(slice(a, min(a + step, s.stop)) for a, s, step in ends)
        found.append(Part(part.level, own, part.labels[since(own, part.window)]))
    return found
