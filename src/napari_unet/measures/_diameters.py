"""The two diameters of a lesion in one plane: the longest, and the longest across it.

As in RECIST 1.1 (Eisenhauer et al., Eur J Cancer 45:228, 2009) and the product of the WHO: measured in the axial plane
in which the longest is longest, from border to border, in true lengths. Where a plane cuts a lesion into pieces, a
diameter lies in one of them. The border is a line half-way between the centers of pixels inside and outside (marching
squares), so that a row of n pixels is n pixels long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

__all__ = ["Diameters", "find_diameters"]

Floats = npt.NDArray[np.float64]

# Middles of a cell's edges, in (y, x) from its first corner.
_TOP, _RIGHT, _BOTTOM, _LEFT = (0.0, 0.5), (0.5, 1.0), (1.0, 0.5), (0.5, 0.0)
# Corners inside, clockwise from the first (1, 2, 4, 8), to the pieces of the border. Corners across are connected.
_PIECES: Final = {
    1: ((_LEFT, _TOP),), 2: ((_TOP, _RIGHT),), 4: ((_RIGHT, _BOTTOM),), 8: ((_BOTTOM, _LEFT),),
    3: ((_LEFT, _RIGHT),), 6: ((_TOP, _BOTTOM),), 12: ((_LEFT, _RIGHT),), 9: ((_TOP, _BOTTOM),),
    7: ((_BOTTOM, _LEFT),), 11: ((_RIGHT, _BOTTOM),), 13: ((_TOP, _RIGHT),), 14: ((_LEFT, _TOP),),
    5: ((_TOP, _RIGHT), (_BOTTOM, _LEFT)), 10: ((_LEFT, _TOP), (_RIGHT, _BOTTOM)),
}  # fmt: skip
_CORNERS: Final = np.ones((3, 3), np.bool_)
_AT_ONCE: Final = 1 << 22


@dataclass(frozen=True)
class Diameters:
    """Two lines across a lesion, at right angles.

    Attributes
    ----------
    plane : int
        Which plane they lie in.
    longest, across : ndarray, shape (2, 2)
        Both ends, as (y, x) in the unit of the spacing, from the center of the first pixel.
    """

    plane: int
    longest: Floats
    across: Floats

    @property
    def lengths(self) -> tuple[float, float]:
        """The longest diameter and the longest across it."""
        return _length(self.longest), _length(self.across)


def find_diameters(solid: npt.NDArray[np.bool_], spacing: tuple[float, float]) -> Diameters:
    """Find the longest diameter in any plane, and the longest at right angles to it in the same plane.

    Parameters
    ----------
    solid : ndarray of bool, shape (z, y, x)
        At least one pixel is inside.
    spacing : tuple of float
        Size of a pixel along y and x.

    Returns
    -------
    Diameters
        Of several pieces with the same longest diameter, the largest, then the first. Both lines go from border to
        border of one piece, and may cross its bays and holes.
    """
    reach = _reach(solid, spacing)
    best: tuple[float, int, int] = (-1.0, 0, 0)
    found = np.zeros((0, 2, 2)), np.zeros((2, 2))
    for plane in np.argsort(-reach, kind="stable").tolist():
        if reach[plane] < best[0]:
            break
        pieces, count = ndimage.label(solid[plane], _CORNERS)
        for number in range(1, count + 1):
            border = _border(pieces == number) * spacing
            line = _longest(border.reshape(-1, 2))
            rank = _length(line), int(np.count_nonzero(pieces == number)), -plane
            if rank > best:
                best, found = rank, (border, line)
    border, line = found
    return Diameters(-best[2], line, _across(border, line))


def _length(line: Floats) -> float:
    return float(np.hypot(*(line[1] - line[0])))


def _reach(solid: npt.NDArray[np.bool_], spacing: tuple[float, float]) -> Floats:
    """Return the diagonal of the box around each plane's pixels: no diameter is longer."""
    sides = []
    for axis, step in zip((2, 1), spacing, strict=True):
        held: npt.NDArray[np.bool_] = np.logical_or.reduce(solid, axis=axis)
        last = held.shape[1] - held[:, ::-1].argmax(axis=1)
        sides.append(np.where(held.any(1), last - held.argmax(axis=1), 0) * step)
    return np.hypot(*sides)


def _border(inside: npt.NDArray[np.bool_]) -> Floats:
    """Return the border of a plane as pieces of line, shape (pieces, 2, 2), in pixels."""
    padded = np.pad(inside, 1).astype(np.uint8)
    cells = padded[:-1, :-1] + 2 * padded[:-1, 1:] + 4 * padded[1:, 1:] + 8 * padded[1:, :-1]
    found = []
    for code, pieces in _PIECES.items():
        corners = np.argwhere(cells == code) - 1.0
        found += [corners[:, None, :] + np.array(piece) for piece in pieces]
    return np.concatenate(found)


def _longest(points: Floats) -> Floats:
    hull = points[np.sort(ConvexHull(points).vertices)]
    apart = squareform(pdist(hull))
    found: Floats = hull[list(np.unravel_index(int(apart.argmax()), apart.shape))]
    return found


def _across(border: Floats, line: Floats) -> Floats:
    """Find the longest line at right angles to another, both ends on the border."""
    along = (line[1] - line[0]) / _length(line)
    turned = np.array([-along[1], along[0]])
    u, v = (border - line[0]) @ along, (border - line[0]) @ turned
    at = np.unique(u)
    best: tuple[float, Any] = (-1.0, None)
    # The width is linear between two places where the border bends, so one of these has the greatest.
    for some in np.array_split(at, max(1, len(at) * len(u) // _AT_ONCE)):
        low, high = _extent(some, u, v)
        k = int((high - low).argmax())
        if high[k] - low[k] > best[0]:
            best = (float(high[k] - low[k]), (some[k], low[k], high[k]))
    place, low_end, high_end = best[1]
    found: Floats = line[0] + place * along + np.array([[low_end], [high_end]]) * turned
    return found


def _extent(at: Floats, u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Return where lines across `at` meet the border first and last."""
    start, end = u[:, 0], u[:, 1]
    met = (np.minimum(start, end) <= at[:, None]) & (at[:, None] <= np.maximum(start, end))
    steep = start == end
    share = np.where(steep, 0.0, (at[:, None] - start) / np.where(steep, 1.0, end - start))
    crossing = v[:, 0] + share * (v[:, 1] - v[:, 0])
    low = np.where(steep, v.min(axis=1), crossing)
    high = np.where(steep, v.max(axis=1), crossing)
    return np.where(met, low, np.inf).min(axis=1), np.where(met, high, -np.inf).max(axis=1)
