"""What is checked before a tracking, and said after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from napari_unet.core.errors import AxesError, UNetError
from napari_unet.core.sizes import equivalent_diameter

from ._followed import Followed

if TYPE_CHECKING:
    from napari.layers import Labels

__all__ = ["carry", "check_order", "describe"]

_LAST: Final[WeakKeyDictionary[Labels, Any]] = WeakKeyDictionary()  # the corrections of the last tracks of some labels


def carry(made: Followed) -> str:
    """Make what was corrected in earlier tracks of the same labels hold for new ones, and say so in words."""
    before, _LAST[made.labels] = _LAST.get(made.labels), made.edits
    if before is None:
        return ""
    try:
        count, lost = made.edits.carry(before.fixed, before.forbidden, before.deleted)
    except UNetError as error:  # it was done, and could not be written down
        made.refresh()
        return f"What you corrected before is kept. {error}"
    if count:
        made.refresh()
    said = f"{count} links and cells that you corrected before stay so: Solve again fits the others to them." * (
        count > 0
    )
    return " ".join(
        filter(
            None, [said, f"{lost} links and cells that you corrected could not be kept: masks are gone." * (lost > 0)]
        )
    )


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
