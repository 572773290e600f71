"""What a network is made of, and the presets: one TOML file of ``networks/`` each."""

from __future__ import annotations

import tomllib
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from ._spec import Spec
from .registry import names, path

__all__ = ["NetSpec", "Network", "list_networks", "load_network", "read_preset"]

_ROOM: Final = "networks"
Count = Annotated[int, Field(ge=1)]
Sides = tuple[tuple[Annotated[int, Field(ge=1, le=7)], ...], ...]


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
    block : {"plain", "residual", "separable"}
        What a level computes.
    skip : {"concat", "add", "attention"}
        How the contracting path joins the expansive one.
    convolutions : int
        3x3 convolutions of a block.
    blocks : tuple of int
        For every level, how many convolutions (plain, separable), residual blocks (residual; then the network begins
        with a convolution of its own) or layers (dense) it has; empty: `convolutions`, in one block.
    decoder : int
        Convolutions of a level of the expansive path, not residual ones; 0: the same as in the contracting path.
    growth : int
        Features that each layer of a dense block adds.
    doubling : bool
        The first convolution of a level makes half its width, and up-convolutions keep their channels.
    down : {"pool", "stride"}
        Maximum pooling between levels, or a strided first convolution.
    strides : tuple of tuple of int
        From each level to the next, for every axis; empty: 2.
    kernels : tuple of tuple of int
        Size of the convolutions of every level along every axis, odd; empty: 3.
    norm : {"batch", "none"}
        Batch renormalization, or none.
    padding : {"same", "valid"}
        "valid" trains unpadded convolutions; what is trained then runs padded, with a halo.
    dropout : float
        Probability of a value to be dropped at the end of a block, in training.
    dropout_kind : {"channels", "elements"}
        Whether whole channels are dropped or single values.
    dropout_levels : int
        Drop only in so many of the deepest levels of the contracting path; 0: in all blocks.
    heads : tuple of int
        Outputs of every head; each has a last block of its own. Empty: one head for all outputs.
    deep_supervision : bool
        In training also compare the scores of coarser levels.
    prune : int
        Evaluate a nested network only up to this depth; 0: the whole.
    """

    architecture: str = "unet"
    ndim: Literal[2, 3] = 2
    inputs: int = Field(1, ge=1)
    outputs: int = Field(1, ge=1)
    widths: tuple[Count, ...] = Field((16, 32, 64, 128, 256), min_length=1, max_length=8)
    block: Literal["plain", "residual", "separable"] = "plain"
    skip: Literal["concat", "add", "attention"] = "concat"
    convolutions: int = Field(2, ge=1, le=6)
    blocks: tuple[Annotated[int, Field(ge=1, le=32)], ...] = ()
    decoder: int = Field(0, ge=0, le=6)
    growth: int = Field(12, ge=1)
    doubling: bool = False
    down: Literal["pool", "stride"] = "pool"
    strides: Sides = ()
    kernels: Sides = ()
    norm: Literal["batch", "none"] = "batch"
    padding: Literal["same", "valid"] = "same"
    dropout: float = Field(0.0, ge=0, lt=1)
    dropout_kind: Literal["channels", "elements"] = "channels"
    dropout_levels: int = Field(0, ge=0)
    heads: tuple[Count, ...] = Field((), max_length=100)
    deep_supervision: bool = False
    prune: int = Field(0, ge=0)

    @property
    def depth(self) -> int:
        """Number of times that the image is made smaller."""
        return len(self.widths) - 1

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        for name, wanted in (("strides", self.depth), ("kernels", self.depth + 1), ("blocks", self.depth + 1)):
            have = len(getattr(self, name))
            if have not in (0, wanted):
                raise ValueError(f"{name} needs {wanted} entries for {self.depth + 1} levels, not {have}")
        if any(len(sides) != self.ndim for sides in (*self.strides, *self.kernels)):
            raise ValueError(f"strides and kernels need {self.ndim} numbers an entry, one for each axis")
        if not all(size % 2 for sides in self.kernels for size in sides):
            raise ValueError("kernels must be odd, so that a convolution has a middle")
        if self.prune > self.depth:
            raise ValueError(f"a network with {self.depth + 1} levels cannot be pruned to depth {self.prune}")
        return self


class Network(Spec):
    """A preset: one TOML file of ``networks/``.

    Attributes
    ----------
    name, title, description : str
        What the user reads.
    citation, doi : str
        Where it was published.
    ndim : int
        Dimensions that it is meant for; 0: those of the task.
    net, plane, volume : dict
        Fields of :class:`NetSpec`: for all, for 2D, for 3D.
    """

    name: str
    title: str
    description: str = ""
    citation: str = ""
    doi: str = ""
    ndim: Literal[0, 2, 3] = 0
    net: dict[str, Any] = Field(default_factory=dict)
    plane: dict[str, Any] = Field(default_factory=dict)
    volume: dict[str, Any] = Field(default_factory=dict)

    def spec(self, ndim: int, inputs: int = 1, outputs: int = 1, **changes: Any) -> NetSpec:
        """Return the network for images of `ndim` dimensions; `changes` are fields of :class:`NetSpec`."""
        chosen = self.net | (self.plane if ndim == 2 else self.volume) | changes
        return NetSpec.of(**chosen | {"ndim": ndim, "inputs": inputs, "outputs": outputs})


def list_networks() -> list[Network]:
    """Return all presets, sorted by name."""
    return [read_preset(name) for name in names(_ROOM, ".toml")]


def read_preset(name: str) -> Network:
    """Read a preset.

    Parameters
    ----------
    name : str
        An entry of ``networks/``.

    Returns
    -------
    Network
        The preset.

    Raises
    ------
    RegistryError
        If there is no such preset.
    SpecError
        If its file holds something that is not a setting.
    """
    with path(_ROOM, name, ".toml").open("rb") as file:
        return Network.of(name=name, **tomllib.load(file))


def load_network(name: str, ndim: int = 2, inputs: int = 1, outputs: int = 1, **changes: Any) -> NetSpec:
    """Return the network of a preset.

    Parameters
    ----------
    name : str
        An entry of ``networks/``, such as ``"attention-unet"``.
    ndim : int
        Spatial dimensions, 2 or 3.
    inputs, outputs : int
        Channels in and out.
    **changes : Any
        Fields of :class:`NetSpec` that are to differ from the preset.

    Returns
    -------
    NetSpec
        Ready for :func:`napari_unet.nets.build`.

    Raises
    ------
    RegistryError
        If there is no such preset.
    SpecError
        If a change is not a setting or out of range.
    """
    return read_preset(name).spec(ndim, inputs, outputs, **changes)
