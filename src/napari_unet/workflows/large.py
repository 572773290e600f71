"""Labels of any size: where they go, and how they are looked at while they are found."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.axes import Image
from ..core.errors import ImageError, OutputError
from ..core.results import Table
from ..core.steps import Progress, Steps

if TYPE_CHECKING:
    from ..io.edits import Change, Edited
    from ..io.pyramid import Pyramid
    from ..io.unfinished import Unfinished

__all__ = [
    "choose_place", "drop_draft", "edit_labels_steps", "find_draft", "find_unfinished", "forget_edits", "has_draft",
    "keep_draft", "keep_runs_in", "open_pyramid", "shown", "undo_edit",
]  # fmt: skip


def choose_place(source: str | Path | None, name: str) -> Path:
    """Choose where the labels of an image go; see :func:`napari_unet.io.choosing.choose_place`."""
    from ..io.choosing import choose_place as choose

    return choose(None if source is None else Path(source), name)


def keep_runs_in(folder: str | Path, output: str | Path | None = None) -> None:
    """Keep runs whose results go to object stores in a folder, from now on: in this process and those that it starts.

    Parameters
    ----------
    folder : path
        Made if it is not there. Where several computers work together, all of them see it under the same name.
    output : path or str, optional
        What is written, where that is one thing only.

    Raises
    ------
    OutputError
        If it cannot be made, or `output` lies in no object store.
    """
    from ..io.addresses import as_address
    from ..io.choosing import WORK

    if output is not None and not as_address(output):
        raise OutputError(
            f"'{output}' lies in no object store: what a run needs to go on is kept beside such a result. Leave out "
            f"the folder '{folder}' (--work)."
        )

    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{folder}' cannot be made: {error.strerror or error}. Choose another folder.") from error
    os.environ[WORK] = os.path.realpath(folder)


def shown(place: str | Path) -> str:
    """Return a file or an address as a person writes it; see :func:`napari_unet.io.addresses.shown`."""
    from ..io.addresses import shown as words

    return words(Path(place))


def find_unfinished(image: Image, folders: Sequence[Path] = ()) -> list[Unfinished]:
    """Find runs on an image that were stopped; see :func:`napari_unet.io.unfinished.find_unfinished`."""
    from ..io.unfinished import find_unfinished as find

    return find(image, folders)


def open_pyramid(image: Image, output: str | Path, coarse: Mapping[int, Any]) -> Pyramid:
    """Get ready to look at labels while they are found; see :class:`napari_unet.io.pyramid.Pyramid`."""
    from ..io.pyramid import Pyramid

    return Pyramid(image, Path(output), coarse)


def edit_labels_steps(
    output: str | Path, before: Image, after: Image, window: Mapping[str, slice], table: Table, image: Image | None
) -> Steps[tuple[Edited, Table]]:
    """Write corrected labels back into the OME-Zarr that they were taken from, and measure again what has changed.

    Both are done, or nothing: if the steps end early, the labels are as they were.

    Parameters
    ----------
    output : path
        Of a finished run.
    before, after : Image
        A part of its labels as it was taken, and as it is now.
    window : mapping of str to slice
        Where the part lies, for each of its axes.
    table : dict of ndarray
        Measurements so far; empty for none.
    image : Image or None
        Intensities to measure.

    Returns
    -------
    edited : Edited
        See :func:`napari_unet.io.edits.edit_steps`.
    table : dict of ndarray
        Measurements of all objects as they are now.

    Yields
    ------
    Progress
        One for every part that is read or written.

    Raises
    ------
    ImageError, OutputError
        See :func:`napari_unet.io.edits.edit_steps`.
    """
    yield Progress(0, 0, "Looking at what has changed")
    from ..io.edits import Change, edit_steps
    from ..io.edits import undo_edit as undo
    from ..io.runs import find_finished
    from ..measures._again import measure_again

    place = Path(output)
    edited = yield from edit_steps(place, Change(window, before, after))
    try:
        news, stored = "", find_finished(place)
        yield Progress(0, 0, "Measuring the objects that have changed")
        if table and stored is not None:
            try:
                table = measure_again(table, stored[0], image, edited.ids, edited.box)
            except ImageError as error:  # of a run that left damaged parts of its image out
                news = f"Intensities of corrected objects are not known: {error}"
                table = measure_again(table, stored[0], None, edited.ids, edited.box)
        yield Progress(1, 1, "Measuring the objects that have changed", news=news)
    except BaseException:
        undo(place)
        raise
    return edited, table


def undo_edit(output: str | Path) -> dict[str, Any]:
    """Take the last correction back; see :func:`napari_unet.io.edits.undo_edit`."""
    from ..io.edits import undo_edit as undo

    return undo(Path(output))


def forget_edits(output: str | Path) -> None:
    """Let go of what could be undone; see :func:`napari_unet.io.edits.forget_edits`."""
    from ..io.edits import forget_edits as forget

    forget(Path(output))


def keep_draft(output: str | Path, before: Image, after: Image, window: Mapping[str, slice]) -> None:
    """Keep corrections that were not put back yet; see :func:`napari_unet.io.drafts.keep_draft`."""
    from ..io.drafts import keep_draft as keep
    from ..io.edits import Change

    keep(Path(output), Change(window, before, after))


def has_draft(output: str | Path) -> bool:
    """Say whether there are corrections that were not put back; loads nothing heavy."""
    from ..io.choosing import draft_folder

    return draft_folder(Path(output)).is_dir()


def find_draft(output: str | Path) -> Change | None:
    """Return corrections that were not put back; see :func:`napari_unet.io.drafts.find_draft`."""
    from ..io.drafts import find_draft as find

    return find(Path(output))


def drop_draft(output: str | Path) -> None:
    """Remove corrections that were not put back."""
    from ..io.drafts import drop_draft as drop

    drop(Path(output))
