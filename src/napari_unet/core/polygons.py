"""How labels become polygons, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

from ._spec import Spec
from .results import Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["SUFFIXES", "Meaning", "PolygonSpec", "Polygons"]

# What polygons are written to: maps, maps and QuPath, the ROI Manager of ImageJ.
SUFFIXES: Final = (".gpkg", ".geojson", ".zip")


class PolygonSpec(Spec):
    """Settings of polygons; the same for the command line and Python.

    Attributes
    ----------
    simplify : float
        How much detail is left out, pixels: corners whose triangle with their neighbors is smaller than a square of
        this edge (Visvalingam and Whyatt 1993). Borders that objects share stay shared, without gaps or overlaps.
        0: the exact outlines of pixels.
    right_angles : bool
        Give every polygon right angles, as buildings have. Neighbors may then overlap a little.
    min_area : float
        Leave out what is smaller, square meters; pixels where the polygons are in pixels, or lie on no map.
    holes : {"keep", "fill"}
        What to do with holes in objects. Filled, an object covers those that lie in its holes.
    each : {"auto", "object", "part"}
        What becomes one polygon: everything with the same number, or each of its parts. Parts are what is connected by
        sides of pixels. "auto": parts where labels are classes, else objects.
    """

    simplify: float = Field(0.0, ge=0, le=100)
    right_angles: bool = False
    min_area: float = Field(0.0, ge=0)
    holes: Literal["keep", "fill"] = "keep"
    each: Literal["auto", "object", "part"] = "auto"


@dataclass(frozen=True)
class Meaning:
    """What is known of labels besides their place.

    Attributes
    ----------
    classes : mapping of int to str
        Names of classes by number.
    members : mapping of int to int
        Class of each label; where it is missing, a label is its class.
    scores : mapping of int to float
        Mean score of each label, 0 to 1.
    source : str
        Where the labels come from.
    manifest : mapping
        How they were made.
    kind : str
        What all labels are that are of none of these classes, such as ``"building"``.
    """

    classes: Mapping[int, str] = field(default_factory=dict)
    members: Mapping[int, int] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)
    source: str = ""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""

    @classmethod
    def told_by(cls, manifest: Mapping[str, Any], source: str) -> Meaning:
        """Return what the record of a run says of its labels."""
        rows, named = manifest.get("classes", ()), manifest.get("rule", {}).get("classes", ())
        kind = str(named[0]) if len(named) == 1 and not rows else ""
        return cls({row["label"]: row["name"] for row in rows}, kind=kind, source=source, manifest=manifest)

    @property
    def of_classes(self) -> bool:
        """Whether labels are the numbers of classes, not of objects."""
        return bool(self.classes) and not self.members

    def class_of(self, label: int) -> str | None:
        """Return the name of the class of a label, or None."""
        number = self.members.get(label, label)
        return self.classes.get(number) or self.kind or None


@dataclass(frozen=True)
class Polygons:
    """Polygons of labels.

    Attributes
    ----------
    shapes : ndarray of Polygon or MultiPolygon
        In the coordinate reference system of the image; in pixels, counted from the corner of the first one, where it
        has no place.
    table : dict of ndarray
        One row each: ``label``, ``class``, ``area_m2``, ``pixels``, ``x`` and ``y`` (centroid), ``confidence``,
        ``source``. Of stacks and movies also ``t`` and ``z``, the plane, counted from 0: an object is a row for each.
    ground : Ground
        What turns pixels into coordinates; see :mod:`napari_unet.io._ground`.
    repaired : int
        How many crossed themselves after they were simplified or given right angles.
    uneven : int
        How many were left without right angles, because none were like them.
    small : int
        How many were left out because they are small.
    meaning : Meaning
        What is known of the labels.
    """

    shapes: npt.NDArray[np.object_]
    table: Table
    ground: Any
    repaired: int = 0
    uneven: int = 0
    small: int = 0
    meaning: Meaning = field(default_factory=Meaning)

    def __len__(self) -> int:
        return len(self.shapes)
