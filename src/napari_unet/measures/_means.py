"""The mean of an image inside of every object."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image

__all__ = ["means"]


def means(labels: Image, values: Image, ids: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the mean of `values` inside of the objects `ids`; both images have the same axes and shape."""
    highest = int(ids.max(initial=0))
    totals, counts = np.zeros(highest + 1), np.zeros(highest + 1, np.int64)
    # Plane by plane, so that no copy of everything is made.
    for at in np.ndindex(labels.shape[:-2]):
        own, value = np.asarray(labels.data[at]), np.asarray(values.data[at])
        inside = own > 0
        np.add.at(totals, own[inside], value[inside])
        np.add.at(counts, own[inside], 1)
    found: npt.NDArray[np.float64] = totals[ids] / np.maximum(counts[ids], 1)
    return found
