"""Which true object is which object of the result, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.overlaps import flat_labels, runs
from napari_unet.core.results import Tracks
from napari_unet.core.steps import Progress, Steps

__all__ = ["Matches", "match"]

_LEAST: Final = 0.5  # of the true objects have a mask, or they are of other masks

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Matches:
    """True objects and those that cover them.

    Attributes
    ----------
    guess : ndarray of int64, shape (n,)
        For each node of the truth the node of the result that covers more than half of it, -1 for none.
    iou : ndarray of float64, shape (n,)
        Intersection over union with that one, 0 for none.
    true : ndarray of int64, shape (m,)
        For each node of the result the only node of the truth that it covers; -1 for none, -2 for several.
    """

    guess: Ints
    iou: Floats
    true: Ints


def match(result: tuple[Tracks, Image], truth: tuple[Tracks, Image]) -> Steps[Matches]:
    """Match two sets of masks.

    A true object is found where a mask covers more than half of it (Matula et al. 2015, PLOS ONE 10:e0144959): at most
    one mask can, but a mask may cover several true objects.

    Parameters
    ----------
    result, truth : tuple of Tracks and Image
        Masks with a node each; masks without a node are left out.

    Returns
    -------
    Matches
        Of all frames.

    Yields
    ------
    Progress
        One for every frame.

    Raises
    ------
    ImageError
        If the movies do not have the same shape, or the true tracks are not those of the true masks.
    """
    (found, labels), (true, true_labels) = result, truth
    shapes = [tuple(n for _, n in sorted(zip(i.axes, i.shape, strict=True)) if n > 1) for i in (labels, true_labels)]
    if shapes[0] != shapes[1]:
        raise ImageError(
            f"The result has the shape {labels.shape} ({labels.axes}), the truth {true_labels.shape} "
            f"({true_labels.axes}). Compare tracks of the same movie."
        )
    count = true_labels.shape[true_labels.axes.index("t")]
    guess, iou = np.full(len(true.nodes["t"]), -1, np.int64), np.zeros(len(true.nodes["t"]))
    here, there, masked = _Rows(true), _Rows(found), 0
    for t in range(count):
        yield Progress(t, count, f"Comparing frame {t + 1} of {count}")
        a, b, pixels = runs(_frame(true_labels, t), _frame(labels, t))
        sizes = [_sum(side, pixels) for side in (a, b)]
        masked += int((here.find(t, sizes[0][0]) >= 0).sum())
        both = (a > 0) & (b > 0)
        a, b, pixels = a[both], b[both], pixels[both]
        own, other = _size(sizes[0], a), _size(sizes[1], b)
        row, column = here.find(t, a), there.find(t, b)
        good = (2 * pixels > own) & (row >= 0) & (column >= 0)
        guess[row[good]] = column[good]
        iou[row[good]] = (pixels / (own + other - pixels))[good]
    if masked < _LEAST * len(guess):
        raise ImageError(
            f"Of {len(guess)} objects in the true tracks only {masked} have a mask of their number in the true labels "
            f"'{true_labels.name}': they do not belong together. Take labels that are numbered by track, as in a "
            "folder of the Cell Tracking Challenge, or leave the true tracks out."
        )
    back = np.full(len(found.nodes["t"]), -1, np.int64)
    some = np.flatnonzero(guess >= 0)
    back[guess[some]] = some
    back[np.bincount(guess[some], minlength=len(back)) > 1] = -2
    return Matches(guess, iou, back)


class _Rows:
    """Finds the node of a label in a frame."""

    def __init__(self, tracks: Tracks) -> None:
        time, labels = tracks.nodes["t"].astype(np.int64), tracks.nodes["label"].astype(np.int64)
        self._order = np.lexsort((labels, time))
        self._time, self._labels = time[self._order], labels[self._order]

    def find(self, t: int, labels: npt.NDArray[np.uint64]) -> Ints:
        """Return rows, -1 where there is none."""
        first, last = np.searchsorted(self._time, [t, t + 1])
        if first == last:
            return np.full(len(labels), -1, np.int64)
        known, wanted = self._labels[first:last], labels.astype(np.int64)
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(known[at] == wanted, self._order[first + at], -1)


def _frame(labels: Image, t: int) -> npt.NDArray[Any]:
    """Load a frame, flat, in an order that does not depend on that of the axes."""
    place: list[Any] = [slice(None)] * len(labels.axes)
    place[labels.axes.index("t")] = t
    values = np.asarray(labels.read(tuple(place)))
    left = labels.axes.replace("t", "")
    return flat_labels(values.transpose([left.index(a) for a in "czyx" if a in left]), labels.name)


def _sum(ids: npt.NDArray[np.uint64], pixels: Ints) -> tuple[npt.NDArray[np.uint64], Ints]:
    names, which = np.unique(ids, return_inverse=True)
    return names, np.bincount(which, weights=pixels, minlength=len(names)).astype(np.int64)


def _size(sizes: tuple[npt.NDArray[np.uint64], Ints], ids: npt.NDArray[np.uint64]) -> Ints:
    return sizes[1][np.searchsorted(sizes[0], ids)]
