"""Open images for a command, and say what is to be known of them."""

from __future__ import annotations

from pathlib import Path

import typer

from .. import workflows
from ..core.axes import Image

__all__ = ["open_image"]


def open_image(path: Path, axes: str | None = None, series: int | None = None) -> Image:
    """Open an image; what its reader has to say goes to the terminal.

    Parameters
    ----------
    path : Path
        Of a file or a folder.
    axes : str, optional
        What its dimensions are.
    series : int, optional
        Of a DICOM folder that holds several.

    Returns
    -------
    Image
        The image.

    Raises
    ------
    UNetError
        If it cannot be opened.
    """
    image = workflows.read_image(path, axes, series)
    for remark in image.anatomy.remarks if image.anatomy else ():
        typer.echo(f"{path.name}: {remark}", err=True)
    return image
