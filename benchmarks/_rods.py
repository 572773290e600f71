"""Simulated bacteria in phase contrast: a kind of picture that the bundled model has not seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["rods"]

WIDTH = 9.0  # pixels


def rods(
    seed: int, shape: tuple[int, int] = (512, 512), wanted: int = 260
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int32]]:
    """Simulate a picture of rod-shaped cells, many of them side by side.

    Parameters
    ----------
    seed : int
        The same seed gives the same picture.
    shape : (int, int)
        Pixels in y and x.
    wanted : int
        Cells; fewer where there is no room.

    Returns
    -------
    image : ndarray of uint16, shape (y, x)
        Dark cells with bright halos on a gray, uneven ground, with noise.
    labels : ndarray of int32, shape (y, x)
        The cells.
    """
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    number, angle = 0, 0.0
    middle = np.zeros(2)
    for turn in range(6 * wanted):
        if turn % 8 == 0:  # a new group
            middle, angle = rng.uniform(0, shape), rng.uniform(0, np.pi)
        else:
            middle = middle + (WIDTH + 1) * np.array((np.cos(angle), -np.sin(angle))) + rng.normal(0, 2, 2)
        own = angle + rng.normal(0, 0.08)
        half = rng.uniform(1, 2.4) * WIDTH
        y, x = rows - middle[0], columns - middle[1]
        along = np.clip(y * np.sin(own) + x * np.cos(own), -half, half)
        mask = np.hypot(y - along * np.sin(own), x - along * np.cos(own)) < WIDTH / 2
        free = mask & (labels == 0)
        if number < wanted and free.sum() > 0.9 * mask.sum() > 60:
            number += 1
            labels[free] = number
    inside = labels > 0
    dark = np.zeros(shape)
    if number:
        depth = ndimage.distance_transform_edt(inside & (ndimage.minimum_filter(labels, 3) == labels))
        dark = np.minimum(depth / (WIDTH / 3), 1)
    halo = ndimage.gaussian_filter(inside.astype(float), 5) * ~inside
    ground = 1 + 0.15 * ndimage.zoom(rng.standard_normal((5, 5)), (shape[0] / 5, shape[1] / 5), order=3)
    bright = ndimage.gaussian_filter(ground * (1 - 0.35 * dark + 0.6 * halo), 1.0)
    return rng.poisson(np.clip(800 * bright, 0, None)).astype(np.uint16), labels
