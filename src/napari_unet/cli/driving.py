"""What a process does that was started to drive a run; nobody types it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import workflows

__all__ = ["drive"]


def drive(folder: Annotated[Path, typer.Argument(help="Folder of the run.", show_default=False)]) -> None:
    """Do a run that the viewer has written down."""
    workflows.drive_run(folder)
