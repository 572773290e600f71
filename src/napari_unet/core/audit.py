"""What comes out when a segmentation is done again, cut in another way, and compared with the labels that are there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .results import Table

__all__ = ["Audit"]


@dataclass(frozen=True)
class Audit:
    """Labels compared with those of the same run, cut in another way.

    Attributes
    ----------
    objects : int
        Objects of the labels.
    found : int
        Objects when it was done again.
    pixels : int
        Pixels of the labels.
    pixels_differing : int
        Those of another object, or of an object in one and of the background in the other.
    table : dict of ndarray
        A row for each object that differs in at least a pixel. ``label``: its number in the labels, 0 for one that is
        not there; ``pixels``: its size there; ``pixels_again``: that of the object it overlaps most when done again;
        ``overlap``: their intersection over union; then the place of its first pixel, one column for each axis.
    renumbered : bool
        Objects are the same, but some have other numbers.
    hash : str
        Of the labels when done again.
    cut : dict
        Tiles and batch, then and now.
    notes : tuple of str
        What is good to know: another version of the program, another device.
    """

    objects: int
    found: int
    pixels: int
    pixels_differing: int
    table: Table
    renumbered: bool = False
    hash: str = ""
    cut: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def differing(self) -> int:
        """Number of objects that differ."""
        return len(self.table["label"])

    @property
    def equal(self) -> bool:
        """Whether every pixel belongs to the same object."""
        return not self.differing and not self.pixels_differing

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        rows = [dict(zip(self.table, row, strict=True)) for row in zip(*self.table.values(), strict=True)]
        return {
            "equal": self.equal, "objects": self.objects, "objects_again": self.found, "differing": self.differing,
            "pixels": self.pixels, "pixels_differing": self.pixels_differing, "renumbered": self.renumbered,
            "labels_hash": self.hash, "cut": self.cut, "notes": list(self.notes),
            "objects_differing": [{name: value.item() for name, value in row.items()} for row in rows],
        }  # fmt: skip
