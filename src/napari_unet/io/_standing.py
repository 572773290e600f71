"""From stored arrays to upright ones and back: turned and mirrored, never interpolated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.anatomy import Anatomy, stand_up
from ..core.axes import Image
from ..core.lengths import millimeters

__all__ = ["flips", "lay", "stand"]


def flips(anatomy: Anatomy) -> tuple[Any, ...]:
    """Return the slices that mirror z, y and x as they are mirrored."""
    return tuple(slice(None, None, -1 if mirrored else 1) for mirrored in anatomy.mirrored)


def stand(planes: Any, anatomy: Anatomy) -> Any:
    """Turn an array of planes upright.

    Parameters
    ----------
    planes : array-like
        Axes ``(plane, row, column)``, and colors perhaps.
    anatomy : Anatomy
        Of the stored array ``(column, row, plane)``.

    Returns
    -------
    array-like
        A view: axes ``zyx``, and colors.
    """
    where = [2 - axis for axis in anatomy.order]
    return planes.transpose([*where, *range(3, planes.ndim)])[flips(anatomy)]


def lay(labels: Image) -> tuple[npt.NDArray[Any], Anatomy]:
    """Bring the values of an image into the order in which its source was stored.

    Parameters
    ----------
    labels : Image
        Without channels. One without an anatomy is taken to stand as all images do.

    Returns
    -------
    values : ndarray
        Axes ``(i, j, k)``, or ``(i, j, k, t)`` for a movie.
    anatomy : Anatomy
        Its own, or one made of its scale.
    """
    anatomy = labels.anatomy or _plain_anatomy(labels)
    values = np.asarray(labels.data[(slice(None),) * len(labels.axes)])
    values = values.transpose([labels.axes.index(a) for a in "tzyx" if a in labels.axes])
    if "z" not in labels.axes:
        values = np.expand_dims(values, -3)
    values = values[(..., *flips(anatomy))]
    lead = values.ndim - 3
    where = [lead + anatomy.order.index(axis) for axis in range(3)]
    return values.transpose([*where, *range(lead)]), anatomy


def _or_one(factor: float) -> float:
    return 1.0 if math.isnan(factor) else factor


def _plain_anatomy(image: Image) -> Anatomy:
    """Return where an image lies that says only how large its pixels are: as all images stand, from the origin."""
    sizes = []
    for axis in "xyz":
        _, scale, units = image.along(axis) if axis in image.axes else ((), (1.0,), ("pixel",))
        sizes.append(scale[0] * _or_one(millimeters(units[0])))
    shape = tuple(image.along(a)[0][0] if a in image.axes else 1 for a in "xyz")
    return stand_up(np.diag([*sizes, 1.0]), shape)
