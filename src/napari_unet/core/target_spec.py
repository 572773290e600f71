"""How objects are represented and decoded: what may be set."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, model_validator

from ._spec import Spec
from .amounts import split_amounts
from .classes import ClassRow, class_table

__all__ = ["TargetSpec"]


class TargetSpec(Spec):
    """How objects are represented and decoded.

    Attributes
    ----------
    name : str
        A file of ``targets/``.
    threshold : float
        A pixel belongs to an object where the foreground score is above this, 0 to 1.
    persistence : float
        Two basins are one object where the lower peak rises less than this above their saddle, 0 to 1.
    touch_weight : float
        How strongly the touching-border score lowers the potential.
    min_fraction : float
        Objects smaller than this fraction of a disk of the image's object size are dropped.
    min_score : float
        Objects whose potential is nowhere at least this are dropped, 0 to 1; without effect where there is none.
    min_size : str
        The smallest object that is kept, or piece of a class, as people write it: ``"50 mm3"``, or class by class
        ``"whole=1 ml, core=50 mm3"``; comes before `min_fraction`. Empty: says nothing.
    classes : tuple of str
        For "classes": what the labels 1, 2 and so on mean.
    colors : tuple of str
        One for each class, as ``#rrggbb``; empty: the viewer's.
    background : bool
        For "classes": whether a pixel may be none of them. If not, 0 in the truth means that nobody knows.
    nested : bool
        For "classes": each lies within the one before it.
    """

    name: str = "heat"
    threshold: float = Field(0.5, gt=0, lt=1)
    persistence: float = Field(0.15, ge=0, le=1)
    touch_weight: float = Field(0.0, ge=0, le=1)
    min_fraction: float = Field(0.05, ge=0, lt=1)
    min_score: float = Field(0.0, ge=0, le=1)
    min_size: str = ""
    classes: tuple[str, ...] = Field((), max_length=200)
    colors: tuple[str, ...] = ()
    background: bool = True
    nested: bool = False

    @model_validator(mode="after")
    def _classes_are_a_table(self) -> Self:
        if len(set(self.classes)) < len(self.classes) or not all(self.classes):
            raise ValueError("give every class a name of its own")
        if self.colors and len(self.colors) != len(self.classes):
            raise ValueError(f"there are {len(self.classes)} classes but {len(self.colors)} colors; give one for each")
        if not all(re.fullmatch("#[0-9a-fA-F]{6}", color) for color in self.colors):
            raise ValueError("write colors as #rrggbb")
        if len(self.classes) == 1 and not self.background:
            raise ValueError("a single class leaves a background: otherwise there is nothing to tell apart")
        if self.nested and not self.background:
            raise ValueError("classes within each other always leave a background around them")
        if self.min_size:
            split_amounts(self.min_size)
        return self

    @property
    def levels(self) -> tuple[int, int]:
        """Persistence and smallest peak in steps of scores as they are stored, 0 to 255."""
        return round(255 * self.persistence), round(255 * self.min_score)

    @property
    def table(self) -> tuple[ClassRow, ...]:
        """The classes that labels are the numbers of; empty where labels are the numbers of objects."""
        return class_table(self.classes, self.colors) if self.name == "classes" else ()
