"""What a run sees of the chosen layer: the layer alone, or all bands of its file."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from napari_unet.core.axes import Image
from napari_unet.core.bands import band_names, choose_bands
from napari_unet.core.errors import ImageError, UNetError

from ._bands import Bands, band_of
from ._copying import Call
from ._further import FurtherRows
from ._layers import layer_image, source_of
from ._scales import given_sizes
from ._settings import HINTS

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_unet.core.model_card import ModelCard
    from napari_unet.core.specs import SegmentSpec

    from ._axes import AxesRow
    from ._chooser import LayerBox
    from ._form import Form
    from ._model_box import ModelBox

__all__ = ["Seen", "Sight"]


class Seen(NamedTuple):
    """What a run sees.

    Attributes
    ----------
    image : Image
        The layer alone, or all bands of its file.
    axes : str
        What is said of its axes when `file` is read; empty where the file says it.
    source : str or tuple of str or None
        The file that holds this image and nothing else, if there is one; or one for each channel.
    file : str or tuple of str or None
        The file that holds it, perhaps among other channels.
    band : int or None
        Which channel of `file` the image is, where it is one of several.
    lost : tuple of int
        Channels whose layers are no longer there as they were opened; nothing is in them.
    chosen : tuple of int or None
        Of layers that were chosen for channels one by one: their numbers, whatever they are called.
    """

    image: Image
    axes: str
    source: str | tuple[str, ...] | None
    file: str | tuple[str, ...] | None
    band: int | None = None
    lost: tuple[int, ...] = ()
    chosen: tuple[int, ...] | None = None

    @property
    def first(self) -> str | None:
        """Its file, or that of the first channel."""
        return self.source[0] if isinstance(self.source, tuple) else self.source

    def told(self, spec: SegmentSpec) -> SegmentSpec:
        """Return settings of a run on this image."""
        return spec if self.chosen is None else spec.model_copy(update={"channels": self.chosen})

    @property
    def choice(self) -> str:
        """The channels that there are, in words."""
        names = band_names(self.image) or ("",) * self.image.channels
        return ", ".join(f"{n} {name}".strip() for n, name in enumerate(names) if n not in self.lost)

    def check(self, spec: SegmentSpec, card: ModelCard | None) -> None:
        """Raise an ImageError, which names them, if a run needs channels that are lost."""
        if not self.lost:
            return
        chosen = choose_bands(self.image, spec.channels, card.bands if card else ())
        names = band_names(self.image) or ("",) * self.image.channels
        lacking = [f"{n} {names[n]}".strip() for n in self.lost if chosen is None or n in chosen]
        if lacking:
            raise ImageError(
                f"Bands of '{self.image.name}' are not in the viewer as they were opened: {', '.join(lacking)}. Open "
                f"the file again, or choose among those that are there under 'Channels': {self.choice}."
            )

    def call(self, spec: SegmentSpec, output: str | None) -> Call:
        """Return the run as it is done on the file.

        Parameters
        ----------
        spec : SegmentSpec
            Settings of the run on this image.
        output : str or None
            Where the labels go.

        Returns
        -------
        Call
            With the number of the channel, where the image is one of several.
        """
        one = self.band is not None and self.file is not None
        spec = spec.model_copy(update={"channels": (self.band,)}) if one else self.told(spec)
        return Call(spec, self.file, self.axes, output)


class Sight:
    """Says what a run sees, from what is chosen in a dock.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layers.
    images : LayerBox
        Where one is chosen.
    axes : AxesRow
        Says what its dimensions are.
    models : ModelBox
        Where a model is chosen.
    settings : Form
        Has a line for the channels.
    """

    def __init__(self, viewer: Viewer, images: LayerBox, axes: AxesRow, models: ModelBox, settings: Form) -> None:
        self._viewer, self._images, self._axes, self._models, self._settings = viewer, images, axes, models, settings
        self._bands, self.further = Bands(viewer), FurtherRows(viewer)

    @property
    def changed(self) -> bool:
        """Whether bands of the file have come or gone."""
        return self._bands.changed(self._images.layer)

    def seen(self) -> Seen:
        """Say what a run sees.

        Returns
        -------
        Seen
            All bands of the file of the chosen layer, where channels are asked for, the model knows bands by name, or
            one channel is not enough for it; or the layers that were chosen for its channels. Else the layer alone.

        Raises
        ------
        AxesError, ImageError
            As :func:`layer_image` does, or if there is no image.
        """
        layer, axes = self._images.layer, self._axes.axes
        if layer is None:
            raise ImageError("There is no image to work on. Open one: File > Open, or drag it into the viewer.")
        alone, band = layer_image(layer, axes), band_of(layer)
        if band is None or band["axes"].replace("c", "") != axes:
            return self._joined(alone, axes) if self.further.needed else self._alone(alone, axes)
        image, lost = self._bands.stacked(layer)
        file = band["file"] or None
        if self._settings.values()["channels"] is None and _one_will_do(image, self._models.card):
            return Seen(alone, "" if file else axes, None, file, band["number"])
        return Seen(image, "" if file else image.axes, None if lost else file, file, None, lost)

    def call(self, spec: SegmentSpec, output: str | None) -> Call:
        """Return the run as it is done on the file, with the pixel sizes that only the layer knows."""
        seen = self.seen()
        return seen.call(spec, output)._replace(sizes=given_sizes(self._images.layer, seen.image, seen.file))

    def _alone(self, image: Image, axes: str) -> Seen:
        source = source_of(self._viewer, self._images.layer)
        return Seen(image, axes, source, source)

    def _joined(self, alone: Image, axes: str) -> Seen:
        """Return the layers that were chosen for the channels of the model."""
        given = self._settings.values()["channels"]
        if given and not any(box.layer for box in self.further.boxes):
            return self._alone(alone, axes)  # the channels of one layer were named, such as '0, none'
        image, layers = self.further.joined(axes), self.further.layers
        files = [source_of(self._viewer, layer) for layer in layers]
        known = tuple(file for file in files if file)
        source = known if len(known) == len(files) else None
        named = self._models.card is not None and bool(self._models.card.bands)
        return Seen(image, axes, source, source, chosen=tuple(range(len(layers))) if named and not given else None)

    def _lacks(self, layer: Layer | None) -> bool:
        """Say whether a layer holds one channel, and its file no other."""
        return layer is not None and band_of(layer) is None and "c" not in self._axes.axes and bool(self._axes.axes)

    def look(self) -> Seen | None:
        """Return the same, None where something is missing; the empty line for channels says which there are."""
        line = self._settings.fields["channels"].native
        line.setPlaceholderText(HINTS["channels"])
        layer = self._images.layer
        self.further.suit(layer if self._lacks(layer) else None, self._models.card)
        try:
            seen = self.seen()
        except UNetError as error:
            self.further.tell(str(error))
            with suppress(UNetError):  # its axes are being written
                if layer is not None and self.further.needed:
                    return self._alone(layer_image(layer, self._axes.axes), self._axes.axes)
            return None
        if layer is not None and band_of(layer) is not None and (seen.band is not None or "c" in seen.image.axes):
            image, lost = self._bands.stacked(layer)
            what = "this layer; or some of" if seen.band is not None else "all of"
            line.setPlaceholderText(f"{what} {seen._replace(image=image, lost=lost).choice}")
        return seen


def _one_will_do(image: Image, card: ModelCard | None) -> bool:
    """Say whether a model can see one channel of an image alone, where nobody has said which it is to see."""
    if card is None:
        return True
    try:
        card.normalize.pairs(1)
    except ValueError:
        return False  # it knows the intensities of several
    return 1 in card.channels and not (len(card.bands) > 1 and band_names(image))
