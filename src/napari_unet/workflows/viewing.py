"""Open a viewer."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.axes import Image
from ..core.errors import MissingExtraError
from ..core.results import Table

__all__ = ["show"]


def show(found: Sequence[tuple[Image, Image, Table]]) -> None:
    """Open a viewer with images, their labels and measurements; return when it is closed.

    Raises
    ------
    MissingExtraError
        If napari is not installed.
    """
    from importlib import import_module
    from importlib.util import find_spec

    if find_spec("napari") is None:
        raise MissingExtraError("napari", "all", "The viewer")
    # By name: the viewer lives on the floor above, and only who asks for it climbs there.
    import_module("napari_unet.widgets._demo").show_demo(found)
