"""Distances of surfaces, class by class: the 95 % Hausdorff distance and the normalized surface Dice.

Scores are means over cases. A case counts for a class if truth or prediction has it; where only one has, the distance
is the diagonal of the image, the worst there can be, and the surface Dice is 0.
"""

from __future__ import annotations

import math
from typing import Final

from ._cases import Case, Labels, pool_cases
from ._distances import hausdorff95, surface_dice
from ._pool import Pool, flatten

__all__ = ["SCALED", "Pool", "count", "scores"]

SCALED: Final = True  # wants to know the size of pixels

_PERFECT: Final = {"hd95": 0.0, "nsd": 1.0}


def count(truth: Labels, predicted: Labels, tolerance: float = 1.0, nested: bool = False) -> Pool:
    """Compare the surfaces of two maps of classes.

    Parameters
    ----------
    truth, predicted : Image or array-like
        Booleans or whole numbers up to 255 of equal shape; 0 is background.
    tolerance : float
        Of the surface Dice: in millimeters if the units are lengths, else in the units of the image.
    nested : bool
        Whether classes lie within each other (whole tumor, core): each counts with all that have higher numbers.

    Returns
    -------
    Pool
        Of this image; each time point is a case.

    Raises
    ------
    ImageError, AxesError
        If they are no maps of classes or do not fit together.
    SpecError
        If the tolerance is negative.
    """
    return pool_cases(truth, predicted, _one, nested, tolerance=tolerance)


def scores(counts: Pool) -> dict[str, float]:
    """Turn counts into scores.

    Parameters
    ----------
    counts : Pool
        Of one image or the sum over many.

    Returns
    -------
    dict of str to float
        ``hd95``, in millimeters if the units are lengths, and ``nsd``, 0 to 1. With several classes these are means
        over them, and each class has its own with its number appended (``hd95_2``).
    """
    return flatten({kind: counts.means(kind) for kind in counts.classes}, _PERFECT)


def _one(case: Case, tolerance: float) -> Pool:
    found = {}
    for kind in case.classes:
        true, guess = case.masks(kind)
        apart = hausdorff95(true, guess, case.spacing)
        nsd = surface_dice(true, guess, case.spacing, tolerance)
        found[kind] = {"hd95": apart if math.isfinite(apart) else case.diagonal, "nsd": nsd}
    return Pool.of(found)
