"""What a folder of DICOM files holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Series", "list_in_words"]


@dataclass(frozen=True)
class Series:
    """A volume, a picture or a set of outlines.

    Attributes
    ----------
    choice : int
        Its number in the list, from 1: what ``--series`` takes.
    kind : {"image", "segmentation", "structures"}
        An image, a DICOM-SEG or an RTSTRUCT.
    name : str
        Modality and series number: nothing that could name a patient.
    size : str
        Planes, rows, columns and spacing in words.
    files : tuple of str
        Its files, in their order.
    problem : str
        Why it cannot be opened; empty if it can.
    uid : str
        SeriesInstanceUID.
    contents : Any
        For the reader.
    """

    choice: int
    kind: str
    name: str
    size: str
    files: tuple[str, ...] = field(repr=False)
    problem: str = ""
    uid: str = field(default="", repr=False)
    contents: Any = field(default=None, repr=False)


def list_in_words(series: Sequence[Series]) -> str:
    """Return one line a series."""
    return "\n".join(f"  {s.choice}  {s.name}: {s.problem or s.size}" for s in series)
