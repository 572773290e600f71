"""Annotated images as they are given for training: layers, files, and what of them is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .axes import Image
from .region import Polygon
from .results import Tracks
from .sequences import name_sequences

__all__ = ["BACKGROUND", "UNKNOWN", "Example"]

UNKNOWN: Final = 2**31 - 1  # the label of pixels in which a raster of labels holds no data
BACKGROUND: Final = 1  # the label that scribbles on the background bear


@dataclass(frozen=True)
class Example:
    """An annotated image, read when it is needed.

    Attributes
    ----------
    image : Image or Path or tuple of Path
        Any axes; the frames of a movie are images of one group. Several files are the channels of one image.
    labels : Image or Path
        Axes and shape of the image, without channels; whole numbers. Or a file of shapes that are drawn on it.
    region : tuple of polygons or None
        The truth is known inside these only, in all planes: vertices ``(y, x)`` in pixels. None: everywhere.
    scribbles : bool
        Pixels without a label are unknown, as in the sparse annotation of Çiçek et al. 2016; `background` marks the
        background.
    group : str
        Patient, field, slide: what is held out together. Empty: the image is a group of its own.
    held_out : bool or None
        Keep it for validation, or never; None leaves that to the program.
    weight : float
        How often it is drawn, relative to others.
    background : int
        The label that means background where there are scribbles.
    values : tuple of int
        Of classes: which value in the labels means each, in their order; empty: 1, 2 and so on.
    tracks : Tracks or Path or None
        Of a movie from which motion is learned: who is who in its labels. None: every number is a track.
    before : Image or Path or None
        Of an image of two frames: the labels of the earlier one, see :mod:`napari_unet.targets`.
    channels : tuple of str
        What the channels are called; empty: as the image says.
    ignored : tuple of int
        Values in the labels where nobody knows what there is.
    classes : tuple of str
        Where labels are a file of shapes: the classes that are wanted of them, numbered from 1. Empty: every shape is
        an object.
    modality : str
        Of medical images: ``CT`` where values are Hounsfield units, ``MR`` and so on; empty: as the image says.
    """

    image: Image | Path | tuple[Path, ...]
    labels: Image | Path
    region: tuple[Polygon, ...] | None = None
    scribbles: bool = False
    group: str = ""
    held_out: bool | None = None
    weight: float = 1.0
    background: int = BACKGROUND
    values: tuple[int, ...] = ()
    tracks: Tracks | Path | None = None
    before: Image | Path | None = None
    channels: tuple[str, ...] = ()
    ignored: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    modality: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """Where the image comes from, a file for each channel if there are several; empty for a layer."""
        return () if isinstance(self.image, Image) else (self.image,) if isinstance(self.image, Path) else self.image

    @property
    def name(self) -> str:
        """What messages call it."""
        if not isinstance(self.image, tuple):
            return self.image.name
        case, _ = name_sequences([file.name for file in self.image])
        return case or self.image[0].parent.name or self.image[0].name  # a folder for each patient

    @property
    def source(self) -> str:
        """The file it comes from, or those of its channels; of a layer without one its name."""
        return (
            (self.image.source or self.image.name) if isinstance(self.image, Image) else ";".join(map(str, self.files))
        )
