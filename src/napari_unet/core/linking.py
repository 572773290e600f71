"""What a person may set when objects are followed through time."""

from __future__ import annotations

from pydantic import Field

from .specs import Spec

__all__ = ["LinkSpec"]


class LinkSpec(Spec):
    """Settings of a tracking; the same for the widget, the command line and Python.

    Attributes
    ----------
    max_distance : float
        Farthest that an object moves from one frame to the next, in object widths (median of the movie).
    min_overlap : float
        Share of two masks that must be common to link them (intersection over union), 0 to 1; 0 asks for none.
    max_gap : int
        An object that is missing in up to this many frames is found again; 0 never looks.
    division : bool
        Let an object become two.
    """

    max_distance: float = Field(1.5, gt=0, le=100)
    min_overlap: float = Field(0.0, ge=0, lt=1)
    max_gap: int = Field(2, ge=0, le=100)
    division: bool = True
