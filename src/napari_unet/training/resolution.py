"""How large images are seen in a training whose task does not look at the size of objects.

nnU-Net (Isensee et al. 2021) adds a coarser configuration where a patch would cover less than a quarter of a typical
image, because a network that sees a small part of it knows little of what it looks at. Here there is one network; its
grid is made coarser in steps until a patch covers as much, or until what is to be found would become too small. Where a
processor learns, patches of volumes are smaller and cover a whole typical volume: the few steps that it has time for
teach where things lie before they teach outlines. In planes, wide classes are then seen with what is around them even
if narrow ones are hardly seen any more: a step shows more images, and a network looks no further than its layers reach
(``benchmarks/inspection.py``: in 8 minutes the mean IoU of defects rose by two thirds, in the fold it was chosen on).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .pairs import Pair

__all__ = ["COVERED", "class_widths", "coarser", "zoom_for"]

_STEPS: Final = (1.0, 0.71, 0.5, 0.35, 0.25)  # half an octave each
COVERED: Final = 0.25  # of a typical image by a patch: nnU-Net's threshold
_LEAST_OBJECT: Final = {2: 8.0, 3: 5.0}  # pixels that the small objects keep
_LEAST_WIDTH: Final = 6.0  # pixels that the narrowest class keeps
_HARDLY: Final = (2.5, 1.5)  # pixels of small objects and of the narrowest class that a processor is left with
_VOLUME: Final = 3
_WHOLE: Final = {2: 0.2, 3: 0.7}  # of the edge of a patch, that a large object fits into


def zoom_for(
    shape: Sequence[float],
    spacing: Sequence[float],
    sizes: npt.NDArray[np.floating[Any]],
    width: float,
    edge: int,
    hurried: bool = False,
) -> float:
    """Choose by how much images are made smaller.

    Parameters
    ----------
    shape : sequence of float
        Of a typical image, pixels.
    spacing : sequence of float
        Of its pixels along each axis, in any unit; empty: alike along all.
    sizes : ndarray of float
        Diameters of the objects, pixels; may be empty.
    width : float
        Typical width of the narrowest class, pixels; 0: not known, and nothing is made smaller.
    edge : int
        Of a patch, pixels (of a cube in volumes).
    hurried : bool
        Whether there is time for few steps: then a patch is to cover all of a typical volume, and in planes what is
        large comes first.

    Returns
    -------
    float
        1 leaves pixels as they are, 0.5 halves images.
    """
    small, large = np.percentile(sizes, (10, 90)) if len(sizes) else (math.inf, 0.0)
    covered = 1.0 if hurried and len(shape) == _VOLUME else COVERED
    usual = (_LEAST_OBJECT[len(shape)], _LEAST_WIDTH)
    chosen = 1.0
    for zoom in _STEPS:
        cut = hurried and len(shape) < _VOLUME and chosen * large > _WHOLE[len(shape)] * edge
        least = _HARDLY if cut else usual
        if zoom < 1 and (zoom * small < least[0] or zoom * width < least[1]):
            break
        chosen = zoom
        sides = coarser(spacing or (1.0,) * len(shape), zoom)
        seen = [n * old / new for n, old, new in zip(shape, spacing or (1.0,) * len(shape), sides, strict=True)]
        if edge ** len(shape) >= covered * math.prod(seen) and zoom * large <= _WHOLE[len(shape)] * edge:
            break
    return chosen


def coarser(spacing: Sequence[float], zoom: float) -> tuple[float, ...]:
    """Make a grid coarser: its finest axes first, so that planes that are far apart stay as they are.

    Parameters
    ----------
    spacing : sequence of float
        Along each axis.
    zoom : float
        At most 1; of the finest axis.

    Returns
    -------
    tuple of float
        In the same unit.
    """
    least = min(spacing) / zoom
    return tuple(max(side, least) for side in spacing)


def class_widths(pairs: Iterable[Pair]) -> tuple[float, float]:
    """Measure how wide the narrowest and the widest class are: the mean length of their runs along the last axis.

    Parameters
    ----------
    pairs : iterable of Pair
        As they were read. Scribbles have no width.

    Returns
    -------
    narrowest, widest : float
        Pixels; 0 where they cannot be known, because images are too large to be held in memory or show scribbles.
    """
    pixels = np.zeros(1, np.int64)
    runs = np.zeros(1, np.int64)
    for pair in pairs:
        labels = np.asarray(pair.labels) if hasattr(pair.labels, "numpy") else None
        if pair.scribbles or labels is None:
            return 0.0, 0.0
        begins = np.ones(labels.shape, bool)
        begins[..., 1:] = labels[..., 1:] != labels[..., :-1]
        classes = labels if pair.kinds else labels > 0
        pixels = _added(pixels, np.bincount(classes.ravel()))
        runs = _added(runs, np.bincount(classes[begins]))
    found = runs > 0
    found[0] = False
    widths = pixels[found] / runs[found]
    return (float(widths.min()), float(widths.max())) if found.any() else (0.0, 0.0)


def _added(one: npt.NDArray[np.int64], other: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    total = np.zeros(max(len(one), len(other)), np.int64)
    total[: len(one)] += one
    total[: len(other)] += other
    return total
