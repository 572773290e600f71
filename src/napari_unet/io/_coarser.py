"""Rasters with larger pixels than others of the same place: each value is repeated, none is made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.place import GeoReference
from ._windowed import Windowed

__all__ = ["finest", "repeat_to"]

_EDGE: Final = 512
_OFF: Final = 0.01  # small pixels that a corner may lie off


class _Repeated(Windowed):
    """An array with every value repeated along y and x."""

    def __init__(self, source: Any, axes: str, factors: tuple[int, int], flat: tuple[int, int]) -> None:
        self.source, self.factors = source, dict(zip("yx", factors, strict=True))
        sizes = dict(zip("yx", flat, strict=True))
        self.axes, self.dtype = axes, np.dtype(source.dtype)
        self.shape = tuple(sizes.get(a, n) for a, n in zip(axes, source.shape, strict=True))
        self.chunks = tuple(min(n, _EDGE) if a in "yx" else n for a, n in zip(axes, self.shape, strict=True))

    def _read(self, window: Sequence[slice]) -> npt.NDArray[Any]:
        coarse, fine = list(window), list(window)
        for number, (axis, part) in enumerate(zip(self.axes, window, strict=True)):
            if factor := self.factors.get(axis):
                first = part.start // factor
                coarse[number] = slice(first, -(-part.stop // factor))
                fine[number] = slice(part.start - first * factor, part.stop - first * factor)
        block = np.asarray(self.source[tuple(coarse)])
        for number, axis in enumerate(self.axes):
            block = np.repeat(block, self.factors.get(axis, 1), axis=number)
        return np.asarray(block[tuple(fine)])


def finest(images: Sequence[Image]) -> Image:
    """Return the image with the smallest pixels; of several the first."""
    return min(images, key=lambda image: float(np.prod(image.along("yx")[1])))


def repeat_to(image: Image, fine: Image) -> Image | None:
    """Bring a raster to the grid of another whose pixels are smaller a whole number of times.

    Parameters
    ----------
    image, fine : Image
        Rasters with places.

    Returns
    -------
    Image or None
        The same values, repeated where they are read. None where the pixels do not fit into each other, the corners
        differ, or the image does not reach as far as the other does.
    """
    geo, its = image.geo or GeoReference(), fine.geo or GeoReference()
    shape, flat = image.along("yx")[0], fine.along("yx")[0]
    if geo.same_grid(its) and shape == flat:
        return image
    if geo.crs != its.crs or geo.transform is None or its.transform is None or geo.turned or its.turned:
        return None
    a, _, c, _, e, f = geo.transform
    fine_a, _, fine_c, _, fine_e, fine_f = its.transform
    ratios = e / fine_e, a / fine_a
    whole = (max(1, round(ratios[0])), max(1, round(ratios[1])))
    off = max(abs((c - fine_c) / fine_a), abs((f - fine_f) / fine_e))
    drift = max(abs(r - w) * n for r, w, n in zip(ratios, whole, shape, strict=True))
    if max(off, drift) > _OFF or any(n * w < m for n, w, m in zip(shape, whole, flat, strict=True)):
        return None
    height, width = flat
    masks = tuple(_Repeated(mask, "yx", whole, (height, width)) for mask in image.valid[:1])
    scale = dict(zip("yx", fine.along("yx")[1], strict=True))
    return replace(
        image,
        data=_Repeated(image.data, image.axes, whole, (height, width)),
        levels=(),
        valid=masks,
        scale=tuple(scale.get(axis, size) for axis, size in zip(image.axes, image.scale, strict=True)),
        geo=replace(geo, transform=its.transform, tags=(), coefficients=()),
    )
