"""Classes of pixels: how much of an image is of each."""

from __future__ import annotations

import math

import numpy as np

from napari_unet.core.axes import Image
from napari_unet.core.results import Table
from napari_unet.core.windows import Reader, windows

__all__ = ["measure"]


def measure(labels: Image, image: Image | None = None) -> Table:
    """Count the pixels of every class; memory is needed for the table, not for the image.

    Parameters
    ----------
    labels : Image
        Whole numbers from 0, any axes; planes and time points are counted together.
    image : Image, optional
        Of no use here.

    Returns
    -------
    dict of str to ndarray
        One row for each class that is there: ``index``, its number; ``pixels``; ``area`` (2D) or ``volume`` (3D) in the
        units of the image; ``share`` of all pixels, 0 to 1.
    """
    reader = Reader(labels.data, labels.name)
    counts: dict[int, int] = {}
    for window in windows(labels.shape):
        for number, count in zip(*np.unique(reader.read(window), return_counts=True), strict=True):
            counts[int(number)] = counts.get(int(number), 0) + int(count)
    total = sum(counts.values())
    found = sorted((number, count) for number, count in counts.items() if number)
    index, pixels = (np.array([row[k] for row in found], np.int64) for k in range(2))
    spatial = labels.along(labels.spatial)[1]
    size = "volume" if len(spatial) == 3 else "area"
    return {"index": index, "pixels": pixels, size: pixels * math.prod(spatial), "share": pixels / max(total, 1)}
