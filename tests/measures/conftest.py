"""Solids whose measures are known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image


def turn(angles):
    """Return a rotation about z, then y, then x (radians); vectors are (z, y, x)."""
    found = np.eye(3)
    for (i, j), angle in zip(((1, 2), (0, 2), (0, 1)), angles, strict=True):
        one = np.eye(3)
        one[[i, j], [i, j]] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        found = found @ one
    return found


@pytest.fixture(scope="session")
def ellipsoid():
    """Return a function that draws an ellipsoid: labels of one lesion, in millimeters."""

    def draw(radii, spacing=(1.0, 1.0, 1.0), angles=(0.0, 0.0, 0.0), shift=(0.3, 0.1, 0.2)):
        radii, spacing = np.broadcast_to(radii, 3), np.asarray(spacing)
        half = np.ceil((radii.max() + 3) / spacing).astype(int)
        places = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in half), indexing="ij"), -1) * spacing
        inside = (((places - shift) @ turn(angles) / radii) ** 2).sum(-1) <= 1
        return Image(inside.astype(np.int32), "zyx", tuple(spacing), ("millimeter",) * 3, "phantom")

    return draw
