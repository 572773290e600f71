"""What the dock says of a run: while it goes on, and of what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.core.pace import Pace
    from napari_unet.core.results import Segmentation
    from napari_unet.core.steps import Progress

__all__ = ["found_words", "outcome_words", "progress_words"]

_NAMED: Final = 6  # classes that are named one by one


def progress_words(progress: Progress, pace: Pace) -> str:
    """Say how far a run is: what it does, how fast, how much of it is done, and the time that is left."""
    parts = [progress.note, f"{progress.done} of {progress.total}" if progress.total > 1 else ""]
    return ", ".join(filter(None, (*parts, pace.words)))


def outcome_words(result: Segmentation, noun: str, path: Path | None) -> str:
    """Say what a run has found.

    Parameters
    ----------
    result : Segmentation
        What it has found.
    noun : str
        What the objects are.
    path : Path or None
        Where the labels were written.

    Returns
    -------
    str
        A few sentences.
    """
    text = f"Found {found_words(result, noun)} in {result.seconds:.1f} s."
    if not result.objects:
        width = ", or give the object width" if result.sized else ""
        advice = "" if result.classes or result.flat else f" Try a lower threshold (Advanced){width}."
        text = f"Nothing found.{advice}"
    text = text if path is None else f"{text} Saved: {path}."
    text = f"{text} Agreement: {result.agreement}." if result.agreement else text
    text = f"{text} Not used: {result.unused}." if result.unused else text
    return f"{text} Not seen: {result.unseen}." if result.unseen else text


def found_words(result: Segmentation, noun: str) -> str:
    """Say how many objects or which classes there are, and how wide objects are where that is known."""
    if not result.classes:
        width = f", {result.diameter:.1f} px wide," if result.sized else ""
        return f"{result.objects} {noun.removesuffix('s') if result.objects == 1 else noun}{width}"
    shares = dict(zip(result.table.get("index", ()), result.table.get("share", ()), strict=False))
    parts = [f"{row.name} {shares[row.label]:.1%}" for row in result.classes if row.label in shares]
    many = f"{len(parts) or result.objects} of {len(result.classes)} classes"
    return f"{many} ({', '.join(parts)})" if 0 < len(parts) <= _NAMED else many
