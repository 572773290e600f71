"""On which planes of an image shapes lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.errors import ImageError

__all__ = ["ALL", "ANYWHERE", "Slice", "on_planes"]

ALL: Final = -1


class Slice(NamedTuple):
    """Where a file says that a shape lies: position in a stack, time point, plane; from 1, or 0 for nothing."""

    position: int = 0
    t: int = 0
    z: int = 0


ANYWHERE: Final = Slice()


def on_planes(slices: Sequence[Slice], like: Image, name: str) -> tuple[str, npt.NDArray[np.int64]]:
    """Find the planes of an image on which shapes lie.

    Parameters
    ----------
    slices : sequence of Slice
        Of each shape. A position counts planes, as ImageJ does, where there is no number for time and depth; it counts
        channels, too (first), where it is too large otherwise.
    like : Image
        The image.
    name : str
        Of the file, for messages.

    Returns
    -------
    axes : str
        Of time and depth, as far as the image has them; empty where no shape says where it lies, or there is one plane.
    index : ndarray of int64, shape (shapes, axes)
        Along these, from 0; ``ALL`` where a shape lies on all of them.

    Raises
    ------
    ImageError
        If a plane is not in the image.
    """
    axes = "".join(a for a in "tz" if a in like.axes)
    sizes = like.along(axes)[0]
    count = math.prod(sizes)
    asked = np.array(slices, np.int64).reshape(-1, 3)
    most = int(asked[:, 0].max(initial=0))
    if most > count * like.channels:
        raise _missing(name, f"slice {most}", like)
    if most > count:
        asked[:, 0] = -(-asked[:, 0] // like.channels)
    if not asked.any() or count == 1:
        if asked[:, 1:].max(initial=0) > 1:
            raise _missing(name, f"plane {asked[:, 1:].max()}", like)
        return "", np.zeros((len(asked), 0), np.int64)
    found = np.full((len(asked), len(axes)), ALL, np.int64)
    stacked = asked[:, 0] > 0
    found[stacked] = np.stack(np.unravel_index(asked[stacked, 0] - 1, sizes), axis=-1)
    own = asked[:, [1 + "tz".index(a) for a in axes]]
    if len(axes) == 1:  # a movie is a stack for some programs, and the other way
        own = np.where(asked[:, 1:].min(1, keepdims=True) <= 1, asked[:, 1:].max(1, keepdims=True), own)
    found = np.where(~stacked[:, None] & (own > 0), own - 1, found)
    for axis, size, column in zip(axes, sizes, found.T, strict=True):
        if column.max(initial=0) >= size:
            raise _missing(name, f"{'time point' if axis == 't' else 'plane'} {column.max() + 1}", like)
    if len(axes) == 1 and (~stacked & (asked[:, 1:].min(1) > 1)).any():
        raise _missing(name, "time points and planes", like)
    return axes, found


def _missing(name: str, what: str, like: Image) -> ImageError:
    return ImageError(
        f"'{name}' has shapes on {what}, but '{like.name}' has the axes {like.axes} and the shape {like.shape}. Choose "
        "the image that they were drawn on, or name its axes."
    )
