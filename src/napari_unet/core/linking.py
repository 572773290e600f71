"""What a person may set when objects are followed through time."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from .specs import Spec

__all__ = ["Detection", "Link", "LinkSpec"]

Detection = tuple[int, int]  # frame (from 0) and label
Link = tuple[Detection, Detection]  # the earlier object, the later one


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
    merging : bool
        Let two objects become one.
    steady : bool
        Objects keep their way: each is looked for where its track leads, so that they may be followed that move farther
        than they are apart.
    method : {"lap", "motile"}
        How links are chosen: two frames at a time, or many frames together, which takes much longer and the extra
        ``motile``.
    fixed : tuple of links
        Links that must be made, whatever they cost: each is a pair of ``(frame, label)``, the earlier object first. Two
        with the same earlier object are a division.
    forbidden : tuple of links
        Links that must not be made.
    absent : tuple of (int, int)
        Frame and label of what is no object: nothing is linked with it, and nothing competes with it.
    """

    max_distance: float = Field(1.5, gt=0, le=100)
    min_overlap: float = Field(0.0, ge=0, lt=1)
    max_gap: int = Field(2, ge=0, le=100)
    division: bool = True
    merging: bool = False
    method: Literal["lap", "motile"] = "lap"
    steady: bool = False
    fixed: tuple[Link, ...] = ()
    forbidden: tuple[Link, ...] = ()
    absent: tuple[Detection, ...] = ()

    @model_validator(mode="after")
    def _links_can_be(self) -> Self:
        for before, after in self.fixed + self.forbidden:
            if not 0 <= before[0] < after[0]:
                raise ValueError(
                    f"a link goes from an earlier frame to a later one; this goes from {before} to {after}"
                )
        both = set(self.fixed) & set(self.forbidden)
        if both:
            raise ValueError(f"the link from {min(both)[0]} to {min(both)[1]} is fixed and forbidden")
        if len({after for _, after in self.fixed}) < len(set(self.fixed)) and not self.merging:
            raise ValueError("an object has one parent unless merging is on; two fixed links lead to the same object")
        return self
