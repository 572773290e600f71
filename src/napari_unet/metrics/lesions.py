"""Scores lesion by lesion, by the rules of BraTS 2023.

True lesions that touch when each is grown by 3 mm are one. Whatever is predicted and meets a grown lesion belongs to
it, and its Dice and distance are those of all of that together. Predictions that meet none are invented, and count as
lesions with a Dice of 0 and the worst distance. True lesions of at most 50 mm³ are not asked for, and what is predicted
there is not held against anybody (Saluja et al., https://github.com/rachitsaluja/BraTS-2023-Metrics). On voxels of 1 mm
a lesion is grown as it is there; on others as far in millimeters.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ._cases import Case, Labels, crop, pool_cases
from ._distances import hausdorff95
from ._pool import Pool, flatten

__all__ = ["SCALED", "Pool", "count", "scores"]

SCALED: Final = True  # wants to know the size of pixels

_PERFECT: Final = {
    "lesion_dice": 1.0, "lesion_hd95": 0.0, "lesion_sensitivity": 1.0, "lesion_precision": 1.0, "lesion_f1": 1.0,
    "lesions_found": 0.0, "lesions_missed": 0.0, "lesions_invented": 0.0,
}  # fmt: skip

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]


def count(
    truth: Labels,
    predicted: Labels,
    grow: float = 3.0,
    smallest: float | None = None,
    penalty: float | None = None,
    nested: bool = False,
) -> Pool:
    """Compare the lesions of two maps of classes; connected pieces of a class are lesions.

    Parameters
    ----------
    truth, predicted : Image or array-like
        Booleans or whole numbers up to 255 of equal shape; 0 is background.
    grow : float
        How far lesions are grown: in millimeters if the units are lengths, else in the units of the image. BraTS takes
        3 for gliomas, 1 for meningiomas and metastases.
    smallest : float, optional
        True lesions of at most this volume (2D: area) are not asked for; 50 in 3D (BraTS; 2 for metastases) and 0 in 2D
        if not given.
    penalty : float, optional
        Distance of a lesion that was missed or invented; the diagonal of the image if not given (BraTS: 374).
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
        If a number is negative.
    """
    return pool_cases(truth, predicted, _one, nested, grow=grow, smallest=smallest, penalty=penalty)


def scores(counts: Pool) -> dict[str, float]:
    """Turn counts into scores.

    Parameters
    ----------
    counts : Pool
        Of one image or the sum over many.

    Returns
    -------
    dict of str to float
        ``lesion_dice`` and ``lesion_hd95``: means over the lesions of a case, invented ones included, then over all
        cases, where a case without lesions that was left empty scores 1 and 0; ``lesions_found``, ``_missed`` and
        ``_invented``, numbers, and from them ``lesion_sensitivity``, ``lesion_precision`` and ``lesion_f1`` over all
        lesions together. With several classes these are means over them, and each class has its own with its number
        appended (``lesion_dice_2``).
    """
    return flatten({kind: _scores(counts, kind) for kind in counts.classes}, _PERFECT)


def _scores(counts: Pool, kind: int) -> dict[str, float]:
    own = counts.classes[kind]
    found, missed, invented = (own[f"lesions_{name}"][0] for name in ("found", "missed", "invented"))
    # Cases that have nothing of this class, and where nothing was found, are right.
    absent = counts.cases - own["lesion_dice"][1]
    return {
        "lesion_dice": (own["lesion_dice"][0] + absent) / counts.cases,
        "lesion_hd95": own["lesion_hd95"][0] / counts.cases,
        "lesion_sensitivity": _share(found, found + missed),
        "lesion_precision": _share(found, found + invented),
        "lesion_f1": _share(2 * found, 2 * found + missed + invented),
        "lesions_found": found,
        "lesions_missed": missed,
        "lesions_invented": invented,
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _one(case: Case, grow: float, smallest: float | None, penalty: float | None) -> Pool:
    least = smallest if smallest is not None else 50.0 if case.truth.ndim == 3 else 0.0
    worst = case.diagonal if penalty is None else penalty
    element, steps = math.prod(case.spacing), _steps(case.spacing, grow)
    found = {}
    for kind in case.classes:
        lesions, invented = _lesions(*case.masks(kind), case.spacing, steps)
        asked = [lesion for lesion in lesions if lesion.pixels * element > least]
        count = len(asked) + invented
        distances = [lesion.distance if math.isfinite(lesion.distance) else worst for lesion in asked]
        hits = sum(lesion.found for lesion in asked)
        found[kind] = {
            "lesion_dice": math.fsum(lesion.dice for lesion in asked) / count if count else 1.0,
            "lesion_hd95": (math.fsum(distances) + invented * worst) / count if count else 0.0,
            "lesions_found": hits,
            "lesions_missed": len(asked) - hits,
            "lesions_invented": invented,
        }
    return Pool.of(found)


@dataclass(frozen=True)
class _Lesion:
    pixels: int
    found: bool
    dice: float
    distance: float


def _steps(spacing: tuple[float, ...], grow: float) -> Offsets:
    """List where a lesion grows to: what BraTS's 18 neighbors reach in as many steps as there are millimeters."""
    reach = [range(-n, n + 1) for n in (int(grow / step + 1e-9) for step in spacing)]
    steps = np.array(list(itertools.product(*reach)))
    lengths = np.abs(steps) * spacing
    near = (lengths.sum(axis=1) <= 2 * grow + 1e-9) & (lengths.max(axis=1) <= grow + 1e-9)
    return np.asarray(steps[near], np.int64)


def _grown(mask: Mask, steps: Offsets) -> Mask:
    """Grow a mask that has a margin as wide as it grows; only its rim can reach what it does not hold."""
    grown = mask.copy()
    rim = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    for step in steps:
        grown[tuple((rim + step).T)] = True
    return grown


def _lesions(truth: Mask, guess: Mask, spacing: tuple[float, ...], steps: Offsets) -> tuple[list[_Lesion], int]:
    """Judge every true lesion, and count the predictions that belong to none."""
    margin = tuple((steps.max(axis=0) + 1).tolist())
    truth, guess = crop(truth, guess, margin=margin)
    corners = np.ones((3,) * truth.ndim, np.bool_)
    together = ndimage.label(_grown(truth, steps), corners)[0] * truth
    pieces, number = ndimage.label(guess, corners)
    sizes, touched = np.bincount(pieces.ravel(), minlength=number + 1), np.zeros(number + 1, np.bool_)
    boxes = ndimage.find_objects(pieces)
    found = []
    for own, box in _boxes(together, margin):
        solid = together[box] == own
        hits = np.unique(pieces[box][_grown(solid, steps)])
        hits = hits[hits > 0]
        touched[hits] = True
        pixels, shared = int(solid.sum()), int(np.isin(pieces[box][solid], hits).sum()) if len(hits) else 0
        apart = math.inf
        if len(hits):
            whole = _around([box, *(boxes[k - 1] for k in hits)])
            apart = hausdorff95(together[whole] == own, np.isin(pieces[whole], hits), spacing)
        found.append(_Lesion(pixels, len(hits) > 0, 2 * shared / (pixels + int(sizes[hits].sum())), apart))
    return found, int(number - touched.sum())


def _boxes(labels: Ints, margin: tuple[int, ...]) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Return each label with the box around it and its margin, which lies within the array."""
    for own, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            yield own, tuple(slice(part.start - m, part.stop + m) for part, m in zip(box, margin, strict=True))


def _around(boxes: list[Any]) -> tuple[slice, ...]:
    return tuple(slice(min(p.start for p in parts), max(p.stop for p in parts)) for parts in zip(*boxes, strict=True))
