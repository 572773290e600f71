"""What the dock says of a run: while it goes on, and of what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._worker import Pace, in_words

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.core.results import Segmentation
    from napari_unet.core.steps import Progress

__all__ = ["outcome_words", "progress_words"]


def progress_words(progress: Progress, pace: Pace) -> str:
    """Say how far a run is: what it does, how fast, how much of it is done, and the time that is left."""
    parts = [progress.note, f"{progress.done} of {progress.total}" if progress.total > 1 else ""]
    parts.append(in_words(pace.left) if pace.left is not None else "")
    return ", ".join(filter(None, parts))


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
    if not result.objects:
        return "Nothing found. Try a lower threshold (Advanced), or give the object width."
    text = f"Found {result.objects} {noun}, {result.diameter:.1f} px wide, in {result.seconds:.1f} s."
    text = text if path is None else f"{text} Saved: {path}."
    text = f"{text} Agreement: {result.agreement}." if result.agreement else text
    return f"{text} Not seen: {result.unseen}." if result.unseen else text
