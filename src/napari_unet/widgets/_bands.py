"""The bands of a file, which are a layer each in the viewer, as one image again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from napari_unet.core.axes import Image

from ._layers import KEY, layer_image
from ._stack import LastStack, layers_key, levels_of, stack_arrays

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["Bands", "band_of", "band_records"]


def band_records(image: Image, record: dict[str, Any], alone: bool) -> list[dict[str, Any]]:
    """Return the record of each layer of an image that is opened as a layer a channel.

    Parameters
    ----------
    image : Image
        With channels.
    record : dict
        What is the same in all.
    alone : bool
        Whether the file holds this image only.

    Returns
    -------
    list of dict
        The metadata of the layers.
    """
    told = {
        "of": uuid4().hex, "axes": image.axes, "count": image.channels, "name": image.name,
        "file": image.source if alone else "", "names": image.channel_names,
    }  # fmt: skip
    return [{KEY: record | {"band": told | {"number": number}}} for number in range(image.channels)]


class Bands:
    """Finds the layers that came from one file, and stacks them without loading them.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layers.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer, self._last = viewer, LastStack()

    def changed(self, layer: Layer | None) -> bool:
        """Say whether bands have come or gone since this layer, one of several of a file, was looked at."""
        return layer is not None and band_of(layer) is not None and self._last.key != layers_key(self._siblings(layer))

    def stacked(self, layer: Layer) -> tuple[Image, tuple[int, ...]]:
        """Return all bands of the file of a layer.

        Parameters
        ----------
        layer : napari.layers.Image
            One that has a :func:`band_of`.

        Returns
        -------
        image : Image
            Lazy, with axes, names and numbers as the file has them; the same object while the layers hold the same.
        lost : tuple of int
            Channels whose layers are no longer there as they were opened; they are zeros.
        """
        band, found = band_of(layer) or {}, self._siblings(layer)
        lost = tuple(n for n in range(band["count"]) if n not in found)
        return self._last.image(layers_key(found), partial(_stacked, band, found)), lost

    def _siblings(self, layer: Layer) -> dict[int, Layer]:
        """Return the layers of a file by channel; of copies, the chosen layer counts, then the lowest."""
        band = band_of(layer) or {}
        found = {band["number"]: layer}
        for other in self._viewer.layers:
            told = band_of(other)
            if told is not None and told["of"] == band["of"] and _alike(other, layer):
                found.setdefault(told["number"], other)
        return dict(sorted(found.items()))


def band_of(layer: Layer) -> dict[str, Any] | None:
    """Return which channel of which file a layer is, as :func:`band_records` wrote it; None if it is none."""
    record = layer.metadata.get(KEY)
    found = record.get("band") if isinstance(record, dict) else None
    return found if isinstance(found, dict) else None


def _alike(one: Layer, other: Layer) -> bool:
    """Say whether two layers can be channels of one image."""
    kinds = [[(tuple(array.shape), array.dtype) for array in levels_of(layer)] for layer in (one, other)]
    places = [(tuple(y.scale), tuple(y.translate), tuple(map(str, y.units))) for y in (one, other)]
    return kinds[0] == kinds[1] and places[0] == places[1]


def _stacked(band: dict[str, Any], found: dict[int, Layer]) -> tuple[Image, list[Image]]:
    """Return the image of a file, and its channels that are there."""
    axes, at = band["axes"].replace("c", ""), band["axes"].index("c")
    parts = {number: layer_image(each, axes) for number, each in found.items()}
    one = parts[band["number"]]
    whole = [
        stack_arrays([_array(parts.get(number), n) for number in range(band["count"])], like, axes, at)
        for n, like in enumerate((one.data, *one.levels))
    ]
    scale, units = (*one.scale[:at], 1.0, *one.scale[at:]), (*one.units[:at], "pixel", *one.units[at:])
    image = Image(
        whole[0], band["axes"], scale, units, band["name"], band["file"], tuple(whole[1:]),
        one.geo, one.valid, one.anatomy, band.get("names", ()),
        start=(*one.start[:at], 0.0, *one.start[at:]),
    )  # fmt: skip
    return image, list(parts.values())


def _array(part: Image | None, level: int) -> Any:
    return None if part is None else (part.data, *part.levels)[level]
