"""Channels by name: what the bands of an image are called, which of them a model sees, how columns tell them apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from .axes import Image
from .errors import ImageError
from .place import Band, numbers_of, pick_bands

__all__ = ["MISSING", "are_colors", "band_names", "channel_suffixes", "choose_bands", "join_names", "told_names"]

MISSING: Final = -1  # a channel that an image lacks; nothing is seen in it
_NONE: Final = "none"
_NUMBERED: Final = re.compile(r"(ch|channel|c|image|series)?([\s_:#.-]*(?<!\d)\d{1,2}(?!\d))*[\s_:#.-]*")
_COLORS: Final = {"red", "green", "blue", "r", "g", "b"}


def band_names(image: Image) -> tuple[str, ...]:
    """Return what the channels of an image are called.

    Parameters
    ----------
    image : Image
        Of any kind.

    Returns
    -------
    tuple of str
        One for each channel, empty where one has no name; empty where none has.
    """
    names = image.channel_names or (tuple(band.name for band in image.geo.bands) if image.geo else ())
    return names if len(names) == image.channels and any(names) else ()


def are_colors(channels: int, names: Sequence[str] = ()) -> bool:
    """Tell whether channels are gray or red, green and blue: their intensities mean the same, and one may be another.

    Parameters
    ----------
    channels : int
        How many there are.
    names : sequence of str
        What they are called; empty: not known.

    Returns
    -------
    bool
        Not so for two, four or more channels, and for three with names such as DAPI, actin and tubulin.
    """
    return channels == 1 or (channels == 3 and {name.lower() for name in names} <= _COLORS)


def told_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return what a file of a microscope calls its channels, if that says something.

    Parameters
    ----------
    names : sequence of str
        As the file has them.

    Returns
    -------
    tuple of str
        Empty where one has no name, two have the same, all are numbers in other words (``Channel:0:1``), or red, green
        and blue, as which channels are taken anyway.
    """
    found = tuple(" ".join(name.split()) for name in names)
    plain = [name.casefold() for name in found]
    if len(set(plain)) < len(plain) or not all(plain) or {*plain} <= _COLORS:
        return ()
    return () if all(_NUMBERED.fullmatch(name) for name in plain) else found


def channel_suffixes(image: Image) -> tuple[str, ...]:
    """Return what columns that measure a channel end with.

    Parameters
    ----------
    image : Image
        Of any kind.

    Returns
    -------
    tuple of str
        One for each channel: its name, as in ``"_FLAIR"``, or its number, as in ``"_c1"``, where not all channels have
        names of their own; empty for an image without channels.
    """
    if "c" not in image.axes:
        return ("",)
    names = band_names(image)
    told = len(set(filter(None, names))) == image.channels
    return tuple(f"_{name}" if told else f"_c{number}" for number, name in enumerate(names or ("",) * image.channels))


def choose_bands(image: Image, wanted: Sequence[int | str] | None, known: Sequence[str] = ()) -> tuple[int, ...] | None:
    """Find the channels that a model is to see.

    Parameters
    ----------
    image : Image
        That has them.
    wanted : sequence of int or str, or None
        Numbers from 0 or names, in any case; ``"none"`` for a band that the image lacks. None: nobody chose.
    known : sequence of str
        Names of the bands that the model has learned from; empty where they had none.

    Returns
    -------
    tuple of int or None
        Numbers of channels, or :data:`MISSING`; None takes all.

    Raises
    ------
    ImageError
        If the image has no band of a name that is asked for, or lacks some of those that the model knows by name; the
        message names them.
    """
    if wanted is not None:
        words = [str(word).strip() for word in wanted]
        lacked = [word.casefold() == _NONE for word in words]
        there = [word for word, missing in zip(words, lacked, strict=True) if not missing]
        found = iter(pick_bands(there, _bands(image), image.name))
        return tuple(MISSING if missing else next(found) for missing in lacked)
    names = band_names(image)
    at = numbers_of(_bands(image))
    if not (names and known and all(known)):
        return None
    lacking = [name for name in known if name.casefold() not in at]
    if not lacking:
        return tuple(at[name.casefold()] for name in known)
    if len(lacking) == len(known) and len(names) == len(known):
        return None  # other words for the same bands
    raise ImageError(
        f"'{image.name}' lacks bands that the model has learned from: {_listed(lacking)}. It has: {', '.join(names)}. "
        f"Choose what to use instead, in the order {', '.join(known)}; 'none' for a band that there is not."
    )


def _bands(image: Image) -> tuple[Band, ...]:
    """Return what is known of the channels of an image, under the names that the image has for them."""
    bands = image.geo.bands if image.geo is not None else ()
    known = bands if len(bands) == image.channels else (Band(),) * image.channels
    names = band_names(image)
    return tuple(replace(band, name=name) for band, name in zip(known, names, strict=True)) if names else ()


def join_names(names: Sequence[str]) -> str:
    """Write the names of channels as a table of images has them: with ``;`` between; nothing where one has no name."""
    return ";".join(name.replace(";", ",") for name in names) if all(name.strip() for name in names) else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
