"""Steps that all objects take together and that are longer than objects are wide: a flow, or a stage that was moved.

Each pair of objects that look alike votes for the step between them (a Hough transform of steps, as in the registration
of point sets); the step that most objects agree on is that of all. It is looked for only where objects are not found
again near their place, so that nothing changes in other movies.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from ._candidates import Side, near

__all__ = ["find_jumps"]

_SAME: Final = 0.35  # object widths: steps that differ by less agree
_ALIKE: Final = 0.5  # powers of 2, in size
_MOST: Final = 0.45  # of the objects that are still in the picture agree on a jump
_LEAST: Final = 8  # objects that agree; fewer do so by chance
_STAY: Final = 0.4  # of those who agree are found at their place as well: then nothing jumped
_NEIGHBORS: Final = 48
_VOTERS: Final = 1000  # objects of a frame, for speed

Floats = npt.NDArray[np.float64]


def find_jumps(sides: list[Side], reach: float) -> list[Floats] | None:
    """Say of every frame how far all of its objects have moved together.

    Parameters
    ----------
    sides : list of Side
        Objects of each frame, lengths in object widths.
    reach : float
        Farthest step that is looked for.

    Returns
    -------
    list of ndarray of float64, shape (d,), or None
        For each frame from where its objects are back to where they were, 0 where nothing jumped; None if that is so in
        all frames.
    """
    back = [np.zeros(sides[0].places.shape[1])] if sides else []
    for before, here in pairwise(sides):
        back.append(-_jump(before, here, reach))
    return back if any(step.any() for step in back) else None


def _jump(before: Side, here: Side, reach: float) -> Floats:
    nothing = np.zeros(before.places.shape[1])
    fewer = min(len(before.areas), len(here.areas))
    if fewer < _LEAST or _agree(before, here, nothing) >= _STAY * fewer:
        return nothing
    some = here.take(np.linspace(0, len(here.areas) - 1, min(len(here.areas), _VOTERS)).astype(np.int64))
    pairs = near(before, some, reach, (np.zeros(0, np.int64),) * 3, _NEIGHBORS)
    like = np.abs(np.log2(some.areas[pairs.children] / before.areas[pairs.parents])) < _ALIKE
    steps = (some.places[pairs.children] - before.places[pairs.parents])[like]
    if not len(steps):
        return nothing
    votes = KDTree(steps)
    best = steps[int(votes.query_ball_point(steps, _SAME, return_length=True).argmax())]
    step = np.asarray(np.median(steps[votes.query_ball_point(best, _SAME)], axis=0))
    agreed = _agree(before, here, step)
    # Who leaves the picture, or has just come in, cannot agree.
    low, high = (limit(np.concatenate([before.places, here.places]), axis=0) for limit in (np.min, np.max))
    left = int((((before.places + step >= low) & (before.places + step <= high)).all(axis=1)).sum())
    clear = agreed >= max(_LEAST, _MOST * min(left, fewer)) and _agree(before, here, nothing) <= _STAY * agreed
    return step if clear else nothing


def _agree(before: Side, here: Side, step: Floats) -> int:
    """Count the objects that are found a step from where one like them was."""
    far, found = KDTree(before.places + step).query(here.places, distance_upper_bound=_SAME)
    there = np.flatnonzero(np.isfinite(far))
    like = np.abs(np.log2(here.areas[there] / before.areas[found[there]])) < _ALIKE
    return len(np.unique(found[there][like]))
