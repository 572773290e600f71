"""Corrections that were not put back yet, kept beside the labels that they belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from ..core.axes import Image
from ..core.errors import OutputError
from .atomic import clear
from .choosing import draft_folder
from .edits import Change
from .journal import MANIFEST, Journal

__all__ = ["drop_draft", "find_draft", "has_draft", "keep_draft"]

_REGION: Final = "region"


def has_draft(output: Path) -> bool:
    """Say whether corrections are kept that were not put back."""
    return (draft_folder(output) / MANIFEST).is_file()


def keep_draft(output: Path, change: Change) -> None:
    """Keep corrections until they are put back or dropped; there is one part of some labels at a time.

    Parameters
    ----------
    output : Path
        Of a finished run.
    change : Change
        The part as it was taken, and as it is by now.

    Raises
    ------
    OutputError
        If it cannot be written, or another program is keeping corrections of the same labels.
    """
    window = {a: [part.start, part.stop] for a, part in change.window.items()}
    about = {"axes": change.before.axes, "window": window}
    with Journal(draft_folder(output)) as journal:
        if journal.manifest != about:
            (journal.folder / MANIFEST).unlink(missing_ok=True)
            journal.put(_REGION, "before", values=change.before.data)
        journal.put(_REGION, "after", values=change.after.data)
        if journal.manifest != about:
            journal.begin(about)


def find_draft(output: Path) -> Change | None:
    """Return corrections that were not put back.

    Parameters
    ----------
    output : Path
        Of a finished run.

    Returns
    -------
    Change or None
        None if there are none.

    Raises
    ------
    OutputError
        If they are damaged.
    """
    journal = Journal(draft_folder(output))  # not held: what is read was written whole
    try:
        about = json.loads((journal.folder / MANIFEST).read_text("utf-8"))
        axes = str(about["axes"])
        window = {str(a): slice(int(start), int(stop)) for a, (start, stop) in about["window"].items()}
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(f"'{journal.folder}' is damaged. Remove that folder, and take the region again.") from error
    before, after = (Image(journal.get(_REGION, key)["values"].copy(), axes) for key in ("before", "after"))
    return Change(window, before, after)


def drop_draft(output: Path) -> None:
    """Remove corrections that were kept, if there are any."""
    folder = draft_folder(output)
    (folder / MANIFEST).unlink(missing_ok=True)
    clear(folder)
