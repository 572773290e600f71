"""What is known of the lesions of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .axes import Image
from .results import Table

__all__ = ["Growth", "Lesions"]


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
class Growth:
    """How lesions have changed from one time to another.

    Attributes
    ----------
    changes : dict of str to ndarray
        One row for each pair, and for each lesion without a partner.
    summary : mapping of str to float
        Numbers of lesions, and sums over all of them.
    """

    changes: Table
    summary: Mapping[str, float]
