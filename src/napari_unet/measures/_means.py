"""The mean of an image inside of every object."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.windows import Reader, windows

from ._intensity import Intensities
from ._runs import Numbers, find_runs

__all__ = ["means"]


def means(labels: Image, values: Image, ids: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the mean of `values` inside of the objects `ids`; both images have the same axes and shape."""
    own, other = Reader(labels.data, labels.name), Reader(values.data, values.name)
    numbers, sums = Numbers(), Intensities()
    for window in windows(labels.shape):
        runs = find_runs(own.read(window), numbers, labels.name)
        sums.add(runs, len(numbers.ids), other.read(window))
    wanted = numbers.look_up(np.asarray(ids, np.int64))
    return sums.columns(wanted)["mean"]
