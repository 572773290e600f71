"""Maps of classes to compare: one case an image and time point, in millimeters where the units are lengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.anatomy import check_grid
from napari_unet.core.axes import AXES, Image, as_image
from napari_unet.core.classes import as_classes
from napari_unet.core.errors import AxesError, ImageError, SpecError
from napari_unet.core.lengths import milliliters, millimeters

from ._pool import Pool

__all__ = ["Case", "Labels", "cases", "crop", "pool_cases"]

Labels = Image | npt.ArrayLike
Mask = npt.NDArray[np.bool_]

_ADVICE: Final = "compare foreground with background only: --binary, or binary=True"


@dataclass(frozen=True)
class Case:
    """True and predicted classes of one image at one time.

    Attributes
    ----------
    truth, predicted : ndarray of uint8, shape (y, x) or (z, y, x)
        Classes, 0 for background.
    spacing : tuple of float
        Size of a pixel along each axis: in millimeters if the units are lengths, else in the units of the image.
    milliliters : float
        Of a voxel; NaN in 2D or where the units are no lengths.
    nested : bool
        Whether classes lie within each other: all that has the number of a class or a higher one is of it.
    """

    truth: npt.NDArray[np.uint8]
    predicted: npt.NDArray[np.uint8]
    spacing: tuple[float, ...]
    milliliters: float
    nested: bool = False

    @property
    def classes(self) -> list[int]:
        """The classes that are in either, sorted."""
        if self.nested:
            return list(range(1, int(max(self.truth.max(), self.predicted.max())) + 1))
        found = np.bincount(self.truth.ravel(), minlength=256) + np.bincount(self.predicted.ravel(), minlength=256)
        return [int(c) for c in np.flatnonzero(found) if c]

    def masks(self, kind: int) -> tuple[Mask, Mask]:
        """Return where the truth and the prediction are of a class."""
        if self.nested:
            return self.truth >= kind, self.predicted >= kind
        return self.truth == kind, self.predicted == kind

    @property
    def diagonal(self) -> float:
        """The longest distance within the image."""
        return math.hypot(*(n * step for n, step in zip(self.truth.shape, self.spacing, strict=True)))


def cases(truth: Labels, predicted: Labels, nested: bool = False) -> Iterator[Case]:
    """Pair two maps of classes.

    Parameters
    ----------
    truth, predicted : Image or array-like
        Booleans or whole numbers up to 255; arrays without axes have pixels of size 1. Spacing and units are those of
        the truth, if it has any.
    nested : bool
        Whether classes lie within each other.

    Yields
    ------
    Case
        One for each time point, loaded as a whole.

    Raises
    ------
    ImageError
        If the shapes or spacings differ or the values are no classes.
    AxesError
        If the axes differ, or there are channels.
    """
    true, guess = (_image(*pair) for pair in ((truth, "true labels"), (predicted, "predicted labels")))
    if isinstance(predicted, Image) and not isinstance(truth, Image):
        true = Image(true.data, guess.axes, guess.scale, guess.units, true.name) if true.shape == guess.shape else true
    _check(true, guess)
    axes = [a for a in AXES if a in true.axes]
    space = "".join(a for a in axes if a in "zyx")
    _, scale, units = true.along(space)
    lengths = [step * millimeters(unit) for step, unit in zip(scale, units, strict=True)]
    spacing = scale if any(map(math.isnan, lengths)) else tuple(lengths)
    frames = [
        as_classes(np.asarray(one.data), one.name, _ADVICE)
        .transpose([one.axes.index(a) for a in axes])
        .reshape(-1, *one.along(space)[0])
        for one in (true, guess)
    ]
    for a, b in zip(*frames, strict=True):
        yield Case(a, b, spacing, milliliters(true), nested)


def pool_cases(
    truth: Labels, predicted: Labels, judge: Callable[..., Pool], nested: bool, **numbers: float | None
) -> Pool:
    """Check what is compared and how, and add up what is said of every case: the one door of metrics of classes.

    Parameters
    ----------
    truth, predicted : Image or array-like
        See :func:`cases`.
    judge : callable
        Says of a :class:`Case`, given the numbers by name, what its scores are.
    nested : bool
        Whether classes lie within each other.
    **numbers : float or None
        Settings, 0 or more; None is left to `judge`.

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
    wrong = {name: value for name, value in numbers.items() if value is not None and not value >= 0}
    for name, value in wrong.items():
        raise SpecError(f"The setting '{name}' must be 0 or more, not {value}. Give another value, or leave it out.")
    return reduce(Pool.__add__, (judge(case, **numbers) for case in cases(truth, predicted, nested)))


def crop(*masks: Mask, margin: tuple[int, ...] | int = 1) -> list[Mask]:
    """Cut masks of one shape to the box around all of them, with a margin of background on every side."""
    either = np.logical_or.reduce(masks)
    box = []
    for axis in range(either.ndim):
        held = np.flatnonzero(either.any(axis=tuple(k for k in range(either.ndim) if k != axis)))
        box.append(slice(int(held[0]), int(held[-1]) + 1) if len(held) else slice(0, 0))
    wide = (margin,) * either.ndim if isinstance(margin, int) else margin
    return [np.pad(mask[tuple(box)], [(m, m) for m in wide]) for mask in masks]


def _image(labels: Any, name: str) -> Image:
    if isinstance(labels, Image):
        return labels
    data = labels if hasattr(labels, "shape") and hasattr(labels, "dtype") else np.asarray(labels)
    # Three planes of bytes are no colors here.
    axes = {2: "yx", 3: "zyx"}.get(len(data.shape))
    return as_image(data, axes, name=name)


def _check(true: Image, guess: Image) -> None:
    if true.channels > 1 or guess.channels > 1 or sorted(true.axes) != sorted(guess.axes):
        raise AxesError(f"The axes of the labels are {true.axes} and {guess.axes}; give two images of the same axes.")
    (shape, scale, units), (other, steps, named) = true.along(true.axes), guess.along(true.axes)
    if shape != other:
        raise ImageError(
            f"The true labels have the shape {shape}, the predicted ones {other}. "
            "Compare labels of the same image at the same resolution."
        )
    check_grid(guess, true)
    if units == named and "pixel" not in units and not np.allclose(scale, steps, rtol=1e-3):
        raise ImageError(
            f"The pixels of the true labels have the size {scale}, of the predicted ones {steps}. "
            "Compare labels on the same grid: resample one of them first."
        )
