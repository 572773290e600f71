"""The line that says what the dimensions of an image are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit

from napari_unet.core.errors import UNetError

from ._layers import layer_axes, layer_image
from ._parts import words

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["AxesRow"]

_WORDS: Final = {"t": "time", "c": "channels", "z": "depth", "y": "y", "x": "x"}


class AxesRow:
    """Two rows of a form: one letter for each dimension, and what they mean for the chosen layer."""

    def __init__(self) -> None:
        self._layer: Layer | None = None
        self.line = QLineEdit()
        self.line.setToolTip("One letter for each dimension: t time, c channels, z depth, y, x.")
        self.line.setPlaceholderText("e.g. tzyx")
        self.line.textChanged.connect(lambda _text: self._explain())
        self.hint = words()
        self.label = QLabel("Axes")

    def add_to(self, form: QFormLayout) -> None:
        """Add the rows to a form."""
        form.addRow(self.label, self.line)
        form.addRow(self.hint)

    @property
    def axes(self) -> str:
        """What is written, in lower case."""
        return self.line.text().strip().lower()

    def show_layer(self, layer: Layer | None) -> None:
        """Fill the line for a layer; for a plain picture, which leaves nothing to say, it is hidden.

        Parameters
        ----------
        layer : napari.layers.Image or None
            The chosen image.
        """
        self._layer = layer
        axes, sure = layer_axes(layer) if layer is not None else ("yx", True)
        self.line.setText(axes)
        self._explain()
        for widget in (self.label, self.line, self.hint):
            widget.setVisible(layer is not None and not (sure and len(layer.scale) == 2))

    def _explain(self) -> None:
        if self._layer is None:
            return
        try:
            image = layer_image(self._layer, self.axes)
        except UNetError as error:
            self.hint.setText(str(error))
            return
        hint = ", ".join(f"{_WORDS[a]} {n}" for a, n in zip(image.axes, image.shape, strict=True))
        if self.axes == "zyx" and not layer_axes(self._layer)[1]:
            hint += ". Guessed: write tyx if this is a movie."
        self.hint.setText(hint)
