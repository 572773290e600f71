"""Agreement of two label images, object by object.

Each true object is matched to at most one predicted object and each predicted object to at most one true object;
a match needs an intersection over union (IoU) of at least the threshold. From the matched (tp), spurious (fp) and
missed (fn) objects follow the average precision of the 2018 Data Science Bowl, ``AP = tp / (tp + fp + fn)``
(Caicedo et al., Nature Methods 2019; Schmidt et al., MICCAI 2018), and the panoptic quality ``PQ = SQ * RQ``
(Kirillov et al., CVPR 2019, eq. 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_unet.core.errors import SpecError
from napari_unet.core.overlaps import overlaps

__all__ = ["THRESHOLDS", "Counts", "count", "scores"]

# Rounded, so that an IoU of exactly 3/4 reaches the threshold 0.75.
THRESHOLDS: Final[tuple[float, ...]] = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Matched, spurious and missed objects; add those of several images to pool them.

    Attributes
    ----------
    thresholds : tuple of float
        Smallest IoU of a match.
    tp, fp, fn : tuple of int
        Matched, spurious and missed objects at each threshold.
    iou : tuple of float
        Sum of the IoU of the matched objects at each threshold.
    images : int
        Number of images that were counted.
    """

    thresholds: tuple[float, ...] = THRESHOLDS
    tp: tuple[int, ...] = (0,) * len(THRESHOLDS)
    fp: tuple[int, ...] = (0,) * len(THRESHOLDS)
    fn: tuple[int, ...] = (0,) * len(THRESHOLDS)
    iou: tuple[float, ...] = (0.0,) * len(THRESHOLDS)
    images: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Pool the objects of two sets of images.

        Parameters
        ----------
        other : Counts
            Counted at the same thresholds.

        Returns
        -------
        Counts
            The sums.

        Raises
        ------
        SpecError
            If the thresholds differ.
        """
        if self.thresholds != other.thresholds:
            raise SpecError(
                f"Counts at the thresholds {self.thresholds} and {other.thresholds} cannot be added. "
                "Count all images at the same thresholds."
            )
        return Counts(
            self.thresholds,
            tuple(a + b for a, b in zip(self.tp, other.tp, strict=True)),
            tuple(a + b for a, b in zip(self.fp, other.fp, strict=True)),
            tuple(a + b for a, b in zip(self.fn, other.fn, strict=True)),
            tuple(a + b for a, b in zip(self.iou, other.iou, strict=True)),
            self.images + other.images,
        )


def count(truth: npt.ArrayLike, predicted: npt.ArrayLike, thresholds: Sequence[float] = THRESHOLDS) -> Counts:
    """Match the objects of two label images.

    Parameters
    ----------
    truth, predicted : array-like of int
        Labels of any, but equal, shape; 0 is background. Touching or separate pixels of one value are one object.
        zarr and dask arrays are read window by window: memory is needed for the objects, not for the pixels.
    thresholds : sequence of float
        Smallest IoU of a match, above 0 and at most 1.

    Returns
    -------
    Counts
        Of this one image.

    Raises
    ------
    ImageError
        If the shapes differ or the values are not labels.
    SpecError
        If a threshold is out of range or there is none.
    """
    levels = tuple(float(t) for t in thresholds)
    if not levels or not all(0 < t <= 1 for t in levels):
        raise SpecError(f"IoU thresholds must be above 0 and at most 1, got {levels}.")
    found = overlaps(truth, predicted)
    iou = found.shared / (found.true_sizes[found.true] + found.guess_sizes[found.guess] - found.shared)
    tp, total = [], []
    for level in levels:
        good = iou >= level
        matched = _match(found.true[good], found.guess[good], iou[good])
        tp.append(len(matched))
        total.append(float(matched.sum()))
    n_true, n_guess = len(found.true_sizes), len(found.guess_sizes)
    return Counts(
        levels, tuple(tp), tuple(n_guess - n for n in tp), tuple(n_true - n for n in tp), tuple(total), images=1
    )


def scores(counts: Counts) -> dict[str, float]:
    """Turn counts into scores from 0 to 1.

    By convention an empty truth with an empty prediction scores 1, and everything else without a match scores 0.

    Parameters
    ----------
    counts : Counts
        Of one image or the sum over many; must hold the threshold 0.5.

    Returns
    -------
    dict of str to float
        ``AP50``; ``AP75`` (if counted); ``mAP``, the mean of AP over all counted thresholds (0.5 to 0.95 in steps of
        0.05 by default); ``F1_50``, ``precision_50``, ``recall_50``; ``PQ``, ``SQ``, ``RQ`` and ``mean_matched_iou``
        at 0.5 (SQ is the mean IoU of the matched objects, RQ is F1).

    Raises
    ------
    SpecError
        If the threshold 0.5 was not counted.
    """
    if 0.5 not in counts.thresholds:
        raise SpecError(f"The scores need the IoU threshold 0.5; counted were {counts.thresholds}.")
    triples = list(zip(counts.tp, counts.fp, counts.fn, strict=True))
    precision = [_share(tp, tp + fp + fn, tp + fp + fn) for tp, fp, fn in triples]
    half = counts.thresholds.index(0.5)
    tp, fp, fn = triples[half]
    everything = tp + fp + fn
    recognition = _share(2 * tp, 2 * tp + fp + fn, everything)
    quality = _share(counts.iou[half], tp, everything)
    found = {"AP50": precision[half]}
    if 0.75 in counts.thresholds:
        found["AP75"] = precision[counts.thresholds.index(0.75)]
    return found | {
        "mAP": sum(precision) / len(precision),
        "F1_50": recognition,
        "precision_50": _share(tp, tp + fp, everything),
        "recall_50": _share(tp, tp + fn, everything),
        "PQ": quality * recognition,
        "SQ": quality,
        "RQ": recognition,
        "mean_matched_iou": quality,
    }


def _share(part: float, whole: float, everything: int) -> float:
    if not everything:
        return 1.0
    return part / whole if whole else 0.0


def _match(row: Ints, column: Ints, iou: Floats) -> Floats:
    """Match one to one: as many as possible, then with the highest sum of IoU. Returns the IoU of the matches."""
    if not row.size:
        return iou
    rivals = (np.bincount(row)[row] > 1) | (np.bincount(column)[column] > 1)
    if not rivals.any():
        return iou
    # Above 0.5 a pair has no rival; at or below, each cluster of rivals is a small assignment problem.
    matched = [iou[~rivals]]
    row, column, iou = row[rivals], column[rivals], iou[rivals]
    nodes, first = int(row.max()) + 1, np.ones(len(row))
    edges = coo_array((first, (row, column + nodes)), shape=(nodes + int(column.max()) + 1,) * 2)
    cluster = connected_components(edges, directed=False)[1][row]
    order = np.argsort(cluster, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(cluster[order])) + 1):
        rows, r = np.unique(row[part], return_inverse=True)
        columns, c = np.unique(column[part], return_inverse=True)
        gain = np.zeros((len(rows), len(columns)))
        # One more match always outweighs any sum of IoU.
        gain[r, c] = 1 + iou[part] / (2 * min(gain.shape))
        values = np.zeros_like(gain)
        values[r, c] = iou[part]
        best = values[linear_sum_assignment(gain, maximize=True)]
        matched.append(best[best > 0])
    return np.concatenate(matched)
