"""How objects are represented and decoded: what may be set."""

from __future__ import annotations

import math
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
    small_fraction, small_score : float
        Objects smaller than this fraction of a disk need the more potential the smaller they are: evenly with the
        logarithm of the size, from `min_score` at this fraction to `small_score` at `min_fraction`. With a
        `small_fraction` of 0, or a `min_fraction` of 0, all need the same.
    min_size : str
        The smallest object that is kept, or piece of a class, as people write it: ``"50 mm3"``, or class by class
        ``"whole=1 ml, core=50 mm3"``; comes before the fractions. Empty: says nothing.
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
    small_fraction: float = Field(0.0, ge=0, lt=1)
    small_score: float = Field(0.0, ge=0, le=1)
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

    @model_validator(mode="after")
    def _small_ones_need_more(self) -> Self:
        if self.small_fraction and (self.small_fraction <= self.min_fraction or self.small_score < self.min_score):
            raise ValueError(
                "small_fraction lies above min_fraction, and small_score not below min_score; or give a small_fraction "
                "of 0"
            )
        return self

    @property
    def level(self) -> int:
        """Persistence in steps of scores as they are stored, 0 to 255."""
        return round(255 * self.persistence)

    def least(self, smallest: float) -> tuple[float, ...]:
        """Say for every height of a peak, in steps of scores as they are stored, how many pixels its object needs.

        Parameters
        ----------
        smallest : float
            Objects with fewer pixels are dropped, however high their peak.

        Returns
        -------
        tuple of float
            For the heights 0 to 255; infinite where objects of any size are dropped.
        """
        lowest, highest = round(255 * self.min_score), round(255 * self.small_score)
        ratio = self.small_fraction / self.min_fraction if self.small_fraction and self.min_fraction else 1.0
        # Rounded, so that the last bit of a power, which machines may compute differently, does not matter.
        return tuple(
            math.inf if peak < lowest
            else smallest if peak >= highest
            else round(smallest * ratio ** min(1.0, (highest - peak) / (highest - lowest)), 3)
            for peak in range(256)
        )  # fmt: skip

    @property
    def table(self) -> tuple[ClassRow, ...]:
        """The classes that labels are the numbers of; empty where labels are the numbers of objects."""
        return class_table(self.classes, self.colors) if self.name == "classes" else ()
