"""What is checked before a tracking, and said after it."""

from __future__ import annotations

import numpy as np

from napari_unet.core.errors import AxesError
from napari_unet.core.sizes import equivalent_diameter

from ._followed import Followed

__all__ = ["check_order", "describe"]


def check_order(axes: str) -> None:
    """Refuse what a tracks layer cannot show."""
    if "t" in axes and axes not in ("tyx", "tzyx", "tcyx"):
        raise AxesError(
            f"The axes of these labels are '{axes}', but napari shows tracks over tyx or tzyx only: time first, then "
            "space. Reorder the labels, or use the command 'napari-unet track', which takes any order."
        )


def describe(made: Followed) -> str:
    """Say how large the cells are and how far they move."""
    tracks, table = made.tracks, made.table
    ndim = len(tracks.axes) - 1
    width = float(np.median(equivalent_diameter(table["area" if ndim == 2 else "volume"], ndim)))
    speed = table["speed"].astype(np.float64)
    unit = tracks.units[-1] if tracks.units else "pixel"
    unit = "pixels" if unit == "pixel" else unit
    said = f"Cells are {width:.3g} {unit} wide"
    if np.isfinite(speed).any():
        said += f" and move {float(np.nanmedian(speed)) * tracks.scale[0]:.2g} {unit} a frame"
    return f"{said}."
