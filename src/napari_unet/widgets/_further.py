"""The rows for layers that hold the other channels of an image: T1, FLAIR and so on, a layer each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QFormLayout, QLabel

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError

from ._chooser import LayerBox
from ._joined import bears, join_layers, of_one_case
from ._parts import words
from ._stack import LastStack, levels_of

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_unet.core.model_card import ModelCard

__all__ = ["FurtherRows"]

_NONE: Final = "choose a layer"
_LETTERS: Final = 6  # of the name of a layer that are always seen
_LONGEST: Final = 22  # letters of a caption: a dock is narrow


class FurtherRows:
    """Rows of a form, one for each channel that the chosen layer does not hold; none where it has all.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layers.
    wanted : str
        Who wants so many channels, in words.
    taken : callable, optional
        Returns layers that are not to be proposed, because they belong to another image.
    """

    def __init__(
        self,
        viewer: Viewer,
        wanted: str = "The model sees {} channels",
        taken: Callable[[], Iterable[Layer | None]] = tuple,
    ) -> None:
        self._viewer, self._wanted, self._taken = viewer, wanted, taken
        self.boxes: list[LayerBox] = []
        self.labels: list[QLabel] = []
        self.said = words()
        self._form: QFormLayout | None = None
        self._changed: Callable[[], object] = lambda: None
        self._names: tuple[str, ...] = ()  # of all channels; empty where no row is needed
        self._layer: Layer | None = None  # the chosen one
        self._own = 0  # its channel
        self._of: tuple[Any, ...] = ()
        self._last = LastStack()

    def add_to(self, form: QFormLayout, changed: Callable[[], object]) -> None:
        """Add the rows to a form, and have something called whenever another layer is chosen."""
        self._form, self._changed = form, changed
        form.addRow(self.said)
        self.said.hide()

    @property
    def needed(self) -> bool:
        """Whether there are more channels than the chosen layer holds."""
        return bool(self._names)

    @property
    def layers(self) -> list[Layer | None]:
        """The layer of each channel, in their order."""
        others = [box.layer for box in self.boxes[: len(self._names) - 1]]
        return [*others[: self._own], self._layer, *others[self._own :]] if self._names else []

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
        self.expect(layer, names, names)

    def expect(self, layer: Layer | None, names: Sequence[str], of: object) -> None:
        """Show a row for each channel that a layer does not hold, and propose layers for them.

        Parameters
        ----------
        layer : napari.layers.Image or None
            The chosen one.
        names : sequence of str
            Of all channels, empty where they have none; no names if no rows are needed.
        of : object
            What was chosen stays as long as this and the chosen layer are the same.
        """
        self._names, self._layer = tuple(names), layer
        self._own = next((n for n, name in enumerate(names) if layer is not None and bears(layer.name, name)), 0)
        fresh = (layer, self._own, of) != self._of
        self._of = (layer, self._own, of)
        while len(self.boxes) < len(names) - 1:
            self._add_row()
        rest = [n for n in range(len(names)) if n != self._own]
        for box, label, number in zip(self.boxes, self.labels, [*rest, *[-1] * len(self.boxes)], strict=False):
            caption = "" if number < 0 else self._caption(number)
            label.setText(caption if len(caption) <= _LONGEST else f"{caption[: _LONGEST - 1]}…")
            label.setToolTip(caption)
            for part in (box, label):
                part.setVisible(number >= 0)
        self._propose(rest, fresh)
        self.tell()

    def choose(self, layers: Sequence[Layer | None]) -> None:
        """Choose a layer for each channel, if there are as many and the chosen layer is its own one."""
        if len(layers) == len(self._names) > self._own and layers[self._own] == self._layer:
            others = [layer for number, layer in enumerate(layers) if number != self._own]
            for box, layer in zip(self.boxes, others, strict=False):
                box.choose(layer)

    def _add_row(self) -> None:
        box, label = LayerBox(self._viewer, ImageLayer, _NONE), QLabel()
        box.setMinimumContentsLength(_LETTERS)
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
            fitting = [layer for layer in self._free() if bears(layer.name, self._names[number])]
            fitting = fitting if len(fitting) < 2 else [layer for layer in fitting if self._beside(layer, number)]
            if box.layer is None and len(fitting) == 1:
                box.choose(fitting[0])
        empty, free = [box for box in boxes if box.layer is None], self._free()
        if len(empty) == len(free):
            for box, layer in zip(empty, free, strict=True):
                box.choose(layer)
        for box, before in zip(boxes, blocked, strict=True):
            box.blockSignals(before)

    def _beside(self, layer: Layer, number: int) -> bool:
        """Say whether a layer is of the patient or field of the chosen one, by their names."""
        own = "" if self._layer is None else self._layer.name
        return of_one_case((own, self._names[self._own]), (layer.name, self._names[number]))

    def _free(self) -> list[Layer]:
        """Return the layers of the chosen one's shape that stand for no channel yet."""
        of, taken = self._layer, [*self.layers, *self._taken()]
        return [] if of is None else [
            layer for layer in self._viewer.layers
            if isinstance(layer, ImageLayer) and layer not in taken and not layer.rgb and _shape(layer) == _shape(of)
        ]  # fmt: skip

    def tell(self, problem: str = "") -> None:
        """Say which channel the chosen layer is, and what is wrong with the others."""
        own = f"channel{self._caption(self._own).removeprefix('Channel')}" if self._names else ""
        text = f"{self._wanted.format(len(self._names))}; the image above is {own}. {problem}" if own else ""
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
            If a layer is missing, chosen twice, has channels, or lies on another grid than the first.
        """
        found = [layer for layer in self.layers if layer is not None]
        if missing := [self._caption(n) for n, layer in enumerate(self.layers) if layer is None]:
            raise ImageError(f"{self._wanted.format(len(self._names))}. Choose a layer for {', '.join(missing)}.")
        return join_layers(found, axes, self._last)


def _shape(layer: Layer) -> tuple[int, ...]:
    return tuple(levels_of(layer)[0].shape)
