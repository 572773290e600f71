"""How many pixels each pair of objects of two label images has in common, counted window by window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .errors import ImageError
from .windows import Reader, windows

__all__ = ["Overlaps", "Shared", "Triples", "flat_labels", "overlaps", "runs"]

_MOST_PARTS: Final = 1 << 20

Ints = npt.NDArray[np.int64]
# Labels of both images and pixels. Labels as unsigned numbers: background is the least of them.
Triples = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], Ints]


@dataclass(frozen=True)
class Overlaps:
    """The sparse contingency table of two label images, without background.

    Attributes
    ----------
    true, guess : ndarray of int64, shape (n,)
        Numbers of two objects that share pixels, each from 0 in the order of labels; ordered by `true`, then `guess`.
    shared : ndarray of int64, shape (n,)
        Pixels in common.
    true_sizes, guess_sizes : ndarray of int64, shapes (m,) and (k,)
        Pixels of every object.
    """

    true: Ints
    guess: Ints
    shared: Ints
    true_sizes: Ints
    guess_sizes: Ints


class Shared:
    """Counts the pixels that labels share, part by part; memory is needed for the pairs, not for the pixels."""

    def __init__(self) -> None:
        self._parts: list[Triples] = []
        self._number, self._limit = 0, _MOST_PARTS

    def add(self, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> None:
        """Add pixels.

        Parameters
        ----------
        one, other : ndarray, shape (n,)
            Labels of the same pixels; see :func:`flat_labels`.
        """
        self.join(runs(one, other))

    def join(self, pairs: Triples) -> None:
        """Add pixels that are counted already.

        Parameters
        ----------
        pairs : tuple of ndarray
            As :meth:`pairs` returns them.
        """
        self._parts.append(pairs)
        self._number += len(pairs[0])
        if self._number > self._limit:
            self._parts = [_merged(self._parts)]
            self._number = len(self._parts[0][0])
            self._limit = _MOST_PARTS + self._number

    def pairs(self) -> Triples:
        """Return what was counted: see :func:`runs`."""
        if not self._parts:
            return np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64)
        self._parts = [_merged(self._parts)]
        return self._parts[0]


def overlaps(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Overlaps:
    """Count the pixels that objects share.

    Parameters
    ----------
    truth, predicted : array-like of int
        Labels of equal shape; zarr and dask arrays are read window by window.

    Returns
    -------
    Overlaps
        Of all objects.

    Raises
    ------
    ImageError
        If the shapes differ or the values are not labels.
    """
    true, guess = (_reader(*pair) for pair in ((truth, "true labels"), (predicted, "predicted labels")))
    if true.shape != guess.shape:
        raise ImageError(
            f"The true labels have the shape {true.shape}, the predicted ones {guess.shape}. "
            "Compare labels of the same image at the same resolution."
        )
    shared = Shared()
    for window in windows(true.shape):
        shared.add(flat_labels(true.read(window), true.name), flat_labels(guess.read(window), guess.name))
    a, b, pixels = shared.pairs()
    both = (a > 0) & (b > 0)
    (row, true_sizes), (column, guess_sizes) = _compact(a, pixels), _compact(b, pixels)
    return Overlaps(row[both], column[both], pixels[both], true_sizes, guess_sizes)


def _reader(values: Any, name: str) -> Reader:
    data = values if hasattr(values, "shape") and hasattr(values, "dtype") else np.asarray(values)
    if data.dtype.kind not in "buif" or 0 in data.shape:
        raise _noflat_labels(name, data)
    return Reader(data, name)


def _noflat_labels(name: str, data: Any) -> ImageError:
    return ImageError(
        f"The {name} must be whole numbers in a non-empty array; these have the type {data.dtype} and "
        f"the shape {tuple(data.shape)}. Give one number to each object and 0 to the background."
    )


def flat_labels(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Check that values are labels, and flatten them.

    Parameters
    ----------
    values : ndarray
        Of any shape.
    name : str
        What they are, for the user.

    Returns
    -------
    ndarray, shape (n,)
        Whole numbers from 0.

    Raises
    ------
    ImageError
        If they are no labels.
    """
    kind = values.dtype.kind
    if kind == "f":
        if not (np.isfinite(values).all() and (values == np.rint(values)).all()):
            raise _noflat_labels(name, values)
        values = values.astype(np.int64)
    if kind in "if" and values.min() < 0:
        raise ImageError(f"The {name} hold negative numbers. Use 0 for background and numbers from 1 up.")
    return values.reshape(-1)


def runs(true: npt.NDArray[Any], guess: npt.NDArray[Any]) -> Triples:
    """List the pairs of labels of pixels, and how many pixels have each; background with background is left out.

    Parameters
    ----------
    true, guess : ndarray, shape (n,)
        Labels of the same pixels.

    Returns
    -------
    tuple of ndarray
        Labels of the first and of the second, and pixels; ordered by the first, then the second.
    """
    # By stretches of pixels in which neither label changes: far fewer than pixels.
    changes = np.flatnonzero((true[1:] != true[:-1]) | (guess[1:] != guess[:-1])) + 1
    starts = np.concatenate([[0], changes])
    a, b = true[starts].astype(np.uint64), guess[starts].astype(np.uint64)
    pixels = np.diff(starts, append=len(true))
    some = (a > 0) | (b > 0)
    return _merged([(a[some], b[some], pixels[some])])


def _merged(parts: list[Triples]) -> Triples:
    """Sort pairs and add up those that are the same."""
    a, b, pixels = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((b, a))
    a, b, pixels = a[order], b[order], pixels[order]
    first = np.ones(len(a), np.bool_)
    first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    starts = np.flatnonzero(first)
    return a[starts], b[starts], np.add.reduceat(pixels, starts) if len(starts) else pixels


def _compact(labels: npt.NDArray[np.uint64], pixels: Ints) -> tuple[Ints, Ints]:
    """Return numbers of labels from 0 (background is -1), and the pixels of each."""
    ids, which = np.unique(np.concatenate([np.zeros(1, np.uint64), labels]), return_inverse=True)
    sizes = np.zeros(len(ids), np.int64)
    np.add.at(sizes, which[1:], pixels)
    return which[1:] - 1, sizes[1:]
