"""What a network is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ._spec import Spec

__all__ = ["NetSpec"]


class NetSpec(Spec):
    """An n-D encoder-decoder after Ronneberger et al. 2015 (Fig. 1).

    Attributes
    ----------
    architecture : str
        A file of ``nets/``.
    ndim : int
        Spatial dimensions, 2 or 3.
    inputs, outputs : int
        Channels in and out.
    widths : tuple of int
        Feature channels of every level, the finest first; its length is the depth plus one.
    block : {"plain", "residual"}
        What a level computes.
    skip : {"concat", "add"}
        How the contracting path joins the expansive one.
    convolutions : int
        3x3 convolutions of a block.
    """

    architecture: str = "unet"
    ndim: Literal[2, 3] = 2
    inputs: int = Field(1, ge=1)
    outputs: int = Field(1, ge=1)
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field((16, 32, 64, 128, 256), min_length=1, max_length=8)
    block: Literal["plain", "residual"] = "plain"
    skip: Literal["concat", "add"] = "concat"
    convolutions: int = Field(2, ge=1, le=6)
