"""What a model knows of itself."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ._spec import Spec
from .networks import NetSpec
from .specs import NormaliseSpec, TargetSpec

__all__ = ["ModelCard"]


class ModelCard(Spec):
    """What a model knows of itself; stored as ``card.json`` beside its weights.

    Attributes
    ----------
    name, title, description : str
        What the user reads.
    task : str
        Preset it belongs to.
    net, target, normalise : Spec
        Everything needed to run it.
    channels : tuple of int
        Numbers of channels it accepts.
    diameter : float
        Object size it was trained at, pixels of its own grid.
    diameter_range : tuple of float
        Object sizes that it measures and brings to its own, pixels of the image.
    data, licence, recipe : str
        Where it comes from, what may be done with it, how to make it again.
    seed : int
        Of the training.
    metrics : dict
        Scores for each kind of image.
    sha256 : str
        Of the weights file; the identity of the model.
    tile_invariant : bool
        True if no layer looks at the whole tile.
    """

    name: str
    title: str = ""
    description: str = ""
    task: str = "cell"
    net: NetSpec
    target: TargetSpec
    normalise: NormaliseSpec = NormaliseSpec()
    channels: tuple[int, ...] = (1,)
    diameter: float = Field(24.0, gt=0)
    diameter_range: tuple[float, float] = (8.0, 120.0)
    data: str = ""
    licence: str = ""
    recipe: str = ""
    seed: int = 0
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict)
    sha256: str = ""
    tile_invariant: bool = True

    @model_validator(mode="after")
    def _name_is_plain(self) -> Self:
        if not self.name or any(c in self.name for c in "/\\:") or self.name.startswith("."):
            raise ValueError(f"a model's name must be a plain word, not '{self.name}'")
        return self
