"""Overlap and volume of classes: Dice (1945), intersection over union (Jaccard 1912), and the error of the volume.

Scores are means over cases, as for patients, not over pixels. A case counts for a class if truth or prediction has it:
what is invented scores 0, what neither has is left out, as in nnU-Net.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ._cases import Case, Labels, pool_cases
from ._pool import Pool, flatten

__all__ = ["SCALED", "Pool", "count", "scores"]

SCALED: Final = True  # wants to know the size of pixels

_PERFECT: Final = {"dice": 1.0, "iou": 1.0}


def count(truth: Labels, predicted: Labels, nested: bool = False) -> Pool:
    """Compare two maps of classes.

    Parameters
    ----------
    truth, predicted : Image or array-like
        Booleans or whole numbers up to 255 of equal shape; 0 is background.
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
    """
    return pool_cases(truth, predicted, _one, nested)


def scores(counts: Pool) -> dict[str, float]:
    """Turn counts into scores.

    Parameters
    ----------
    counts : Pool
        Of one image or the sum over many.

    Returns
    -------
    dict of str to float
        ``dice`` and ``iou``, 0 to 1; ``volume_error``, the mean of the absolute difference of the volumes, and
        ``volume_bias``, of predicted minus true, both in milliliters if the units are lengths in 3D (else in square
        millimeters, in the units of the image, or in pixels); ``volume_error_percent`` of the true volume, where there
        is one. With several classes these are means over them, and each class has its own with its number appended
        (``dice_2``). Empty truth with empty prediction everywhere scores 1.
    """
    return flatten({kind: counts.means(kind) for kind in counts.classes}, _PERFECT)


def _one(case: Case) -> Pool:
    # Both classes in one number, so that one pass counts all pairs of them.
    pairs = np.zeros(65536, np.int64)
    for true, guess in zip(case.truth, case.predicted, strict=True):
        pairs += np.bincount(true.ravel().astype(np.uint16) * 256 + guess.ravel(), minlength=65536)
    table = pairs.reshape(256, 256)
    if case.nested:
        table = table[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
        sums = {k: (table[k, k], table[k, 0], table[0, k]) for k in case.classes}
    else:
        sums = {k: (table[k, k], table[k].sum(), table[:, k].sum()) for k in case.classes}
    return Pool.of({kind: _scores(case, *(int(n) for n in own)) for kind, own in sums.items()})


def _scores(case: Case, both: int, true: int, guess: int) -> dict[str, float]:
    """Return the scores of a class from its pixels in both, in the truth and in the prediction."""
    element = math.prod(case.spacing) if math.isnan(case.milliliters) else case.milliliters
    error = (guess - true) * element
    return {
        "dice": 2 * both / (true + guess),
        "iou": both / (true + guess - both),
        "volume_error": abs(error),
        "volume_bias": error,
        "volume_error_percent": 100 * abs(guess - true) / true if true else math.nan,
    }
