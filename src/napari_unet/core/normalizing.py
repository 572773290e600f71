"""How intensities are brought to one range: what may be set."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from ._spec import Spec

__all__ = ["NormalizeSpec"]


class NormalizeSpec(Spec):
    """Intensities that become 0 and 1.

    Attributes
    ----------
    low, high : float
        Percentiles.
    joint : bool
        One pair for all channels (keeps colors) instead of one for each.
    kind : {"percentile", "mean_std", "none", "fixed"}
        What becomes 0 and 1: two percentiles of the whole image; its mean, and the mean plus one standard deviation;
        nothing, which leaves intensities as they are; or the same intensities in all images, for units that mean
        something: Hounsfield units, reflectance.
    offset, divisor : tuple of float
        Of "fixed": what becomes 0, and what the rest is divided by; one for all channels, or one for each. Empty: what
        a training finds in all its images together.
    eps : float
        Added to what is divided by.
    floor, ceiling : float or None
        Intensities are clipped to these before anything is measured.
    limits : tuple of float or None
        Normalized values are clipped to these.
    isolated : float
        By how much of what lies between 0 and 1 a single pixel may be above or below those around it: hot and dead
        pixels of a camera are brought near them. 0 leaves them.
    """

    low: float = Field(1.0, ge=0, lt=50)
    high: float = Field(99.8, gt=50, le=100)
    joint: bool = True
    kind: Literal["percentile", "mean_std", "none", "fixed"] = "percentile"
    offset: tuple[float, ...] = ()
    divisor: tuple[float, ...] = ()
    eps: float = Field(0.0, ge=0)
    floor: float | None = None
    ceiling: float | None = None
    limits: tuple[float, float] | None = (-1.0, 4.0)
    isolated: float = Field(0.0, ge=0, le=10)

    @model_validator(mode="after")
    def _fixed_is_whole(self) -> Self:
        if (self.offset or self.divisor) and self.kind != "fixed":
            raise ValueError(f"offset and divisor have no meaning where intensities are brought to '{self.kind}'")
        if len(self.offset) != len(self.divisor):
            raise ValueError("give as many offsets as divisors: one for all channels, or one for each")
        if not all(0 < value < math.inf for value in self.divisor) or not all(map(math.isfinite, self.offset)):
            raise ValueError("give finite offsets, and divisors above 0")
        return self

    @property
    def open(self) -> bool:
        """Whether numbers are still to be found in the images to learn from."""
        return self.kind == "fixed" and not self.divisor

    def pairs(self, channels: int) -> list[tuple[float, float]] | None:
        """Return what becomes 0 and 1 in each channel, where that is the same for all images.

        Parameters
        ----------
        channels : int
            How many there are.

        Returns
        -------
        list of (float, float) or None
            None where it is measured in each image. Where the numbers are those of other channels, ValueError.
        """
        if self.kind == "none":
            return [(0.0, 1.0)] * channels
        if self.kind != "fixed":
            return None
        if len(self.divisor) not in (1, channels):
            raise ValueError(
                f"Intensities of {len(self.divisor)} channels are known, but there are {channels}. Give one offset and "
                "divisor for all channels, or one for each."
            )
        times = channels // len(self.divisor)
        return [(low, low + by) for low, by in zip(self.offset * times, self.divisor * times, strict=True)]
