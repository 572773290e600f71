"""How many pixels each pair of objects of two label images has in common, counted window by window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.errors import ImageError
from napari_unet.core.windows import Reader, windows

__all__ = ["Overlaps", "overlaps"]

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
    parts: list[Triples] = []
    number, limit = 0, _MOST_PARTS
    for window in windows(true.shape):
        parts.append(_runs(_labels(true.read(window), true.name), _labels(guess.read(window), guess.name)))
        number += len(parts[-1][0])
        if number > limit:
            parts = [_merged(parts)]
            number = len(parts[0][0])
            limit = _MOST_PARTS + number
    a, b, pixels = _merged(parts)
    both = (a > 0) & (b > 0)
    (row, true_sizes), (column, guess_sizes) = _compact(a, pixels), _compact(b, pixels)
    return Overlaps(row[both], column[both], pixels[both], true_sizes, guess_sizes)


def _reader(values: Any, name: str) -> Reader:
    data = values if hasattr(values, "shape") and hasattr(values, "dtype") else np.asarray(values)
    if data.dtype.kind not in "buif" or 0 in data.shape:
        raise _no_labels(name, data)
    return Reader(data, name)


def _no_labels(name: str, data: Any) -> ImageError:
    return ImageError(
        f"The {name} must be whole numbers in a non-empty array; these have the type {data.dtype} and "
        f"the shape {tuple(data.shape)}. Give one number to each object and 0 to the background."
    )


def _labels(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Check that values are labels, and flatten them."""
    kind = values.dtype.kind
    if kind == "f":
        if not (np.isfinite(values).all() and (values == np.rint(values)).all()):
            raise _no_labels(name, values)
        values = values.astype(np.int64)
    if kind in "if" and values.min() < 0:
        raise ImageError(f"The {name} hold negative numbers. Use 0 for background and numbers from 1 up.")
    return values.reshape(-1)


def _runs(true: npt.NDArray[Any], guess: npt.NDArray[Any]) -> Triples:
    """List stretches of pixels in which neither label changes: far fewer than pixels."""
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
