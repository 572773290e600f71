"""At what size a network sees an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from ._spec import Spec

__all__ = ["GridSpec", "length"]

# Metres in a unit; names as napari, OME and people write them.
_METRES: Final = {
    "nm": 1e-9, "nanometer": 1e-9, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "micron": 1e-6, "micrometer": 1e-6,
    "mm": 1e-3, "millimeter": 1e-3, "cm": 1e-2, "centimeter": 1e-2, "m": 1.0, "meter": 1.0, "metre": 1.0,
    "km": 1e3, "kilometer": 1e3,
}  # fmt: skip


def length(unit: str) -> float | None:
    """Return how many metres a unit is.

    Parameters
    ----------
    unit : str
        Its name or symbol.

    Returns
    -------
    float or None
        None for ``"pixel"`` and what is no unit of length.
    """
    return _METRES.get(unit) or _METRES.get(unit.lower().removesuffix("s"))


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
    """

    kind: Literal["objects", "spacing", "pixels"] = "objects"
    spacing: tuple[float, ...] = ()
    unit: str = Field("mm", min_length=1)

    @model_validator(mode="after")
    def _spacing_is_one(self) -> Self:
        if self.spacing and self.kind != "spacing":
            raise ValueError(f"a spacing has no meaning where images are brought to '{self.kind}'")
        if any(not size > 0 for size in self.spacing) or length(self.unit) is None:
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
            return (1.0,) * len(scale)
        metres, own = [length(unit) for unit in units], length(self.unit)
        if self.kind == "objects" or own is None or len(self.spacing) != len(scale) or None in metres:
            return None
        sides = zip(scale, metres, self.spacing, strict=True)
        return tuple(size * float(metre or 0) / (wanted * own) for size, metre, wanted in sides)
