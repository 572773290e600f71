"""The run that is meant: what Run would do."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from napari_unet.core.axes import Image
from napari_unet.core.specs import SegmentSpec

__all__ = ["Place", "Run"]


class Place(NamedTuple):
    """Where labels go, and whether others that are there may be replaced."""

    path: Path
    overwrite: bool = False

    @property
    def streams(self) -> bool:
        """Whether labels are written there while they are found."""
        return self.path.suffix.lower() == ".zarr"


class Run(NamedTuple):
    """A run that is meant."""

    image: Image
    spec: SegmentSpec
    place: Place | None

    @property
    def key(self) -> object:
        """Equal for runs that will take the same time and room."""
        image = self.image
        return id(image.data), image.shape, image.axes, self.spec, None if self.place is None else self.place.path
