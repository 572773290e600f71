"""How large each pixel is on the ground, by the rule that polygons follow too; see :mod:`napari_unet.io._ground`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from ..core.ground import PixelAreas
from ..core.place import GeoReference

if TYPE_CHECKING:
    from ._ground import Ground

__all__ = ["pixel_areas"]

_APART_METERS: Final = 10_000.0  # between these places areas of pixels are straight lines, to a millionth
_APART: Final = 256  # pixels
_STEP_METERS: Final = 50.0  # shorter steps than that are lost in what projections are rounded to

Floats = npt.NDArray[np.float64]


def pixel_areas(geo: GeoReference | None, shape: tuple[int, int]) -> PixelAreas | None:
    """Return what says how large pixels are on the ground.

    Parameters
    ----------
    geo : GeoReference or None
        Of the image.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    callable or None
        Areas in square meters: on the ellipsoid for degrees, and for maps that stretch areas by more than 1 %. None if
        they cannot be known: there is no reference system, or pyproj and shapely are not installed.
    """
    if geo is None or not geo.crs or geo.transform is None:
        return None
    if any(find_spec(package) is None for package in ("pyproj", "shapely")):
        return None
    from ._ground import Ground  # noqa: PLC0415  # pyproj is an extra

    ground = Ground(geo, shape)
    if not ground.known:
        return None
    return _OnEllipsoid(ground, shape) if ground.on_ellipsoid else _OnMap(ground)


class _OnMap:
    """Pixels of a map that shows all places equally large."""

    def __init__(self, ground: Ground) -> None:
        a, b, _, d, e, _ = ground.geo.transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        self._area = np.full((1, 1), abs(a * e - b * d) * (ground.meters or 1.0) ** 2)

    def __call__(self, _rows: slice, _columns: slice) -> Floats:
        return self._area


class _OnEllipsoid:
    """Pixels whose areas change from place to place: computed at places of a grid, straight between them."""

    def __init__(self, ground: Ground, shape: tuple[int, int]) -> None:
        self._ground = ground
        self._axes = ground.radii
        self._move = ground.to_base()
        sides = [side * (ground.meters or 1.0) for side in ground.geo.pixel]
        self._half = [max(0.5, _STEP_METERS / side) for side in sides]
        apart = [int(np.clip(_APART_METERS / side, 1, _APART)) for side in sides]
        self._nodes = [np.append(np.arange(0.0, n, step), float(n)) for n, step in zip(shape, apart, strict=True)]

    def __call__(self, rows: slice, columns: slice) -> Floats:
        (y, (top, low)), (x, (left, right)) = (
            _between(nodes, window) for nodes, window in zip(self._nodes, (rows, columns), strict=True)
        )
        known = self._at(y, x)
        known = known[top] * (1 - low)[:, None] + known[top + 1] * low[:, None]
        return np.asarray(known[:, left] * (1 - right) + known[:, left + 1] * right)

    def _at(self, rows: Floats, columns: Floats) -> Floats:
        """Return the area of a pixel around each of some places."""
        y, x = (side.ravel() for side in np.meshgrid(rows, columns, indexing="ij"))
        down, across = self._half
        with np.errstate(invalid="ignore"):
            along_y = self._point(y + down, x) - self._point(y - down, x)
            along_x = self._point(y, x + across) - self._point(y, x - across)
            sizes = np.linalg.norm(np.cross(along_y, along_x), axis=1) / (4 * down * across)
        # Beside the Earth, as in the corners of a weather satellite's picture, there is no ground.
        return np.asarray(np.nan_to_num(sizes, posinf=0.0).reshape(len(rows), len(columns)))

    def _point(self, rows: Floats, columns: Floats) -> Floats:
        """Return places on the ellipsoid in space, meters, shape (n, 3): without jumps at poles and meridians."""
        degrees = self._move(self._ground.place(np.stack([columns, rows], axis=1)))
        (a, b), (east, north) = self._axes, np.radians(degrees).T
        north = np.clip(north, -np.pi / 2, np.pi / 2)
        radius = a**2 / np.hypot(a * np.cos(north), b * np.sin(north))
        flat = radius * np.cos(north)
        return np.stack([flat * np.cos(east), flat * np.sin(east), radius * (b / a) ** 2 * np.sin(north)], axis=1)


def _between(nodes: Floats, window: slice) -> tuple[Floats, tuple[npt.NDArray[np.intp], Floats]]:
    """Return the nodes around pixels; of each pixel's middle the node before it, and how far it is to the next."""
    middles = np.arange(window.start, window.stop) + 0.5
    before = np.searchsorted(nodes, middles, "right") - 1
    part = (middles - nodes[before]) / (nodes[before + 1] - nodes[before])
    return nodes[before[0] : before[-1] + 2], (before - before[0], part)
