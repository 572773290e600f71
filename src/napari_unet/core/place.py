"""Where on Earth an image lies: its transform and reference system, kept as they came."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from .errors import ImageError

__all__ = ["Band", "GeoReference", "other_order", "pick_bands"]

Transform = tuple[float, float, float, float, float, float]
Tag = tuple[int, str, tuple[Any, ...]]
Point = tuple[float, float, float, float, float]
_OFF: Final = 0.01  # pixels that are no difference
_REACH: Final = 10_000  # pixels from the corner at which that is looked at
_NO_TURN: Final = 1e-12  # of a pixel's size: what is turned by less is not turned


@dataclass(frozen=True)
class Band:
    """What a channel of a raster is.

    Attributes
    ----------
    name : str
        As the file says it; empty where it says nothing.
    wavelength : float or None
        Its middle, micrometers.
    common : str
        What it is called on every sensor, such as ``"red"`` for ``"B04"`` (the STAC extension ``eo``); may be empty.
    """

    name: str = ""
    wavelength: float | None = None
    common: str = ""


@dataclass(frozen=True)
class GeoReference:
    """Where an image lies.

    Numbers are those of the file, to the last bit: napari keeps places as 32-bit numbers on their way to the screen, in
    which a northing of five million meters is half a meter off.

    Attributes
    ----------
    transform : tuple of float or None
        ``(a, b, c, d, e, f)``: the pixel corner in column ``i`` and row ``j`` (both from 0) lies at
        ``x = a i + b j + c`` and ``y = d i + e j + f``. None if the file does not say.
    crs : str
        The coordinate reference system as WKT; empty if it is not known.
    title : str
        What to call the system, such as ``"EPSG:32633"``.
    unit : str
        Of ``x`` and ``y``, such as ``"meter"`` or ``"degree"``; ``"pixel"`` if it is not known.
    bands : tuple of Band
        One for each channel; empty where the image has no channels of its own, as labels have none.
    tags : tuple of (int, str, tuple)
        The GeoTIFF tags of the file as they came: number, type and values. They are written back where nothing better
        is known of the system.
    remarks : tuple of str
        What its reader has to say.
    points : tuple of (float, float, float, float, float)
        Control points, where there is no transform: row and column (those of a pixel's corner are whole numbers), and
        ``x``, ``y`` and height there.
    points_crs : str
        The system of these, as WKT.
    coefficients : tuple of (str, str)
        Rational polynomial coefficients (RPC), names and values as GDAL writes them. They go along; where
        there is a transform, it says where pixels lie.
    """

    transform: Transform | None = None
    crs: str = ""
    title: str = ""
    unit: str = "pixel"
    bands: tuple[Band, ...] = ()
    tags: tuple[Tag, ...] = ()
    remarks: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()
    points_crs: str = ""
    coefficients: tuple[tuple[str, str], ...] = ()

    @property
    def pixel(self) -> tuple[float, float]:
        """Height and width of a pixel, never negative; 1 where nothing is known."""
        if self.transform is None:
            return 1.0, 1.0
        a, b, _, d, e, _ = self.transform
        # Not hypot, which may change the last bit of what is not turned at all.
        return (abs(e) if not b else math.hypot(b, e)) or 1.0, (abs(a) if not d else math.hypot(a, d)) or 1.0

    @property
    def turned(self) -> bool:
        """Whether rows and columns do not run along the axes of the system."""
        if self.transform is None:
            return False
        _, b, _, d, _, _ = self.transform
        height, width = self.pixel
        return max(abs(b) / height, abs(d) / width) > _NO_TURN

    @property
    def south_up(self) -> bool:
        """Whether the first row is the southernmost."""
        return self.transform is not None and not self.turned and self.transform[4] > 0

    @property
    def without_bands(self) -> GeoReference:
        """The same place, of labels."""
        return replace(self, bands=()) if self.bands else self

    def since(self, y: int, x: int) -> GeoReference:
        """Return the place of a part.

        Parameters
        ----------
        y, x : int
            First row and column of the part.

        Returns
        -------
        GeoReference
            With another origin. Tags and coefficients are left out, as they are those of the whole.
        """
        if self.transform is None or not (y or x):
            return self
        a, b, c, d, e, f = self.transform
        moved = (a, b, a * x + b * y + c, d, e, d * x + e * y + f)
        return replace(self, transform=moved, tags=(), coefficients=())

    def same_grid(self, other: GeoReference, off: float = _OFF) -> bool:
        """Say whether pixels of equal number lie at the same place.

        Parameters
        ----------
        other : GeoReference
            Of another image.
        off : float
            By how many pixels corners of ten thousand pixels may be apart: programs round in different ways.

        Returns
        -------
        bool
            False too where only one of them knows its place or its system.
        """
        if self.crs != other.crs and not (self.title == other.title and self.title.startswith("EPSG:")):
            return False
        if self.transform is None or other.transform is None:
            pairs = ((self.points, other.points), (self.coefficients, other.coefficients))
            elsewhere = any(mine and theirs and mine != theirs for mine, theirs in pairs)
            return self.transform == other.transform and not elsewhere
        size = min(*self.pixel, *other.pixel)
        reach = (_REACH, _REACH, 1) * 2
        apart = (abs(m - n) * r for m, n, r in zip(self.transform, other.transform, reach, strict=True))
        return max(apart) <= off * size

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a manifest; JSON keeps every bit of a number."""
        points = {"points": [list(point) for point in self.points], "points_crs": self.points_crs}
        return {
            "transform": None if self.transform is None else list(self.transform),
            "crs": self.crs,
            "title": self.title,
            "unit": self.unit,
            "tags": [[number, kind, list(values)] for number, kind, values in self.tags],
            **(points if self.points else {}),
            **({"coefficients": dict(self.coefficients)} if self.coefficients else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GeoReference:
        """Build from :meth:`to_dict`'s result; ValueError, KeyError or TypeError if it is something else."""
        found = values["transform"]
        transform = None
        if found is not None:
            a, b, c, d, e, f = map(float, found)
            transform = (a, b, c, d, e, f)
        tags = tuple((int(number), str(kind), tuple(held)) for number, kind, held in values.get("tags", ()))
        crs, title, unit, system = (str(values.get(name, "")) for name in ("crs", "title", "unit", "points_crs"))
        points = tuple(_point(held) for held in values.get("points", ()))
        named = tuple((str(name), str(value)) for name, value in dict(values.get("coefficients", {})).items())
        return cls(
            transform, crs, title, unit or "pixel", (), tags, points=points, points_crs=system, coefficients=named
        )  # fmt: skip


def _point(values: Sequence[Any]) -> Point:
    row, column, x, y, z = map(float, values)
    return row, column, x, y, z


def other_order(bands: Sequence[Band], others: Sequence[Band]) -> str:
    """Say how bands of equal names stand in another order than those of another raster.

    Parameters
    ----------
    bands, others : sequence of Band
        Of two rasters that are to be one image.

    Returns
    -------
    str
        Empty if they do not, or some have no name.
    """
    mine, theirs = ([band.name.casefold() for band in each] for each in (bands, others))
    if not all(mine) or mine == theirs or sorted(mine) != sorted(theirs):
        return ""
    said = [", ".join(band.name for band in each) for each in (bands, others)]
    return f"its bands are {said[0]}, those of the other {said[1]}"


def numbers_of(bands: Sequence[Band]) -> dict[str, int]:
    """Return the number of each band by its name, and by its common name where none is called so, without case.

    Parameters
    ----------
    bands : sequence of Band
        What there is.

    Returns
    -------
    dict of str to int
        Of several bands with one name the first.
    """
    last_first = list(enumerate(bands))[::-1]
    common = {band.common.casefold(): number for number, band in last_first if band.common}
    return common | {band.name.casefold(): number for number, band in last_first if band.name}


def pick_bands(names: Sequence[str], bands: Sequence[Band], image: str) -> tuple[int, ...]:
    """Find channels by number or name.

    Parameters
    ----------
    names : sequence of str
        Numbers from 0, or names of bands in any case; common names where no band is called so.
    bands : sequence of Band
        What there is.
    image : str
        Name of the image, for messages.

    Returns
    -------
    tuple of int
        Numbers of the channels, in the order asked for.

    Raises
    ------
    ImageError
        If a band is missing; the message names it, and those that are there.
    """
    known = numbers_of(bands)
    missing = [name for name in names if not name.isdigit() and name.casefold() not in known]
    if missing:
        there = ", ".join(f"{number} {band.name}".strip() for number, band in enumerate(bands))
        raise ImageError(
            f"'{image}' has no band named {', '.join(missing)}. "
            + (f"It has: {there}. " if there else "It names no bands. ")
            + "Choose by number, counted from 0, or by name."
        )
    return tuple(int(name) if name.isdigit() else known[name.casefold()] for name in names)
