"""What is known of the lesions of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .axes import Image
from .results import Table

__all__ = ["Growth", "Lesions", "Response"]

_SUMS: Final = ("diameter_sum_before", "diameter_sum_after", "diameter_sum_change")
_RESPONSES: Final = {
    "CR": "complete response", "PR": "partial response", "SD": "stable disease", "PD": "progressive disease",
    "NN": "neither complete response nor progression, no lesion of 10 mm or more at first",
}  # fmt: skip


@dataclass(frozen=True)
class Lesions:
    """Lesions, each with a number of its own.

    Attributes
    ----------
    labels : Image
        One number a lesion.
    table : dict of str to ndarray
        One row a lesion.
    totals : dict of str to ndarray
        One row a class.
    units : mapping of str to str
        Of the columns that have one.
    """

    labels: Image
    table: Table
    totals: Table
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """A category in the manner of RECIST 1.1. It is no diagnosis: who reads the images chooses the targets.

    Attributes
    ----------
    category : str
        ``CR``, ``PR``, ``SD`` or ``PD``; ``NN`` where no lesion was large enough for a target, and some are left.
    targets : int
        Lesions that were followed up, five at most.
    before, after : float
        Sums of their longest diameters, mm.
    new : int
        Lesions that were not there before.
    classes : int
        Of how many classes the lesions were: targets are chosen among all of them.
    """

    category: str
    targets: int
    before: float
    after: float
    new: int
    classes: int = 1

    @property
    def words(self) -> str:
        """The category and what it rests on, in words."""
        of = f" chosen among {self.classes} classes" if self.classes > 1 else ""
        targets = f"{self.targets} target{'s' * (self.targets != 1)}{of}"
        sums = f"{targets}, sum of diameters {self.before:.1f} to {self.after:.1f} mm"
        new = f", {self.new} new" if self.new else ""
        return f"{self.category} ({_RESPONSES[self.category]}; {sums}{new}). Not a diagnosis"


@dataclass(frozen=True)
class Growth:
    """How lesions have changed from one time to another.

    Attributes
    ----------
    changes : dict of str to ndarray
        One row for each pair, and for each lesion without a partner.
    summary : mapping of str to float
        Numbers of lesions, and sums over all of them, of whatever classes.
    response : Response or None
        Its category in the manner of RECIST 1.1; None where lengths are not known.
    classes : dict of str to ndarray
        The same sums class by class, one row each; empty unless there are several.
    """

    changes: Table
    summary: Mapping[str, float]
    response: Response | None = None
    classes: Table = field(default_factory=dict)

    @property
    def class_words(self) -> dict[str, str]:
        """How the sum of diameters of each class has changed, in words; empty unless there are several."""
        known: dict[str, Any] = dict(self.classes)
        rows = zip(*(known.get(name, ()) for name in ("class", *_SUMS)), strict=True)
        return {
            f"Class {int(one)}": f"sum of diameters {a:.4g} to {b:.4g}" + (f" ({by:+.1f} %)" if a else "")
            for one, a, b, by in rows
        }
