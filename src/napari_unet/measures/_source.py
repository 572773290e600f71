"""Labels and channels as the measures read them: spatial axes in the order zyx, one time point at once."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from napari_unet.core.anatomy import check_grid
from napari_unet.core.axes import AXES, Image
from napari_unet.core.errors import AxesError
from napari_unet.core.windows import Reader, Window

__all__ = ["Source", "check_fit", "spatial"]


class Source:
    """One channel, or labels, with the spatial axes in the order zyx.

    Parameters
    ----------
    image : Image
        Where it comes from.
    reader : Reader
        Of its data; channels of one image share it.
    channel : int
        Which one.
    """

    def __init__(self, image: Image, reader: Reader, channel: int = 0) -> None:
        self.name, self.axes = image.name, spatial(image)
        self.shape, self.scale, _ = image.along(self.axes)
        self._reader, self._stored, self._channel = reader, image.axes, channel

    def read(self, t: int | None, window: Window) -> npt.NDArray[Any]:
        """Load a window of one time point."""
        held = {"c": self._channel, "t": t or 0}
        parts = {a: slice(k, k + 1) for a, k in held.items()} | dict(zip(self.axes, window, strict=True))
        block = self._reader.read(tuple(parts[a] for a in self._stored))
        kept = [0 if a in held else slice(None) for a in self._stored]
        left = [a for a in self._stored if a not in held]
        return block[tuple(kept)].transpose([left.index(a) for a in self.axes])


def spatial(labels: Image) -> str:
    """Return the spatial axes in the order zyx."""
    return "".join(a for a in AXES if a in labels.spatial)


def check_fit(labels: Image, image: Image, but: str = "") -> None:
    """Raise an error if the image does not cover the pixels of the labels; nothing is asked of the axes `but`."""
    check_grid(labels, image)
    own, other = ("".join(a for a in each.label_axes if a not in but) for each in (labels, image))
    if set(own) != set(other) or labels.along(own)[0] != image.along(own)[0]:
        meant = labels.along(own)[0] == image.along(other)[0]
        advice = (
            f"If the dimensions are the same, say what they are: axes='{image.axes}', on the command line --axes "
            f"{image.axes}"
            if meant
            else "Choose the image that was segmented"
        )
        raise AxesError(
            f"The labels '{labels.name}' ({labels.axes} {labels.shape}) and the image '{image.name}' "
            f"({image.axes} {image.shape}) do not cover the same pixels. {advice}."
        )
