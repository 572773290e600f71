"""What a training in a process of its own tells its parent: one JSON object a line. No torch here."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..core import errors
from ..core.errors import TrainingError, UNetError
from ..core.results import Epoch
from ..core.steps import Progress

__all__ = ["done_line", "error_line", "progress_line", "read_line"]


def progress_line(progress: Progress) -> str:
    """Write a Progress as a line; of its payload an Epoch is written, and nothing else."""
    said: dict[str, Any] = {"event": "progress", **vars(progress)}
    epoch = said.pop("payload")
    if isinstance(epoch, Epoch):
        said["epoch"] = asdict(epoch) | {
            "examples": [str(file) for file in epoch.examples],
            "preview": None if epoch.preview is None else str(epoch.preview),
        }
    return json.dumps(said)


def done_line(folder: Path) -> str:
    """Write that a model was made."""
    return json.dumps({"event": "done", "folder": str(folder)})


def error_line(error: UNetError) -> str:
    """Write what went wrong, in the words that are meant for the user."""
    return json.dumps({"event": "error", "kind": type(error).__name__, "words": str(error)})


def read_line(line: str) -> Progress | Path | UNetError | None:
    """Read a line back.

    Parameters
    ----------
    line : str
        As the functions above write it.

    Returns
    -------
    Progress, Path, UNetError or None
        What was told: progress, the folder of the finished model, or an error. None for a line that is no event, such
        as a warning of some library.
    """
    try:
        said = json.loads(line)
        kind = said.pop("event")
    except (ValueError, AttributeError, KeyError, TypeError):
        return None
    if kind == "done":
        return Path(said["folder"])
    if kind == "error":
        found = getattr(errors, said["kind"], TrainingError)
        return found(said["words"]) if found is not errors.MissingExtraError else TrainingError(said["words"])
    if kind != "progress":
        return None
    epoch = said.pop("epoch", None)
    progress = Progress(**said | {"part": tuple(said.get("part", (0, 1)))})
    if epoch is None:
        return progress
    epoch["examples"] = tuple(map(Path, epoch["examples"]))
    epoch["preview"] = None if epoch["preview"] is None else Path(epoch["preview"])
    return replace(progress, payload=Epoch(**epoch))
