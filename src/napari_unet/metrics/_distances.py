"""Distances between the surfaces of two solids."""

from __future__ import annotations

import functools
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.measure import marching_cubes, mesh_surface_area

from ._cases import crop

__all__ = ["hausdorff95", "surface_dice"]

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_CORNERS: Final = 2 ** np.arange(8).reshape(2, 2, 2)
_PERCENTILE: Final = 95


def hausdorff95(one: Mask, other: Mask, spacing: tuple[float, ...]) -> float:
    """Return the 95 % Hausdorff distance: the larger of the two directions' 95th percentiles.

    Parameters
    ----------
    one, other : ndarray of bool
        Of one shape.
    spacing : tuple of float
        Size of a pixel along each axis.

    Returns
    -------
    float
        Distances are those of pixels on the surface (a neighbor along an axis is outside), from center to center; 0 if
        both are empty, infinite if one is.
    """
    if not (one.any() and other.any()):
        return float("inf") if one.any() or other.any() else 0.0
    rims = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) * spacing for mask in crop(one, other)]
    both = (KDTree(there).query(here)[0] for here, there in (rims, rims[::-1]))
    return float(max(np.percentile(apart, _PERCENTILE) for apart in both))


def surface_dice(one: Mask, other: Mask, spacing: tuple[float, ...], tolerance: float) -> float:
    """Return the normalized surface Dice: the share of both surfaces that lies within a tolerance of the other.

    Surfaces are cut into what passes through each 2 x 2 (x 2) pixels, weighted by length or area (Nikolov et al., Deep
    learning to achieve clinically applicable segmentation of head and neck anatomy, 2018).

    Parameters
    ----------
    one, other : ndarray of bool
        Of one shape, 2D or 3D.
    spacing : tuple of float
        Size of a pixel along each axis.
    tolerance : float
        In the unit of the spacing.

    Returns
    -------
    float
        0 to 1; 1 if both are empty.
    """
    if not (one.any() and other.any()):
        return 0.0 if one.any() or other.any() else 1.0
    (places, sizes), (others, other_sizes) = (_pieces(mask, spacing) for mask in crop(one, other))
    near = [KDTree(b).query(a)[0] <= tolerance for a, b in ((places, others), (others, places))]
    within = sizes[near[0]].sum() + other_sizes[near[1]].sum()
    return float(within / (sizes.sum() + other_sizes.sum()))


def _pieces(mask: Mask, spacing: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return places and sizes of the pieces of a surface."""
    corners = _CORNERS[0] if mask.ndim == 2 else _CORNERS
    codes = np.zeros([n - 1 for n in mask.shape], np.uint8)
    for at in np.ndindex(corners.shape):
        codes += mask[tuple(slice(k, n - 1 + k) for k, n in zip(at, mask.shape, strict=True))] * np.uint8(corners[at])
    found = (codes > 0) & (codes < corners.sum())
    sizes = _lengths(spacing) if mask.ndim == 2 else _areas(spacing)
    return np.argwhere(found).astype(np.float64) * spacing, sizes[codes[found]]


@functools.lru_cache(maxsize=8)
def _lengths(spacing: tuple[float, ...]) -> Floats:
    """Return the length of the border in a square, by which of its corners are inside."""
    y, x = spacing
    slant, sizes = float(np.hypot(y, x)) / 2, np.zeros(16)
    for code in range(1, 15):
        top, bottom, left, right = code & 3, code >> 2, code & 5, code & 10
        level = {top, bottom} == {0, 3}
        upright = (left, right) in ((5, 0), (0, 10))
        sizes[code] = x if level else y if upright else 2 * slant if code in (6, 9) else slant
    return sizes


@functools.lru_cache(maxsize=8)
def _areas(spacing: tuple[float, ...]) -> Floats:
    """Return the area of the surface in a cube, by which of its corners are inside."""
    sizes = np.zeros(256)
    for code, (points, faces) in enumerate(_meshes(), start=1):
        sizes[code] = mesh_surface_area(points * spacing, faces)
    return sizes


@functools.lru_cache(maxsize=1)
def _meshes() -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Return the triangles of marching cubes (Lorensen & Cline 1987) for the codes 1 to 254."""
    found = []
    for code in range(1, 255):
        inside = (code & _CORNERS) > 0
        # The surface is that of the smaller side, as in the tables of Nikolov et al.
        solid = inside if inside.sum() <= 4 else ~inside
        found.append(marching_cubes(solid.astype(np.float32), 0.5, method="lorensen")[:2])
    return found
