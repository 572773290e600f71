"""What an inspection finds: defects, and what is said of an image because of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Defect", "Inspection", "Verdict"]


@dataclass(frozen=True)
class Defect:
    """One connected piece of a class, or one object.

    Attributes
    ----------
    kind : str
        Its class.
    area, length : float
        Pixels, and the longest straight line between two of them, from edge to edge, in pixels.
    area_mm2, length_mm : float or None
        The same in millimeters, where the size of a pixel is known.
    y, x : float
        Its middle, in pixels; the middle of the first pixel is 0.
    box : tuple of int
        First row, first column, and the row and column after the last.
    plane : tuple of int
        Which plane of a stack or movie; empty where there is one only.
    confidence : float or None
        How sure the model is, 0 to 1, where that is known.
    """

    kind: str
    area: float
    length: float
    y: float
    x: float
    box: tuple[int, int, int, int]
    area_mm2: float | None = None
    length_mm: float | None = None
    plane: tuple[int, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What is said of an image.

    Attributes
    ----------
    image : str
        Its file, or its name.
    verdict : {"pass", "fail", "error"}
        Error: it could not be inspected, so that nobody knows.
    reason : str
        Which part of the rule failed it, or what went wrong.
    defects : tuple of Defect
        What was found.
    seconds : float
        How long it took.
    """

    image: str
    verdict: Literal["pass", "fail", "error"]
    reason: str = ""
    defects: tuple[Defect, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Inspection:
    """How many images passed.

    Attributes
    ----------
    passed, failed, errors : int
        Images, those of a run that went on included.
    defects : int
        In all of them.
    """

    passed: int = 0
    failed: int = 0
    errors: int = 0
    defects: int = 0

    @property
    def code(self) -> int:
        """Exit code of the command: 0 all passed, 1 some failed, 2 of some nobody knows."""
        return 2 if self.errors else int(self.failed > 0)
