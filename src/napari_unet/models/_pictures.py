"""Pictures with colors, which are given to models as they are, gray or without their transparency."""

from __future__ import annotations

from itertools import islice

from ..core.axes import Image
from ..core.bands import are_colors, band_names
from ..core.errors import ImageError
from ..core.model_card import ModelCard
from ..tiling.statistics import sample_windows

__all__ = ["check_colors", "picture_channels"]

_COLORS = 3
_RGBA = 4
_LOOKS = 4  # windows that tell whether a picture has colors
_EDGE = 1024  # of them, pixels at most


def picture_channels(image: Image, inputs: int) -> tuple[int, ...] | None:
    """Find the channels of a picture that a model is to see, where nobody has chosen.

    Parameters
    ----------
    image : Image
        Of any kind.
    inputs : int
        Channels of the network.

    Returns
    -------
    tuple of int or None
        The colors without transparency for a model of colors. For a model of one channel the first where all are alike,
        as in a gray picture that was saved in colors. Otherwise None: all of them.
    """
    if image.channels not in (_COLORS, _RGBA) or image.channel_names or (image.geo and image.geo.bands):
        return None  # of rasters and sequences it is known what is no band
    if inputs == _COLORS:
        # Transparency is no color. Of channels that are planes of their own, such as stains, none is transparency.
        return (0, 1, 2) if image.channels == _RGBA and image.axes.endswith("c") else None
    return (0,) if inputs == 1 and _is_gray(image) else None


def check_colors(image: Image, channels: tuple[int, ...] | None, card: ModelCard) -> None:
    """Refuse what a model of gray or colors would take for colors though it is none, or cannot take.

    Parameters
    ----------
    image : Image
        Of any kind.
    channels : tuple of int or None
        Those that are seen; None if nobody has chosen.
    card : ModelCard
        Of the model.

    Raises
    ------
    ImageError
        If the model sees gray or red, green and blue, and there are neither one nor three channels; or three that
        nobody has chosen, with names such as DAPI.
    """
    if not (card.net.inputs == _COLORS and 1 in card.channels and card.foreign is None and not card.bands):
        return
    used = image.channels if channels is None else len(channels)
    if used not in (1, _COLORS):
        names = band_names(image)
        one = repr(next(filter(None, names), 0))
        has = f"has {used} channels" if channels is None else f"is to be seen with {used} of its channels"
        told = f" ({', '.join(names)})" if names else ", which are counted from 0"
        raise ImageError(
            f"The model '{card.name}' takes one gray channel or three of color, but '{image.name}' {has}{told}. Choose "
            f"the one that shows the objects, such as {one}: --channels {one} on the command line, channels=({one},) "
            "in Python, 'Channels' (Advanced) in the dock."
        )
    if channels is None and used == _COLORS and not are_colors(_COLORS, image.channel_names):
        names = image.channel_names
        raise ImageError(
            f"'{image.name}' has the channels {', '.join(names)}, which the model would take for red, green and blue. "
            f"Choose the one that shows the objects, for example channels=({names[0]!r},), on the command line "
            f"--channels '{names[0]}'."
        )


def _is_gray(image: Image) -> bool:
    if image.data.dtype != "uint8":
        return False
    for plane, window in islice(sample_windows(image.planes(2)), _LOOKS):
        colors = plane.pick(range(_COLORS)).read(tuple(slice(s.start, min(s.stop, s.start + _EDGE)) for s in window))
        if (colors != colors[:1]).any():
            return False
    return True
