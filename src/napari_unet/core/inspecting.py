"""When an inspected image passes: what may be set."""

from __future__ import annotations

from pydantic import Field, field_validator

from ._spec import Spec
from .errors import SpecError
from .rules import parse_rule

__all__ = ["InspectSpec"]


class InspectSpec(Spec):
    """When an inspected image passes.

    Attributes
    ----------
    rule : str
        An image fails if this holds, see :func:`~napari_unet.core.rules.parse_rule`; by default if it has a defect.
    pixel_size : float or None
        Edge of a pixel in mm; None: what the image says.
    unseen : float
        Share of an image, 0 to 1, that need not hold numbers: with more of that nobody knows whether it passes.
    """

    rule: str = "count > 0"
    pixel_size: float | None = Field(None, gt=0, allow_inf_nan=False)
    unseen: float = Field(0.0, ge=0, lt=1)

    @field_validator("rule")
    @classmethod
    def _rule_is_one(cls, rule: str) -> str:
        try:
            return str(parse_rule(rule))
        except SpecError as error:
            raise ValueError(str(error)) from error
