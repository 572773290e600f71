"""The rows for layers that hold the other channels of a model: T1, FLAIR and so on, a layer each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QFormLayout, QLabel

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.sequences import check_sequences, name_sequences, refusal, shared_place

from ._bands import layers_key, stack_arrays
from ._chooser import LayerBox
from ._layers import layer_axes, layer_image
from ._parts import words

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_unet.core.model_card import ModelCard

__all__ = ["FurtherRows"]

_NONE: Final = "choose a layer"
_BETWEEN: Final = re.compile(r"[_\W]+")
_OFF: Final = 1e-2  # of a pixel that a layer may be moved


class FurtherRows:
    """Rows of a form, one for each channel that the chosen layer does not hold; none where it has all.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layers.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.boxes: list[LayerBox] = []
        self.labels: list[QLabel] = []
        self.said = words()
        self._form: QFormLayout | None = None
        self._changed: Callable[[], object] = lambda: None
        self._names: tuple[str, ...] = ()  # of all channels; empty where no row is needed
        self._own = 0  # the channel of the chosen layer
        self._of: tuple[Any, ...] = ()
        self._image: Image | None = None
        self._key: list[Any] = []
        self._held: list[Image] = []  # so that no other array gets a number of `_key`

    def add_to(self, form: QFormLayout, changed: Callable[[], object]) -> None:
        """Add the rows to a form, and have something called whenever another layer is chosen."""
        self._form, self._changed = form, changed
        form.addRow(self.said)
        self.said.hide()

    @property
    def needed(self) -> bool:
        """Whether the model sees more channels than the chosen layer holds."""
        return bool(self._names)

    @property
    def layers(self) -> list[Layer | None]:
        """The layer of each channel, in the order of the model."""
        others = [box.layer for box in self.boxes[: len(self._names) - 1]]
        return [*others[: self._own], self._of[0], *others[self._own :]] if self._names else []

    def suit(self, layer: Layer | None, card: ModelCard | None) -> None:
        """Show a row for each channel of a model that a layer does not hold, and propose layers for them.

        Parameters
        ----------
        layer : napari.layers.Image or None
            The chosen one; None if no rows are needed.
        card : ModelCard or None
            Of the chosen model.
        """
        count = 0 if layer is None or card is None or 1 in card.channels else card.net.inputs
        names = card.bands if card is not None and len(card.bands) == count else ("",) * count
        fresh = (layer, names) != self._of
        self._of, self._names = (layer, names), names
        self._own = next((n for n, name in enumerate(names) if layer is not None and _bears(layer.name, name)), 0)
        while len(self.boxes) < count - 1:
            self._add_row()
        rest = [n for n in range(count) if n != self._own]
        for box, label, number in zip(self.boxes, self.labels, [*rest, *[-1] * len(self.boxes)], strict=False):
            label.setText("" if number < 0 else self._caption(number))
            for part in (box, label):
                part.setVisible(number >= 0)
        self._propose(rest, fresh)
        self.tell()

    def _add_row(self) -> None:
        box, label = LayerBox(self._viewer, ImageLayer, _NONE), QLabel()
        if self._form is not None:
            self._form.insertRow(self._form.getWidgetPosition(self.said)[0], label, box)
        box.chosen.connect(self._changed)
        box.listed.connect(self._changed)
        self.boxes.append(box)
        self.labels.append(label)

    def _caption(self, number: int) -> str:
        return f"Channel {number + 1}" + (f" ({self._names[number]})" if self._names[number] else "")

    def _propose(self, rest: list[int], fresh: bool) -> None:
        """Choose layers by name where none is chosen; what is left if there are just as many as are missing."""
        boxes = self.boxes[: len(rest)]
        blocked = [box.blockSignals(True) for box in boxes]
        for box in boxes if fresh else []:
            box.choose(None)
        for number, box in zip(rest, boxes, strict=True):
            fitting = [layer for layer in self._free() if _bears(layer.name, self._names[number])]
            if box.layer is None and len(fitting) == 1:
                box.choose(fitting[0])
        empty, free = [box for box in boxes if box.layer is None], self._free()
        if len(empty) == len(free):
            for box, layer in zip(empty, free, strict=True):
                box.choose(layer)
        for box, before in zip(boxes, blocked, strict=True):
            box.blockSignals(before)

    def _free(self) -> list[Layer]:
        """Return the layers of the chosen one's shape that stand for no channel yet."""
        of, taken = self._of[0], self.layers
        return [] if of is None else [
            layer for layer in self._viewer.layers
            if isinstance(layer, ImageLayer) and layer not in taken and not layer.rgb and _shape(layer) == _shape(of)
        ]  # fmt: skip

    def tell(self, problem: str = "") -> None:
        """Say which channel the chosen layer is, and what is wrong with the others."""
        own = f"channel{self._caption(self._own).removeprefix('Channel')}" if self._names else ""
        text = f"The model sees {len(self._names)} channels; the image above is {own}. {problem}" if own else ""
        self.said.setText(text.strip())
        self.said.setVisible(bool(text))

    def joined(self, axes: str) -> Image:
        """Return the layers as the channels of one image.

        Parameters
        ----------
        axes : str
            Of the chosen layer.

        Returns
        -------
        Image
            Lazy, channels first; the same object while the layers hold the same.

        Raises
        ------
        AxesError, ImageError
            If a layer is missing, chosen twice, has channels or time, or lies on another grid than the first.
        """
        found = {n: layer for n, layer in enumerate(self.layers) if layer is not None}
        if missing := [self._caption(n) for n in range(len(self._names)) if n not in found]:
            raise ImageError(f"The model sees {len(self._names)} channels. Choose a layer for {', '.join(missing)}.")
        if len({id(layer) for layer in found.values()}) < len(found):
            raise ImageError("A layer is chosen for two channels. Choose another one for each.")
        parts = [layer_image(layer, _axes_of(layer, axes)) for layer in found.values()]
        check_sequences(parts)
        for part, layer in zip(parts, found.values(), strict=True):
            if reason := _moved(found[0], layer):
                raise refusal(parts[0], part, reason)
        key = [axes, *((layer.name, tuple(layer.translate)) for layer in found.values()), layers_key(found)]
        if self._image is None or self._key != key:
            self._image, self._key, self._held = _join(parts), key, parts
        return self._image


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
        **shared_place(parts, names),
    )  # fmt: skip


def _shape(layer: Layer) -> tuple[int, ...]:
    return tuple((layer.data[0] if layer.multiscale else layer.data).shape)


def _bears(title: str, name: str) -> bool:
    """Say whether the name of a layer has that of a channel in it, as a word."""
    wanted, words_ = (" ".join(filter(None, _BETWEEN.split(text.casefold()))) for text in (name, title))
    return bool(wanted) and f" {wanted} " in f" {words_} "


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
