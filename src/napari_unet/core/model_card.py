"""What a model knows of itself."""

from __future__ import annotations

import re
from typing import Any, Self

from pydantic import Field, model_validator

from ._spec import Spec
from .foreign import ForeignSpec
from .grids import GridSpec
from .networks import NetSpec
from .specs import NormalizeSpec, TargetSpec

__all__ = ["ModelCard", "family", "is_plain"]

_VOLUME = 3
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")  # names of devices on Windows


class ModelCard(Spec):
    """What a model knows of itself; stored as ``card.json`` beside its weights.

    Attributes
    ----------
    name, title, description : str
        What the user reads.
    task : str
        Preset it belongs to.
    net, target, normalize : Spec
        Everything needed to run it.
    channels : tuple of int
        Numbers of channels it accepts.
    bands : tuple of str
        What the channels are that it was trained on, where all images named them.
    diameter : float
        Object size it was trained at, pixels of its own grid.
    diameter_range : tuple of float
        Object sizes that it measures and brings to its own, pixels of the image.
    grid : GridSpec
        At what size it sees images: `diameter` decides only where it says so.
    data, license, recipe : str
        Where it comes from, what may be done with it, how to make it again.
    seed : int
        Of the training.
    metrics : dict
        Scores for each kind of image.
    training : dict
        The record of its training: settings, data and their hashes, software, curve, scores of each held-out image.
    sha256 : str
        Of the weights file; the identity of the model.
    tile_invariant : bool
        True if no layer looks at the whole tile.
    tile_mismatch : float or None
        Of a network that was made by another program: by how much a score changed at most when an image was cut in two
        to try it, 0 to 1. None where it was not tried.
    authors, citations : tuple of str
        Who made it, and what to cite; a citation ends with its ``doi:``.
    foreign : ForeignSpec or None
        Of a network that was made by another program: how to run it. The `net` then only says how many dimensions and
        channels it has.
    """

    name: str
    title: str = ""
    description: str = ""
    task: str = "cell"
    net: NetSpec
    target: TargetSpec
    normalize: NormalizeSpec = NormalizeSpec()
    channels: tuple[int, ...] = (1,)
    bands: tuple[str, ...] = ()
    diameter: float = Field(24.0, gt=0, le=1e5)
    diameter_range: tuple[float, float] = (8.0, 120.0)
    grid: GridSpec = GridSpec()
    data: str = ""
    license: str = ""
    recipe: str = ""
    seed: int = 0
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    sha256: str = ""
    tile_invariant: bool = True
    tile_mismatch: float | None = Field(None, ge=0, le=1)
    authors: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    foreign: ForeignSpec | None = None

    @model_validator(mode="after")
    def _name_is_plain(self) -> Self:
        if not is_plain(self.name):
            raise ValueError(f"a model's name must be a plain word, not '{self.name}'")
        return self

    @model_validator(mode="after")
    def _foreign_fits(self) -> Self:
        if self.foreign is not None and self.foreign.ndim != self.net.ndim:
            raise ValueError(f"the foreign network has {self.foreign.ndim} dimensions, the card says {self.net.ndim}")
        return self

    @property
    def closed(self) -> bool:
        """Whether nothing is beyond the border of an image: volumes are to a network what its patches were.

        Other images go on mirrored, half a receptive field far, which may be a multiple of a volume.
        """
        if self.foreign is not None:
            return self.foreign.closed
        return self.net.ndim == _VOLUME and self.net.padding == "same"

    @property
    def caption(self) -> str:
        """The title, with the name where that is another word."""
        title = self.title or self.name
        return title if title.lower() == self.name.lower() else f"{title} ({self.name})"

    @property
    def widths(self) -> str:
        """Object widths that it measures, in words."""
        if self.grid.kind == "spacing" and self.grid.spacing:
            spacing = " x ".join(f"{side:g}" for side in self.grid.spacing)
            return f"not told: images are brought to pixels of {spacing} {self.grid.unit}"
        if self.grid.kind == "pixels" and self.grid.zoom != 1:
            return f"not told: images are seen {self.grid.zoom:g} times as large"
        if not self.grid.sized or (self.foreign is not None and self.foreign.size is None):
            return "not told: images are taken as they are"
        low, high = self.diameter_range
        return f"{low:g} to {high:g} pixels"

    @property
    def tiles(self) -> str:
        """What is known of how tiles change its labels, in words; empty where they do not."""
        if self.tile_invariant:
            return ""
        if self.tile_mismatch is None:
            return "labels may depend on their size"
        if self.tile_mismatch == 0:
            return "made no difference when it was tried"
        return f"labels depend on their size: a score changed by up to {self.tile_mismatch:.2g} when it was tried"


def is_plain(name: str) -> bool:
    """Say whether a folder can have this name on every system, and is found by it."""
    return (
        bool(name)
        and name == name.strip()
        and not name.startswith(".")
        and not name.endswith(".")
        and not _RESERVED.match(name)
        and not any(c in '/\\:*?"<>|' or ord(c) < ord(" ") for c in name)
    )


def family(name: str) -> str:
    """Return what a model and those that came from it have in common: its name without a number at the end."""
    return re.sub(r"-\d+$", "", name)
