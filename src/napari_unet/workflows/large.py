"""Labels of any size: where they go, and how they are looked at while they are found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.axes import Image

if TYPE_CHECKING:
    from ..io.pyramid import Pyramid

__all__ = ["choose_place", "open_pyramid"]


def choose_place(source: str | Path | None, name: str) -> Path:
    """Choose where the labels of an image go; see :func:`napari_unet.io.choosing.choose_place`."""
    from ..io.choosing import choose_place as choose

    return choose(None if source is None else Path(source), name)


def open_pyramid(image: Image, output: str | Path, coarse: Mapping[int, Any]) -> Pyramid:
    """Get ready to look at labels while they are found; see :class:`napari_unet.io.pyramid.Pyramid`."""
    from ..io.pyramid import Pyramid

    return Pyramid(image, Path(output), coarse)
