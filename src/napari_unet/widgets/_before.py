"""Labels as a run has left them, so that it can be told later what was corrected by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, ref

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.results import Segmentation
from napari_unet.core.steps import Steps

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["Before", "Origin", "origin_of", "packing", "remember"]

_MOST: Final = 2**28  # pixels


@dataclass(frozen=True)
class Before:
    """Labels, packed: a hundredth of their size, as a rule.

    Attributes
    ----------
    shape : tuple of int
        Of the labels.
    parts : tuple of bytes
        One for each plane.
    """

    shape: tuple[int, ...]
    parts: tuple[bytes, ...]

    @classmethod
    def pack(cls, labels: npt.NDArray[Any]) -> Before:
        """Pack labels; takes a hundredth of a second for a million pixels, so not in the main thread."""
        codec = _codec()
        planes = labels.reshape(-1, *labels.shape[-2:])
        return cls(
            labels.shape, tuple(codec.encode(np.ascontiguousarray(plane, dtype=np.int32)) for plane in planes)
        )  # fmt: skip

    def unpack(self) -> npt.NDArray[np.int32]:
        """Return the labels."""
        codec, found = _codec(), np.empty(self.shape, np.int32)
        for plane, part in zip(found.reshape(-1, *self.shape[-2:]), self.parts, strict=True):
            plane[...] = np.frombuffer(codec.decode(part), np.int32).reshape(plane.shape)
        return found


def _codec() -> Any:
    return import_module("numcodecs").Blosc(cname="lz4", clevel=1)


@dataclass(frozen=True)
class Origin:
    """Where labels come from.

    Attributes
    ----------
    before : Before
        What they were before anybody painted in them.
    source : weak reference to napari.layers.Image
        The image layer that they were found in.
    axes : str
        Of its data.
    model : str
        What has found them.
    image : Image or None
        What they were found in, where that is more than the layer: all bands of its file, or further layers.
    channels : tuple of int or str, or None
        Those of its channels that were seen, as they were given.
    """

    before: Before
    source: ref[Any]
    axes: str
    model: str
    image: Image | None = None
    channels: tuple[int | str, ...] | None = None


# What is known of a layer goes with it.
_known: WeakKeyDictionary[Any, Origin] = WeakKeyDictionary()


def packing(make: Callable[[], Steps[Segmentation]], kept: Callable[[Before], None]) -> Steps[Segmentation]:
    """Pack what a run finds, in the thread of the run.

    Parameters
    ----------
    make : callable
        Returns the steps of a run.
    kept : callable
        Gets the packed labels; called in that thread.

    Returns
    -------
    Segmentation
        What the run returns.
    """
    result = yield from make()
    labels = result.labels.data
    if isinstance(labels, np.ndarray) and labels.size <= _MOST:
        kept(Before.pack(labels))
    return result


def remember(layer: Layer, origin: Origin) -> None:
    """Note where the labels of a layer come from."""
    source = origin.source()
    _known[_bare(layer)] = origin if source is None else replace(origin, source=ref(_bare(source)))


def _bare(layer: Any) -> Any:
    """Return a layer itself: docks get it in a wrapper of napari's, which is gone when nobody holds that any more."""
    return getattr(layer, "__wrapped__", layer)


def origin_of(layer: Layer | None) -> Origin | None:
    """Return where labels come from; None if that is not known, or the image is not there any more."""
    found = _known.get(layer) if layer is not None else None
    return found if found is not None and found.source() is not None else None
