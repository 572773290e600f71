"""From pixels to the ground: coordinates, square meters, longitudes and latitudes. Needs pyproj and shapely."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from pyproj.exceptions import CRSError, ProjError

from ..core.errors import OutputError
from ..core.place import GeoReference

__all__ = ["Ground"]

Floats = npt.NDArray[np.float64]
_STRETCHED: Final = 0.01  # share by which a map may falsify areas before they are measured on the ellipsoid
_PLACES: Final = np.linspace(
    0, 1, 5
)  # where that is looked at, along each side: the middle may be true where edges are not
_STEP_METERS: Final = 1000.0  # sides longer than this are no straight lines on the ellipsoid
_METERS_A_DEGREE: Final = 111_000.0


class Ground:
    """What lies under an image.

    Parameters
    ----------
    geo : GeoReference or None
        Of the image; without a transform the ground is its pixels.
    shape : tuple of int
        Rows and columns.
    """

    def __init__(self, geo: GeoReference | None, shape: tuple[int, int]) -> None:
        self.geo = geo or GeoReference()
        self._middle = self.place(np.array([[shape[1] / 2, shape[0] / 2]]))[0]
        self._places = self.place(np.stack(np.meshgrid(_PLACES * shape[1], _PLACES * shape[0]), -1).reshape(-1, 2))
        try:
            self.crs = pyproj.CRS.from_user_input(self.geo.crs) if self.geo.crs and self.geo.transform else None
        except CRSError:
            self.crs = None  # as good as none: what it says is written, but nothing can be computed with it

    def place(self, points: Floats) -> Floats:
        """Return coordinates in the system of the image, shape (n, 2), of columns and rows."""
        if self.geo.transform is None:
            return points
        a, b, c, d, e, f = self.geo.transform
        x, y = points[:, 0], points[:, 1]
        # As rasterio multiplies them: corners get the very same numbers everywhere.
        return np.stack([x * a + y * b + c, x * d + y * e + f], axis=1)

    @property
    def stretch(self) -> float:
        """Height of a pixel on the ground in parts of its width."""
        height, width = self.geo.pixel
        if self.crs is not None and self.crs.is_geographic:
            width *= max(math.cos(math.radians(float(self._middle[1]))), 1e-6)
        return height / width

    @property
    def known(self) -> bool:
        """Whether square meters are known."""
        return self.crs is not None and self.meters is not None

    @property
    def on_ellipsoid(self) -> bool:
        """Whether areas are measured on the ellipsoid: of degrees, and of maps that falsify some by more than 1 %."""
        if self.crs is None:
            return False
        if self.crs.is_geographic:
            return True
        meters = self.meters
        if not self.crs.is_projected or meters is None:
            return False
        edge = 100.0 / meters
        boxes = shapely.box(*(self._places - edge / 2).T, *(self._places + edge / 2).T)
        try:
            true = self._true_areas(boxes)
        except ProjError:
            return False
        return bool((np.abs(true[np.isfinite(true)] / 100.0**2 - 1) > _STRETCHED).any())

    @property
    def meters(self) -> float | None:
        """Meters that a unit of the system is long; None for what is no length."""
        if self.crs is None or self.crs.is_geographic:
            return None if self.crs is None else _METERS_A_DEGREE
        axes = self.crs.axis_info
        factor = axes[0].unit_conversion_factor if axes else 0.0
        return float(factor) if factor > 0 else None

    @property
    def radii(self) -> tuple[float, float]:
        """Long and short half axis of the ellipsoid, meters."""
        geod = None if self.crs is None else self.crs.get_geod()
        return (math.nan, math.nan) if geod is None else (float(geod.a), float(geod.b))

    def areas(self, shapes: npt.NDArray[np.object_]) -> Floats:
        """Measure areas.

        Parameters
        ----------
        shapes : ndarray of Polygon or MultiPolygon
            In the system of the image.

        Returns
        -------
        ndarray of float64
            Square meters; NaN where they cannot be known.
        """
        if self.crs is None or self.meters is None:
            return np.full(len(shapes), np.nan)
        if not self.on_ellipsoid:
            return np.asarray(shapely.area(shapes) * self.meters**2)
        return self._true_areas(shapes)

    def _true_areas(self, shapes: npt.NDArray[np.object_]) -> Floats:
        assert_crs: Any = self.crs
        geod, move = assert_crs.get_geod(), self.to_base()
        step = _STEP_METERS / (self.meters or 1.0)
        polygons, owners = shapely.get_parts(shapely.segmentize(shapes, step), return_index=True)
        rings, which = shapely.get_rings(polygons, return_index=True)
        outer = np.diff(which, prepend=-1) > 0
        points, of = shapely.get_coordinates(rings, return_index=True)
        points = move(points)
        bounds = np.searchsorted(of, np.arange(len(rings) + 1))
        sizes = np.empty(len(rings))
        for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
            sizes[number] = abs(geod.polygon_area_perimeter(points[start:stop, 0], points[start:stop, 1])[0])
        return np.asarray(np.bincount(owners[which], np.where(outer, sizes, -sizes), len(shapes)), np.float64)

    def to_base(self) -> Callable[[Floats], Floats]:
        """Return what turns coordinates of the image's system into degrees on its own ellipsoid, shape (n, 2)."""
        if self.crs is None or self.crs.is_geographic:
            return lambda points: points
        base = self.crs.geodetic_crs
        return self._mover(self.crs if base is None else base)

    def to_degrees(self) -> Callable[[Floats], Floats]:
        """Return what turns coordinates of the image's system into longitude and latitude (WGS 84).

        Returns
        -------
        callable
            ndarray of shape (n, 2) to the same.

        Raises
        ------
        OutputError
            If the system is not known.
        """
        if self.crs is None or self.geo.title == "" or self.crs.is_engineering:
            said = f"'{self.geo.title}', which is not in the list of systems" if self.geo.crs else "none"
            raise OutputError(
                f"GeoJSON is written in longitude and latitude, but the image's coordinate reference system is {said}. "
                "Write a GeoPackage instead (.gpkg), which keeps coordinates as they are."
            )
        return self._mover(pyproj.CRS.from_epsg(4326))

    def _mover(self, target: pyproj.CRS) -> Callable[[Floats], Floats]:
        change = pyproj.Transformer.from_crs(self.crs, target, always_xy=True)

        def move(points: Floats) -> Floats:
            return np.stack(change.transform(points[:, 0], points[:, 1]), axis=1)

        return move
