"""Layers that are the channels of one image: what they are called, whether they lie on one grid, and the image."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.sequences import check_sequences, name_sequences, refusal, shared_place

from ._layers import layer_axes, layer_image
from ._stack import LastStack, layers_key, stack_arrays

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["bears", "join_layers", "of_one_case"]

_BETWEEN: Final = re.compile(r"[_\W]+")
_OFF: Final = 1e-2  # of a pixel that a layer may be moved


def bears(title: str, name: str) -> bool:
    """Say whether the name of a layer has that of a channel in it, as a word."""
    wanted = _words(name)
    return bool(wanted.strip()) and wanted in _words(title)


def of_one_case(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Say whether names of layers are the same but for those of their channels.

    Parameters
    ----------
    one, other : tuple of (str, str)
        Name of a layer, and of its channel: ``("p1_T1", "T1")`` and ``("p1_FLAIR", "FLAIR")``.

    Returns
    -------
    bool
        False for layers of two patients.
    """
    rest = {_words(title).replace(_words(name), " ", 1).strip() for title, name in (one, other)}
    return len(rest) == 1


def _words(text: str) -> str:
    return f" {' '.join(filter(None, _BETWEEN.split(text.casefold())))} "


def join_layers(layers: Sequence[Layer], axes: str, last: LastStack) -> Image:
    """Return layers as the channels of one image.

    Parameters
    ----------
    layers : sequence of napari.layers.Image
        In the order of the channels.
    axes : str
        Of those that do not say theirs.
    last : LastStack
        Has the image of before.

    Returns
    -------
    Image
        Lazy, channels first; the same object while the layers hold the same.

    Raises
    ------
    AxesError, ImageError
        If a layer is there twice, has channels, or lies on another grid than the first.
    """
    if any(one == other for one, other in itertools.combinations(layers, 2)):
        raise ImageError("A layer is chosen for two channels. Choose another one for each.")
    parts = [layer_image(layer, _axes_of(layer, axes)) for layer in layers]
    check_sequences(parts)
    for part, layer in zip(parts, layers, strict=True):
        if reason := _moved(layers[0], layer):
            raise refusal(parts[0], part, reason)
    places = [(layer.name, tuple(layer.translate)) for layer in layers]
    return last.image([axes, *places, layers_key(dict(enumerate(layers)))], lambda: (_join(parts), parts))


def _join(parts: list[Image]) -> Image:
    first, titles = parts[0], [part.name for part in parts]
    case, names = name_sequences(titles)
    name = case or " + ".join(titles)
    whole = [
        stack_arrays(arrays, arrays[0], first.axes, 0)
        for arrays in zip(*((part.data, *part.levels) for part in parts), strict=False)
        if len({tuple(array.shape) for array in arrays}) == 1
    ]
    masks = [part.valid[0] for part in parts if part.valid]
    return Image(
        whole[0], f"c{first.axes}", (1.0, *first.scale), ("pixel", *first.units), name, "", tuple(whole[1:]),
        valid=(stack_arrays(masks, masks[0], "yx", 0).all(axis=0),) if masks else (), channel_names=names,
        **shared_place(parts, names), start=(0.0, *first.start),
    )  # fmt: skip


def _axes_of(layer: Layer, axes: str) -> str:
    """Return the axes that a layer says, or else those of the chosen one."""
    found, sure = layer_axes(layer)
    return found if sure or len(found) != len(axes) else axes


def _moved(one: Layer, other: Layer) -> str:
    """Say in which way a layer lies elsewhere in the viewer; empty if it does not."""
    off = np.asarray(other.translate) - np.asarray(one.translate)
    if (np.abs(off) > _OFF * np.abs(one.scale)).any():
        shift = " x ".join(f"{step:.3g}" for step in off)
        return f"it is moved by {shift} {one.units[-1]} along its axes in the viewer (move it back, if not meant)"
    turned = [[np.asarray(part) for part in (y.rotate, y.shear, y.affine.affine_matrix)] for y in (one, other)]
    same = all(a.shape == b.shape and np.allclose(a, b, atol=1e-4) for a, b in zip(*turned, strict=True))
    return "" if same else "it is turned, sheared or moved otherwise in the viewer"
