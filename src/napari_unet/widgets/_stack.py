"""Layers that are stacked to one image without loading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from napari_unet.core.axes import Image

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["LastStack", "layers_key", "levels_of", "stack_arrays"]

_BLOCK: Final = {"z": 64, "y": 512, "x": 512}  # of an array in memory; 1 along time


class LastStack:
    """The image that was stacked last: the same object while the layers hold the same."""

    def __init__(self) -> None:
        self.key: list[Any] = []
        self._image: Image | None = None
        self._held: Sequence[Image] = ()  # so that no other array gets a number of `key`

    def image(self, key: list[Any], make: Callable[[], tuple[Image, Sequence[Image]]]) -> Image:
        """Return the image of before where the key is the same, or stack another one.

        Parameters
        ----------
        key : list
            See :func:`layers_key`.
        make : callable
            Returns the image and its parts.

        Returns
        -------
        Image
            Lazy.
        """
        if self._image is None or self.key != key:
            self._image, self._held = make()
            self.key = key
        return self._image


def levels_of(layer: Layer) -> list[Any]:
    """Return the arrays of a layer, the finest first."""
    return list(layer.data) if layer.multiscale else [layer.data]


def layers_key(found: dict[int, Layer]) -> list[Any]:
    """Return what is equal as long as layers hold the same arrays at the same scale."""
    return [
        (n, [id(array) for array in levels_of(y)], tuple(y.scale), tuple(map(str, y.units))) for n, y in found.items()
    ]


def stack_arrays(arrays: Sequence[Any], like: Any, axes: str, at: int) -> Any:
    """Stack arrays as they are read; those that are not there are zeros, which nobody looks at."""
    import dask.array as da  # noqa: PLC0415  # takes longer to load than all else here

    chunks = tuple(min(n, _BLOCK.get(a, 1)) for n, a in zip(like.shape, axes, strict=True))
    lazy = [
        da.zeros(like.shape, like.dtype, chunks=getattr(like, "chunks", chunks)) if array is None
        else array if isinstance(array, da.Array)
        else da.from_array(array, chunks=chunks, name=False)
        for array in arrays
    ]  # fmt: skip
    return da.stack(lazy, axis=at).rechunk({at: -1})
