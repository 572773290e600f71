"""From a map of classes to lesions: every connected piece of a class gets a number of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.core.axes import Image
from napari_unet.core.classes import as_classes
from napari_unet.core.errors import AxesError

from ._source import spatial

__all__ = ["split_classes"]

_ADVICE: Final = "do not ask for classes"

Ints = npt.NDArray[np.int32]


def split_classes(labels: Image) -> tuple[Image, Ints]:
    """Give each connected piece of each class a number; pixels that share a corner are connected.

    Parameters
    ----------
    labels : Image
        Each pixel holds the number of its class, 0 for background; axes ``yx`` or ``zyx`` in any order, and perhaps
        ``t``. It is loaded as a whole.

    Returns
    -------
    lesions : Image
        int32 of the same axes; ids run from 1, by time, then class, then first pixel.
    classes : ndarray of int32
        Class of each lesion, in the order of their ids.

    Raises
    ------
    AxesError
        If there are channels.
    ImageError
        If the values are not classes: not whole numbers, or more than 255 of them.
    """
    if labels.channels > 1:
        raise AxesError(f"'{labels.name}' has {labels.channels} channels; a map of classes has none. Choose one.")
    values = np.asarray(labels.data)
    order = [labels.axes.index(a) for a in ("c", "t", *spatial(labels)) if a in labels.axes]
    frames = values.transpose(order).reshape(-1, *labels.along(spatial(labels))[0])
    found = np.zeros(frames.shape, np.int32)
    classes: list[int] = []
    for frame, numbers in zip(as_classes(frames, labels.name, _ADVICE), found, strict=True):
        _number(frame, numbers, classes)
    back = found.reshape([values.shape[i] for i in order]).transpose(np.argsort(order))
    return replace(labels, data=back, levels=()), np.array(classes, np.int32)


def _number(frame: npt.NDArray[np.uint8], numbers: Ints, classes: list[int]) -> None:
    """Give numbers to the pieces of one time point, and note the class of each."""
    corners = np.ones((3,) * frame.ndim, np.bool_)
    for value, box in enumerate(ndimage.find_objects(frame), start=1):
        if box is None:
            continue
        pieces, count = ndimage.label(frame[box] == value, corners)
        np.add(pieces, len(classes), out=numbers[box], where=pieces > 0, casting="unsafe")
        classes.extend([value] * count)
