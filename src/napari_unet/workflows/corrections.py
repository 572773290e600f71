"""Correct tracks by hand, and write down every correction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import OutputError
from ..core.results import Table, Tracks

if TYPE_CHECKING:
    from ..io.lines import Lines
    from ..tracking.edits import Edits

__all__ = [
    "correct", "draw_lineages", "list_doubts", "place_corrections", "summarize_frames", "summarize_tracks",
    "write_picture",
]  # fmt: skip


def place_corrections(tracks: Tracks, labels: str | Path | None = None) -> Path:
    """Choose the file for the corrections of some tracks.

    Parameters
    ----------
    tracks : Tracks
        As they were found: other tracks have another file.
    labels : path, optional
        The file that holds the labels.

    Returns
    -------
    Path
        Beside the labels; in the program's own folder where there is no such file, or its folder cannot be written.
    """
    import os

    from ..io.choosing import data_folder
    from ..tracking.edits import digest

    name = f"tracks-{digest(tracks)}.jsonl"
    if labels is not None and "://" not in str(labels):
        path = Path(labels)
        if path.exists() and os.access(path.parent, os.W_OK):
            return path.with_name(f"{path.name}.{name}")
    return data_folder() / "corrections" / name


def correct(tracks: Tracks, place: Path | None = None, merging: bool = False) -> tuple[Edits, str]:
    """Get ready to correct tracks; corrections that were written down before are made again.

    Parameters
    ----------
    tracks : Tracks
        As they were found.
    place : path, optional
        A file to write every correction to at once; see :func:`place_corrections`. None writes nothing.
    merging : bool
        Let two cells become one.

    Returns
    -------
    edits : Edits
        See :class:`napari_unet.tracking.edits.Edits`.
    news : str
        What was found in the file, in words; empty if nothing was.

    Raises
    ------
    OutputError
        If the file holds something else, or cannot be written.
    """
    from glob import escape

    from ..io.lines import Lines
    from ..tracking.edits import Edits, digest

    edits = Edits(tracks, merging)
    if place is None:
        return edits, ""
    lines = Lines(place, {"corrections": 1, "tracks": digest(tracks)})
    refused = edits.replay(lines.entries)
    edits.keep, edits.place = _keep_in(lines, edits), place
    if refused:
        raise OutputError(
            f"{len(refused)} of {len(lines.entries)} corrections in '{place}' do not fit these tracks, the first is: "
            f"{refused[0]} Move the file away to begin anew."
        )
    words = f"{len(edits.done)} corrections of before are there again." if edits.done else ""
    if not lines.entries and (others := _others(place)):
        words = (
            f"Corrections of other tracks of these labels are kept in '{others[-1]}': they belong to the masks and the "
            "settings of then."
        )
    if apart := sorted(place.parent.glob(f"{escape(place.stem)}-*{place.suffix}")):
        words += f" Other corrections of the same tracks, made at the same time, are kept in '{apart[-1]}'."
    return edits, " ".join(filter(None, [words.strip(), lines.news]))


def _keep_in(lines: Lines, edits: Edits) -> Callable[[dict[str, Any]], None]:
    def keep(entry: dict[str, Any]) -> None:
        try:
            lines.add(entry)
        finally:
            edits.place = lines.path

    return keep


def _others(place: Path) -> list[Path]:
    """List the files with corrections of other tracks of the same labels, the latest last."""
    labels, _, _ = place.name.rpartition("tracks-")
    if not labels:
        return []  # in the program's own folder nobody knows whose they are
    found = [file for file in place.parent.glob("*tracks-*.jsonl") if file.name.rpartition("tracks-")[0] == labels]
    return sorted((file for file in found if file != place), key=lambda file: file.stat().st_mtime)


def list_doubts(tracks: Tracks, edits: Edits | None = None) -> Table:
    """List what may be wrong in tracks, most doubtful first; see :func:`napari_unet.tracking.doubts.doubts`."""
    from ..tracking.doubts import doubts

    return doubts(tracks, edits.fixed if edits is not None else ())


def summarize_tracks(tracks: Tracks) -> Table:
    """Measure every track; see :func:`napari_unet.tracking.summary.summarize`."""
    from ..tracking.summary import summarize

    return summarize(tracks)


def summarize_frames(tracks: Tracks) -> Table:
    """Count and measure what happens in every frame; see :func:`napari_unet.tracking.summary.frame_table`."""
    from ..tracking.summary import frame_table

    return frame_table(tracks)


def draw_lineages(tracks: Tracks) -> Table:
    """Lay lineages out as a tree; see :func:`napari_unet.tracking.summary.tree`."""
    from ..tracking.summary import tree

    return tree(tracks)


def write_picture(path: str | Path, content: bytes) -> None:
    """Write a picture that is made already.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    content : bytes
        Of the file.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    from ..io.atomic import atomic_file

    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
