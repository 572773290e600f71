"""At what size a network sees an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from ._spec import Spec
from .lengths import millimeters, sides_words

__all__ = ["GridSpec"]


class GridSpec(Spec):
    """At what size a network sees an image.

    Attributes
    ----------
    kind : {"objects", "spacing", "pixels"}
        Images are brought to one size of objects, which is measured; or to one spacing, which images know (organs,
        maps); or taken pixel by pixel as they are.
    spacing : tuple of float
        Size of a pixel of the network's grid along each of its axes, slowest first; only for ``"spacing"``. Empty: that
        of most of the images to learn from.
    unit : str
        Of `spacing`.
    zoom : float
        Pixels of the network's grid for one of the image; only for ``"pixels"``. Below 1 a network sees more around
        each pixel in less time, and finer borders less well.
    """

    kind: Literal["objects", "spacing", "pixels"] = "objects"
    spacing: tuple[float, ...] = ()
    unit: str = Field("mm", min_length=1)
    zoom: float = Field(1.0, gt=0, le=8)

    @model_validator(mode="after")
    def _spacing_is_one(self) -> Self:
        if self.zoom != 1 and self.kind != "pixels":
            raise ValueError(f"a zoom has no meaning where images are brought to '{self.kind}'")
        if self.spacing and self.kind != "spacing":
            raise ValueError(f"a spacing has no meaning where images are brought to '{self.kind}'")
        if any(not size > 0 for size in self.spacing) or math.isnan(millimeters(self.unit)):
            raise ValueError("give a spacing above 0, in a unit of length such as mm")
        return self

    @property
    def sized(self) -> bool:
        """Whether the size of objects decides."""
        return self.kind == "objects"

    def factor(self, scale: Sequence[float], units: Sequence[str]) -> tuple[float, ...] | None:
        """Return how many pixels of the network's grid one of the image has along each axis.

        Parameters
        ----------
        scale, units : sequence of float, of str
            Of the image along the network's axes.

        Returns
        -------
        tuple of float or None
            Ones where pixels are taken as they are; None where objects decide, or the image does not know its spacing
            in a unit of length.
        """
        if self.kind == "pixels":
            return (self.zoom,) * len(scale)
        if self.kind == "objects" or len(self.spacing) != len(scale):
            return None
        sides = zip(scale, units, self.spacing, strict=True)
        found = tuple(size * millimeters(unit) / (wanted * millimeters(self.unit)) for size, unit, wanted in sides)
        return None if any(map(math.isnan, found)) else found

    def words(self, scale: Sequence[float], units: Sequence[str]) -> str:
        """Say what is done with the spacing of an image.

        Parameters
        ----------
        scale, units : sequence of float, of str
            Of the image along the network's axes.

        Returns
        -------
        str
            A sentence; empty where the size of objects decides.
        """
        if self.kind == "objects":
            return ""
        if self.kind == "pixels" or not self.spacing:
            seen = "taken as they are" if self.zoom == 1 else f"seen {self.zoom:g} times as large"
            return f"Pixels are {seen}, whatever their size."
        start = f"Images are brought to pixels of {sides_words(self.spacing, (self.unit,) * len(self.spacing))}; this "
        if self.factor(scale, units) is None:
            return f"{start}layer knows no spacing: its pixels are taken as they are."
        return f"{start}layer has {sides_words(scale, units)}."
